//! What this edge says of itself: measured every two seconds, and written when it changed, or every ten.

use std::{sync::Arc, time::Duration};

use framemill_queue::{Queue, RecordError, Records};
use framemill_schemas::{
    delivery::{EDGE_LOAD_VERSION, EdgeLoad, Place},
    ids::{NodeId, Zone},
    subject::EDGE_LOADS_BUCKET,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{board::Board, endpoint::Endpoint, gauge::Gauge, health::Window};
use crate::{clock::now_ms, fence::Fence, metrics::Metrics, origin::Origins};

/// How often it is measured.
const TICK: Duration = Duration::from_secs(2);
/// The same while it may not serve: viewers come back as soon as it may.
const SOON: Duration = Duration::from_millis(200);
/// How long it is written of nothing new, milliseconds: whoever is not heard of for thirty seconds is taken for gone.
const QUIET_MS_MAX: i64 = 10_000;
/// What is news: points of health, percent of load.
const NEWS: u8 = 5;

/// What an edge is, and what it is measured by.
pub struct Own {
    /// Its name.
    pub name: NodeId,
    /// Where viewers reach it; empty: nobody is sent there.
    pub url: String,
    /// Its zone.
    pub zone: Option<Zone>,
    /// Where it is.
    pub place: Option<Place>,
    /// Most connections.
    pub connections_max: usize,
    /// What it can send, megabits per second.
    pub egress_mbps: Option<u32>,
    /// Whether it may serve.
    pub fence: Fence,
    /// What is behind it.
    pub origins: Arc<Origins>,
    /// What happens on it.
    pub gauge: Arc<Gauge>,
    /// What is told of it.
    pub metrics: Arc<Metrics>,
}

impl Own {
    fn load(&self, window: &mut Window, now_ms: i64) -> EdgeLoad {
        window.push(self.gauge.read(now_ms));
        let serves = self.fence.is_open();
        EdgeLoad {
            v: EDGE_LOAD_VERSION,
            edge: self.name.clone(),
            url: self.url.clone(),
            zone: self.zone.clone(),
            place: self.place,
            serves,
            health: window.health(serves, self.origins.healthy()),
            connections: self.gauge.connections(),
            connections_max: u32::try_from(self.connections_max).unwrap_or(u32::MAX),
            sent_bytes_per_s: window.sent_bytes_per_s(),
            egress_bytes_per_s: self.egress_mbps.map_or(0, |mbps| u64::from(mbps) * 1_000_000 / 8),
            written_ms: now_ms,
        }
    }
}

/// Measures and writes until it is stopped; then removes the record, so that nobody is sent here any more.
pub async fn say(queue: Queue, own: Own, board: Arc<Board>, stop: CancellationToken) {
    if !own.url.is_empty() && Endpoint::read(&own.url).is_none() {
        tracing::warn!(url = own.url, "viewers are not sent here: edge.url is not of the form https://host[:port]");
    }
    let (said, heard) = watch::channel(None);
    // Apart: NATS that does not answer must not keep this edge from knowing how it is itself.
    tokio::join!(measure(&own, &board, &said, &stop), write(&queue, &own.name, heard, &stop));
}

async fn measure(own: &Own, board: &Board, said: &watch::Sender<Option<EdgeLoad>>, stop: &CancellationToken) {
    let mut window = Window::default();
    loop {
        let now_ms = now_ms();
        let load = own.load(&mut window, now_ms);
        let pause = if load.serves { TICK } else { SOON };
        own.metrics.is_well(load.health);
        board.put_own(load.clone(), now_ms);
        said.send_if_modified(|last| {
            let news = last.as_ref().is_none_or(|last| is_news(last, &load));
            if news {
                *last = Some(load);
            }
            news
        });
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

async fn write(queue: &Queue, name: &NodeId, mut heard: watch::Receiver<Option<EdgeLoad>>, stop: &CancellationToken) {
    let records: Records<EdgeLoad> = queue.records(EDGE_LOADS_BUCKET);
    let mut seen = None;
    while let Some(Ok(())) = stop.run_until_cancelled(heard.changed()).await {
        let Some(load) = heard.borrow_and_update().clone() else { continue };
        match stop.run_until_cancelled(store(&records, &load, &mut seen)).await {
            None => break,
            Some(Ok(())) => {}
            // The next one is said soon.
            Some(Err(error)) => tracing::debug!(%error, "how this edge is could not be written"),
        }
    }
    if let Some(revision) = seen
        && let Err(error) = records.delete(name.as_str(), revision).await
    {
        tracing::debug!(%error, "what this edge said of its load stays, and is forgotten");
    }
}

/// Stores the record over whatever is there: an earlier start of this edge may have left one.
async fn store(records: &Records<EdgeLoad>, load: &EdgeLoad, seen: &mut Option<u64>) -> Result<(), RecordError> {
    let key = load.edge.as_str();
    let written = match seen.take() {
        Some(revision) => match records.update(key, load, revision).await {
            // The server forgot it, or somebody else wrote it.
            Err(RecordError::Fenced) => replace(records, load).await?,
            written => written?,
        },
        None => replace(records, load).await?,
    };
    *seen = Some(written);
    Ok(())
}

async fn replace(records: &Records<EdgeLoad>, load: &EdgeLoad) -> Result<u64, RecordError> {
    let key = load.edge.as_str();
    match records.get(key).await? {
        Some((_, revision)) => records.update(key, load, revision).await,
        None => records.create(key, load).await,
    }
}

/// Whether others have to hear of it.
fn is_news(last: &EdgeLoad, now: &EdgeLoad) -> bool {
    now.written_ms.saturating_sub(last.written_ms) >= QUIET_MS_MAX
        || now.serves != last.serves
        || now.health.abs_diff(last.health) >= NEWS
        || now.load_percent().abs_diff(last.load_percent()) >= NEWS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steering::sample::idle;

    #[test]
    fn others_hear_what_changed_and_every_ten_seconds_that_all_is_well() {
        let last = EdgeLoad { connections: 10, egress_bytes_per_s: 100, ..idle("edge-1") };
        for (now, news) in [
            (last.clone(), false),
            (EdgeLoad { written_ms: 9_999, ..last.clone() }, false),
            (EdgeLoad { written_ms: 10_000, ..last.clone() }, true),
            (EdgeLoad { serves: false, ..last.clone() }, true),
            (EdgeLoad { health: 96, connections: 14, ..last.clone() }, false),
            (EdgeLoad { health: 95, ..last.clone() }, true),
            (EdgeLoad { sent_bytes_per_s: 15, ..last.clone() }, true),
        ] {
            assert_eq!(is_news(&last, &now), news, "{now:?}");
        }
    }
}
