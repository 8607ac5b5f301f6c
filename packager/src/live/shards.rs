//! Which channels this packager writes. Channels are spread over shards by their keys, and each shard has a
//! lease: whoever holds it runs the writers of its channels, and ends them when it loses it. A shard without
//! channels costs nothing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use framemill_queue::{Change, Queue, RecordError, lease};
use framemill_schemas::{
    ids::{ChannelId, NodeId, Tenant},
    live::{ChannelRecord, ChannelState, Wanted, channel_folder},
    subject,
};
use framemill_storage::Store;
use futures_util::{StreamExt, future::join_all};
use tokio::{sync::watch, time::sleep};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

use super::{retire::Retired, sampler::Sampler, writer};
use crate::metrics::Metrics;

/// How many shards there are. Every packager of a farm must mean the same.
const SHARDS: u32 = 8;
/// After so long a silent packager's channels are somebody else's.
const LEASE: Duration = Duration::from_secs(2);
/// Pause before the channels are asked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// What the live side of a packager is made of. Cheap to clone.
#[derive(Clone)]
pub struct LiveParts {
    /// Where logs and records are.
    pub queue: Queue,
    /// Where playlists are put. Not a patient one: a newer playlist is put instead of one that waits.
    pub store: Store,
    /// Its machine.
    pub node: NodeId,
    /// The start of its process.
    pub process: Uuid,
    /// Its instruments.
    pub metrics: Arc<Metrics>,
    /// What decodes samples of its channels.
    pub sampler: Sampler,
}

/// Names of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its name.
    pub id: ChannelId,
}

impl Channel {
    /// Its folder, without a slash at the end.
    pub fn folder(&self) -> String {
        channel_folder(&self.tenant, &self.id)
    }

    /// The tags of its objects.
    pub fn tags(&self) -> Vec<String> {
        vec![format!("tenant:{}", self.tenant), format!("channel:{}", self.id)]
    }
}

/// All channels, by the keys of their records.
type Roster = Arc<BTreeMap<String, Arc<ChannelRecord>>>;

/// Runs until `stop`.
pub async fn run(parts: LiveParts, stop: CancellationToken) {
    let (says, roster) = watch::channel(Roster::default());
    let following = follow(&parts.queue, says);
    let shards = join_all((0..SHARDS).map(|shard| contend(&parts, shard, roster.clone(), &stop)));
    tokio::select! {
        () = following => {}
        _ = shards => {}
        () = parts.sampler.run(&parts.store, &parts.metrics) => {}
    }
}

/// The shard of a channel: FNV-1a of its key, which is the same in every version.
fn shard_of(key: &str) -> u32 {
    let hash = key.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash % SHARDS
}

/// Keeps the roster as the records are, for ever.
async fn follow(queue: &Queue, says: watch::Sender<Roster>) {
    loop {
        if let Err(error) = follow_once(queue, &says).await {
            tracing::warn!(%error, "channels cannot be followed now");
        }
        sleep(AGAIN).await;
    }
}

async fn follow_once(queue: &Queue, says: &watch::Sender<Roster>) -> Result<(), RecordError> {
    let mut changes = queue.records::<ChannelRecord>(subject::CHANNELS_BUCKET).watch(">").await?;
    let mut channels = BTreeMap::new();
    let mut current = false;
    while let Some(change) = changes.next().await {
        match change {
            Ok(Change::Put { key, value, .. }) => _ = channels.insert(key, Arc::new(*value)),
            Ok(Change::Deleted { key, .. }) => _ = channels.remove(&key),
            Ok(Change::Current) => current = true,
            Err(error) => tracing::warn!(%error, "a channel's record cannot be read"),
        }
        if current {
            says.send_replace(Arc::new(channels.clone()));
        }
    }
    Ok(())
}

/// Contends for a shard's lease as long as the shard has channels.
async fn contend(parts: &LiveParts, shard: u32, mut roster: watch::Receiver<Roster>, stop: &CancellationToken) {
    let has_any = |roster: &Roster| roster.keys().any(|key| shard_of(key) == shard);
    let name = format!("live-{shard}");
    while !stop.is_cancelled() {
        tokio::select! {
            found = roster.wait_for(has_any) => if found.is_err() { return },
            () = stop.cancelled() => return,
        }
        let empty = stop.child_token();
        let mut watched = roster.clone();
        // The lease is given back before this ends.
        let watching = async {
            let _ = watched.wait_for(|roster| !has_any(roster)).await;
            empty.cancel();
            std::future::pending::<()>().await;
        };
        let work = |held| serve(parts.clone(), shard, roster.clone(), held);
        let holding = lease::hold(&parts.queue, &name, parts.process, LEASE, &empty, work);
        tokio::select! {
            () = holding => {}
            () = watching => {}
        }
    }
}

/// A channel's task, and where it hears of changes of the record.
struct Served {
    record: watch::Sender<Arc<ChannelRecord>>,
    task: AbortOnDropHandle<()>,
}

/// Runs the tasks of a shard's channels until `held` ends. They end with it, wherever they are: whatever
/// they were about to put is refused by then, or stands.
async fn serve(parts: LiveParts, shard: u32, mut roster: watch::Receiver<Roster>, held: CancellationToken) {
    let mut served: HashMap<String, Served> = HashMap::new();
    loop {
        let now = roster.borrow_and_update().clone();
        served.retain(|key, served| now.contains_key(key) && !served.task.is_finished());
        for (key, record) in now.iter().filter(|(key, _)| shard_of(key) == shard) {
            match served.get(key) {
                Some(served) => {
                    _ = served.record.send_if_modified(|last| {
                        let differs = last != record;
                        if differs {
                            *last = record.clone();
                        }
                        differs
                    })
                }
                None => _ = served.insert(key.clone(), begin(&parts, record)),
            }
        }
        tokio::select! {
            () = held.cancelled() => return,
            changed = roster.changed() => if changed.is_err() { return },
        }
    }
}

fn begin(parts: &LiveParts, record: &Arc<ChannelRecord>) -> Served {
    let channel = Channel { tenant: record.tenant.clone(), id: record.id.clone() };
    let (record, changes) = watch::channel(record.clone());
    let task = AbortOnDropHandle::new(tokio::spawn(attend(parts.clone(), channel, changes)));
    Served { record, task }
}

/// Writes a channel until it is retired, then removes it.
async fn attend(parts: LiveParts, channel: Channel, mut record: watch::Receiver<Arc<ChannelRecord>>) {
    let to_remove =
        |record: &Arc<ChannelRecord>| record.wanted == Wanted::Retired && record.state == ChannelState::Retired;
    let writing = writer::run(parts.clone(), channel.clone(), record.clone());
    let asset = tokio::select! {
        () = writing => return,
        retired = record.wait_for(to_remove) => match retired {
            Ok(record) => record.asset,
            Err(_) => return,
        },
    };
    Retired { queue: &parts.queue, store: &parts.store, channel: &channel, asset }.run().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_spread_over_all_shards_and_stay_where_they_are() {
        let mut counts = [0; SHARDS as usize];
        (0..800).for_each(|n| counts[shard_of(&format!("demo.channel-{n}")) as usize] += 1);
        assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
        assert_eq!((shard_of("demo.news"), shard_of("")), (shard_of("demo.news"), 0x811c_9dc5 % SHARDS));
    }
}
