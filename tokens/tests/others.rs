//! Other people's libraries read what is signed here, and what they sign is read here.
#![allow(clippy::unwrap_used)]

mod world;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use coset::{CborSerializable, CoseMac0, CoseMac0Builder, CoseSign1, CoseSign1Builder, HeaderBuilder, iana};
use framemill_schemas::delivery::Algorithm;
use framemill_tokens::Format;
use jsonwebtoken::{
    DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    signature::{Error, Signer, Verifier},
};
use ring::{hmac, rand::SystemRandom, signature as ring_signature};
use world::{NOW_S, World, claims, kid_of};

/// Ring for that library: it has no cryptography of its own here.
struct Ring {
    algorithm: jsonwebtoken::Algorithm,
    key: Vec<u8>,
}

fn check(algorithm: Algorithm, key: &[u8], message: &[u8], signed: &[u8]) -> bool {
    let public = |by: &'static dyn ring_signature::VerificationAlgorithm| {
        ring_signature::UnparsedPublicKey::new(by, key).verify(message, signed).is_ok()
    };
    match algorithm {
        Algorithm::Hs256 => hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), message, signed).is_ok(),
        Algorithm::Es256 => public(&ring_signature::ECDSA_P256_SHA256_FIXED),
        Algorithm::EdDsa => public(&ring_signature::ED25519),
    }
}

fn prove(algorithm: Algorithm, key: &[u8], message: &[u8]) -> Vec<u8> {
    let rng = SystemRandom::new();
    match algorithm {
        Algorithm::Hs256 => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec(),
        Algorithm::Es256 => {
            let by = &ring_signature::ECDSA_P256_SHA256_FIXED_SIGNING;
            let pair = ring_signature::EcdsaKeyPair::from_pkcs8(by, key, &rng).unwrap();
            pair.sign(&rng, message).unwrap().as_ref().to_vec()
        }
        Algorithm::EdDsa => ring_signature::Ed25519KeyPair::from_pkcs8(key).unwrap().sign(message).as_ref().to_vec(),
    }
}

const fn ours(algorithm: jsonwebtoken::Algorithm) -> Algorithm {
    match algorithm {
        jsonwebtoken::Algorithm::ES256 => Algorithm::Es256,
        jsonwebtoken::Algorithm::EdDSA => Algorithm::EdDsa,
        _ => Algorithm::Hs256,
    }
}

const fn theirs(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
    }
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signed: &Vec<u8>) -> Result<(), Error> {
        if check(ours(self.algorithm), &self.key, message, signed) { Ok(()) } else { Err(Error::new()) }
    }
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        self.algorithm
    }
}

impl Signer<Vec<u8>> for Ring {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(prove(ours(self.algorithm), &self.key, message))
    }
}

impl JwtSigner for Ring {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        self.algorithm
    }
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(Ring { algorithm: *algorithm, key: key.as_bytes().to_vec() })),
    verifier_factory: |algorithm, key| {
        Ok(Box::new(Ring { algorithm: *algorithm, key: key.try_get_as_bytes()?.to_vec() }))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

#[test]
fn json_tokens_cross() {
    PROVIDER.install_default().ok();
    let world = World::new();
    for algorithm in world::ALGORITHMS {
        let kid = kid_of(algorithm, "acme");
        let public = &world.keys.iter().find(|key| key.kid == kid).unwrap().verifies;
        let private = &world.signing(&kid).signs;
        let (decoding, encoding) = match algorithm {
            Algorithm::Hs256 => (DecodingKey::from_secret(public).unwrap(), EncodingKey::from_secret(private).unwrap()),
            Algorithm::Es256 => (DecodingKey::from_ec_der(public), EncodingKey::from_ec_der(private)),
            Algorithm::EdDsa => (DecodingKey::from_ed_der(public), EncodingKey::from_ed_der(private)),
        };
        let mut validation = Validation::new(theirs(algorithm));
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let token = world.sign(Format::Jwt, algorithm, &claims());
        let read = jsonwebtoken::decode::<serde_json::Value>(&token, &decoding, &validation).unwrap();
        assert_eq!(read.header.kid.as_deref(), Some(kid.as_str()));
        assert_eq!((&read.claims["sub"], &read.claims["exp"]), (&"viewer@example.org".into(), &(NOW_S + 600).into()));
        let mut header = Header::new(theirs(algorithm));
        header.kid = Some(kid);
        let token = jsonwebtoken::encode(&header, &read.claims, &encoding).unwrap();
        assert_eq!(world.verify(&token).unwrap().claims, claims());
    }
}

#[test]
fn common_access_tokens_cross() {
    let world = World::new();
    for algorithm in world::ALGORITHMS {
        let kid = kid_of(algorithm, "acme");
        let public = &world.keys.iter().find(|key| key.kid == kid).unwrap().verifies;
        let private = &world.signing(&kid).signs;
        let good = |signed: &[u8], message: &[u8]| check(algorithm, public, message, signed).then_some(()).ok_or(());
        let bytes = URL_SAFE_NO_PAD.decode(world.sign(Format::Cat, algorithm, &claims())).unwrap();
        // The tags of a CBOR web token and of what it is in.
        let rest = bytes.strip_prefix(&[0xd8, 61]).unwrap();
        let number = match algorithm {
            Algorithm::Hs256 => iana::Algorithm::HMAC_256_256,
            Algorithm::Es256 => iana::Algorithm::ES256,
            Algorithm::EdDsa => iana::Algorithm::EdDSA,
        };
        // They write the key's id outside of what is signed.
        let inside = HeaderBuilder::new().algorithm(number).build();
        let outside = HeaderBuilder::new().key_id(kid.clone().into_bytes()).build();
        let theirs = if algorithm == Algorithm::Hs256 {
            let read = <CoseMac0 as coset::TaggedCborSerializable>::from_tagged_slice(rest).unwrap();
            assert_eq!(read.protected.header.key_id, kid.as_bytes());
            read.verify_payload_tag(&[], || (), good).unwrap();
            let built = CoseMac0Builder::new().protected(inside).unprotected(outside).payload(read.payload.unwrap());
            built.create_tag(&[], |message| prove(algorithm, private, message)).build().to_vec().unwrap()
        } else {
            let read = <CoseSign1 as coset::TaggedCborSerializable>::from_tagged_slice(rest).unwrap();
            assert_eq!(read.protected.header.key_id, kid.as_bytes());
            read.verify_signature(&[], good).unwrap();
            let built = CoseSign1Builder::new().protected(inside).unprotected(outside).payload(read.payload.unwrap());
            built.create_signature(&[], |message| prove(algorithm, private, message)).build().to_vec().unwrap()
        };
        assert_eq!(world.verify(&URL_SAFE_NO_PAD.encode(theirs)).unwrap().claims, claims());
    }
}
