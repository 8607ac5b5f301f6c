//! Channels' playlists as packagers write them: commits from a real NATS server, objects in a real store, and
//! packagers that are held up in the middle of what they do.
#![allow(clippy::unwrap_used)]

#[path = "support/channel.rs"]
mod channel;
#[path = "support/farm.rs"]
mod farm;
#[path = "support/gate.rs"]
mod gate;

use std::time::{Duration, Instant};

use channel::{FIRST, Studio, now_ms, until};
use framemill_packager::check::code;
use framemill_schemas::live::{ChannelState, Committed, Wanted};
use framemill_storage::Meta;
use futures_util::StreamExt;

const PICTURE: &str = "video-90p.m3u8";
const HOUR_MS: i64 = 3_600_000;

fn names(number: u64) -> impl Fn(&str) -> bool {
    let address = format!("/{number}.m4s\n");
    move |text| text.contains(&address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_paused_packager_turns_nothing_back_and_another_takes_over() {
    // Nothing is past in an hour: no number is declared a gap.
    let studio = Studio::open(now_ms() + HOUR_MS, 0).await;
    let first = studio.packager("packager-1").await;
    for number in FIRST..FIRST + 5 {
        assert!(studio.commit(number).await);
    }
    studio.read_until(PICTURE, names(FIRST + 4)).await;
    studio.read_until("master.m3u8", |text| text.contains("video-90p.m3u8")).await;
    studio.read_until("manifest.mpd", |text| text.contains("r=\"4\"")).await;
    let second = studio.packager("packager-2").await;
    // The first one puts a playlist, and stands still before the store hears of it.
    first.store.shut();
    assert!(studio.commit(FIRST + 5).await);
    until("the put is on its way", async || first.store.held() > 0).await;
    first.nats.shut();
    let paused = Instant::now();
    studio.read_until(PICTURE, names(FIRST + 5)).await;
    let took = paused.elapsed();
    assert!(took < Duration::from_secs(5), "a lease is two seconds: {took:?}");
    assert!(studio.commit(FIRST + 6).await);
    let newest = studio.read_until(PICTURE, names(FIRST + 6)).await;
    // What it had sent arrives now, and is refused; so is all that it still wants.
    first.nats.open();
    first.store.open();
    until("the late put is refused", async || first.store.unmet() > 0).await;
    assert_eq!(studio.read(PICTURE).await, Some(newest));
    // It may take over again, and goes on where the other was.
    drop(second);
    assert!(studio.commit(FIRST + 7).await);
    let text = studio.read_until(PICTURE, names(FIRST + 7)).await;
    assert!(text.contains(&format!("#EXT-X-MEDIA-SEQUENCE:{FIRST}\n")), "{text}");
    assert!(!text.contains("#EXT-X-DISCONTINUITY\n") && !text.contains("#EXT-X-GAP"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_number_that_nobody_makes_is_a_gap_and_stays_one() {
    let studio = Studio::open(now_ms() - 60_000, 0).await;
    let mut statuses = Box::pin(studio.queue.playlists().await.unwrap());
    let _packager = studio.packager("packager-1").await;
    for number in FIRST..FIRST + 5 {
        assert!(studio.commit(number).await);
    }
    let text = studio.read_until(PICTURE, |text| text.matches("#EXT-X-GAP").count() >= 2).await;
    assert!(text.starts_with("#EXTM3U\n#EXT-X-VERSION:8\n"), "{text}");
    assert!(text.contains(&format!("#EXT-X-GAP\n#EXTINF:1.000000,\nt1-00000001/90p/{}.m4s\n", FIRST + 5)), "{text}");
    // A replica is back, with whatever number is not listed yet.
    let mut number = FIRST + 5;
    while !studio.commit(number).await {
        number += 1;
    }
    let text = studio.read_until(PICTURE, names(number)).await;
    // The time is told again where the picture comes back.
    assert!(text.matches("#EXT-X-PROGRAM-DATE-TIME:").count() >= 2, "{text}");
    for commit in studio.log().await {
        let made = commit.number < FIRST + 5 || commit.number == number;
        assert_eq!(!matches!(commit.what, Committed::Gap { .. }), made, "{commit:?}");
    }
    let told = async {
        while let Some(status) = statuses.next().await {
            if status.gaps >= 2 && status.number.is_some() {
                return status;
            }
        }
        panic!("the messages ended");
    };
    let status = tokio::time::timeout(channel::WAIT_MAX, told).await.unwrap();
    // There are no segments behind these commits.
    assert_eq!(status.findings[0].finding.code, code::OBJECT_MISSING);
    assert!(status.checked > 0 && status.age_ms.is_some() && status.commit_ms.is_some(), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_folded_is_shown_as_before_and_a_retired_channel_leaves_nothing() {
    let studio = Studio::open(now_ms() + HOUR_MS, 150).await;
    let [old, young] = [FIRST + 3, FIRST + 130].map(|number| format!("t1-00000001/90p/{number}.m4s"));
    for segment in [&old, &young] {
        studio.store.put_new(&studio.key(segment), "segment".into(), &Meta::default()).await.unwrap();
    }
    let first = studio.packager("packager-1").await;
    for number in FIRST..FIRST + 200 {
        assert!(studio.commit(number).await);
    }
    until("the log is folded", async || studio.timelines().await.unwrap().floor == FIRST + 120).await;
    until("folded commits are removed", async || studio.log().await.len() == 80).await;
    let names = [PICTURE, "timeshift/video-90p.m3u8", "timeshift/audio-stereo.m3u8", "manifest.mpd", "timeshift.mpd"];
    let last = FIRST + 199;
    for playlist in [PICTURE, "timeshift/video-90p.m3u8"] {
        studio.read_until(playlist, self::names(last)).await;
    }
    let reaching = studio.read_until("timeshift/video-90p.m3u8", |text| text.matches("#EXTINF").count() == 150).await;
    assert!(reaching.contains(&format!("../t1-00000001/90p/{}.m4s\n", FIRST + 50)), "{reaching}");
    studio.read_until("timeshift.mpd", |text| text.contains("r=\"149\"")).await;
    studio.read_until("manifest.mpd", |text| text.contains("r=\"11\"")).await;
    let mut before = Vec::new();
    for name in names {
        before.push(studio.read(name).await);
    }
    // Another packager writes the same from the index and what is left of the log.
    drop(first);
    studio.store.delete(&names.map(|name| studio.key(name))).await.unwrap();
    let _second = studio.packager("packager-2").await;
    for (name, before) in names.into_iter().zip(before) {
        studio.read_until(name, |text| Some(text) == before.as_deref()).await;
    }
    // What nobody can see any more leaves the store, two windows behind the time shift.
    for number in FIRST + 200..FIRST + 320 {
        assert!(studio.commit(number).await);
    }
    until("old segments are removed", async || studio.read(&old).await.is_none()).await;
    until("their indexes are removed", async || studio.store.list(&studio.key("index/")).await.unwrap().len() == 2)
        .await;
    assert!(studio.read(&young).await.is_some());
    // Off air by its schedule it has ended as one that was stopped, until it is on air again.
    studio.want(Wanted::Running, ChannelState::Scheduled).await;
    studio.read_until(PICTURE, |text| text.ends_with("#EXT-X-ENDLIST\n")).await;
    studio.want(Wanted::Running, ChannelState::Live).await;
    assert!(studio.commit(FIRST + 320).await);
    let again = studio.read_until(PICTURE, self::names(FIRST + 320)).await;
    assert!(!again.contains("#EXT-X-ENDLIST"), "{again}");
    studio.want(Wanted::Stopped, ChannelState::Stopped).await;
    studio.read_until(PICTURE, |text| text.ends_with("#EXT-X-ENDLIST\n")).await;
    studio.want(Wanted::Retired, ChannelState::Retired).await;
    until("the channel is gone", async || {
        let objects = studio.store.list(&studio.key("")).await.unwrap();
        objects.is_empty() && studio.log().await.is_empty() && studio.timelines().await.is_none()
    })
    .await;
}
