//! Tokens from a key to a revocation, as a portal asks for them.

use framemill_queue::Change;
use framemill_schemas::{
    api::{AccessRole, Page},
    delivery::{AuditView, RevocationView, SigningKey, TokenIssued, TokenKey, TokenKeyState, TokenKeyView},
    subject::{REVOCATIONS_BUCKET, SIGNING_KEYS_BUCKET, TOKEN_KEYS_BUCKET},
};
use framemill_tokens::Keyring;
use futures_util::StreamExt;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{
    access::key,
    farm::{Farm, PATIENCE},
    http::problem,
};

fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

async fn send(farm: &Farm, key: Option<&str>, method: Method, path: &str, body: Value) -> Response {
    let mut request = farm.request(method, path);
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    if !body.is_null() {
        request = request.json(&body);
    }
    request.send().await.unwrap()
}

async fn post(farm: &Farm, path: &str, body: Value) -> Response {
    send(farm, None, Method::POST, path, body).await
}

async fn make_key(farm: &Farm, body: Value) -> TokenKeyView {
    let response = post(farm, "/v1/token-keys", body).await;
    assert_eq!(response.status(), 201);
    response.json().await.unwrap()
}

async fn issue(farm: &Farm, body: Value) -> TokenIssued {
    let response = post(farm, "/v1/tokens", body).await;
    assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
    response.json().await.unwrap()
}

/// What an edge has.
async fn ring(farm: &Farm) -> Keyring {
    let keys = farm.queue.records::<TokenKey>(TOKEN_KEYS_BUCKET).list(">").await.unwrap();
    let (ring, faults) = Keyring::new(keys.into_iter().map(|(_, key, _)| key));
    assert_eq!(faults, []);
    ring
}

const VIEWER: &str = "203.0.113.7";

