//! Event streams: resumed without loss, ended with their asset.

use std::time::Duration;

use framemill_schemas::{
    asset::AssetState,
    cloud_event::CloudEvent,
    ids::NodeId,
    job::{JobKind, JobState},
    presence::Progress,
};
use reqwest::{Method, Response};

use crate::{
    farm::{Farm, PATIENCE},
    http::problem,
};

const GOOD: &str = r#"{"source":"https://example.net/film.mp4"}"#;

/// One message of a stream.
#[derive(Clone, Debug, Default)]
struct Message {
    name: String,
    id: String,
    data: String,
}

/// A stream being read.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    async fn open(farm: &Farm, path: &str, after: Option<&str>) -> Self {
        let mut request = farm.request(Method::GET, path);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next message; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Message> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut message = Message::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("event", value)) => message.name = value.to_owned(),
                        Some(("id", value)) => message.id = value.to_owned(),
                        Some(("data", value)) => message.data = value.to_owned(),
                        _ => {}
                    }
                }
                self.text = rest.to_owned();
                if !message.data.is_empty() {
                    return Some(message);
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("something comes");
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    /// The next event.
    async fn event(&mut self) -> Option<(String, CloudEvent)> {
        let message = self.next().await?;
        assert_eq!(message.name, "event");
        Some((message.id, serde_json::from_str(&message.data).unwrap()))
    }
}

#[tokio::test]
async fn a_stream_of_all_events_resumes_where_it_broke_off() {
    let farm = Farm::local().await;
    let mut live = Stream::open(&farm, "/v1/events", None).await;
    let first = farm.submit(GOOD).await;
    let (id, event) = live.event().await.unwrap();
    assert_eq!((event.kind.as_str(), event.subject), ("asset.accepted", Some(first.id)));
    assert_eq!((event.specversion.as_str(), event.data.status.as_deref()), ("1.0", Some("accepted")));
    drop(live);

    let missed = [farm.submit(GOOD).await.id, farm.submit(GOOD).await.id];
    let mut resumed = Stream::open(&farm, "/v1/events", Some(&id)).await;
    for asset in missed {
        assert_eq!(resumed.event().await.unwrap().1.subject, Some(asset));
    }
    let mut whole = Stream::open(&farm, "/v1/events", Some("0")).await;
    assert_eq!(whole.event().await.unwrap().1.subject, Some(first.id));
    let bad = farm.request(Method::GET, "/v1/events").header("last-event-id", "x").send().await.unwrap();
    problem(bad, 400, "invalid-header").await;
}

#[tokio::test]
async fn the_stream_of_an_asset_has_progress_and_ends_with_it() {
    let farm = Farm::local().await;
    let asset = farm.submit(GOOD).await;
    let other = farm.submit(GOOD).await;
    let path = format!("/v1/assets/{}/events", asset.id);
    let mut stream = Stream::open(&farm, &path, Some("0")).await;
    assert_eq!(stream.event().await.unwrap().1.kind, "asset.accepted");

    let (record, _) = farm.asset(asset.id).await;
    // At its end, or cancelling would end it too, with an event that comes when it comes.
    let job = farm.job(&record, "probe", |job| job.state = JobState::Done).await;
    let progress = Progress {
        asset_id: asset.id,
        job_id: job.id,
        kind: JobKind::Probe,
        node: "n".parse::<NodeId>().unwrap(),
        done: 5,
        total: 10,
        speed_milli: 1500,
    };
    farm.queue.publish_progress(&progress).await.unwrap();
    let message = stream.next().await.unwrap();
    assert_eq!((message.name.as_str(), message.id.as_str()), ("progress", ""));
    assert_eq!(serde_json::from_str::<Progress>(&message.data).unwrap(), progress);

    // Another asset's end is not this one's.
    assert_eq!(farm.post(&format!("/v1/assets/{}/cancel", other.id), "").await.status(), 200);
    assert_eq!(farm.post(&format!("/v1/assets/{}/cancel", asset.id), "").await.status(), 200);
    let (last, event) = stream.event().await.unwrap();
    assert_eq!((event.kind.as_str(), event.subject), ("asset.cancelled", Some(asset.id)));
    assert!(stream.next().await.is_none(), "the stream ends");

    // Whoever comes late is told the end, replayed or as it is now, and let go.
    let mut replayed = Stream::open(&farm, &path, Some("0")).await;
    assert_eq!(replayed.event().await.unwrap().1.kind, "asset.accepted");
    assert_eq!(replayed.event().await.unwrap().1.kind, "asset.cancelled");
    assert!(replayed.next().await.is_none());
    for after in [None, Some(last.as_str())] {
        let mut late = Stream::open(&farm, &path, after).await;
        assert_eq!(late.event().await.unwrap().1.kind, "asset.cancelled");
        assert!(late.next().await.is_none());
    }
}

#[tokio::test]
async fn an_old_end_does_not_end_the_stream_of_a_retried_asset() {
    let farm = Farm::local().await;
    let asset = farm.submit(GOOD).await;
    let path = format!("/v1/assets/{}", asset.id);
    assert_eq!(farm.post(&format!("{path}/cancel"), "").await.status(), 200);
    assert_eq!(farm.post(&format!("{path}/retry"), "").await.status(), 202);
    farm.until("all events are sent", async || farm.asset(asset.id).await.0.unsent.is_empty()).await;
    let mut stream = Stream::open(&farm, &format!("{path}/events"), Some("0")).await;
    for kind in ["asset.accepted", "asset.cancelled", "asset.accepted"] {
        assert_eq!(stream.event().await.unwrap().1.kind, kind);
    }
    farm.change(asset.id, |asset| asset.state = AssetState::Accepted).await;
    let quiet = tokio::time::timeout(Duration::from_millis(300), stream.next()).await;
    assert!(quiet.is_err(), "it goes on: {quiet:?}");
}

#[tokio::test]
async fn a_shutdown_ends_streams_and_refuses_connections() {
    let farm = Farm::local().await;
    let asset = farm.submit(GOOD).await;
    let mut all = Stream::open(&farm, "/v1/events", None).await;
    let mut one = Stream::open(&farm, &format!("/v1/assets/{}/events", asset.id), None).await;
    farm.stop();
    // Whatever was on its way still comes; then both end.
    while all.next().await.is_some() {}
    while one.next().await.is_some() {}
    farm.until("nobody listens", async || farm.request(Method::GET, "/v1/assets").send().await.is_err()).await;
}
