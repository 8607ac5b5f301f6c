//! From cut segments to committed numbers: each rendition is put under a name that both replicas use,
//! the first writer wins, and a number is committed once all its renditions are stored, whoever
//! stored them.
//!
//! What meets an outage waits for its end, newest first to go when too much waits: the store's handle
//! is a patient one, and commits are tried again here, and nowhere else.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use framemill_queue::{Queue, RecordError, Records};
use framemill_schemas::{
    ids::{ChannelId, JobId, NodeId, Tenant},
    key::digest,
    live::{
        COMMIT_VERSION, Commit, Committed, Flaw, Timeline, TrackCommit, channel_folder, commit_key, filler_key,
        folder_of, init_key, segment_key,
    },
    object::{CACHE_IMMUTABLE, content_type},
    subject,
};
use framemill_storage::{Meta, Put, Store, StoreError};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::log::{Followed, Head, is_superseded};
use crate::metrics::Metrics;

/// Numbers that wait for the store or for NATS; beyond it the oldest is given up.
const NUMBERS_WAITING_MAX: usize = 24;
/// Orders that wait to be looked at.
const ORDERS_WAITING: usize = 64;
/// Pause before a commit is tried again.
const COMMIT_AGAIN: Duration = Duration::from_millis(250);
/// Hexadecimal digits of an init's digest in its name.
const INIT_DIGITS: usize = 16;

/// One rendition of a number, to be put.
pub(super) struct Order {
    pub timeline: Arc<Timeline>,
    pub track: usize,
    pub number: u64,
    pub bytes: Bytes,
    /// The initialisation segment it needs.
    pub init: Init,
    /// Whether it stands in for the source.
    pub filler: bool,
    /// What was wrong with the source then.
    pub flaws: Vec<Flaw>,
    /// How long a healthy peer is given to be first.
    pub hold: Duration,
    /// When it left the encoder.
    pub at: Instant,
}

/// An initialisation segment.
#[derive(Clone, Debug)]
pub(super) struct Init {
    /// Its name: the start of its digest.
    pub name: String,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Init {
    pub fn of(bytes: Bytes) -> Self {
        let mut name = digest(&bytes);
        name.truncate(INIT_DIGITS);
        Self { name, bytes }
    }
}

/// What is recorded beside a segment.
#[derive(Debug, Serialize, Deserialize)]
struct Beside {
    /// The init it needs.
    init: String,
}

/// Who publishes, and where.
#[derive(Clone)]
pub(crate) struct Place {
    pub queue: Queue,
    /// Waits for the end of outages.
    pub store: Store,
    pub tenant: Tenant,
    pub channel: ChannelId,
    pub job: JobId,
    pub node: NodeId,
    pub metrics: Metrics,
}

/// What was published so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Numbers that this replica committed first.
    pub committed: u64,
    /// Numbers that its peer committed first.
    pub yielded: u64,
    /// The last number of each rendition that is stored.
    pub stored: BTreeMap<String, u64>,
}

/// A publisher that runs until it is dropped.
pub(super) struct Publisher {
    orders: mpsc::Sender<Order>,
    counts: Arc<Mutex<Counts>>,
    _publishing: AbortOnDropHandle<()>,
}

impl Publisher {
    pub fn start(place: Place, head: watch::Receiver<Head>, timelines: Followed) -> Self {
        let (orders, arriving) = mpsc::channel(ORDERS_WAITING);
        let counts = Arc::new(Mutex::new(Counts::default()));
        let desk = Desk {
            commits: place.queue.records(subject::COMMITS_BUCKET),
            place,
            head,
            timelines,
            counts: counts.clone(),
            inits: Arc::default(),
        };
        let publishing = AbortOnDropHandle::new(tokio::spawn(publish(desk, arriving)));
        Self { orders, counts, _publishing: publishing }
    }

    /// Takes an order; waits while too many wait.
    pub async fn put(&self, order: Order) {
        // The publisher lives as long as its handle.
        let _ = self.orders.send(order).await;
    }

