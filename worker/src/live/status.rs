//! What a replica says of itself.

use framemill_schemas::{
    failure::Failure,
    live::{Flaw, REPLICA_STATUS_VERSION, ReplicaStatus, SourceStatus, Timeline, TrackStatus},
};

use super::publish::{Counts, Place, now_ms};

/// How far a replica is, as its loop knows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    /// The last number that was finished in all renditions.
    pub number: Option<u64>,
    /// How long after its end on the channel's clock, milliseconds.
    pub lag_ms: Option<i64>,
    /// When each of the last numbers was finished, Unix milliseconds.
    finished: Vec<(u64, i64)>,
    /// How often the encoder had to be started again.
    pub restarts: u32,
}

/// Numbers over which speed is measured.
const SPEED_OVER: usize = 4;

impl Pace {
    /// A number was finished.
    pub fn finish(&mut self, timeline: &Timeline, number: u64) {
        let at_ms = now_ms();
        self.number = self.number.max(Some(number));
        self.lag_ms = Some(at_ms - timeline.time_ms(number).end);
        if self.finished.last().is_some_and(|(last, _)| last + 1 != number) {
            self.finished.clear();
        }
        self.finished.push((number, at_ms));
        if self.finished.len() > SPEED_OVER {
            self.finished.remove(0);
        }
    }

    /// Another run: how fast the one before was says nothing of it.
    pub fn restart(&mut self) {
        self.finished.clear();
        self.restarts = self.restarts.saturating_add(1);
    }

    /// How fast the last numbers came, thousandths of real time; nothing before there are enough.
    pub fn speed_milli(&self, segment_ms: u64) -> Option<u64> {
        let ((first, since), (last, until)) = (*self.finished.first()?, *self.finished.last()?);
        let took = u64::try_from(until - since).ok().filter(|took| *took > 0)?;
        (self.finished.len() == SPEED_OVER).then(|| (last - first) * segment_ms * 1000 / took)
    }
}

/// Everything of one moment.
pub(super) struct Now<'a> {
    pub place: &'a Place,
    pub timeline: Option<&'a Timeline>,
    pub encoding: bool,
    pub pace: &'a Pace,
    pub counts: Counts,
    pub flaws: Vec<Flaw>,
    pub sources: Vec<SourceStatus>,
    pub trouble: Option<Failure>,
}

/// As it is said.
pub(super) fn status(now: Now<'_>) -> ReplicaStatus {
    let Now { place, timeline, pace, counts, .. } = now;
    let track = |name: &str| TrackStatus { rendition: name.to_owned(), number: counts.stored.get(name).copied() };
    ReplicaStatus {
        v: REPLICA_STATUS_VERSION,
        tenant: place.tenant.clone(),
        channel_id: place.channel.clone(),
        job_id: place.job,
        node: place.node.clone(),
        at_ms: now_ms(),
        timeline: timeline.map(|timeline| timeline.id),
        encoding: now.encoding,
        restarts: pace.restarts,
        number: pace.number,
        lag_ms: pace.lag_ms,
        speed_milli: timeline.and_then(|timeline| pace.speed_milli(timeline.segment_ms())),
        committed: counts.committed,
        yielded: counts.yielded,
        flaws: now.flaws,
        sources: now.sources,
        tracks: timeline.map(|timeline| timeline.renditions().map(track).collect()).unwrap_or_default(),
        trouble: now.trouble,
    }
}
