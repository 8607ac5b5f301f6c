//! Each kind of cache against a server of its own that keeps what it is asked.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use framemill_schemas::{delivery::PurgeId, ids::Tenant};
use framemill_storage::Secret;

use super::*;
use crate::purges::{
    cloudflare::Cloudflare, cloudfront::CloudFront, fastly::Fastly, nginx::Nginx, varnish::Varnish, webhook::Webhook,
};

/// What a server was asked.
struct Asked {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: String,
    at: Instant,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// An answer: its status, a `Retry-After`, and a body.
type Answer = (u16, Option<&'static str>, &'static str);

#[derive(Clone, Default)]
struct Server {
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Answers in their order; 200 after the last.
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

impl Server {
    async fn start(answers: &[Answer]) -> (Self, String) {
        let server = Self::default();
        server.answers.lock().unwrap().extend(answers);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (server, url)
    }

    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

async fn answer(
    State(server): State<Server>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, &'static str) {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let asked = Asked { method, path: uri.to_string(), headers, body, at: Instant::now() };
    server.asked.lock().unwrap().push(asked);
    let (status, retry_after, body) = server.answers.lock().unwrap().pop_front().unwrap_or((200, None, "{}"));
    let headers = retry_after.map(|value| (RETRY_AFTER, value.parse().unwrap()));
    (StatusCode::from_u16(status).unwrap(), headers.into_iter().collect(), body)
}

fn sender(cache: impl Cache + 'static) -> Sender {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let pace = Pace { rate_per_s: 1000, attempts: 3, again: Duration::from_millis(10) };
    Sender::new("test/1".to_owned(), Box::new(cache), client, pace)
}

fn batch(tags: &[&str], refuse: bool, cache: &dyn Cache) -> Batch {
    let tenant: Tenant = "acme".parse().unwrap();
    let entries = tags.iter().flat_map(|tag| cache.entries(tag, &tenant).unwrap()).collect();
    Batch { entries, purges: vec![PurgeId::derive("a")], refuse, name: "7-1".to_owned() }
}

const TAGS: [&str; 2] = ["channel:acme/news", "object:live/acme/news/master.m3u8"];

#[tokio::test]
async fn varnish_is_asked_for_tags() {
    let (server, url) = Server::start(&[]).await;
    let sender = sender(Varnish::new(&url, "xkey-purge"));
    let receipt = sender.send(3, &batch(&TAGS, false, sender.cache())).await;
    assert_eq!((receipt.ok, receipt.batch, receipt.entries, receipt.attempts), (true, 3, 2, 1));
    let asked = server.asked();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("PURGE", "/"));
    assert_eq!(asked[0].header("xkey-purge"), TAGS.join(" "));
}

#[tokio::test]
async fn nginx_is_asked_for_one_object() {
    let (server, url) = Server::start(&[(404, None, ""), (405, None, "not here")]).await;
    let sender = sender(Nginx::new(&format!("{url}/"), "PURGE"));
    assert_eq!(sender.cache().entries(TAGS[0], &"acme".parse().unwrap()), None);
    let batch = batch(&TAGS[1..], false, sender.cache());
    assert!(sender.send(1, &batch).await.ok, "what was not there is forgotten");
    let refused = sender.send(1, &batch).await;
    assert_eq!((refused.ok, refused.attempts, refused.answer.as_str()), (false, 1, "405 not here"));
    let asked = server.asked();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("PURGE", "/live/acme/news/master.m3u8"));
}

#[tokio::test]
async fn fastly_is_asked_for_keys_and_its_retry_after_is_kept() {
    let (server, url) = Server::start(&[(429, Some("1"), "slow down"), (503, None, "")]).await;
    let sender = sender(Fastly::new(&url, "SU1Z0", Secret::from("s3cret"), true));
    let receipt = sender.send(1, &batch(&TAGS, false, sender.cache())).await;
    assert_eq!((receipt.ok, receipt.attempts), (true, 3));
    assert!(sender.send(1, &batch(&TAGS, true, sender.cache())).await.ok);
    let asked = server.asked();
    assert_eq!((asked.len(), asked[0].method.as_str(), asked[0].path.as_str()), (4, "POST", "/service/SU1Z0/purge"));
    assert!(asked[1].at - asked[0].at >= Duration::from_secs(1), "it was asked to wait");
    assert_eq!((asked[2].header("fastly-key"), asked[2].header("fastly-soft-purge")), ("s3cret", "1"));
    assert_eq!(asked[3].header("fastly-soft-purge"), "", "a takedown leaves nothing that is stale");
    let body: serde_json::Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(body, serde_json::json!({ "surrogate_keys": TAGS }));
}

#[tokio::test]
async fn cloudflare_is_asked_for_tags_and_believed() {
    let no = r#"{"success":false,"errors":[{"message":"no such zone"}]}"#;
    let (server, url) =
        Server::start(&[(429, Some("0"), ""), (200, None, r#"{"success":true}"#), (200, None, no)]).await;
    let sender = sender(Cloudflare::new(&url, "z0ne", Secret::from("t0ken")));
    let batch = batch(&TAGS, false, sender.cache());
    assert!(sender.send(1, &batch).await.ok);
    let refused = sender.send(1, &batch).await;
    assert!(!refused.ok && refused.answer.contains("no such zone"), "{refused:?}");
    let asked = server.asked();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("POST", "/zones/z0ne/purge_cache"));
    assert_eq!(asked[0].header("authorization"), "Bearer t0ken");
    let body: serde_json::Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(body, serde_json::json!({ "tags": TAGS }));
}

#[tokio::test]
async fn cloudfront_is_asked_for_paths_and_signed() {
    let busy = "<ErrorResponse><Error><Code>TooManyInvalidationsInProgress</Code></Error></ErrorResponse>";
    let (server, url) = Server::start(&[(400, None, busy), (201, None, "")]).await;
    let sender = sender(CloudFront::new(&url, "E2X", Secret::from("AKID"), Secret::from("hidden")));
    let receipt = sender.send(1, &batch(&TAGS, false, sender.cache())).await;
    assert_eq!((receipt.ok, receipt.attempts), (true, 2));
    let asked = server.asked();
    assert_eq!(
        (asked[0].method.as_str(), asked[0].path.as_str()),
        ("POST", "/2020-05-31/distribution/E2X/invalidation")
    );
    assert_eq!(asked[0].body, asked[1].body, "sent again it is the same invalidation");
    let paths = "<Paths><Quantity>2</Quantity><Items><Path>/live/acme/news/*</Path>\
                 <Path>/live/acme/news/master.m3u8</Path></Items></Paths>";
    assert!(asked[0].body.contains(paths), "{}", asked[0].body);
    let signed = asked[0].header("authorization");
    assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{signed}");
    assert!(signed.contains("/us-east-1/cloudfront/aws4_request"), "{signed}");
    assert!(!asked[0].header("x-amz-date").is_empty() && !format!("{:?}", asked[0].headers).contains("hidden"));
}

#[tokio::test]
async fn a_webhook_is_signed_and_given_up_in_the_end() {
    let (server, url) = Server::start(&[(500, None, ""), (502, None, ""), (503, Some("0"), "later\nperhaps")]).await;
    let sender = sender(Webhook::new(&format!("{url}/hook"), Secret::from("secret")));
    let batch = batch(&TAGS, true, sender.cache());
    let receipt = sender.send(1, &batch).await;
    assert_eq!((receipt.ok, receipt.attempts, receipt.answer.as_str()), (false, 3, "503 later perhaps"));
    let asked = server.asked();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("POST", "/hook"));
    let body: serde_json::Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(body, serde_json::json!({ "purge": batch.purges[0], "tags": TAGS, "refuse": true }));
    let (time, hex) = asked[0].header("framemill-signature").split_once(",v1=").unwrap();
    let signed = format!("{}.{}", time.strip_prefix("t=").unwrap(), asked[0].body);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"secret");
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    ring::hmac::verify(&key, signed.as_bytes(), &bytes).expect("the signature is that of the body");
}

#[tokio::test]
async fn an_address_stays_out_of_receipts() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sender = sender(Varnish::new(&format!("http://{address}/inside"), "xkey-purge"));
    let receipt = sender.send(1, &batch(&TAGS, false, sender.cache())).await;
    assert_eq!((receipt.ok, receipt.attempts), (false, 3));
    assert!(!receipt.answer.is_empty() && !receipt.answer.contains("inside"), "{}", receipt.answer);
}
