//! Examples of the standards: what others have signed proves itself here, and what it says is then refused where it is
//! no token of ours.

use framemill_schemas::delivery::Algorithm;
use ring::hmac;

use crate::{Refusal, base64url, cat, crypto::Verifier, jwt};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn point(x: &[u8], y: &[u8]) -> Vec<u8> {
    [&[4], x, y].concat()
}

fn secret(key: &[u8]) -> Verifier {
    Verifier::Hs256(hmac::Key::new(hmac::HMAC_SHA256, key))
}

/// Payload of RFC 7515, appendices A.1 and A.3.
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn signed_json_of_the_standards_proves_itself() {
    let x = |text: &str| base64url::decode(text).unwrap();
    for (name, algorithm, verifies, token) in [
        (
            "RFC 7515 A.1",
            Algorithm::Hs256,
            x("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"),
            format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        ),
        (
            "RFC 7515 A.3",
            Algorithm::Es256,
            point(&x("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"), &x("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")),
            format!(
                "eyJhbGciOiJFUzI1NiJ9.{JOE}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
            ),
        ),
        (
            "RFC 8037 A.4",
            Algorithm::EdDsa,
            x("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
             hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
                .to_owned(),
        ),
    ] {
        let parts = jwt::Parts::read(&token).unwrap();
        assert_eq!((parts.algorithm, parts.kid.as_str()), (Some(algorithm), ""), "{name}");
        let verifier = Verifier::new(algorithm, &verifies).unwrap();
        assert!(verifier.proves(parts.message, &parts.signed), "{name}");
        assert!(!verifier.proves(&parts.message[1..], &parts.signed), "{name}");
    }
}

#[test]
fn hmac_of_rfc_4231() {
    for (key, message, mac) in [
        (vec![0x0b; 20], "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            b"Jefe".to_vec(),
            "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
    ] {
        assert!(secret(&key).proves(message.as_bytes(), &bytes(mac)));
        // Cut to half, as that standard's case 5, it proves nothing here.
        assert!(!secret(&key).proves(message.as_bytes(), &bytes(&mac[..32])));
    }
}

/// Claims of RFC 8392, appendix A.1.
const CLAIMS: &str = "a70175636f61703a2f2f61732e6578616d706c652e636f6d02656572696b77037818636f61703a2f2f6c696768742e\
                      6578616d706c652e636f6d041a5612aeb0051a5610d9f0061a5610d9f007420b71";

#[test]
fn cbor_web_tokens_of_rfc_8392() {
    let signed = bytes(&format!(
        "d28443a10126a104524173796d6d65747269634543445341323536 5850 {CLAIMS} 5840\
         5427c1ff28d23fbad1f29c4c7c6a555e601d6fa29f9179bc3d7438bacaca5acd08c8d4d4f96131680c429a01f85951ecee743a52b9b63632\
         c57209120e1c9e30"
    ));
    let verifies = point(
        &bytes("143329cce7868e416927599cf65a34f3ce2ffda55a7eca69ed8919a394d42f0f"),
        &bytes("60f7f1a780d8a783bfb7a2dd6b2796e8128dbbcef9d3d168db9529971a36e7b9"),
    );
    // Appendix A.3, and the same with the tag of a CBOR web token before it.
    for token in [signed.clone(), [&[0xd8, 61][..], &signed].concat()] {
        let parts = cat::Parts::read(&token).unwrap();
        assert_eq!((parts.algorithm, parts.kid.as_str()), (Some(Algorithm::Es256), "AsymmetricECDSA256"));
        assert!(Verifier::new(Algorithm::Es256, &verifies).unwrap().proves(&parts.message, &parts.signed));
        // It is for somebody else and its issuer is no tenant.
        assert!(matches!(parts.said().map(|_| ()), Err(Refusal::Tenant | Refusal::Unsupported("aud"))));
    }
    // Appendix A.4 has an HMAC of 8 bytes, which is no algorithm of ours; what was signed is what we would sign.
    let short = bytes(&format!("d83dd18443a10104a1044c53796d6d65747269633235365850 {CLAIMS} 48 093101ef6d789200"));
    assert_eq!(cat::Parts::read(&short).map(|_| ()), Err(Refusal::Algorithm));
    let key =
        hmac::Key::new(hmac::HMAC_SHA256, &bytes("403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388"));
    let mac = hmac::sign(&key, &cat::to_be_signed(17, &bytes("a10104"), &bytes(CLAIMS)));
    assert_eq!(mac.as_ref()[..8], bytes("093101ef6d789200"));
}

#[test]
fn a_signature_of_rfc_8152() {
    // Appendix C.2.1.
    let token = bytes(
        "d28443a10126a10442313154546869732069732074686520636f6e74656e742e58408eb33e4ca31d1c465ab05aac34cc6b23d58fef5c083106\
         c4d25a91aef0b0117e2af9a291aa32e14ab834dc56ed2a223444547e01f11d3b0916e5a4c345cacb36",
    );
    let verifies = point(
        &bytes("bac5b11cad8f99f9c72b05cf4b9e26d244dc189f745228255a219a86d6a09eff"),
        &bytes("20138bf82dc1b6d562be0fa54ab7804a3a64b6d72ccfed6b6fb6ed28bbfc117e"),
    );
    let parts = cat::Parts::read(&token).unwrap();
    assert_eq!(parts.kid, "11");
    assert!(Verifier::new(Algorithm::Es256, &verifies).unwrap().proves(&parts.message, &parts.signed));
    assert_eq!(parts.said().map(|_| ()), Err(Refusal::Malformed));
}

#[test]
fn tokens_that_others_show_as_examples() {
    // From the public documents and tests of a client library and a service, signed with the key of RFC 8392, appendix
    // A.2.2. The last has a claim of a draft.
    let key = secret(&bytes("403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388"));
    for (token, refusal) in [
        (
            "2D3RhEOhAQWhBFBha2FtYWlfa2V5X2hzMjU2WB2kAWdleWV2aW5uAmVqb25hcwYaZ9TH9QUaZ9TH9Vgg40JB9G77k5RWOlayUSLDl7oFVnny\
             b4aHYc1qls148WY",
            None,
        ),
        (
            "2D3RhEOhAQWhBFBha2FtYWlfa2V5X2hzMjU2U6MEGnUCOrsGGmfXRKwFGmfXRKxYIOM6yRx830uqAamWFv1amFYRa5vaV2z5lIQTqFEvFh8z",
            None,
        ),
        (
            "2D3RhEOhAQWhBFBha2FtYWlfa2V5X2hzMjU2WCqlBBptDunmAmxUaGVDYXRIdW50ZXIZARaiAAIBGEYGGmcZWXoFGmcZWXpYIDWdOGh_yV1O\
             Zx6eGrJ7RyjcXZM4FhDS9DGXyHMl_toU",
            Some(Refusal::Unsupported("label")),
        ),
    ] {
        let parts = cat::Parts::read(&base64url::decode(token).unwrap()).unwrap();
        assert_eq!((parts.algorithm, parts.kid.as_str()), (Some(Algorithm::Hs256), "akamai_key_hs256"));
        assert!(key.proves(&parts.message, &parts.signed), "{token}");
        assert_eq!(parts.said().err(), refusal, "{token}");
    }
}
