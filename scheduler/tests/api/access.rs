//! Who may do what, and who is who.

use framemill_scheduler::access::create_key;
use framemill_schemas::{
    api::{AccessRole, AssetView, JobView, KeyCreated, KeyRequest, KeyView, Page},
    subject::KEYS_BUCKET,
};
use reqwest::Method;

use crate::{
    farm::Farm,
    http::{problem, raw},
};

pub async fn key(farm: &Farm, tenant: &str, role: AccessRole) -> String {
    let request = KeyRequest { tenant: tenant.parse().unwrap(), role, label: "test".to_owned() };
    create_key(&farm.queue, request, 1).await.unwrap().token
}

const GOOD: &str = r#"{"source":"https://example.net/film.mp4"}"#;
const NO_ID: &str = "00000000-0000-7000-8000-000000000000";

#[tokio::test]
async fn off_loopback_nothing_is_done_without_a_key() {
    let farm = Farm::keyed().await;
    for (method, path) in [
        (Method::GET, "/v1/assets".to_owned()),
        (Method::GET, format!("/v1/assets/{NO_ID}")),
        (Method::GET, "/v1/jobs".to_owned()),
        (Method::GET, "/v1/events".to_owned()),
        (Method::GET, "/v1/ladders".to_owned()),
        (Method::GET, "/v1/keys".to_owned()),
        (Method::DELETE, format!("/v1/assets/{NO_ID}")),
        (Method::GET, "/".to_owned()),
        (Method::GET, format!("/assets/{NO_ID}")),
        (Method::GET, format!("/preview/default/{NO_ID}/master.m3u8")),
    ] {
        let response = farm.request(method, &path).send().await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Bearer", "{path}");
        problem(response, 401, "unauthorized").await;
    }
    for path in ["/openapi.json", "/docs", "/static/page.css"] {
        assert_eq!(farm.get(path).await.status(), 200, "{path}");
    }
    let unknown = format!("fmk_{}", "0".repeat(64));
    for bad in ["", "x", unknown.as_str()] {
        let response = farm.request(Method::GET, "/v1/assets").bearer_auth(bad).send().await.unwrap();
        problem(response, 401, "unauthorized").await;
    }
    // A browser is asked for the key by a form of its own.
    let page = farm.request(Method::GET, "/").header("accept", "text/html").send().await.unwrap();
    assert!(page.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    let viewer = key(&farm, "a", AccessRole::Viewer).await;
    let page = farm.request(Method::GET, "/").basic_auth("me", Some(&viewer)).send().await.unwrap();
    assert_eq!(page.status(), 200);
}

#[tokio::test]
async fn each_role_may_what_the_one_before_may_and_more() {
    let farm = Farm::keyed().await;
    let keys = [
        (AccessRole::Viewer, key(&farm, "a", AccessRole::Viewer).await),
        (AccessRole::Operator, key(&farm, "a", AccessRole::Operator).await),
        (AccessRole::Admin, key(&farm, "a", AccessRole::Admin).await),
    ];
    let asset = format!("/v1/assets/{NO_ID}");
    let job = format!("/v1/jobs/{NO_ID}");
    // Allowed ends in 404 where there is nothing to act on.
    for (method, path, needed) in [
        (Method::GET, "/v1/assets".to_owned(), AccessRole::Viewer),
        (Method::GET, asset.clone(), AccessRole::Viewer),
        (Method::GET, format!("{asset}/report"), AccessRole::Viewer),
        (Method::GET, "/v1/jobs".to_owned(), AccessRole::Viewer),
        (Method::GET, "/v1/dead".to_owned(), AccessRole::Viewer),
        (Method::GET, "/v1/ladders/web-h264".to_owned(), AccessRole::Viewer),
        (Method::DELETE, asset.clone(), AccessRole::Operator),
        (Method::POST, format!("{asset}/cancel"), AccessRole::Operator),
        (Method::POST, format!("{asset}/retry"), AccessRole::Operator),
        (Method::POST, format!("{job}/retry"), AccessRole::Operator),
        (Method::POST, format!("/v1/dead/{NO_ID}/redrive"), AccessRole::Operator),
        (Method::DELETE, format!("/v1/dead/{NO_ID}"), AccessRole::Operator),
        (Method::GET, "/v1/keys".to_owned(), AccessRole::Admin),
        (Method::DELETE, "/v1/keys/0000000000000000".to_owned(), AccessRole::Admin),
    ] {
        for (role, key) in &keys {
            let response = farm.request(method.clone(), &path).bearer_auth(key).send().await.unwrap();
            let status = response.status().as_u16();
            if *role >= needed {
                assert!(matches!(status, 200 | 404), "{role:?} {method} {path}: {status}");
            } else {
                problem(response, 403, "forbidden").await;
            }
        }
    }
    for (role, key) in &keys {
        let request = farm.request(Method::POST, "/v1/assets").header("content-type", "application/json");
        let status = request.bearer_auth(key).body(GOOD).send().await.unwrap().status();
        assert_eq!(status == 202, *role >= AccessRole::Operator, "{role:?}");
    }
}

#[tokio::test]
async fn a_tenant_never_sees_another() {
    let farm = Farm::keyed().await;
    let (a, b) = (key(&farm, "a", AccessRole::Admin).await, key(&farm, "b", AccessRole::Admin).await);
    let submit = |key: &str, body: &'static str| {
        let request = farm.request(Method::POST, "/v1/assets").header("content-type", "application/json");
        request.bearer_auth(key).body(body).send()
    };
    let asset: AssetView = submit(&a, GOOD).await.unwrap().json().await.unwrap();
    assert_eq!(asset.tenant.as_str(), "a");
    let foreign = r#"{"source":"https://example.net/film.mp4","tenant":"b"}"#;
    problem(submit(&a, foreign).await.unwrap(), 403, "forbidden").await;

    let (record, _) = farm.asset(asset.id).await;
    let job = farm.job(&record, "probe", |_| {}).await;
    let paths = [
        (Method::GET, format!("/v1/assets/{}", asset.id)),
        (Method::GET, format!("/v1/assets/{}/report", asset.id)),
        (Method::GET, format!("/v1/assets/{}/events", asset.id)),
        (Method::POST, format!("/v1/assets/{}/cancel", asset.id)),
        (Method::POST, format!("/v1/assets/{}/retry", asset.id)),
        (Method::DELETE, format!("/v1/assets/{}", asset.id)),
        (Method::GET, format!("/v1/jobs/{}", job.id)),
        (Method::POST, format!("/v1/jobs/{}/retry", job.id)),
        (Method::GET, format!("/assets/{}", asset.id)),
        (Method::GET, format!("/preview/a/{}/master.m3u8", asset.id)),
    ];
    for (method, path) in paths {
        let response = farm.request(method.clone(), &path).bearer_auth(&b).send().await.unwrap();
        problem(response, 404, "not-found").await;
    }
    let get = |key: &str, path: &str| farm.request(Method::GET, path).bearer_auth(key).send();
    for path in ["/v1/assets", "/v1/assets?tenant=a", &format!("/v1/jobs?asset={}", asset.id)] {
        let page: Page<serde_json::Value> = get(&b, path).await.unwrap().json().await.unwrap();
        assert!(page.items.is_empty(), "{path}");
    }
    let own: Page<JobView> = get(&a, "/v1/jobs").await.unwrap().json().await.unwrap();
    assert_eq!(own.items.len(), 1);

    // Keys too: neither listed, nor revoked, nor given out for another tenant.
    let keys: Page<KeyView> = get(&b, "/v1/keys").await.unwrap().json().await.unwrap();
    assert!(keys.items.iter().all(|key| key.tenant.as_str() == "b") && keys.items.len() == 1);
    let keys: Page<KeyView> = get(&a, "/v1/keys").await.unwrap().json().await.unwrap();
    let revoke = farm.request(Method::DELETE, &format!("/v1/keys/{}", keys.items[0].id)).bearer_auth(&b);
    problem(revoke.send().await.unwrap(), 404, "not-found").await;
    let create =
        farm.request(Method::POST, "/v1/keys").bearer_auth(&b).json(&serde_json::json!({"tenant":"a","role":"viewer"}));
    problem(create.send().await.unwrap(), 403, "forbidden").await;
}

