//! JSON web tokens that no honest issuer makes.

use framemill_schemas::delivery::Algorithm;
use framemill_tokens::Refusal;

use crate::{
    forge::{self, b64},
    secret,
    world::World,
};

#[test]
fn headers_of_json_tokens() {
    let world = World::new();
    let payload = r#"{"sub":"a","sid":"s","paths":["/live/acme/"],"exp":1764450060,"iat":1764450000}"#;
    let public = |algorithm| world.keys.iter().find(|key| key.algorithm == algorithm).unwrap().verifies.clone();
    let (ed, ec) = (public(Algorithm::EdDsa), public(Algorithm::Es256));
    for (key, header, expected) in [
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256"}"#, Ok(())),
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256","typ":"jwt","jku":"https://evil","x":1}"#, Ok(())),
        (secret(&world), r#"{"alg":"none","kid":"acme-Hs256"}"#, Err(Refusal::Algorithm)),
        (secret(&world), r#"{"alg":"None","kid":"acme-Hs256"}"#, Err(Refusal::Algorithm)),
        (secret(&world), r#"{"alg":"hs256","kid":"acme-Hs256"}"#, Err(Refusal::Algorithm)),
        (secret(&world), r#"{"alg":"HS512","kid":"acme-Hs256"}"#, Err(Refusal::Algorithm)),
        (secret(&world), r#"{"alg":"RS256","kid":"acme-Hs256"}"#, Err(Refusal::Algorithm)),
        // A public key as if it were a secret.
        (&ed, r#"{"alg":"HS256","kid":"acme-EdDsa"}"#, Err(Refusal::Algorithm)),
        (&ec, r#"{"alg":"HS256","kid":"acme-Es256"}"#, Err(Refusal::Algorithm)),
        (&ec, r#"{"alg":"ES256","kid":"acme-Es256"}"#, Err(Refusal::Signature)),
        (&ed, r#"{"alg":"EdDSA","kid":"acme-EdDsa"}"#, Err(Refusal::Signature)),
        (&ed, r#"{"alg":"HS256","kid":"acme-Hs256"}"#, Err(Refusal::Signature)),
        (secret(&world), r#"{"alg":"HS256"}"#, Err(Refusal::UnknownKey)),
        (secret(&world), r#"{"alg":"HS256","kid":""}"#, Err(Refusal::UnknownKey)),
        (secret(&world), r#"{"alg":"HS256","kid":"../acme-Hs256"}"#, Err(Refusal::UnknownKey)),
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256\u0000"}"#, Err(Refusal::UnknownKey)),
        (secret(&world), r#"{"alg":"HS256","kid":["acme-Hs256"]}"#, Err(Refusal::Malformed)),
        (secret(&world), r#"{"alg":"HS256","alg":"HS256","kid":"acme-Hs256"}"#, Err(Refusal::Malformed)),
        (secret(&world), r#"{"alg":"HS256","kid":"other","\u006bid":"acme-Hs256"}"#, Err(Refusal::Malformed)),
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256","x":1,"x":1}"#, Err(Refusal::Malformed)),
        (secret(&world), r#"{"alg":"HS256","kid":null}"#, Err(Refusal::Malformed)),
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256","crit":null}"#, Err(Refusal::Unsupported("crit"))),
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256","typ":"at+jwt"}"#, Err(Refusal::Malformed)),
        (
            secret(&world),
            r#"{"alg":"HS256","kid":"acme-Hs256","crit":["b64"],"b64":true}"#,
            Err(Refusal::Unsupported("crit")),
        ),
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256","b64":false}"#, Err(Refusal::Unsupported("b64"))),
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256","zip":"DEF"}"#, Err(Refusal::Unsupported("zip"))),
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256"} "#, Ok(())),
        (secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256"}x"#, Err(Refusal::Malformed)),
        (secret(&world), "[]", Err(Refusal::Malformed)),
        (secret(&world), "", Err(Refusal::Malformed)),
    ] {
        assert_eq!(world.verify(&forge::jwt(key, header, payload)).map(|_| ()), expected, "{header}");
    }
    // Without a signature, as unsecured tokens are.
    for header in [r#"{"alg":"none"}"#, r#"{"alg":"none","kid":"acme-Hs256"}"#, r#"{"alg":"HS256","kid":"acme-Hs256"}"#]
    {
        assert!(world.verify(&format!("{}.{}.", b64(header), b64(payload))).is_err(), "{header}");
    }
    // Padded, in the other alphabet, with four parts.
    let good = forge::jwt(secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256"}"#, payload);
    for bad in [
        format!("{good}="),
        good.replace('.', "=."),
        format!("{good}."),
        format!(".{good}"),
        good.replacen('.', "..", 1),
    ] {
        assert_eq!(world.verify(&bad).map(|_| ()), Err(Refusal::Malformed), "{bad}");
    }
}

#[test]
fn claims_of_json_tokens() {
    let world = World::new();
    let base = r#""sub":"a","sid":"s","paths":["/live/acme/"],"exp":1764450060,"iat":1764450000"#;
    let malformed = Err(Refusal::Malformed);
    for (payload, expected) in [
        (format!("{{{base}}}"), Ok(())),
        (format!("{{{base},\"iss\":\"x\",\"jti\":\"1\",\"name\":{{\"deep\":[1]}}}}"), Ok(())),
        (format!("{{{base},\"exp\":1964450060}}"), malformed),
        (format!("{{{base},\"\\u0065xp\":1964450060}}"), malformed),
        (format!("{{{base},\"paths\":[\"/vod/acme/\"]}}"), malformed),
        (format!("{{{base},\"x\":1,\"x\":2}}"), malformed),
        (format!("{{{base},\"aud\":\"cdn\"}}"), Err(Refusal::Unsupported("aud"))),
        (format!("{{{base},\"cdniip\":\"x\"}}"), Err(Refusal::Unsupported("cdniip"))),
        (format!("{{{base},\"catreplay\":1}}"), Err(Refusal::Unsupported("catreplay"))),
        (format!("{{{base},\"ten\":\"acme\"}}"), Ok(())),
        (format!("{{{base},\"ten\":\"other\"}}"), Err(Refusal::Tenant)),
        (format!("{{{base},\"ten\":\"ACME\"}}"), malformed),
        (format!("{{{base},\"ten\":null}}"), malformed),
        (format!("{{{base},\"reg\":[]}}"), malformed),
        (format!("{{{base},\"reg\":[\"D\"]}}"), malformed),
        (format!("{{{base},\"reg\":\"DE\"}}"), malformed),
        (format!("{{{base},\"ori\":[]}}"), malformed),
        (format!("{{{base},\"ori\":[\"*\"]}}"), malformed),
        (format!("{{{base},\"ip\":\"203.0.113.0/33\"}}"), malformed),
        (format!("{{{base},\"ip\":\"\"}}"), malformed),
        (format!("{{{base},\"max\":-1}}"), malformed),
        (format!("{{{base},\"max\":4294967296}}"), malformed),
        (format!("{{{base},\"yld\":\"nobody\"}}"), malformed),
        (format!("{{{base},\"nbf\":1764450000.5}}"), malformed),
        (format!("{{{base},\"nbf\":1764450060}}"), malformed),
        (format!("{{{base},\"nbf\":99999999999999999999}}"), malformed),
        (format!("{{{}}}", base.replace(r#","iat":1764450000"#, "")), Err(Refusal::TooLong)),
        (format!("{{{}}}", base.replace("1764450060", "1764493200")), Ok(())),
        (format!("{{{}}}", base.replace("1764450060", "1764493201")), Err(Refusal::TooLong)),
        (format!("{{{}}}", base.replace("1764450060", "9223372036854775807")), Err(Refusal::TooLong)),
        (format!("{{{}}}", base.replace("1764450060", "\"1764450060\"")), malformed),
        (format!("{{{}}}", base.replace(r#""exp":1764450060,"#, "")), malformed),
        (format!("{{{}}}", base.replace(r#""sid":"s","#, "")), malformed),
        (format!("{{{}}}", base.replace(r#""sub":"a","#, "")), malformed),
        (format!("{{{}}}", base.replace(r#""paths":["/live/acme/"],"#, "")), malformed),
        (format!("{{{}}}", base.replace("/live/acme/", "/live/acme/../other/")), malformed),
        (format!("{{{}}}", base.replace("/live/acme/", "/live/acme/%2e%2e/")), malformed),
        (format!("{{{}}}", base.replace("/live/acme/", "/live/acme/*")), malformed),
        (format!("{{{}}}", base.replace("/live/acme/", "//live/acme/")), malformed),
        (format!("{{{}}}", base.replace("/live/acme/", "/")), malformed),
        (format!("{{{}}}", base.replace("/live/acme/", "/live/")), Err(Refusal::Scope)),
        (format!("{{{}}}", base.replace("\"a\"", "\"a b\"")), malformed),
        (format!("{{{}}}", base.replace("\"s\"", "\"s/../t\"")), malformed),
        (format!("{{{base},\"x\":{}1{}}}", "[".repeat(900), "]".repeat(900)), Ok(())),
        (format!("{{{base},{}}}", (0..40).map(|n| format!("\"x{n}\":0")).collect::<Vec<_>>().join(",")), malformed),
        (String::new(), malformed),
        ("null".to_owned(), malformed),
        (format!("[{{{base}}}]"), malformed),
        (format!("{{{base}}} {{}}"), malformed),
    ] {
        let token = forge::jwt(secret(&world), r#"{"alg":"HS256","kid":"acme-Hs256"}"#, &payload);
        assert_eq!(world.verify(&token).map(|_| ()), expected, "{payload}");
    }
}
