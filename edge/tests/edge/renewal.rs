//! Whoever watches gets the next token in time, and nobody else does.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use framemill_edge::EdgeConfig;
use framemill_schemas::{
    delivery::{
        Address, Algorithm, Claims, REVOCATION_VERSION, RenewRequest, Revocation, Revoked, TOKEN_KEY_VERSION,
        TokenIssued, TokenKey,
    },
    subject::REVOCATIONS_BUCKET,
};
use framemill_tokens::{Keyring, path_form, sign_with};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, sync::watch};

use crate::support::{Edge, Farm, PLAYLIST, SEGMENT, claims, eventually, now_ms};

/// How long a token lives here, seconds: its last third is a second and a bit.
pub const LIFE_S: i64 = 4;
/// A segment of a title.
const OF_TITLE: &str = "vod/acme/x/g1-00c0ffee/720p/7.m4s";
/// How often a player asks.
const POLL: Duration = Duration::from_millis(100);

/// What a scheduler does when it is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Mood {
    /// It renews.
    Renews,
    /// It refuses.
    Refuses,
    /// It is broken.
    Fails,
    /// It never answers.
    Hangs,
    /// It gives a token of somebody else.
    Confuses(Box<Claims>),
}

/// Stands in for a scheduler: it verifies and signs with the farm's key.
pub struct Scheduler {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    mood: watch::Sender<Mood>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Scheduler {
    pub async fn start(farm: &Farm, mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mood, now) = watch::channel(mood);
        let (asked, key) = (Arc::new(AtomicUsize::new(0)), farm.key());
        let scope = vec!["/live/acme/".to_owned(), "/vod/acme/".to_owned()].try_into().unwrap();
        let verifying = TokenKey {
            v: TOKEN_KEY_VERSION,
            kid: key.kid.clone(),
            tenant: "acme".parse().unwrap(),
            algorithm: Algorithm::Hs256,
            scope,
            verifies: key.signs.clone(),
            created_ms: 0,
            retired_ms: None,
        };
        let keyring = Arc::new(Keyring::new([verifying]).0);
        let counted = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counted, verifying, key, now) =
                    (Arc::clone(&counted), Arc::clone(&keyring), key.clone(), now.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let (verifying, key, now) = (Arc::clone(&verifying), key.clone(), now.borrow().clone());
                    async move {
                        assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/tokens/renew"));
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let asked: RenewRequest = serde_json::from_slice(&body).unwrap();
                        let verified = verifying.verify(&asked.token, now_ms() / 1000).unwrap();
                        let (format, more) = (verified.format, verified.more);
                        let claims = match now {
                            Mood::Renews => verified.claims,
                            Mood::Confuses(claims) => *claims,
                            Mood::Hangs => std::future::pending().await,
                            Mood::Refuses => return Ok::<_, Infallible>(answer(403, "{}".to_owned())),
                            Mood::Fails => return Ok(answer(500, "{}".to_owned())),
                        };
                        let issued_s = now_ms() / 1000;
                        let claims = Claims { expires_s: issued_s + LIFE_S, not_before_s: 0, ..claims };
                        let token = sign_with(
                            format,
                            &key,
                            Algorithm::Hs256,
                            &claims,
                            &more,
                            issued_s,
                            &ring::rand::SystemRandom::new(),
                        )
                        .unwrap();
                        let token = path_form(&token).into_owned();
                        let issued = TokenIssued {
                            prefix: format!("/t/{token}"),
                            query: format!("token={token}"),
                            header: format!("Authorization: Bearer {token}"),
                            token,
                            expires_s: claims.expires_s,
                            session: claims.session,
                            kid: key.kid,
                            paths: Vec::new(),
                        };
                        Ok(answer(201, serde_json::to_string(&issued).unwrap()))
                    }
                });
                tokio::spawn(async move {
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, asked, mood, serving }
    }

    pub fn config(&self) -> EdgeConfig {
        EdgeConfig {
            renewal: Some(vec![format!("http://{}", self.address)]),
            trusted_proxies: vec!["127.0.0.1".to_owned()],
            ..EdgeConfig::default()
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(status: u16, body: String) -> Response<Full<Bytes>> {
    let answer = Response::builder().status(status).header("content-type", "application/json");
    answer.body(Full::new(body.into())).unwrap()
}

/// A session that begins now.
fn session(name: &str) -> Claims {
    let expires_s = now_ms() / 1000 + LIFE_S;
    Claims { session: name.to_owned(), not_before_s: 0, expires_s, ..claims(&["/live/acme/news/"]) }
}

fn first(farm: &Farm, claims: &Claims) -> String {
    farm.issued(claims, claims.expires_s - LIFE_S)
}

/// Waits until a token's time is over.
async fn ended(claims: &Claims) {
    eventually("it has ended", async || (now_ms() / 1000 >= claims.expires_s).then_some(())).await;
}

pub async fn reason(answer: reqwest::Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body = answer.text().await.unwrap();
    (status, body.split("\"reason\":\"").nth(1).unwrap_or_default().split('"').next().unwrap().to_owned())
}

/// A player that asks for its first address again and again, as browsers' players do, is led on, and takes segments
/// from where it was led to.
async fn by_path(edge: &Edge, token: String, until: Instant) -> usize {
    let (mut led_on, mut last) = (0, token.clone());
    let playlist = format!("/t/{token}/{PLAYLIST}?_HLS_msn=7");
    while Instant::now() < until {
        let answer = edge.request(&playlist).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let at = answer.url().clone();
        assert_eq!(at.query(), Some("_HLS_msn=7"));
        let now = at.path().split('/').nth(2).unwrap().to_owned();
        led_on += usize::from(now != last);
        last = now;
        let segment = at.join(SEGMENT.strip_prefix("live/acme/news/").unwrap()).unwrap();
        assert_eq!(edge.request(segment.path()).send().await.unwrap().status(), 200);
        tokio::time::sleep(POLL).await;
    }
    led_on
}

/// A player with cookies, whose first address has its token in the query.
async fn by_cookie(edge: &Edge, token: String, until: Instant) -> usize {
    let mut cookie: Option<String> = None;
    let mut changes = 0;
    while Instant::now() < until {
        let mut request = edge.request(&format!("/{PLAYLIST}?token={token}"));
        if let Some(cookie) = &cookie {
            request = request.header("cookie", cookie);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        if let Some(set) = answer.headers().get("set-cookie") {
            assert!(answer.headers()["cache-control"].to_str().unwrap().starts_with("private, no-"));
            let set = set.to_str().unwrap().split(';').next().unwrap().to_owned();
            changes += usize::from(cookie.as_ref() != Some(&set));
            cookie = Some(set);
        }
        let segment = edge.request(&format!("/{SEGMENT}")).header("cookie", cookie.as_ref().unwrap());
        assert_eq!(segment.send().await.unwrap().status(), 200);
        tokio::time::sleep(POLL).await;
    }
    changes - 1
}

/// A player that sets headers.
async fn by_header(edge: &Edge, mut token: String, until: Instant) -> usize {
    let mut changes = 0;
    while Instant::now() < until {
        let asked = edge.request(&format!("/{PLAYLIST}")).header("cta-common-access-token", &token);
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap();
        assert!(exposed.contains("cta-common-access-token"));
        if let Some(next) = answer.headers().get("cta-common-access-token") {
            assert_eq!(answer.headers()["cache-control"], "private, no-store");
            token = next.to_str().unwrap().to_owned();
            changes += 1;
        }
        let segment = edge.request(&format!("/{SEGMENT}")).header("authorization", format!("Bearer {token}"));
        assert_eq!(segment.send().await.unwrap().status(), 200);
        tokio::time::sleep(POLL).await;
    }
    changes
}

/// A player of a title, which never asks for a playlist again.
async fn through_a_title(edge: &Edge, token: String, until: Instant) -> usize {
    let (mut led_on, mut last) = (0, token.clone());
    while Instant::now() < until {
        let answer = edge.request(&format!("/t/{token}/{OF_TITLE}")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let now = answer.url().path().split('/').nth(2).unwrap().to_owned();
        led_on += usize::from(now != last);
        last = now;
        tokio::time::sleep(POLL).await;
    }
    led_on
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_on_is_never_refused_whichever_way_its_token_comes() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U\n").await;
    farm.put(SEGMENT, "body").await;
    let scheduler = Scheduler::start(&farm, Mood::Renews).await;
    let log = farm.path().join("access.log");
    let config = EdgeConfig { access_log: Some(log.clone()), ..scheduler.config() };
    let edge = farm.edge_with("edge-1", config, farm.nats.port).await;
    farm.put(OF_TITLE, "body").await;
    let [path, cookie, header] = ["path", "cookie", "header"].map(|name| first(&farm, &session(name)));
    let of_title = claims(&["/vod/acme/x/"]).paths;
    let title = first(&farm, &Claims { paths: of_title, ..session("title") });
    let until = Instant::now() + Duration::from_secs(2 * LIFE_S as u64 + 2);
    let renewals = tokio::join!(
        by_path(&edge, path.clone(), until),
        by_cookie(&edge, cookie.clone(), until),
        by_header(&edge, header.clone(), until),
        through_a_title(&edge, title.clone(), until),
    );
    let (led_on, cookies, headers, titles) = renewals;
    eprintln!("renewed in {} s: {renewals:?}, of {} asked", 2 * LIFE_S + 2, scheduler.asked());
    assert!(led_on >= 2 && cookies >= 2 && headers >= 2 && titles >= 2, "{renewals:?}");
    // One request for each next token, and not one for each playlist.
    assert!(scheduler.asked() <= led_on + cookies + headers + titles + 4, "{}", scheduler.asked());
    let written = std::fs::read_to_string(&log).unwrap_or_default();
    assert!(
        [path, cookie, header, title].iter().all(|token| !written.contains(token.as_str())),
        "no token is written down"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_ended_opens_what_follows_on_it_and_nothing_else() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U\n").await;
    farm.put(SEGMENT, "body").await;
    let scheduler = Scheduler::start(&farm, Mood::Renews).await;
    let edge = farm.edge_with("edge-1", scheduler.config(), farm.nats.port).await;
    let other = farm.edge_with("edge-2", scheduler.config(), farm.nats.port).await;
    let claims = Claims {
        address: Address::Within("203.0.113.7".parse().unwrap()),
        origins: vec!["https://tv.example".to_owned()],
        ..session("s")
    };
    let token = first(&farm, &claims);
    let never_shown = farm.issued(&claims, claims.expires_s - LIFE_S - 1);
    let plain = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let ask = |edge: &Edge, token: &str, path: &str| {
        plain.get(edge.url(&format!("/t/{token}/{path}"))).header("x-forwarded-for", "203.0.113.7")
    };
    let next = eventually("it is renewed", async || {
        let answer = ask(&edge, &token, PLAYLIST).send().await.unwrap();
        (answer.status() == 307).then(|| answer.headers().clone())
    })
    .await;
    assert_eq!(next["cache-control"], "private, no-store");
    let next = next["location"].to_str().unwrap().split('/').nth(2).unwrap().to_owned();
    assert_eq!(ask(&edge, &next, PLAYLIST).send().await.unwrap().status(), 200, "what is newest leads nowhere");
    ended(&claims).await;
    assert_eq!(ask(&edge, &token, PLAYLIST).send().await.unwrap().status(), 307);
    // For the segments of the last playlist, a moment longer; nobody keeps them.
    let segment = ask(&edge, &token, SEGMENT).send().await.unwrap();
    assert_eq!(
        (segment.status().as_u16(), &segment.headers()["cache-control"]),
        (200, &"public, max-age=0, immutable".parse().unwrap())
    );
    // From elsewhere, for another page, another path: as before its end.
    for (path, name, value, expected) in [
        (PLAYLIST, "x-forwarded-for", "203.0.113.8", "address"),
        (SEGMENT, "x-forwarded-for", "203.0.113.8", "address"),
        (PLAYLIST, "origin", "https://evil.example", "origin"),
        ("live/acme/sport/video-720p.m3u8", "x-y", "z", "path"),
    ] {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        let answer = ask(&edge, &token, path).headers(headers).send().await.unwrap();
        assert_eq!(reason(answer).await, (403, expected.to_owned()), "{path} {name}");
    }
    // Another token of the session that has ended, which nobody watched with: it may have lain in somebody's log.
    assert_eq!(reason(ask(&edge, &never_shown, PLAYLIST).send().await.unwrap()).await, (401, "expired".to_owned()));
    // An edge that did not renew it knows nothing of it; the next one is as good there as here.
    assert_eq!(reason(ask(&other, &token, PLAYLIST).send().await.unwrap()).await, (401, "expired".to_owned()));
    assert_ne!(ask(&other, &next, PLAYLIST).send().await.unwrap().status(), 401);
    // And who is revoked is out by any of them, however fresh.
    let revocation = Revocation {
        v: REVOCATION_VERSION,
        tenant: "acme".parse().unwrap(),
        revoked: Revoked::Session("s".to_owned()),
        until_ms: now_ms() + 60_000,
    };
    farm.queue.records(REVOCATIONS_BUCKET).create(&revocation.key(), &revocation).await.unwrap();
    for path in [PLAYLIST, SEGMENT] {
        eventually("it is out", async || {
            (reason(ask(&edge, &token, path).send().await.unwrap()).await == (403, "revoked".to_owned())).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_that_is_gone_refuses_or_errs_costs_no_viewer_anything_before_the_tokens_end() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U\n").await;
    let mut foreign = session("foreign");
    foreign.session = "another".to_owned();
    let moods = [Mood::Refuses, Mood::Fails, Mood::Hangs, Mood::Confuses(Box::new(foreign))];
    let trials = moods.into_iter().enumerate().map(async |(number, mood)| {
        let scheduler = Scheduler::start(&farm, mood.clone()).await;
        let edge = farm.edge_with(&format!("edge-{number}"), scheduler.config(), farm.nats.port).await;
        let claims = session("s");
        let path = format!("/t/{}/{PLAYLIST}", first(&farm, &claims));
        let (mut slowest, mut asked) = (Duration::ZERO, 0);
        loop {
            let began = Instant::now();
            let answer = edge.request(&path).send().await.unwrap();
            slowest = slowest.max(began.elapsed());
            if answer.status() == 401 {
                break;
            }
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.url().path(), path, "nothing is handed on");
            asked += 1;
            tokio::time::sleep(POLL / 4).await;
        }
        assert!(now_ms() / 1000 >= claims.expires_s, "{mood:?}");
        assert_eq!(reason(edge.request(&path).send().await.unwrap()).await, (401, "expired".to_owned()));
        let bound = if mood == Mood::Refuses || mood == Mood::Hangs { 1..=1 } else { 1..=4 };
        assert!(bound.contains(&scheduler.asked()), "{mood:?}: asked {} times of {asked}", scheduler.asked());
        (mood, slowest)
    });
    for (mood, slowest) in futures_util::future::join_all(trials).await {
        eprintln!("{mood:?}: the slowest answer took {slowest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_that_comes_back_in_time_is_soon_enough() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U\n").await;
    let scheduler = Scheduler::start(&farm, Mood::Fails).await;
    let edge = farm.edge_with("edge-1", scheduler.config(), farm.nats.port).await;
    // In its last third.
    let claims = Claims { expires_s: now_ms() / 1000 + 3, ..session("s") };
    let path = format!("/t/{}/{PLAYLIST}", farm.issued(&claims, claims.expires_s - 12));
    eventually("it is asked", async || {
        assert_eq!(edge.get(&path).await.0, 200);
        (scheduler.asked() > 0).then_some(())
    })
    .await;
    scheduler.mood.send_replace(Mood::Renews);
    eventually("it is renewed", async || {
        let answer = edge.request(&path).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        (answer.url().path() != path).then_some(())
    })
    .await;
    assert!(now_ms() / 1000 < claims.expires_s);
}
