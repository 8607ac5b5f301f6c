//! What is wanted of a channel, its timelines, and what was committed of it: followed for as long as a
//! replica runs, whoever changes them.

use std::{collections::BTreeMap, time::Duration};

use framemill_queue::{Change, Queue, RecordError, Records};
use framemill_schemas::{
    ids::{ChannelId, JobId, Tenant},
    live::{ChannelRecord, Commit, Committed, ReplicaStatus, Timelines, commit_key, record_key},
    subject,
};
use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::watch, time::Instant};
use tokio_util::task::AbortOnDropHandle;

/// Pause before something is followed anew that could not be.
const AGAIN: Duration = Duration::from_millis(200);
/// Numbers of which it is remembered what became of them.
const REMEMBERED: u64 = 256;
/// How long a peer counts as being there after its last word.
const WORD: Duration = Duration::from_secs(3);

/// What became of the last numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    /// Whether everything that was there at the start has been read.
    pub current: bool,
    /// The last number that was committed.
    pub last: Option<u64>,
    /// When a segment of the source, not filler and no gap, was committed last.
    pub segment_at: Option<Instant>,
    /// Who committed each of the last numbers.
    done: BTreeMap<u64, Option<JobId>>,
}

impl Head {
    /// Whether something became of a number, or of so many after it that nobody remembers.
    pub fn is_done(&self, number: u64) -> bool {
        self.done.contains_key(&number) || self.last.is_some_and(|last| number + REMEMBERED <= last)
    }

    /// The first number that nobody has committed.
    pub fn free(&self) -> u64 {
        self.last.map_or(0, |last| last + 1)
    }

    fn take(&mut self, commit: &Commit) {
        self.last = self.last.max(Some(commit.number));
        if matches!(commit.what, Committed::Segment { .. }) && self.current {
            self.segment_at = Some(Instant::now());
        }
        self.done.insert(commit.number, commit.what.by().map(|(job, _)| job));
        let oldest = self.last.unwrap_or_default().saturating_sub(REMEMBERED);
        self.done = self.done.split_off(&oldest);
    }
}

/// What a channel's peer says.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    said: Option<(ReplicaStatus, Instant)>,
}

impl Peer {
    /// What it said, unless that is too long ago.
    pub fn now(&self) -> Option<&ReplicaStatus> {
        self.said.as_ref().filter(|(_, at)| at.elapsed() < WORD).map(|(status, _)| status)
    }
}

/// A channel's timelines with their revision, as they are followed.
pub(super) type Followed = watch::Receiver<Option<(Timelines, u64)>>;

/// Whether a number of a timeline belongs to a later one by now: a commit of it on this one would be a gap.
pub(super) fn is_superseded(timelines: &Followed, timeline: u32, number: u64) -> bool {
    let timelines = timelines.borrow();
    let next = timelines.as_ref().and_then(|(timelines, _)| timelines.first_after(timeline));
    next.is_some_and(|first| number >= first)
}

/// A channel as it is being followed.
pub(super) struct Log {
    pub channel: watch::Receiver<Option<ChannelRecord>>,
    pub timelines: Followed,
    pub head: watch::Receiver<Head>,
    pub peer: watch::Receiver<Peer>,
    records: Records<Timelines>,
    key: String,
    _following: Vec<AbortOnDropHandle<()>>,
}

impl Log {
    /// Follows a channel, as its replica `job`.
    pub fn follow(queue: &Queue, tenant: &Tenant, channel: &ChannelId, job: JobId) -> Self {
        let key = record_key(tenant, channel);
        let (channels, channel_now) = watch::channel(None);
        let (lines, timelines) = watch::channel(None);
        let (heads, head) = watch::channel(Head::default());
        let (peers, peer) = watch::channel(Peer::default());
        let follow_channel = follow(queue.records(subject::CHANNELS_BUCKET), key.clone(), move |change| match change {
            Change::Put { value, .. } => drop(channels.send_replace(Some(*value))),
            Change::Deleted { .. } => drop(channels.send_replace(None)),
            Change::Current => {}
        });
        let follow_timelines =
            follow(queue.records(subject::TIMELINES_BUCKET), key.clone(), move |change| match change {
                Change::Put { value, revision, .. } => drop(lines.send_replace(Some((*value, revision)))),
                // None yet: the first is created.
                Change::Current => {
                    lines.send_if_modified(|now| {
                        now.is_none().then(|| *now = Some((Timelines::default(), 0))).is_some()
                    });
                }
                Change::Deleted { .. } => drop(lines.send_replace(Some((Timelines::default(), 0)))),
            });
        let follow_commits =
            follow(queue.records::<Commit>(subject::COMMITS_BUCKET), commit_key(tenant, channel, "*"), move |change| {
                match change {
                    Change::Put { value, .. } => heads.send_modify(|head| head.take(&value)),
                    Change::Current => heads.send_modify(|head| head.current = true),
                    Change::Deleted { .. } => {}
                }
            });
        let hear = hear(queue.clone(), tenant.clone(), channel.clone(), job, peers);
        Self {
            channel: channel_now,
            timelines,
            head,
            peer,
            records: queue.records(subject::TIMELINES_BUCKET),
            key,
            _following: vec![
                AbortOnDropHandle::new(tokio::spawn(follow_channel)),
                AbortOnDropHandle::new(tokio::spawn(follow_timelines)),
                AbortOnDropHandle::new(tokio::spawn(follow_commits)),
                AbortOnDropHandle::new(tokio::spawn(hear)),
            ],
        }
    }

    /// Stores timelines in place of those at `revision`, 0 for none; says whether nobody was faster.
    pub async fn store(&self, timelines: &Timelines, revision: u64) -> Result<bool, RecordError> {
        let stored = match revision {
            0 => self.records.create(&self.key, timelines).await,
            revision => self.records.update(&self.key, timelines, revision).await,
        };
        match stored {
            Ok(_) => Ok(true),
            Err(RecordError::Exists | RecordError::Fenced) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

async fn follow<T>(records: Records<T>, filter: String, mut take: impl FnMut(Change<T>))
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    loop {
        match records.watch(&filter).await {
            Ok(mut changes) => {
                while let Some(change) = changes.next().await {
                    match change {
                        Ok(change) => take(change),
                        Err(error) => tracing::warn!(%error, "a record of a channel cannot be read"),
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "a channel cannot be followed yet"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn hear(queue: Queue, tenant: Tenant, channel: ChannelId, job: JobId, peers: watch::Sender<Peer>) {
    loop {
        if let Ok(statuses) = queue.replicas().await {
            let mut statuses = std::pin::pin!(statuses);
            while let Some(status) = statuses.next().await {
                if (&status.tenant, &status.channel_id) == (&tenant, &channel) && status.job_id != job {
                    peers.send_replace(Peer { said: Some((status, Instant::now())) });
                }
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}
