//! Keys that tokens are signed with: making one, replacing one, and which one signs.
//!
//! The signing half is stored first: a verifying half without the other would refuse its tenant every token. A signing
//! half that its maker left alone is used by nobody; making the same key again mends it.
//!
//! Never here: a secret in a log, a view or an error.

use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use framemill_queue::{Queue, RecordError, Records};
use framemill_schemas::{
    delivery::{
        Algorithm, KID_CHARS_MAX, OVERLAP_S, Paths, SIGNING_KEY_VERSION, SigningKey, TOKEN_KEY_VERSION, TokenKey,
        TokenKeyRequest, TokenKeyState, TokenKeyView,
    },
    field_error::FieldError,
    ids::Tenant,
    subject::{SIGNING_KEYS_BUCKET, TOKEN_KEYS_BUCKET},
};
use ring::rand::SystemRandom;
use uuid::Uuid;

use super::entitle::{Level, own};

/// Filter of every record of a bucket.
pub(super) const ALL: &str = ">";
/// How often a compare-and-set is tried again when somebody else was faster.
const CAS_TRIES_MAX: u32 = 8;
/// Most keys of one farm.
const KEYS_MAX: usize = 10_000;
/// How old a key is before it signs where another can: edges have it by then. Milliseconds.
const SETTLED_MS: i64 = 5_000;
/// How long a key that is out of use stays in lists. Milliseconds.
const SHOWN_MS: i64 = 24 * 3_600_000;
/// Bytes of a secret.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 32..=64;

/// Why a key was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeyError {
    /// No such key, or not the caller's.
    #[error("there is no token key {0}; list what there is")]
    Missing(String),
    /// The request has faults.
    #[error("the request has faults")]
    Faults(Vec<FieldError>),
    /// What there is does not allow it; the text has the mend.
    #[error("{0}")]
    Conflict(String),
    /// This machine has no randomness.
    #[error("this machine gives no random bytes")]
    Random,
    /// The records do not answer.
    #[error(transparent)]
    Records(#[from] RecordError),
}

pub(super) fn verifying(queue: &Queue) -> Records<TokenKey> {
    queue.records(TOKEN_KEYS_BUCKET)
}

pub(super) fn signing(queue: &Queue) -> Records<SigningKey> {
    queue.records(SIGNING_KEYS_BUCKET)
}

/// A key as it is listed.
pub fn view(key: &TokenKey, now_ms: i64) -> TokenKeyView {
    let state = match key.retired_ms {
        None => TokenKeyState::Used,
        Some(retired_ms) if now_ms < retired_ms => TokenKeyState::Retiring,
        Some(_) => TokenKeyState::Retired,
    };
    TokenKeyView {
        kid: key.kid.clone(),
        tenant: key.tenant.clone(),
        algorithm: key.algorithm,
        scope: key.scope.as_slice().to_vec(),
        created_ms: key.created_ms,
        retired_ms: key.retired_ms,
        state,
        // Of a secret there is no half to show.
        public: (key.algorithm != Algorithm::Hs256).then(|| URL_SAFE_NO_PAD.encode(&key.verifies)),
    }
}

/// All keys, oldest first.
pub async fn list(queue: &Queue) -> Result<Vec<TokenKey>, RecordError> {
    let mut all: Vec<_> = verifying(queue).list(ALL).await?.into_iter().map(|(_, key, _)| key).collect();
    all.sort_by(|one, other| (one.created_ms, &one.kid).cmp(&(other.created_ms, &other.kid)));
    Ok(all)
}

