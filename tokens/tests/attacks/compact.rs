//! Compact tokens that no honest issuer makes.

use framemill_tokens::Refusal;

use crate::{
    forge::{self, b64},
    secret,
    world::World,
};

#[test]
fn fields_of_compact_tokens() {
    let world = World::new();
    let base = "exp=1764450060~acl=/live/acme/*~id=s~data=v1:acme-Hs256:acme:a:1764450000:0:oldest::";
    let changed = |from: &str, to: &str| base.replacen(from, to, 1);
    for (message, expected) in [
        (base.to_owned(), Ok(())),
        (format!("st=1764450000~{base}"), Ok(())),
        (changed("~id", "~ip=203.0.113.7~id"), Ok(())),
        (changed("/live/acme/*", "/live/acme/a.m3u8!/vod/acme/*"), Ok(())),
        (format!("{base}https://tv.example:8443!http://a"), Ok(())),
        // In another order, twice, missing, unknown, empty.
        (changed("exp=1764450060~acl=/live/acme/*", "acl=/live/acme/*~exp=1764450060"), Err(Refusal::Malformed)),
        (format!("exp=1964450060~{base}"), Err(Refusal::Malformed)),
        (format!("{base}~exp=1964450060"), Err(Refusal::Malformed)),
        (changed("~acl", "~acl=/vod/acme/*~acl"), Err(Refusal::Malformed)),
        (changed("~acl=/live/acme/*", ""), Err(Refusal::Malformed)),
        (changed("~id=s", ""), Err(Refusal::Malformed)),
        (changed("~id=s", "~url=/live/acme/x~id=s"), Err(Refusal::Malformed)),
        (changed("~id=s", "~id="), Err(Refusal::Malformed)),
        (format!("st=~{base}"), Err(Refusal::Malformed)),
        (format!("{base}~"), Err(Refusal::Malformed)),
        (format!("{base}~hmac=00"), Err(Refusal::Malformed)),
        // Numbers in another form.
        (changed("1764450060", "+1764450060"), Err(Refusal::Malformed)),
        (changed("1764450060", "01764450060"), Err(Refusal::Malformed)),
        (changed("1764450060", "1764450060 "), Err(Refusal::Malformed)),
        (changed("1764450060", "0x6929f5cc"), Err(Refusal::Malformed)),
        (changed("1764450060", "99999999999999999999"), Err(Refusal::Malformed)),
        (changed(":0:", ":4294967296:"), Err(Refusal::Malformed)),
        (changed("exp=1764450060", "exp=now"), Err(Refusal::Malformed)),
        // Paths.
        (changed("/live/acme/*", "/*"), Err(Refusal::Malformed)),
        (changed("/live/acme/*", "*"), Err(Refusal::Malformed)),
        (changed("/live/acme/*", "/live/acme/"), Err(Refusal::Malformed)),
        (changed("/live/acme/*", "/live/acme*"), Err(Refusal::Malformed)),
        (changed("/live/acme/*", "/live/*/x"), Err(Refusal::Malformed)),
        (changed("/live/acme/*", "/live/acme/**"), Err(Refusal::Malformed)),
        (changed("/live/acme/*", "%2flive%2facme%2f*"), Err(Refusal::Malformed)),
        (changed("/live/acme/*", "/live/acme/*!"), Err(Refusal::Malformed)),
        (changed("/live/acme/*", "/live/*"), Err(Refusal::Scope)),
        (changed("/live/acme/*", &["/live/acme/*"; 33].join("!")), Err(Refusal::Malformed)),
        // Data.
        (changed("v1", "v2"), Err(Refusal::Malformed)),
        (changed("acme-Hs256", "nobody"), Err(Refusal::UnknownKey)),
        (changed("acme-Hs256", "acme-EdDsa"), Err(Refusal::Algorithm)),
        (changed(":acme:", ":other:"), Err(Refusal::Tenant)),
        (changed(":acme:", "::"), Err(Refusal::Malformed)),
        (changed("oldest::", "oldest:"), Err(Refusal::Malformed)),
        (changed("oldest::", "eldest::"), Err(Refusal::Malformed)),
        (changed("oldest::", "oldest:de:"), Err(Refusal::Malformed)),
        (changed("oldest::", "oldest:DE!:"), Err(Refusal::Malformed)),
        (format!("{base}*"), Err(Refusal::Malformed)),
        (format!("{base}:"), Err(Refusal::Malformed)),
    ] {
        let token = forge::compact(secret(&world), &message);
        assert_eq!(world.verify(&token).map(|_| ()), expected, "{message}");
        assert_eq!(world.verify(&b64(&token)).map(|_| ()), expected, "{message}");
    }
    let good = forge::compact(secret(&world), base);
    let (message, hex) = good.rsplit_once('=').unwrap();
    assert_eq!(world.verify(&format!("{message}={}", hex.to_uppercase())).map(|_| ()), Err(Refusal::Malformed));
    assert_eq!(world.verify(&format!("{message}=")).map(|_| ()), Err(Refusal::Malformed));
    assert_eq!(world.verify(&format!("{message}={}", "0".repeat(64))).map(|_| ()), Err(Refusal::Signature));
}
