//! Who is let in.

use std::io::{Read, Write};

use framemill_edge::EdgeConfig;
use framemill_schemas::{
    delivery::{Address, Claims, REVOCATION_VERSION, Revocation, Revoked, Yields},
    subject::REVOCATIONS_BUCKET,
};

use crate::support::{Edge, Farm, PLAYLIST, SEGMENT, claims, eventually, now_ms};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_its_paths_in_every_way_it_can_come() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U\n").await;
    let edge = farm.edge("edge-1").await;
    let token = farm.token(&claims(&["/live/acme/news/"]));
    let path = format!("/{PLAYLIST}");
    assert_eq!(edge.get(&path).await.0, 401);
    assert_eq!(edge.get(&format!("/t/{token}{path}")).await, (200, "#EXTM3U\n".to_owned()));
    for (name, value) in [
        ("authorization", format!("Bearer {token}")),
        ("cta-common-access-token", token.clone()),
        ("cookie", format!("framemill-token={token}")),
    ] {
        let answer = edge.request(&path).header(name, value).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{name}");
        assert!(answer.headers()["cache-control"].to_str().unwrap().starts_with("private"), "{name}");
    }
    // In a query it becomes a cookie, which nobody in between may keep.
    let answer = edge.request(&format!("{path}?token={token}")).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["cache-control"].to_str().unwrap()),
        (200, "private, no-cache")
    );
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with(&format!("framemill-token={token}; Path=/live/acme/news;")), "{cookie}");
    // What was in the cache all the time knows of none of them.
    assert!(!answer.text().await.unwrap().contains(&token));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_let_in_and_no_refusal_is_kept() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U\n").await;
    farm.add_key("k2", "other", vec![9; 32]).await;
    let edge = farm.edge("edge-1").await;
    let path = format!("/{PLAYLIST}");
    let good = claims(&["/live/acme/news/"]);
    let now_s = now_ms() / 1000;
    let foreign = farm.token(&claims(&["/live/acme/sport/"]));
    let bound = farm.token(&Claims { address: Address::Within("203.0.113.7".parse().unwrap()), ..good.clone() });
    let late = farm.token(&Claims { expires_s: now_s - 1, ..good.clone() });
    // Signed by somebody who has another secret.
    let forged = farm.forged(&good);
    for (token, status, reason) in [
        (foreign, 403, "path"),
        (bound, 403, "address"),
        (late, 401, "expired"),
        (forged, 403, "signature"),
        ("nonsense".to_owned(), 403, "malformed"),
        ("a".repeat(5000), 403, "oversized"),
    ] {
        let answer = edge.request(&format!("/t/{token}{path}")).send().await.unwrap();
        let kept = answer.headers()["cache-control"].clone();
        let (found, body) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert_eq!((found, kept.to_str().unwrap()), (status, "no-store"), "{reason}: {body}");
        assert!(body.contains(&format!("\"reason\":\"{reason}\"")), "{body}");
        assert!(!body.contains(&token), "{body}");
    }
    // A forged address in front of a proxy nobody named changes nothing.
    let bound = farm.token(&Claims { address: Address::Within("203.0.113.7".parse().unwrap()), ..good.clone() });
    let answer =
        edge.request(&format!("/t/{bound}{path}")).header("x-forwarded-for", "203.0.113.7").send().await.unwrap();
    assert_eq!(answer.status(), 403);
    assert_eq!(edge.get(&format!("/t/{}{path}", farm.token(&good))).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_tells_what_was_asked_and_no_token() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U\n").await;
    let file = farm.path().join("access.log");
    let config = EdgeConfig { access_log: Some(file.clone()), ..Default::default() };
    let edge = farm.edge_with("edge-1", config, farm.nats.port).await;
    let token = farm.token(&claims(&["/live/acme/news/"]));
    let page = format!("https://tv.example/watch?token={token}");
    let asked = edge.request(&format!("/t/{token}/{PLAYLIST}")).header("referer", page);
    assert_eq!(asked.send().await.unwrap().status(), 200);
    assert_eq!(edge.get(&format!("/{PLAYLIST}?token={token}")).await.0, 200);
    assert_eq!(edge.get(&format!("/t/{token}//{PLAYLIST}")).await.0, 404);
    let log = eventually("it is written", async || {
        let text = std::fs::read_to_string(&file).ok()?;
        text.contains("\"GET - HTTP/1.1\" 404").then_some(text)
    })
    .await;
    assert!(log.contains("- s-1 [") && log.contains(&format!("\"GET /{PLAYLIST} HTTP/1.1\" 200 8")), "{log}");
    assert!(log.contains("\"https://tv.example\"") && !log.contains(&token), "{log}");
}

