//! Making another timeline where one is called for, unless the peer is faster.

use std::time::{Duration, Instant};

use framemill_schemas::{
    inventory::Engine,
    live::{ChannelRecord, ReplicaStatus, Timelines},
};
use uuid::Uuid;

use super::{
    super::{
        decide::{Facts, Why, turn},
        plan::{Ground, timeline},
        publish::now_ms,
        source::Seen,
    },
    Replica,
};

/// How much longer than a segment a timeline that only its owner can encode may stand still.
const ORPHANED: Duration = Duration::from_secs(1);
/// Pause between two tries to make a timeline.
const TURN_AGAIN: Duration = Duration::from_millis(500);

impl Replica {
    /// Makes another timeline where one is necessary, unless the peer is faster.
    pub(super) async fn turn(&mut self, channel: &ChannelRecord, timelines: &Timelines, revision: u64, seen: &[Seen]) {
        if self.turned.is_some_and(|at| at.elapsed() < TURN_AGAIN) {
            return;
        }
        let facts = Facts {
            edition: &channel.edition,
            last: timelines.last(),
            seen,
            peer_is_fine: self.peer_is_fine(timelines),
            orphaned: self.is_orphaned(timelines),
            other_engine: timelines
                .last()
                .is_some_and(|last| last.nvenc.is_some() != (self.means.engine == Engine::Nvenc)),
            free: self.log.head.borrow().free(),
            now_ms: now_ms(),
        };
        let Some(turn) = turn(&facts) else { return };
        self.turned = Some(Instant::now());
        let Some(format) = seen[turn.source].format.as_ref() else { return };
        let random = Uuid::new_v4().simple().to_string();
        let shares = channel.edition.sources[turn.source].kind.shares_clock();
        let ground = Ground {
            edition: &channel.edition,
            source: turn.source as u32,
            format,
            engine: self.means.engine,
            before: timelines,
            free: facts.free,
            now_ms: facts.now_ms,
            random: &random[..8],
            owner: (!shares).then_some(self.means.place.job),
            not_before_ms: channel.on_air.begins_ms(facts.now_ms),
        };
        let made = match timeline(ground, turn.begin) {
            Ok(made) => made,
            Err(failure) => {
                self.trouble = Some(failure);
                return;
            }
        };
        let (id, first, why) = (made.id, made.first, turn.why);
        match self.log.store(&timelines.with(made), revision).await {
            Ok(true) => tracing::info!(timeline = id, first, ?why, "a timeline was made"),
            Ok(false) => tracing::debug!(timeline = id, "somebody else made a timeline"),
            Err(error) => tracing::warn!(%error, "a timeline cannot be stored yet"),
        }
        if why != Why::First {
            self.filled = None;
        }
    }

    /// Whether the peer encodes the last timeline, from a source that it reads.
    pub(super) fn peer_is_fine(&self, timelines: &Timelines) -> bool {
        let peer = self.log.peer.borrow();
        let Some(status) = peer.now() else { return false };
        status.encoding && reads(status) && status.timeline == timelines.last().map(|last| last.id)
    }

    /// Whether the peer reads the source of the last timeline it knows.
    pub(super) fn peer_reads(&self) -> bool {
        self.log.peer.borrow().now().is_some_and(reads)
    }

    /// Whether the last timeline is another replica's own, and nothing comes of that one any more.
    pub(super) fn is_orphaned(&self, timelines: &Timelines) -> bool {
        let Some(last) = timelines.last() else { return false };
        if last.owner.is_none_or(|owner| owner == self.means.place.job) || self.peer_is_fine(timelines) {
            return false;
        }
        let patience = Duration::from_millis(last.segment_ms()) + ORPHANED;
        let silent = self.log.head.borrow().segment_at.map_or(self.began.elapsed(), |at| at.elapsed());
        silent > patience && self.began.elapsed() > patience
    }
}

fn reads(status: &ReplicaStatus) -> bool {
    status.sources.iter().any(|source| source.active && source.reachable)
}
