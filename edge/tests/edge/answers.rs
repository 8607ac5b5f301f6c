//! What Common Access Tokens of others ask for besides: answers (`catif`) and ways of renewal (`catr`).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;

use crate::{
    renewal::{LIFE_S, Mood, Scheduler, reason},
    support::{Farm, PLAYLIST, SEGMENT, eventually, now_ms},
};

/// A little CBOR (RFC 8949), as somebody else would write it.
fn head(major: u8, argument: usize) -> Vec<u8> {
    let major = major << 5;
    match argument {
        0..24 => vec![major | u8::try_from(argument).unwrap()],
        24..256 => vec![major | 24, u8::try_from(argument).unwrap()],
        256..65536 => [&[major | 25][..], &u16::try_from(argument).unwrap().to_be_bytes()].concat(),
        _ => [&[major | 26][..], &u32::try_from(argument).unwrap().to_be_bytes()].concat(),
    }
}

fn number(value: i64) -> Vec<u8> {
    head(0, usize::try_from(value).unwrap())
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    [head(2, bytes.len()), bytes.to_vec()].concat()
}

fn text(text: &str) -> Vec<u8> {
    [head(3, text.len()), text.as_bytes().to_vec()].concat()
}

fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len()), items.concat()].concat()
}

fn map(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<_> = entries.iter().map(|(key, value)| [key.clone(), value.clone()].concat()).collect();
    [head(5, entries.len()), entries.concat()].concat()
}

/// A token for the channel `news` until then, with more claims.
fn token(secret: &[u8], expires_s: i64, more: &[(i64, Vec<u8>)]) -> String {
    let path = map(&[(number(3), map(&[(number(1), text("/live/acme/news/"))]))]);
    let mut claims = vec![
        (number(2), text("ada")),
        (number(4), number(expires_s)),
        (number(6), number(expires_s - LIFE_S)),
        (number(7), bytes(b"s-1")),
        (number(312), path),
    ];
    claims.extend(more.iter().map(|(label, value)| (number(*label), value.clone())));
    let payload = map(&claims);
    let protected = map(&[(number(1), number(5)), (number(4), bytes(b"k1"))]);
    let signed = array(&[text("MAC0"), bytes(&protected), bytes(&[]), bytes(&payload)]);
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &signed);
    URL_SAFE_NO_PAD.encode(array(&[bytes(&protected), map(&[]), bytes(&payload), bytes(mac.as_ref())]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_answered_as_a_proved_token_asks_and_as_no_other_does() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U\n").await;
    let edge = farm.edge("edge-1").await;
    let login = "https://tv.example/login?back=1";
    let leads = map(&[(text("Location"), text(login)), (text("Cache-Control"), text("public, max-age=60"))]);
    let answers = map(&[(number(4), array(&[number(307), leads])), (number(312), array(&[number(451), map(&[])]))]);
    let more = [(322, answers)];
    let secret = farm.key().signs;
    let now_s = now_ms() / 1000;
    let plain = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let ask = async |token: &str, path: &str| plain.get(edge.url(&format!("/t/{token}/{path}"))).send().await.unwrap();

    let good = token(&secret, now_s + LIFE_S, &more);
    assert_eq!(ask(&good, PLAYLIST).await.status(), 200);
    let elsewhere = ask(&good, "live/acme/sport/video-720p.m3u8").await;
    assert_eq!(reason(elsewhere).await, (451, "path".to_owned()));
    let ended = ask(&token(&secret, now_s - 1, &more), PLAYLIST).await;
    let headers = ended.headers().clone();
    assert_eq!(
        (&headers["location"], &headers["cache-control"]),
        (&login.parse().unwrap(), &"no-store".parse().unwrap())
    );
    assert_eq!(reason(ended).await, (307, "expired".to_owned()));
    // Forged: it leads nowhere.
    let forged = ask(&token(b"another secret of thirty-two byte", now_s - 1, &more), PLAYLIST).await;
    assert!(!forged.headers().contains_key("location"));
    assert_eq!(reason(forged).await, (403, "signature".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_the_way_it_asks_for_where_tokens_are_renewed_at_all() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U\n").await;
    farm.put(SEGMENT, "body").await;
    let scheduler = Scheduler::start(&farm, Mood::Renews).await;
    let edge = farm.edge_with("edge-1", scheduler.config(), farm.nats.port).await;
    let alone = farm.edge("edge-2").await;
    let secret = farm.key().signs;
    // From its first second on, whatever is left of its life.
    let says = |way: i64, more: &[(i64, Vec<u8>)]| {
        let parts: Vec<_> = [(0, number(way)), (1, number(60)), (2, number(60))]
            .into_iter()
            .chain(more.iter().cloned())
            .map(|(label, value)| (number(label), value))
            .collect();
        token(&secret, now_ms() / 1000 + LIFE_S - 1, &[(323, map(&parts))])
    };
    let cookie = says(1, &[(3, text("CTA-Common-Access-Token"))]);
    assert_eq!(
        reason(alone.request(&format!("/t/{cookie}/{PLAYLIST}")).send().await.unwrap()).await,
        (403, "unsupported".to_owned())
    );

    let set = eventually("a cookie comes", async || {
        let answer = edge.request(&format!("/{PLAYLIST}?CAT={cookie}")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let set = answer.headers().get("set-cookie").map(|value| value.to_str().unwrap().to_owned());
        set.filter(|set| !set.starts_with("framemill-token="))
    })
    .await;
    assert!(set.starts_with("CTA-Common-Access-Token=") && set.contains("; HttpOnly"), "{set}");
    let shown = edge.request(&format!("/{SEGMENT}")).header("cookie", set.split(';').next().unwrap());
    assert_eq!(shown.send().await.unwrap().status(), 200);

    let header = says(2, &[]);
    let next = eventually("a header comes", async || {
        let answer = edge.request(&format!("/{PLAYLIST}?CAT={header}")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.headers().get("cta-common-access-token").cloned()
    })
    .await;
    let shown = edge.request(&format!("/{SEGMENT}")).header("cta-common-access-token", next);
    assert_eq!(shown.send().await.unwrap().status(), 200);

    let redirect = says(3, &[(7, number(302))]);
    let plain = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let location = eventually("it is led on", async || {
        let asked = plain.get(edge.url(&format!("/{PLAYLIST}"))).header("cta-common-access-token", &redirect);
        let answer = asked.send().await.unwrap();
        (answer.status() == 302).then(|| answer.headers()["location"].to_str().unwrap().to_owned())
    })
    .await;
    assert_eq!(edge.get(&location).await.0, 200);
}
