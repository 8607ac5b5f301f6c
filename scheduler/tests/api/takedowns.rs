//! Records that ask for a purge by themselves: once each, whoever looks at them and however often.

use std::time::{Duration, Instant};

use framemill_scheduler::{
    act::Actor,
    loops::{
        channels,
        collect::{self, Collector},
        drive,
    },
    retention::Retention,
};
use framemill_schemas::{
    asset::{AssetState, Published},
    delivery::{Purge, PurgeCause},
    ids::AssetId,
    live::{ChannelRecord, ChannelState, record_key},
    object::{Generation, StoredObject},
    subject::CHANNELS_BUCKET,
};
use framemill_storage::Meta;
use reqwest::Method;

use crate::farm::{Farm, PATIENCE};

/// Purges so far, oldest first.
fn asked(farm: &Farm) -> Vec<Purge> {
    farm.view.purges().into_iter().rev().map(|entry| entry.purge.as_ref().clone()).collect()
}

async fn object(farm: &Farm, key: String) -> StoredObject {
    let body = key.clone().into_bytes();
    farm.store.put_new(&key, body.into(), &Meta::default()).await.unwrap().stored().clone()
}

/// A title that was published in its second generation, in place of its first.
async fn mended(farm: &Farm) -> AssetId {
    let asset = farm.submit(r#"{"source":"https://example.net/film.mp4"}"#).await.id;
    let generation = Generation { number: 2, random: "00c0ffee".to_owned() };
    let folder = format!("vod/default/{asset}");
    let master = object(farm, format!("{folder}/g2-00c0ffee.m3u8")).await;
    let mpd = object(farm, format!("{folder}/g2-00c0ffee.mpd")).await;
    object(farm, format!("{folder}/g1-0000cafe/720p/1.m4s")).await;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    farm.change(asset, |record| {
        record.state = AssetState::Published;
        record.generation = generation.clone();
        let (generation, master, mpd) = (generation.clone(), master.clone(), mpd.clone());
        record.published = Some(Published { generation, master, mpd, index: None });
        (record.ended_ms, record.repaired_ms) = (1, now_ms);
    })
    .await;
    asset
}

#[tokio::test]
async fn a_title_that_changes_is_forgotten_and_one_that_goes_is_refused() {
    let farm = Farm::local().await;
    let asset = mended(&farm).await;
    let new = || Actor::new(farm.queue.clone(), farm.store.clone(), farm.view.clone());
    // Two schedulers, of which one begins anew.
    let (first, second) = (new(), new());
    tokio::join!(drive::tick(&first, asset), drive::tick(&second, asset));
    drive::tick(&new(), asset).await;
    farm.until("it is asked for", async || !asked(&farm).is_empty()).await;
    let folder = format!("vod/default/{asset}");
    let names = [format!("{folder}/master.m3u8"), format!("{folder}/manifest.mpd")];
    let purges = asked(&farm);
    assert_eq!(purges.len(), 1);
    assert_eq!(purges[0].tags, names.clone().map(|name| format!("object:{name}")));
    assert_eq!((purges[0].refuse, &purges[0].cause), (false, &PurgeCause::Published));
    for name in &names {
        assert!(farm.store.head(name).await.unwrap().is_some(), "it was put before");
    }

    // What it replaced is collected, and forgotten.
    let retention = Retention { superseded_s: 0, ..Retention::default() };
    let collector =
        Collector { queue: farm.queue.clone(), store: farm.store.clone(), view: farm.view.clone(), retention };
    collect::tick(&collector, &farm.view.asset(asset).unwrap()).await.unwrap();
    farm.until("the old generation is asked for", async || asked(&farm).len() == 2).await;
    assert_eq!(asked(&farm)[1].tags, [format!("generation:{asset}/g1-0000cafe")]);

    // Removed: the collector alone would ask for it, and the driver has by then.
    let removed = farm.request(Method::DELETE, &format!("/v1/assets/{asset}")).send().await.unwrap();
    assert_eq!(removed.status(), 202);
    let doomed = async || farm.view.asset(asset).is_some_and(|entry| entry.record.state == AssetState::Doomed);
    farm.until("the view has it", doomed).await;
    drive::tick(&first, asset).await;
    let settled = async || farm.view.asset(asset).is_some_and(|entry| entry.record.unsent.is_empty());
    farm.until("its events are sent", settled).await;
    collect::tick(&collector, &farm.view.asset(asset).unwrap()).await.unwrap();
    farm.until("it is gone", async || farm.view.asset(asset).is_none()).await;
    farm.until("its takedown is asked for", async || asked(&farm).len() == 3).await;
    let takedown = &asked(&farm)[2];
    assert_eq!((takedown.refuse, &takedown.cause), (true, &PurgeCause::Takedown));
    assert_eq!(takedown.tags, [format!("asset:{asset}")]);
}

#[tokio::test]
async fn a_removed_channel_is_taken_down_before_it_is_retired() {
    let farm = Farm::local().await;
    let document = serde_json::json!({
        "channel_id": "news",
        "sources": [{ "uri": "udp://239.0.0.1:5000" }],
        "ladder": "web-h264",
        "segment_s": 4,
    });
    let make = async || farm.request(Method::PUT, "/v1/channels/news").json(&document).send().await.unwrap();
    assert_eq!(make().await.status(), 201);
    let gone = farm.request(Method::DELETE, "/v1/channels/news").send().await.unwrap();
    assert_eq!(gone.status(), 202);
    let mut watch = channels::Watch::new(Instant::now());
    let key = record_key(&"default".parse().unwrap(), &"news".parse().unwrap());
    let channels = farm.queue.records::<ChannelRecord>(CHANNELS_BUCKET);
    let deadline = Instant::now() + PATIENCE;
    loop {
        channels::tick(&farm.queue, &farm.view, &mut watch).await;
        let (record, _) = channels.get(&key).await.unwrap().unwrap();
        if record.state == ChannelState::Retired {
            break;
        }
        assert!(Instant::now() < deadline, "it is not retired");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    farm.until("it is taken down", async || !asked(&farm).is_empty()).await;
    let purges = asked(&farm);
    assert_eq!(purges.len(), 1, "it never was on air: it has no timelines");
    assert_eq!((purges[0].refuse, purges[0].tags.as_slice()), (false, &["channel:default/news".to_owned()][..]));
}