    pub fn counts(&self) -> Counts {
        locked(&self.counts).clone()
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone)]
struct Desk {
    place: Place,
    commits: Records<Commit>,
    head: watch::Receiver<Head>,
    timelines: Followed,
    counts: Arc<Mutex<Counts>>,
    /// Keys of inits that are stored.
    inits: Arc<Mutex<HashSet<String>>>,
}

/// A number of which some renditions are stored.
struct Pending {
    timeline: Arc<Timeline>,
    tracks: Vec<Option<TrackCommit>>,
    flaws: Vec<Flaw>,
    filler: bool,
    /// When the last of it left the encoder.
    at: Instant,
}

impl Pending {
    fn of(order: &Order) -> Self {
        let tracks = vec![None; order.timeline.rungs.len() + order.timeline.audio.len()];
        Self { timeline: order.timeline.clone(), tracks, flaws: Vec::new(), filler: order.filler, at: order.at }
    }
}

/// What a pending number is known by: filler of it is another thing.
type Key = (u64, u32, bool);

enum Done {
    Stored(Key, usize, TrackCommit),
    /// Somebody else was first, or it cannot be stored.
    Nothing(Key),
    Committed,
}

async fn publish(desk: Desk, mut arriving: mpsc::Receiver<Order>) {
    let mut pending: BTreeMap<Key, Pending> = BTreeMap::new();
    let mut work: FuturesUnordered<BoxFuture<'static, Done>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            order = arriving.recv() => {
                let Some(order) = order else { return };
                // Numbers that a peer committed, or that another timeline took, while this one lacked a rendition.
                pending.retain(|(number, timeline, _), _| {
                    !desk.head.borrow().is_done(*number) && !is_superseded(&desk.timelines, *timeline, *number)
                });
                let key = (order.number, order.timeline.id, order.filler);
                if desk.head.borrow().is_done(order.number) {
                    desk.yielded(&mut pending, key);
                    continue;
                }
                let number = pending.entry(key).or_insert_with(|| Pending::of(&order));
                number.flaws.extend(order.flaws.iter().copied());
                number.at = number.at.max(order.at);
                if pending.len() > NUMBERS_WAITING_MAX
                    && let Some(((number, ..), _)) = pending.pop_first()
                {
                    let channel = &desk.place.channel;
                    tracing::error!(
                        %channel,
                        number,
                        "a number was given up: too many wait for the store or for NATS; see whether they answer"
                    );
                }
                work.push(desk.clone().store(key, order).boxed());
            }
            Some(done) = work.next(), if !work.is_empty() => match done {
                Done::Stored(key, track, commit) => {
                    let Some(number) = pending.get_mut(&key) else { continue };
                    desk.stored(&number.timeline, track, key.0);
                    number.tracks[track] = Some(commit);
                    if number.tracks.iter().all(Option::is_some) {
                        let number = pending.remove(&key).expect("it was there a moment ago");
                        work.push(desk.clone().commit(key.0, number).boxed());
                    }
                }
                Done::Nothing(key) => desk.yielded(&mut pending, key),
                Done::Committed => {}
            },
        }
    }
}

impl Desk {
    fn yielded(&self, pending: &mut BTreeMap<Key, Pending>, key: Key) {
        if pending.remove(&key).is_some() {
            locked(&self.counts).yielded += 1;
        }
    }

    fn stored(&self, timeline: &Timeline, track: usize, number: u64) {
        let Some(rendition) = timeline.renditions().nth(track) else { return };
        let mut counts = locked(&self.counts);
        let last = counts.stored.entry(rendition.to_owned()).or_default();
        *last = number.max(*last);
    }

