//! The view's part about channels: their records, their timelines, the end of each log, and what their
//! replicas said last.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use framemill_queue::Change;
use framemill_schemas::{
    ids::{AssetId, ChannelId, JobId, NodeId, Tenant, Zone},
    lane::Lane,
    live::{ChannelRecord, ChannelState, Commit, Committed, PlaylistStatus, ReplicaStatus, Timelines, record_key},
};
use tokio::sync::Notify;

use super::{Heard, Unsent, View, WORKER_ROLE};

/// Numbers that are remembered of each channel's log.
pub const REMEMBERED: usize = 64;
/// Replicas whose last words are remembered; beyond it the oldest go.
const STATUSES_MAX: usize = 65_536;
/// A word that is older than this is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// A channel and the revision of its record.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelEntry {
    /// The record.
    pub record: ChannelRecord,
    /// Its revision: the fencing token of the next change.
    pub revision: u64,
}

impl ChannelEntry {
    /// Key of its record.
    pub fn key(&self) -> String {
        record_key(&self.record.tenant, &self.record.id)
    }
}

/// What is known of one committed number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// What became of it.
    pub what: Outcome,
    /// The timeline it lies on.
    pub timeline: u32,
    /// Who committed it; nobody, for a gap.
    pub by: Option<(JobId, NodeId)>,
    /// When it was heard of.
    pub at: Instant,
}

/// What became of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The source.
    Segment,
    /// Filler in place of it.
    Filler,
    /// Nothing.
    Gap,
}

impl Outcome {
    /// The word for it in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::Filler => "filler",
            Self::Gap => "gap",
        }
    }
}

/// The end of a channel's log, by number.
pub type Log = BTreeMap<u64, Noted>;

/// What a replica said last.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// Its words.
    pub status: ReplicaStatus,
    /// When they were heard.
    pub at: Instant,
}

/// All that is known of one channel.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The end of its log.
    pub log: Arc<Log>,
    /// Its timelines.
    pub timelines: Arc<Timelines>,
    /// What its replicas said last.
    pub words: HashMap<JobId, Arc<Word>>,
    /// What the packager that writes its playlists said last, and when.
    pub playlist: Option<(PlaylistStatus, Instant)>,
}

#[derive(Default)]
pub(super) struct Shelf {
    state: Mutex<State>,
    /// Something happened that the failover controller may want to look at.
    news: Notify,
}

#[derive(Default)]
struct State {
    channels: BTreeMap<String, Arc<ChannelEntry>>,
    timelines: HashMap<String, Arc<Timelines>>,
    logs: HashMap<String, Arc<Log>>,
    words: HashMap<JobId, Arc<Word>>,
    playlists: HashMap<String, (PlaylistStatus, Instant)>,
    channels_current: bool,
    timelines_current: bool,
    commits_current: bool,
}

impl Shelf {
    pub fn is_current(&self) -> bool {
        let state = self.state();
        state.channels_current && state.timelines_current && state.commits_current
    }