#[tokio::test]
async fn a_viewer_watches_from_the_first_token_until_it_is_revoked() {
    let farm = Farm::local().await;
    let ask = json!({ "tenant": "acme", "account": "u1", "channels": ["news"], "address": VIEWER });
    let detail = problem(post(&farm, "/v1/tokens", ask.clone()).await, 409, "conflict").await.detail;
    assert!(detail.contains("framemill token key create --tenant acme"), "{detail}");

    let made = make_key(&farm, json!({ "tenant": "acme", "algorithm": "ed_dsa" })).await;
    assert_eq!((made.state, made.scope.len()), (TokenKeyState::Used, 2));
    let issued = issue(&farm, ask).await;
    assert_eq!(issued.kid, made.kid);
    assert!(issued.prefix == format!("/t/{}", issued.token) && issued.query.starts_with("token="));
    let verified = ring(&farm).await.verify(&issued.token, now_s()).unwrap();
    assert_eq!(verified.claims.paths.as_slice(), ["/live/acme/news/"]);
    assert_eq!((verified.claims.session.as_str(), verified.claims.expires_s), (&*issued.session, issued.expires_s));
    assert!(verified.claims.address.admits(VIEWER.parse().unwrap()));
    assert!(!verified.claims.address.admits("203.0.113.8".parse().unwrap()));
    assert!((1..=300).contains(&(issued.expires_s - now_s())));

    // The next token of the session, by the token alone.
    let renew = json!({ "token": issued.token, "ttl_s": 600 });
    let renewed = post(&farm, "/v1/tokens/renew", renew.clone()).await;
    assert_eq!(renewed.status(), 201);
    let renewed: TokenIssued = renewed.json().await.unwrap();
    assert_eq!(renewed.session, issued.session);
    assert!(renewed.expires_s > issued.expires_s);
    for (token, reason) in [("x".to_owned(), "malformed"), (format!("{}A", issued.token), "signature")] {
        let refused =
            problem(post(&farm, "/v1/tokens/renew", json!({ "token": token })).await, 401, "token-refused").await;
        assert_eq!(refused.reason.as_deref(), Some(reason));
    }

    // An edge hears of the revocation; nobody renews; another session begins.
    let mut watch = farm.queue.records::<Value>(REVOCATIONS_BUCKET).watch(">").await.unwrap();
    let revoked = post(&farm, "/v1/tokens/revoke", json!({ "tenant": "acme", "session": issued.session })).await;
    let revoked: RevocationView = revoked.json().await.unwrap();
    assert_eq!((revoked.session.as_deref(), revoked.account), (Some(&*issued.session), None));
    let heard = async {
        while let Some(change) = watch.next().await {
            if matches!(change.unwrap(), Change::Put { .. }) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.unwrap();
    for token in [&issued.token, &renewed.token] {
        let refused = problem(post(&farm, "/v1/tokens/renew", json!({ "token": token })).await, 403, "denied").await;
        assert_eq!(refused.reason.as_deref(), Some("revoked"));
    }
    let again = json!({ "tenant": "acme", "account": "u1", "channels": ["news"], "address": VIEWER });
    let other = issue(&farm, again.clone()).await;
    assert_ne!(other.session, issued.session);
    let mut same = again;
    same["session"] = json!(issued.session);
    problem(post(&farm, "/v1/tokens", same).await, 403, "denied").await;
    let listed: Page<RevocationView> = farm.get("/v1/revocations").await.json().await.unwrap();
    assert_eq!(listed.items, [RevocationView { account: None, ..revoked }]);
}

#[tokio::test]
async fn an_account_that_is_revoked_begins_anew() {
    let farm = Farm::local().await;
    make_key(&farm, json!({ "tenant": "acme", "algorithm": "es256" })).await;
    let ask = json!({ "tenant": "acme", "account": "u@x", "channels": ["news"], "address": VIEWER });
    let before = issue(&farm, ask.clone()).await;
    let body = json!({ "tenant": "acme", "account": "u@x" });
    let revoked: RevocationView = post(&farm, "/v1/tokens/revoke", body).await.json().await.unwrap();
    problem(post(&farm, "/v1/tokens/renew", json!({ "token": before.token })).await, 403, "denied").await;
    // The new token says a time that the revocation does not reach.
    let after = issue(&farm, ask).await;
    let verified = ring(&farm).await.verify(&after.token, now_s()).unwrap();
    assert!(verified.issued_s * 1000 > revoked.until_ms);
    assert_eq!(post(&farm, "/v1/tokens/renew", json!({ "token": after.token })).await.status(), 201);
    for bad in [json!({}), json!({ "session": "s", "account": "u" }), json!({ "session": "a b" })] {
        problem(post(&farm, "/v1/tokens/revoke", bad).await, 422, "invalid").await;
    }
}

#[tokio::test]
async fn keys_are_replaced_without_a_gap_and_no_secret_comes_out() {
    let farm = Farm::local().await;
    let first = make_key(&farm, json!({ "tenant": "acme", "algorithm": "hs256" })).await;
    assert_eq!(first.public, None);
    let ask =
        json!({ "tenant": "acme", "account": "u1", "channels": ["news"], "address": VIEWER, "format": "compact" });
    let issued = issue(&farm, ask).await;
    let second = make_key(&farm, json!({ "tenant": "acme", "algorithm": "es256" })).await;
    assert!(second.public.is_some());
    let listed: Page<TokenKeyView> = farm.get("/v1/token-keys?tenant=acme").await.json().await.unwrap();
    let states: Vec<_> = listed.items.iter().map(|key| (&*key.kid, key.state)).collect();
    assert_eq!(states, [(&*first.kid, TokenKeyState::Retiring), (&*second.kid, TokenKeyState::Used)]);
    // What the old one signed is good for as long as it could be renewed.
    assert!(ring(&farm).await.verify(&issued.token, now_s()).is_ok());

    // At once, where it must be.
    let path = format!("/v1/token-keys/{}/retire?after_s=0", first.kid);
    let retired: TokenKeyView = post(&farm, &path, Value::Null).await.json().await.unwrap();
    assert_eq!(retired.state, TokenKeyState::Retired);
    // A token knows no time below a second.
    assert!(ring(&farm).await.verify(&issued.token, now_s() + 1).is_err());
    let refused =
        problem(post(&farm, "/v1/tokens/renew", json!({ "token": issued.token })).await, 401, "token-refused").await;
    assert_eq!(refused.reason.as_deref(), Some("retired"));
    problem(post(&farm, "/v1/token-keys/nobody/retire", Value::Null).await, 404, "not-found").await;

    // One that a CDN has already: it comes in, and never out.
    let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==";
    let body = json!({ "tenant": "acme", "algorithm": "hs256", "kid": "cdn-1", "secret": secret, "keep": true });
    let imported = post(&farm, "/v1/token-keys", body.clone()).await.text().await.unwrap();
    assert!(imported.contains("cdn-1") && !imported.contains("c2VjcmV0"), "{imported}");
    let halves = farm.queue.records::<SigningKey>(SIGNING_KEYS_BUCKET);
    assert_eq!(halves.get("cdn-1").await.unwrap().unwrap().0.signs, b"secret-secret-secret-secret-secret");
    problem(post(&farm, "/v1/token-keys", body).await, 409, "conflict").await;
    assert!(!farm.get("/v1/token-keys").await.text().await.unwrap().contains("c2VjcmV0"));
    for (field, value) in [("secret", json!("c2hvcnQ=")), ("kid", json!("a b")), ("scope", json!(["/other/"]))] {
        let mut bad = json!({ "tenant": "acme", "algorithm": "hs256" });
        bad[field] = value;
        let problem = problem(post(&farm, "/v1/token-keys", bad).await, 422, "invalid").await;
        assert_eq!(problem.errors[0].pointer, format!("/{field}"));
    }

    // A key whose maker died between its halves is made again; one that lost its signing half signs nothing.
    let half = SigningKey { v: 1, kid: "torn".to_owned(), signs: vec![1; 32] };
    halves.create("torn", &half).await.unwrap();
    make_key(&farm, json!({ "tenant": "torn", "algorithm": "ed_dsa", "kid": "torn" })).await;
    issue(&farm, json!({ "tenant": "torn", "account": "u1", "channels": ["news"], "address": VIEWER })).await;
    let (_, revision) = halves.get("torn").await.unwrap().unwrap();
    halves.delete("torn", revision).await.unwrap();
    farm.until("the missing half is noticed", async || {
        let ask = json!({ "tenant": "torn", "account": "u1", "channels": ["news"], "address": VIEWER });
        post(&farm, "/v1/tokens", ask).await.status() == 409
    })
    .await;
}

#[tokio::test]
async fn who_is_refused_reads_why_in_the_trail() {
    let farm = Farm::local().await;
    make_key(&farm, json!({ "tenant": "acme", "algorithm": "hs256" })).await;
    let events = farm.queue.events("events.acme.session.denied".to_owned(), None).await.unwrap();
    let ask = json!({ "tenant": "acme", "account": "u1", "paths": ["/live/other/x/"], "address": VIEWER });
    for _ in 0..5 {
        let refused = problem(post(&farm, "/v1/tokens", ask.clone()).await, 403, "denied").await;
        assert_eq!(refused.reason.as_deref(), Some("package"));
    }
    let nobody = json!({ "tenant": "acme", "account": "u2", "channels": ["news"] });
    let refused = problem(post(&farm, "/v1/tokens", nobody).await, 403, "denied").await;
    assert_eq!(refused.reason.as_deref(), Some("address-missing"));
    issue(&farm, json!({ "tenant": "acme", "account": "u2", "channels": ["news"], "address": VIEWER })).await;

    farm.until("the trail has all of it", async || {
        let answer = farm.get("/v1/audit?tenant=acme&account=u1").await.text().await.unwrap();
        let page: Page<AuditView> = serde_json::from_str(&answer).expect(&answer);
        // A minute may begin in the middle.
        page.items.iter().map(|entry| entry.count).sum::<u64>() == 5
    })
    .await;
    let page: Page<AuditView> = farm.get("/v1/audit?account=u1").await.json().await.unwrap();
    assert!(page.items.len() <= 2);
    let entry = &page.items[0];
    assert_eq!(
        (entry.refused.as_deref(), &*entry.paths, &*entry.addresses),
        (Some("package"), &["/live/other/x/".to_owned()][..], &[VIEWER.to_owned()][..])
    );
    let others: Page<AuditView> = farm.get("/v1/audit?account=u2&limit=1").await.json().await.unwrap();
    let path = format!("/v1/audit?account=u2&limit=1&cursor={}", others.next.clone().unwrap());
    let rest: Page<AuditView> = farm.get(&path).await.json().await.unwrap();
    let both = [&others.items[0], &rest.items[0]].map(|entry| entry.refused.as_deref());
    assert!(both.contains(&None) && both.contains(&Some("address-missing")), "{both:?}");
    let mut events = std::pin::pin!(events);
    let (_, event) = tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap().unwrap();
    assert_eq!((event.data.account.as_deref(), event.data.status.as_deref()), (Some("u1"), Some("package")));
}

#[tokio::test]
async fn a_reseller_sells_what_it_has_to_whom_it_sees() {
    let farm = Farm::keyed().await;
    let farms = key(&farm, "default", AccessRole::Admin).await;
    let (reseller, sub) =
        (key(&farm, "reseller", AccessRole::Admin).await, key(&farm, "sub", AccessRole::Issuer).await);
    let put = async |key: &str, tenant: &str, document: Value| {
        send(&farm, Some(key), Method::PUT, &format!("/v1/tenants/{tenant}"), document).await
    };
    for (tenant, document) in [
        ("op", json!({})),
        (
            "reseller",
            json!({ "parent": "op", "address_binding": "off", "packages": [
            { "name": "sport", "paths": ["/live/op/sport/"], "regions": ["NO"] } ] }),
        ),
        ("sub", json!({ "parent": "reseller", "address_binding": "off" })),
    ] {
        assert_eq!(put(&farms, tenant, document).await.status(), 201, "{tenant}");
    }
    // A reseller gives on what it has, and no more.
    let document = |path: &str| {
        json!({ "parent": "reseller", "address_binding": "off", "accounts": "known",
        "packages": [{ "name": "s", "paths": [path], "regions": ["NO"] }] })
    };
    let fault = problem(put(&reseller, "sub", document("/live/op/")).await, 422, "invalid").await;
    assert_eq!(fault.errors[0].pointer, "/packages/0/paths/0");
    assert_eq!(put(&reseller, "sub", document("/live/op/sport/")).await.status(), 200);
    problem(put(&reseller, "reseller", json!({ "parent": "op" })).await, 403, "forbidden").await;
    for hidden in ["op", "new"] {
        problem(put(&reseller, hidden, json!({ "parent": "reseller" })).await, 404, "not-found").await;
    }
    problem(put(&sub, "sub", json!({})).await, 403, "forbidden").await;
    let get = async |key: &str, path: &str| send(&farm, Some(key), Method::GET, path, Value::Null).await;
    let names = async |key: &str| {
        let page: Page<Value> = get(key, "/v1/tenants").await.json().await.unwrap();
        page.items.iter().map(|tenant| tenant["tenant"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        (names(&farms).await, names(&reseller).await, names(&sub).await),
        ("op reseller sub".to_owned(), "reseller sub".to_owned(), "sub".to_owned())
    );
    problem(get(&sub, "/v1/tenants/reseller").await, 404, "not-found").await;

    // Its key names what it has; the one below asks for tokens.
    let made =
        send(&farm, Some(&reseller), Method::POST, "/v1/token-keys", json!({ "tenant": "sub", "algorithm": "ed_dsa" }))
            .await;
    assert_eq!(made.status(), 201);
    let made: TokenKeyView = made.json().await.unwrap();
    assert_eq!(made.scope, ["/live/op/sport/", "/live/sub/", "/vod/sub/"]);
    let ask = async |account: &str, region: &str| {
        let body = json!({ "account": account, "paths": ["/live/op/sport/"], "region": region });
        send(&farm, Some(&sub), Method::POST, "/v1/tokens", body).await
    };
    let reason = async |response: Response| problem(response, 403, "denied").await.reason.unwrap();
    assert_eq!(reason(ask("u1", "NO").await).await, "account-unknown");
    let accounts = "/v1/tenants/sub/accounts/u1";
    assert_eq!(
        send(&farm, Some(&reseller), Method::PUT, accounts, json!({ "packages": ["s"], "sessions_max": 2 }))
            .await
            .status(),
        201
    );
    problem(send(&farm, Some(&sub), Method::PUT, accounts, json!({})).await, 403, "forbidden").await;
    assert_eq!(reason(ask("u1", "SE").await).await, "region");
    let issued = ask("u1", "no").await;
    assert_eq!(issued.status(), 201);
    let issued: TokenIssued = issued.json().await.unwrap();
    assert!(issued.session.ends_with("_NO"));
    let verified = ring(&farm).await.verify(&issued.token, now_s()).unwrap();
    assert_eq!((verified.claims.sessions_max, verified.claims.tenant.as_str()), (2, "sub"));
    let foreign = json!({ "tenant": "reseller", "account": "u1", "channels": ["x"] });
    problem(send(&farm, Some(&sub), Method::POST, "/v1/tokens", foreign).await, 404, "not-found").await;

    // Taken from the reseller, it is taken from all below: nobody renews.
    let renew = || post(&farm, "/v1/tokens/renew", json!({ "token": issued.token }));
    assert_eq!(renew().await.status(), 201);
    let narrowed =
        json!({ "parent": "op", "packages": [{ "name": "sport", "paths": ["/live/op/sport/"], "regions": ["SE"] }] });
    assert_eq!(put(&farms, "reseller", narrowed).await.status(), 200);
    assert_eq!(reason(renew().await).await, "region");
    assert_eq!(put(&farms, "reseller", json!({ "parent": "op", "state": "suspended" })).await.status(), 200);
    assert_eq!(reason(renew().await).await, "tenant-suspended");

    // Nothing is removed that others stand on.
    let remove = async |key: &str, path: &str| send(&farm, Some(key), Method::DELETE, path, Value::Null).await;
    problem(remove(&farms, "/v1/tenants/reseller").await, 409, "conflict").await;
    problem(remove(&reseller, "/v1/tenants/sub").await, 409, "conflict").await;
    assert_eq!(remove(&reseller, accounts).await.status(), 204);
    problem(remove(&reseller, accounts).await, 404, "not-found").await;
    assert_eq!(remove(&reseller, "/v1/tenants/sub").await.status(), 204);
}

#[tokio::test]
async fn each_role_may_what_the_one_before_may_of_tokens() {
    let farm = Farm::keyed().await;
    let keys = [AccessRole::Viewer, AccessRole::Issuer, AccessRole::Operator, AccessRole::Admin];
    for (method, path, body, needed) in [
        (Method::GET, "/v1/token-keys", Value::Null, AccessRole::Viewer),
        (Method::GET, "/v1/revocations", Value::Null, AccessRole::Viewer),
        (Method::GET, "/v1/tenants", Value::Null, AccessRole::Viewer),
        (Method::POST, "/v1/tokens", json!({}), AccessRole::Issuer),
        (Method::POST, "/v1/tokens/revoke", json!({}), AccessRole::Issuer),
        (Method::GET, "/v1/audit", Value::Null, AccessRole::Operator),
        (Method::PUT, "/v1/tenants/a/accounts/u", json!({}), AccessRole::Operator),
        (Method::POST, "/v1/assets", json!({}), AccessRole::Operator),
        (Method::POST, "/v1/token-keys", json!({}), AccessRole::Admin),
        (Method::PUT, "/v1/tenants/none", json!({}), AccessRole::Admin),
    ] {
        for role in keys {
            let key = key(&farm, "a", role).await;
            let status = send(&farm, Some(&key), method.clone(), path, body.clone()).await.status().as_u16();
            assert_eq!(status == 403, role < needed, "{role:?} {method} {path}: {status}");
        }
        let status = send(&farm, None, method.clone(), path, body).await.status();
        assert_eq!(status, 401, "{method} {path}");
    }
}