/// Requests as no client library would send them.
#[tokio::test(flavor = "multi_thread")]
async fn tricks_with_paths_and_heads_open_nothing() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U secret\n").await;
    farm.put(SEGMENT, "secret").await;
    let edge = farm.edge("edge-1").await;
    let token = farm.token(&claims(&["/live/acme/sport/"]));
    let good = farm.token(&claims(&["/live/acme/news/"]));
    let raw = |head: String| {
        let address = edge.address;
        tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(crate::support::WAIT_MAX)).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let mut said = Vec::new();
            // A connection that is cut has said all it would.
            let _ = stream.read_to_end(&mut said);
            String::from_utf8_lossy(&said).into_owned()
        })
    };
    for path in [
        "/live/acme/sport/../news/video-720p.m3u8",
        "/live/acme/sport/%2e%2e/news/video-720p.m3u8",
        "/live/acme/sport/%252e%252e/news/video-720p.m3u8",
        "/live/acme/sport/..;/news/video-720p.m3u8",
        "/live/acme/sport%2F..%2Fnews/video-720p.m3u8",
        "/live/acme//news/video-720p.m3u8",
        "//live/acme/news/video-720p.m3u8",
        "/live/acme/news;/live/acme/sport/video-720p.m3u8",
        "/live/acme/sport\\..\\news\\video-720p.m3u8",
        "/live/acme/news/video-720p.m3u8",
        "/live/acme/news/video-720p.m3u8?token=",
        "http://other/live/acme/news/video-720p.m3u8",
    ] {
        let with_path = path.strip_prefix('/').map_or_else(|| path.to_owned(), |rest| format!("/t/{token}/{rest}"));
        for target in [path.to_owned(), with_path] {
            let said = raw(format!(
                "GET {target} HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
            ))
            .await
            .unwrap();
            assert!(!said.contains("secret") && !said.starts_with("HTTP/1.1 200"), "{target}: {said}");
        }
    }
    let of = |head: &str| format!("GET /t/{good}/{PLAYLIST} HTTP/1.1\r\nHost: e\r\n{head}Connection: close\r\n\r\n");
    // What a smuggler sends: two lengths, a length and chunks, a folded header, a space before the colon.
    for head in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "X: a\r\n b: c\r\n",
        "Host : other\r\n",
        "X-Y: a\0b\r\n",
    ] {
        let said = raw(of(head)).await.unwrap();
        assert!(!said.contains("secret"), "{head:?}: {said}");
    }
    // A request that is hidden behind a body is none: the connection ends, or the body is taken for one.
    let hidden = format!("GET /{PLAYLIST} HTTP/1.1\r\nHost: e\r\n\r\n");
    let said = raw(format!(
        "POST /t/{good}/{PLAYLIST} HTTP/1.1\r\nHost: e\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{hidden}",
        hidden.len()
    ))
    .await
    .unwrap();
    assert!(said.starts_with("HTTP/1.1 405") && said.matches("HTTP/1.1 ").count() == 1, "{said}");
    let said = raw(of(&format!("X: {}\r\n", "a".repeat(100_000)))).await.unwrap();
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
    let said = raw(of(&"X: a\r\n".repeat(1000))).await.unwrap();
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
    assert!(raw(of("")).await.unwrap().contains("secret"), "and a plain request is answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_session_is_out_at_once_on_every_edge() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U\n").await;
    let edges = [farm.edge("edge-1").await, farm.edge("edge-2").await];
    let path = format!("/t/{}/{PLAYLIST}", farm.token(&claims(&["/live/acme/news/"])));
    for edge in &edges {
        assert_eq!(edge.get(&path).await.0, 200);
    }
    let revocation = Revocation {
        v: REVOCATION_VERSION,
        tenant: "acme".parse().unwrap(),
        revoked: Revoked::Session("s-1".to_owned()),
        until_ms: now_ms(),
    };
    farm.queue.records(REVOCATIONS_BUCKET).create(&revocation.key(), &revocation).await.unwrap();
    let began = std::time::Instant::now();
    for edge in &edges {
        eventually("it is out", async || (edge.get(&path).await.0 == 403).then_some(())).await;
    }
    eprintln!("revoked on two edges after {:?}", began.elapsed());
}