    pub fn tell(&self) {
        self.news.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held leaves a state that the next change puts right.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// The channel, if there is one.
    pub fn channel(&self, tenant: &Tenant, id: &ChannelId) -> Option<Arc<ChannelEntry>> {
        self.shared.live.state().channels.get(&record_key(tenant, id)).cloned()
    }

    /// All channels, by tenant and name.
    pub fn channels(&self) -> Vec<Arc<ChannelEntry>> {
        self.shared.live.state().channels.values().cloned().collect()
    }

    /// What the jobs of all channels are filed under.
    pub fn channel_assets(&self) -> BTreeSet<AssetId> {
        self.shared.live.state().channels.values().map(|entry| entry.record.asset).collect()
    }

    /// What is known of a channel beside its record.
    pub fn known(&self, entry: &ChannelEntry) -> Known {
        let (key, record) = (entry.key(), &entry.record);
        let state = self.shared.live.state();
        let replicas = record.replicas.iter();
        Known {
            log: state.logs.get(&key).cloned().unwrap_or_default(),
            timelines: state.timelines.get(&key).cloned().unwrap_or_default(),
            playlist: state.playlists.get(&key).cloned(),
            words: replicas.filter_map(|replica| Some((replica.job, state.words.get(&replica.job)?.clone()))).collect(),
        }
    }

    /// Nodes whose workers were heard within a lease, take jobs, and have what the jobs of a lane need.
    pub fn able(&self, lane: Lane) -> BTreeSet<NodeId> {
        let state = self.state();
        let able = state.alive().filter(|heard| heard.role == WORKER_ROLE && heard.slots > 0 && heard.is_able(lane));
        able.map(|heard| heard.node.clone()).collect()
    }

    /// The zones of nodes whose workers were heard, as far as they were told one.
    pub fn zones(&self) -> BTreeMap<NodeId, Zone> {
        let state = self.state();
        state.workers().filter_map(|heard| Some((heard.node.clone(), heard.zone.clone()?))).collect()
    }

    /// Why nobody takes a job of a lane that is kept apart from some nodes; nothing where somebody would.
    pub fn kept_waiting(&self, lane: Lane, apart: &[NodeId]) -> Option<String> {
        if let Some(why) = self.unserved(lane) {
            return Some(why);
        }
        let state = self.state();
        let able = |heard: &&Heard| heard.role == WORKER_ROLE && heard.slots > 0 && heard.is_able(lane);
        let mut free = state.alive().filter(able).filter(|heard| !apart.contains(&heard.node)).peekable();
        if free.peek().is_none() {
            return Some("no other node is there that could run it".to_owned());
        }
        let waiting: Option<Vec<_>> =
            free.map(|heard| heard.waiting.as_ref().map(|why| format!("{}: {why}", heard.node))).collect();
        waiting.map(|mut all| all.swap_remove(0))
    }

    /// Takes in a change of a channel's record.
    pub fn put_channel(&self, change: Change<ChannelRecord>) {
        let mut state = self.shared.live.state();
        match change {
            Change::Put { key, value, revision } => {
                let unsent = !value.unsent.is_empty();
                state.channels.insert(key.clone(), Arc::new(ChannelEntry { record: *value, revision }));
                if unsent {
                    self.state().unsent.insert(Unsent::Channel(key));
                    self.shared.unsent.notify_one();
                }
            }
            Change::Deleted { key, .. } => {
                state.channels.remove(&key);
                state.logs.remove(&key);
                state.playlists.remove(&key);
            }
            Change::Current => state.channels_current = true,
        }
        drop(state);
        self.shared.live.tell();
    }

    /// Takes in a change of a channel's timelines.
    pub fn put_timelines(&self, change: Change<Timelines>) {
        let mut state = self.shared.live.state();
        match change {
            Change::Put { key, value, .. } => {
                state.timelines.insert(key, Arc::new(*value));
            }
            Change::Deleted { key, .. } => {
                state.timelines.remove(&key);
            }
            Change::Current => state.timelines_current = true,
        }
        drop(state);
        self.shared.live.tell();
    }

    /// Takes in a commit. That it was folded away later changes nothing here.
    pub fn put_commit(&self, change: Change<Commit>, now_ms: i64) {
        let mut state = self.shared.live.state();
        match change {
            Change::Put { key, value, .. } => {
                let Some((channel, _)) = key.rsplit_once('.') else { return };
                // What was there before this process looked was not seen by it; its age is what it says.
                let known_late = if state.commits_current { 0 } else { now_ms - value.at_ms };
                let late = Duration::from_millis(u64::try_from(known_late).unwrap_or_default());
                let at = Instant::now().checked_sub(late).unwrap_or_else(Instant::now);
                // Of a channel that is well, the next look is soon enough.
                let entry = state.channels.get(channel);
                let is_news = entry.is_some_and(|entry| entry.record.state != ChannelState::Live);
                let log = Arc::make_mut(state.logs.entry(channel.to_owned()).or_default());
                log.insert(value.number, noted(&value, at));
                while log.len() > REMEMBERED {
                    log.pop_first();
                }
                if is_news {
                    self.shared.live.tell();
                }
            }
            Change::Deleted { .. } => {}
            Change::Current => {
                state.commits_current = true;
                self.shared.live.tell();
            }
        }
    }

    /// Takes in what a replica says.
    pub fn put_replica(&self, status: ReplicaStatus) {
        let now = Instant::now();
        let mut state = self.shared.live.state();
        if state.words.len() >= STATUSES_MAX {
            state.words.retain(|_, word| word.at.elapsed() < FORGOTTEN);
        }
        if state.words.len() >= STATUSES_MAX {
            state.words.clear();
        }
        state.words.insert(status.job_id, Arc::new(Word { status, at: now }));
    }

    /// Takes in what a packager says of a channel's playlists.
    pub fn put_playlist(&self, status: PlaylistStatus) {
        let key = record_key(&status.tenant, &status.channel_id);
        let mut state = self.shared.live.state();
        if state.channels.contains_key(&key) {
            state.playlists.insert(key, (status, Instant::now()));
        }
    }

    /// Waits until a channel, one of its jobs, or the fleet changed.
    pub async fn live_news(&self) {
        self.shared.live.news.notified().await;
    }
}

fn noted(commit: &Commit, at: Instant) -> Noted {
    let what = match commit.what {
        Committed::Segment { .. } => Outcome::Segment,
        Committed::Filler { .. } => Outcome::Filler,
        Committed::Gap { .. } => Outcome::Gap,
    };
    let by = commit.what.by().map(|(job, node)| (job, node.clone()));
    Noted { what, timeline: commit.timeline, by, at }
}