    /// Waits until something became of a number.
    async fn done(&self, number: u64) {
        let mut head = self.head.clone();
        if head.wait_for(|head| head.is_done(number)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Puts one rendition, unless the number is done first.
    async fn store(self, key: Key, order: Order) -> Done {
        let put = async {
            tokio::time::sleep(order.hold).await;
            self.put(&order).await
        };
        let stored = tokio::select! {
            biased;
            () = self.done(order.number) => return Done::Nothing(key),
            stored = put => stored,
        };
        match stored {
            Ok(commit) => {
                self.place.metrics.live_stored(order.at.elapsed().as_secs_f64());
                Done::Stored(key, order.track, commit)
            }
            Err(error) => {
                tracing::error!(number = order.number, %error, "a segment of a channel cannot be stored");
                Done::Nothing(key)
            }
        }
    }

    async fn put(&self, order: &Order) -> Result<TrackCommit, StoreError> {
        let home = channel_folder(&self.place.tenant, &self.place.channel);
        let folder = format!("{home}/{}", folder_of(&order.timeline));
        let rendition = order.timeline.renditions().nth(order.track).expect("the track is one of the timeline's");
        let init = init_key(&folder, rendition, &order.init.name);
        if !locked(&self.inits).contains(&init) {
            self.place.store.put_new(&init, order.init.bytes.clone(), &self.meta(&init, None)).await?;
            locked(&self.inits).insert(init);
        }
        let key = match order.filler {
            true => filler_key(&folder, rendition, order.number),
            false => segment_key(&folder, rendition, order.number),
        };
        let put = self.place.store.put_new(&key, order.bytes.clone(), &self.meta(&key, Some(&order.init.name))).await?;
        let own = |bytes, digest| TrackCommit { init: order.init.name.clone(), bytes, digest, by: self.place.job };
        Ok(match put {
            Put::Created(stored) => own(stored.bytes, stored.digest),
            // What is committed is what is stored, whoever put it.
            Put::Exists { stored, meta } => {
                let beside = meta.index.as_deref().and_then(|text| serde_json::from_str::<Beside>(text).ok());
                let by = meta.job_key.and_then(|job| job.parse().ok());
                TrackCommit {
                    init: beside.map_or_else(|| order.init.name.clone(), |beside| beside.init),
                    by: by.unwrap_or(self.place.job),
                    ..own(stored.bytes, meta.digest)
                }
            }
        })
    }

    fn meta(&self, key: &str, init: Option<&str>) -> Meta {
        let beside = init.map(|init| Beside { init: init.to_owned() });
        Meta {
            content_type: content_type(key).to_owned(),
            cache_control: CACHE_IMMUTABLE.to_owned(),
            tags: vec![format!("tenant:{}", self.place.tenant), format!("channel:{}", self.place.channel)],
            job_key: Some(self.place.job.to_string()),
            index: beside.and_then(|beside| serde_json::to_string(&beside).ok()),
            ..Meta::default()
        }
    }

    /// Commits a number, as often as it takes to hear what became of it.
    async fn commit(self, number: u64, pending: Pending) -> Done {
        if is_superseded(&self.timelines, pending.timeline.id, number) {
            return Done::Committed;
        }
        let Place { tenant, channel, job, node, .. } = &self.place;
        let (by, node) = (*job, node.clone());
        let tracks = pending.tracks.into_iter().flatten().collect();
        let what = match pending.filler {
            true => Committed::Filler { by, node, tracks },
            false => Committed::Segment { by, node, tracks, flaws: unique(pending.flaws) },
        };
        let name = commit_key(tenant, channel, number);
        let record = Commit { v: COMMIT_VERSION, timeline: pending.timeline.id, number, what, at_ms: now_ms() };
        loop {
            match self.commits.create(&name, &record).await {
                Ok(_) => {
                    locked(&self.counts).committed += 1;
                    self.place.metrics.live_committed(pending.at.elapsed().as_secs_f64());
                    return Done::Committed;
                }
                Err(RecordError::Exists | RecordError::Fenced) => {
                    locked(&self.counts).yielded += 1;
                    return Done::Committed;
                }
                Err(RecordError::Wire(error)) => {
                    tracing::error!(number, %error, "a number cannot be committed");
                    return Done::Committed;
                }
                Err(RecordError::Unavailable(reason)) => {
                    tracing::warn!(number, reason, "a number waits to be committed");
                    tokio::time::sleep(COMMIT_AGAIN).await;
                }
            }
        }
    }
}

fn unique(mut flaws: Vec<Flaw>) -> Vec<Flaw> {
    flaws.sort();
    flaws.dedup();
    flaws
}

/// Unix milliseconds.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