/// Status and reason of a playlist that a token is shown for from an address.
async fn from(edge: &Edge, token: &str, address: &str) -> (u16, String) {
    let path = format!("/t/{token}/{PLAYLIST}");
    let answer = edge.request(&path).header("x-forwarded-for", address).send().await.unwrap();
    let (status, kept) = (answer.status().as_u16(), answer.headers()["cache-control"].clone());
    let body = answer.text().await.unwrap();
    if status == 200 {
        return (status, String::new());
    }
    assert_eq!(kept, "no-store", "no refusal is kept");
    let reason = body.split("\"reason\":\"").nth(1).unwrap().split('"').next().unwrap();
    (status, reason.to_owned())
}

fn behind_a_proxy() -> EdgeConfig {
    EdgeConfig { trusted_proxies: vec!["127.0.0.1".to_owned()], ..EdgeConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_replayed_beyond_the_session_limit_opens_nothing() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U\n").await;
    let edge = farm.edge_with("edge-1", behind_a_proxy(), farm.nats.port).await;
    for (yields, reason) in [(Yields::Oldest, "yielded"), (Yields::Newest, "full")] {
        let tokens: Vec<String> = (0..5)
            .map(|number| {
                farm.token(&Claims {
                    account: format!("account-{reason}"),
                    session: format!("{reason}-{number}"),
                    sessions_max: 2,
                    yields,
                    ..claims(&["/live/acme/news/"])
                })
            })
            .collect();
        let mut found = Vec::new();
        // Each shows its token again when all have: those that yielded do not come back by that.
        for token in &tokens {
            from(&edge, token, "203.0.113.7").await;
        }
        for token in &tokens {
            found.push(from(&edge, token, "203.0.113.7").await);
        }
        let refused = (403, reason.to_owned());
        let let_in = (200, String::new());
        let expected = match yields {
            Yields::Oldest => [&refused, &refused, &refused, &let_in, &let_in],
            Yields::Newest => [&let_in, &let_in, &refused, &refused, &refused],
        };
        assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_that_is_passed_on_to_many_opens_nothing_for_any_of_them() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U\n").await;
    let config = EdgeConfig { session_networks: 3, ..behind_a_proxy() };
    let edge = farm.edge_with("edge-1", config, farm.nats.port).await;
    let limited = |session: &str| {
        let claims = Claims { session: session.to_owned(), sessions_max: 1, ..claims(&["/live/acme/news/"]) };
        farm.token(&Claims { account: format!("account-{session}"), ..claims })
    };
    let (passed_on, own) = (limited("passed-on"), limited("own"));
    let (let_in, shared) = ((200, String::new()), (403, "shared".to_owned()));
    for address in ["203.0.113.7", "203.0.113.8", "198.51.100.1", "2001:db8::1", "2001:db8::2"] {
        assert_eq!(from(&edge, &passed_on, address).await, let_in, "{address}");
    }
    for address in ["192.0.2.1", "203.0.113.7", "2001:db8::1"] {
        assert_eq!(from(&edge, &passed_on, address).await, shared, "{address}");
    }
    // Another session watches on, from the same addresses; and one without a limit from anywhere.
    assert_eq!(from(&edge, &own, "203.0.113.7").await, let_in);
    let free = farm.token(&claims(&["/live/acme/news/"]));
    for number in 0..10 {
        assert_eq!(from(&edge, &free, &format!("10.0.{number}.1")).await, let_in);
    }
}