#[tokio::test]
async fn keys_are_shown_once_stored_as_digests_and_revoked_at_once() {
    let farm = Farm::local().await;
    let body = r#"{"tenant":"a","role":"viewer","label":"ci"}"#;
    let response = farm.post("/v1/keys", body).await;
    assert_eq!(response.status(), 201);
    let created: KeyCreated = response.json().await.unwrap();
    assert!(created.token.starts_with("fmk_") && created.token.len() == 68);

    let stored = farm.queue.records::<serde_json::Value>(KEYS_BUCKET).list(">").await.unwrap();
    assert_eq!(stored.len(), 1);
    assert!(stored[0].0.starts_with(&created.key.id) && !created.token.contains(&created.key.id));
    assert!(!stored[0].1.to_string().contains(&created.token[4..]));
    let listed = farm.get("/v1/keys").await.text().await.unwrap();
    assert!(listed.contains(&created.key.id) && !listed.contains(&created.token));

    // On loopback too, a key that is sent is who one is.
    let with_key = || farm.request(Method::GET, "/v1/keys").bearer_auth(&created.token).send();
    problem(with_key().await.unwrap(), 403, "forbidden").await;
    let revoke = farm.request(Method::DELETE, &format!("/v1/keys/{}", created.key.id));
    assert_eq!(revoke.send().await.unwrap().status(), 204);
    problem(with_key().await.unwrap(), 401, "unauthorized").await;

    for (body, pointer) in [
        (r#"{"tenant":"a","role":"owner"}"#.to_owned(), "/role"),
        (r#"{"tenant":"a","role":"viewer","x":1}"#.to_owned(), "/x"),
        (format!(r#"{{"tenant":"a","role":"viewer","label":"{}"}}"#, "x".repeat(201)), "/label"),
    ] {
        let problem = problem(farm.post("/v1/keys", body).await, 422, "invalid").await;
        assert_eq!(problem.errors[0].pointer, pointer);
    }
}

#[tokio::test]
async fn browsers_are_not_turned_against_the_loopback_listener() {
    let farm = Farm::local().await;
    // A name that was made to resolve to this machine.
    let answer = raw(farm.address, b"GET /v1/assets HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 421") && answer.contains("urn:framemill:problem:misdirected"), "{answer}");
    let answer = raw(farm.address, b"GET /v1/assets HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 421"), "{answer}");
    // A page of another site.
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("origin", "null")] {
        let request = farm.request(Method::POST, "/v1/assets").header("content-type", "application/json");
        problem(request.header(name, value).body(GOOD).send().await.unwrap(), 403, "cross-site").await;
    }
    // Somebody behind a proxy is not at this machine.
    let request = farm.request(Method::GET, "/v1/assets").header("x-forwarded-for", "203.0.113.7");
    problem(request.send().await.unwrap(), 401, "unauthorized").await;
    // This server's own page, and commands.
    let origin = format!("http://{}", farm.address);
    let request = farm.request(Method::POST, "/v1/assets").header("content-type", "application/json");
    let request = request.header("origin", origin).header("sec-fetch-site", "same-origin");
    assert_eq!(request.body(GOOD).send().await.unwrap().status(), 202);
    assert_eq!(farm.queue.assets().list(">").await.unwrap().len(), 1);
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere() {
    let farm = Farm::local().await;
    let asset = farm.submit(GOOD).await;
    for path in ["/".to_owned(), format!("/assets/{}", asset.id), "/docs".to_owned()] {
        let response = farm.get(&path).await;
        assert_eq!(response.status(), 200, "{path}");
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
        let page = response.text().await.unwrap();
        for outside in ["src=\"http", "src=\"//", "<style", "style=\"", "onclick", "@import"] {
            assert!(!page.contains(outside), "{path}: {outside}");
        }
        // Every link to this server's files leads somewhere.
        for part in page.split("\"/static/").skip(1) {
            let file = format!("/static/{}", part.split('"').next().unwrap());
            assert_eq!(farm.get(&file).await.status(), 200, "{file}");
        }
    }
    let shown = farm.get(&format!("/assets/{}", asset.id)).await.text().await.unwrap();
    assert!(shown.contains("film.mp4") && shown.contains("data-following=\"true\""));
}