/// Takes a request for a key and the way up from its tenant; returns the key. The tenant's other keys verify on until
/// the last of their tokens is over, unless the request keeps them in use. Guards: see [`scope_of`]; the secret's length;
/// an id is used once.
pub async fn create(
    queue: &Queue,
    levels: &[Level],
    request: TokenKeyRequest,
    may_name: impl Fn(&str) -> bool,
    now_ms: i64,
) -> Result<TokenKey, TokenKeyError> {
    let tenant = levels.first().map(|level| level.tenant.clone()).unwrap_or_else(Tenant::default_tenant);
    let before = list(queue).await?;
    if before.len() >= KEYS_MAX {
        let text = format!("the farm has {KEYS_MAX} token keys; they go a day after they are retired");
        return Err(TokenKeyError::Conflict(text));
    }
    let (key, signs) = made(&tenant, levels, &request, may_name, now_ms)?;
    let half = SigningKey { v: SIGNING_KEY_VERSION, kid: key.kid.clone(), signs };
    if before.iter().any(|other| other.kid == key.kid) {
        return Err(taken(&key.kid));
    }
    let halves = signing(queue);
    match halves.get(&key.kid).await? {
        // Its maker died between the halves: no token was ever signed with it.
        Some((_, revision)) => halves.update(&key.kid, &half, revision).await?,
        None => halves.create(&key.kid, &half).await?,
    };
    match verifying(queue).create(&key.kid, &key).await {
        Err(RecordError::Exists) => return Err(taken(&key.kid)),
        other => other?,
    };
    for old in before.iter().filter(|old| !request.keep && old.tenant == tenant && old.retired_ms.is_none()) {
        retire(queue, old, now_ms + OVERLAP_S * 1000).await?;
    }
    prune(queue, &before, now_ms).await;
    Ok(key)
}

fn taken(kid: &str) -> TokenKeyError {
    TokenKeyError::Conflict(format!("there is a token key {kid} already; use another id, or none for a new one"))
}

/// Takes a key and when its tokens are refused from, Unix milliseconds; returns it so. Guards: a time that comes sooner
/// stands.
pub async fn retire(queue: &Queue, key: &TokenKey, at_ms: i64) -> Result<TokenKey, TokenKeyError> {
    let records = verifying(queue);
    let mut tries = 0;
    loop {
        let found = records.get(&key.kid).await?;
        let (found, revision) = found.ok_or_else(|| TokenKeyError::Missing(key.kid.clone()))?;
        let Some(retired) = retired(&found, at_ms) else { return Ok(found) };
        match records.update(&key.kid, &retired, revision).await {
            Ok(_) => return Ok(retired),
            Err(RecordError::Fenced) if tries < CAS_TRIES_MAX => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes a key; returns it out of use from `at_ms` on, or nothing where it is sooner.
fn retired(key: &TokenKey, at_ms: i64) -> Option<TokenKey> {
    key.retired_ms
        .is_none_or(|retired_ms| at_ms < retired_ms)
        .then(|| TokenKey { retired_ms: Some(at_ms), ..key.clone() })
}

/// Removes keys whose time is long over, the verifying half first. What fails is done with the next key that is made.
async fn prune(queue: &Queue, keys: &[TokenKey], now_ms: i64) {
    for key in keys.iter().filter(|key| key.retired_ms.is_some_and(|retired_ms| retired_ms + SHOWN_MS < now_ms)) {
        if let Err(error) = remove(queue, &key.kid).await {
            tracing::warn!(kid = key.kid, %error, "an old token key could not be removed");
        }
    }
}

async fn remove(queue: &Queue, kid: &str) -> Result<(), RecordError> {
    if let Some((_, revision)) = verifying(queue).get(kid).await? {
        verifying(queue).delete(kid, revision).await?;
    }
    if let Some((_, revision)) = signing(queue).get(kid).await? {
        signing(queue).delete(kid, revision).await?;
    }
    Ok(())
}

/// Takes a request; returns the key, and what signs.
fn made(
    tenant: &Tenant,
    levels: &[Level],
    request: &TokenKeyRequest,
    may_name: impl Fn(&str) -> bool,
    now_ms: i64,
) -> Result<(TokenKey, Vec<u8>), TokenKeyError> {
    let mut faults = Vec::new();
    let scope = scope_of(tenant, levels, request.scope.as_deref(), may_name).map_err(|fault| faults.push(fault)).ok();
    let kid = request.kid.clone().unwrap_or_else(|| new_kid(now_ms));
    let is_kid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if kid.is_empty() || kid.len() > KID_CHARS_MAX || !kid.bytes().all(is_kid) {
        faults.push(FieldError::new("/kid", "this is no id of a key", "use 1 to 32 letters, digits, '-' and '_'"));
    }
    let secret = request.secret.as_deref().map(|text| secret_of(request.algorithm, text));
    let secret = secret.transpose().map_err(|fault| faults.push(fault)).ok().flatten();
    let (Some(scope), true) = (scope, faults.is_empty()) else { return Err(TokenKeyError::Faults(faults)) };
    let (verifies, signs) = match secret {
        Some(secret) => (secret.clone(), secret),
        None => {
            framemill_tokens::generate(request.algorithm, &SystemRandom::new()).map_err(|_| TokenKeyError::Random)?
        }
    };
    let algorithm = request.algorithm;
    let v = TOKEN_KEY_VERSION;
    let tenant = tenant.clone();
    Ok((TokenKey { v, kid, tenant, algorithm, scope, verifies, created_ms: now_ms, retired_ms: None }, signs))
}

/// Takes what a key's tokens shall name at most; returns that. Left out, it is what the tenant has now. Guards: each path
/// is the tenant's, among what its packages hold, or of a tenant that the caller sees.
fn scope_of(
    tenant: &Tenant,
    levels: &[Level],
    asked: Option<&[String]>,
    may_name: impl Fn(&str) -> bool,
) -> Result<Paths, FieldError> {
    let packages = levels.first().and_then(|level| level.document.packages.as_deref()).unwrap_or_default();
    let mut has: Vec<String> = own(tenant).into();
    has.extend(packages.iter().flat_map(|package| package.paths.as_slice()).cloned());
    has.sort();
    has.dedup();
    let inner = |path: &String| {
        has.iter().any(|other| other != path && other.ends_with('/') && path.starts_with(other.as_str()))
    };
    let (all, few): (Vec<String>, Vec<String>) =
        (has.clone(), has.iter().filter(|path| !inner(path)).cloned().collect());
    let fault = |detail: String, mend: &str| FieldError::new("/scope", detail, mend);
    let Some(asked) = asked else {
        return few.try_into().map_err(|_| {
            fault(
                "the tenant has more paths than a key may name".to_owned(),
                "name up to 32, for example `/live/OPERATOR/`",
            )
        });
    };
    let scope = Paths::try_from(asked.to_vec()).map_err(|error| fault(error.to_string(), "correct the paths"))?;
    let all = |path: &str| all.iter().any(|own| if own.ends_with('/') { path.starts_with(own) } else { own == path });
    match scope.as_slice().iter().find(|path| !all(path) && !may_name(path)) {
        None => Ok(scope),
        Some(path) => {
            Err(fault(format!("{path} is not the tenant's"), "leave it out, or use a key that sees whose it is"))
        }
    }
}

/// A secret out of a request.
fn secret_of(algorithm: Algorithm, text: &str) -> Result<Vec<u8>, FieldError> {
    let fault = |detail: &str, mend: &str| Err(FieldError::new("/secret", detail, mend));
    if algorithm != Algorithm::Hs256 {
        return fault("only `hs256` has a secret", "leave it out: the key is made here, and its public half shown");
    }
    // What it is, is said to nobody, not even in an error.
    match STANDARD.decode(text.trim()) {
        Ok(secret) if SECRET_BYTES.contains(&secret.len()) => Ok(secret),
        Ok(_) => fault("the secret has too few or too many bytes", "use 32 to 64"),
        Err(_) => fault("the secret is not base64", "send its bytes in base64 (RFC 4648, clause 4)"),
    }
}

/// An id: when it was made, and something random.
fn new_kid(now_ms: i64) -> String {
    format!("{:012x}{:04x}", now_ms.max(0), Uuid::new_v4().as_u128() as u16)
}

/// Which of a tenant's keys signs: the newest that is in use, holds the paths and takes the format; one that edges may
/// not have yet only where there is no other.
pub fn signer<'a>(
    keys: impl IntoIterator<Item = &'a TokenKey>,
    tenant: &Tenant,
    may_sign: impl Fn(&TokenKey) -> bool,
    now_ms: i64,
) -> Option<&'a TokenKey> {
    let used = keys.into_iter().filter(|key| key.tenant == *tenant && may_sign(key));
    // One that is about to go still signs until the new one is settled.
    let used = used.filter(|key| key.retired_ms.is_none_or(|retired_ms| retired_ms - now_ms > (OVERLAP_S - 60) * 1000));
    used.max_by_key(|key| (now_ms - key.created_ms >= SETTLED_MS, key.retired_ms.is_none(), key.created_ms))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(kid: &str, created_ms: i64, retired_ms: Option<i64>) -> TokenKey {
        TokenKey {
            v: TOKEN_KEY_VERSION,
            kid: kid.to_owned(),
            tenant: "acme".parse().unwrap(),
            algorithm: Algorithm::EdDsa,
            scope: own(&"acme".parse().unwrap()),
            verifies: vec![0; 32],
            created_ms,
            retired_ms,
        }
    }

    #[test]
    fn the_newest_key_that_edges_have_signs() {
        let (now, soon) = (1_000_000, 1_000_000 + OVERLAP_S * 1000);
        for (keys, expected) in [
            (vec![], None),
            (vec![key("a", 0, None)], Some("a")),
            (vec![key("a", 0, None), key("b", 10, None)], Some("b")),
            // Just made: the old one signs until edges have it.
            (vec![key("a", 0, Some(soon)), key("b", now, None)], Some("a")),
            (vec![key("a", 0, Some(soon - 10_000)), key("b", now - 10_000, None)], Some("b")),
            // Alone it signs at once.
            (vec![key("b", now, None)], Some("b")),
            (vec![key("a", 0, Some(now)), key("b", now, None)], Some("b")),
            (vec![key("a", 0, Some(now))], None),
            (vec![key("a", 0, Some(now + 600_000))], None),
        ] {
            let found = signer(&keys, &"acme".parse().unwrap(), |_| true, now).map(|key| key.kid.as_str());
            assert_eq!(found, expected, "{keys:?}");
        }
        assert!(signer(&[key("a", 0, None)], &"other".parse().unwrap(), |_| true, now).is_none());
        assert!(signer(&[key("a", 0, None)], &"acme".parse().unwrap(), |_| false, now).is_none());
    }

    #[test]
    fn a_key_is_retired_sooner_and_never_later() {
        for (before, at_ms, after) in
            [(None, 5, Some(Some(5))), (Some(9), 5, Some(Some(5))), (Some(5), 5, None), (Some(3), 5, None)]
        {
            assert_eq!(retired(&key("a", 0, before), at_ms).map(|key| key.retired_ms), after, "{before:?} {at_ms}");
        }
    }

    #[test]
    fn a_key_names_what_its_tenant_has() {
        let document = json!({ "parent": "op", "packages": [
            { "name": "p", "paths": ["/live/op/sport/"] }, { "name": "q", "paths": ["/live/op/", "/live/acme/x/"] } ] });
        let levels = [Level { tenant: "acme".parse().unwrap(), document: serde_json::from_value(document).unwrap() }];
        let alone = [Level { tenant: "acme".parse().unwrap(), document: serde_json::from_value(json!({})).unwrap() }];
        for (levels, asked, expected) in [
            (&alone, None, Ok(vec!["/live/acme/", "/vod/acme/"])),
            (&levels, None, Ok(vec!["/live/acme/", "/live/op/", "/vod/acme/"])),
            (&levels, Some(vec!["/live/op/sport/"]), Ok(vec!["/live/op/sport/"])),
            (&alone, Some(vec!["/live/op/sport/"]), Err(())),
            (&alone, Some(vec!["/live/seen/"]), Ok(vec!["/live/seen/"])),
            (&alone, Some(vec!["/live/"]), Err(())),
            (&alone, Some(vec![]), Err(())),
        ] {
            let asked: Option<Vec<String>> = asked.map(|all| all.into_iter().map(str::to_owned).collect());
            let found = scope_of(&levels[0].tenant, levels, asked.as_deref(), |path| path.starts_with("/live/seen/"));
            let found = found.map(Vec::<String>::from).map_err(|_| ());
            assert_eq!(found, expected.map(|all| all.into_iter().map(str::to_owned).collect()), "{asked:?}");
        }
    }

    #[test]
    fn a_secret_is_told_to_nobody() {
        let secret = STANDARD.encode([7_u8; 32]);
        assert_eq!(secret_of(Algorithm::Hs256, &secret).unwrap(), [7; 32]);
        for (algorithm, text) in
            [(Algorithm::Es256, secret.as_str()), (Algorithm::Hs256, "c2hvcnQ="), (Algorithm::Hs256, "not base64!")]
        {
            let fault = secret_of(algorithm, text).unwrap_err();
            assert!(fault.pointer == "/secret" && !fault.to_string().contains(text), "{fault}");
        }
        let request: TokenKeyRequest =
            serde_json::from_value(json!({ "algorithm": "hs256", "secret": secret })).unwrap();
        assert!(!format!("{request:?}").contains(&secret));
    }
}
