//! Where a replica goes, and how soon.

use std::collections::BTreeSet;

use framemill_schemas::{
    failure::{Class, Failure},
    ids::{JobId, NodeId},
    inventory::Engine,
    ladder::EnginePolicy,
    lane::{Demand, Lane, Priority, Size},
    live::{ChannelRecord, ChannelState, Edition, Replica},
    load::Load,
};

use super::{Facts, symptoms::Blame, tell};
use crate::ops::channel::Told;

/// How long a node that failed a replica is tried only after others.
const SHUNNED_MS: i64 = 60_000;
/// Most nodes that are remembered so.
const SHUNNED_MAX: usize = 32;
/// Shortest time from placing a replica to placing the one that follows it, doubled with each in a row
/// that ended before it published.
const REST_MS: i64 = 5_000;
const REST_MS_MAX: i64 = 60_000;

/// How long replicas go anywhere after nobody in another zone took one.
pub(super) const ANYWHERE_MS: i64 = 60_000;
/// Most nodes that a replica is kept apart from for their zone: a record holds their names. In a larger zone
/// it may meet its peer, and the record says so.
const NEAR_MAX: usize = 1024;

/// Where a replica is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub engine: Engine,
    pub apart: Vec<NodeId>,
}

/// What became of the wish to place a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// All are placed.
    Enough,
    /// Another was placed, and perhaps more follow.
    One,
    /// Who was placed before is waited for: where it runs, the next must not.
    Later,
    /// Replicas keep failing.
    Rests,
    /// Nobody could take it.
    Nowhere(Failure),
}

/// The lane of an edition's jobs, as far as its ladder tells.
pub fn lane_of(edition: &Edition, engine: Engine) -> Lane {
    lane_for(edition, engine, &Load::of_ladder(&edition.ladder))
}

/// The lane of a job of this load.
pub(super) fn lane_for(edition: &Edition, engine: Engine, load: &Load) -> Lane {
    let codec = edition.ladder.video.first().map_or(framemill_schemas::ladder::VideoCodec::H264, |rung| rung.codec);
    let size = Size::of_pixel_rate(load.pixels_per_s);
    let engine = if engine == Engine::Software { Demand::Any } else { Demand::Nvenc };
    Lane::Encode { engine, codec, size, priority: Priority::Live }
}

/// Places one replica where one is missing. The second waits until it is known where the first runs.
pub(super) fn place(next: &mut ChannelRecord, facts: &Facts<'_>) -> Placed {
    if next.replicas.len() >= next.edition.redundancy as usize {
        return Placed::Enough;
    }
    if facts.now_ms < next.upkeep.rest_ms {
        return Placed::Rests;
    }
    if next.replicas.iter().any(|replica| replica.node.is_none()) {
        return Placed::Later;
    }
    let Place { engine, apart } = match choose(next, facts) {
        Ok(place) => place,
        Err(failure) => return Placed::Nowhere(failure),
    };
    next.placed += 1;
    let job = JobId::derive(next.asset, 1, &unit(next.placed), 0);
    let placed_ms = facts.now_ms;
    next.replicas.push(Replica { job, node: None, apart, placed_ms, proven: false, engine });
    Placed::One
}

/// Says that a replica took the place of one that was lost, where one did.
pub(super) fn tell_failover(next: &mut ChannelRecord, why: Option<&Failure>, facts: &Facts<'_>) {
    if next.upkeep.lost == 0 || next.state == ChannelState::Starting {
        return;
    }
    next.upkeep.lost -= 1;
    let job = next.replicas.last().map(|replica| replica.job);
    let about = job.map_or_else(String::new, |job| job.to_string());
    tell(next, "failover", &about, Told { why, job, node: None }, facts);
}

/// What a replica is within its channel.
pub(super) fn unit(placed: u32) -> String {
    format!("live/{placed}")
}

/// Where the next replica goes: on another node than its peers, in another zone where somebody there could
/// take it, and rather not where one failed lately. A node that does well is worth more than another zone.
///
/// # Errors
/// Why there is no such node.
pub(super) fn choose(record: &ChannelRecord, facts: &Facts<'_>) -> Result<Place, Failure> {
    let engine = engine(record, facts);
    let peers: BTreeSet<NodeId> = record.replicas.iter().filter_map(|replica| replica.node.clone()).collect();
    let able = facts.fleet.with(engine);
    let free: BTreeSet<&NodeId> = able.difference(&peers).collect();
    let shunned: BTreeSet<NodeId> = record.shunned.iter().map(|(node, _)| node.clone()).collect();
    let near = near(&peers, able, facts);
    let mut well = free.iter().filter(|node| !shunned.contains(**node)).peekable();
    if well.peek().is_some() {
        let looks_far = facts.now_ms >= record.upkeep.anywhere_ms && well.any(|node| !near.contains(*node));
        let apart: BTreeSet<NodeId> = peers.union(&shunned).cloned().collect();
        let near = near.into_iter().filter(|_| looks_far);
        return Ok(Place {
            engine,
            apart: apart.into_iter().chain(near).collect::<BTreeSet<_>>().into_iter().collect(),
        });
    }
    if !free.is_empty() || peers.is_empty() {
        // Somebody who failed is better than nobody, though rather not who failed last; and the first waits
        // for whoever comes.
        let last = record.shunned.iter().max_by_key(|(_, at_ms)| *at_ms).map(|(node, _)| node.clone());
        let last = last.filter(|last| free.iter().any(|node| *node != last));
        return Ok(Place { engine, apart: peers.into_iter().chain(last).collect() });
    }
    let on = if engine == Engine::Software { "" } else { " on a GPU" };
    let reason = format!("there is no second node that encodes it{on}");
    Err(Failure::new(Class::Resource, "no-second-node", reason)
        .mend("add a worker on another machine, or resume one that takes nothing: framemill node ls"))
}

/// Nodes that share a zone with one of the peers.
fn near(peers: &BTreeSet<NodeId>, able: &BTreeSet<NodeId>, facts: &Facts<'_>) -> BTreeSet<NodeId> {
    let shares = |node: &&NodeId| peers.iter().any(|peer| facts.fleet.shared_zone(peer, node).is_some());
    able.iter().filter(shares).take(NEAR_MAX).cloned().collect()
}

/// What encodes the next replica: the same as its peer. Of GPUs that are only preferred, a pair on
/// processors is worth more than one alone.
fn engine(record: &ChannelRecord, facts: &Facts<'_>) -> Engine {
    if let Some(peer) = record.replicas.first() {
        return peer.engine;
    }
    let wanted = record.edition.redundancy as usize;
    let (hardware, software) = (facts.fleet.hardware.len(), facts.fleet.software.len());
    match record.edition.ladder.engine {
        EnginePolicy::Software => Engine::Software,
        EnginePolicy::RequireHardware => Engine::Nvenc,
        EnginePolicy::PreferHardware if hardware >= wanted || hardware >= software.max(1) => Engine::Nvenc,
        EnginePolicy::PreferHardware => Engine::Software,
    }
}

/// A replica was lost: when the next may be placed, and where rather not.
pub(super) fn rest_after(next: &mut ChannelRecord, replica: &Replica, blame: Blame, now_ms: i64) {
    if blame != Blame::Nobody {
        next.upkeep.strikes = if replica.proven { 0 } else { next.upkeep.strikes.saturating_add(1) };
    }
    if let (Blame::Node, Some(node)) = (blame, &replica.node) {
        next.shunned.retain(|(shunned, _)| shunned != node);
        next.shunned.push((node.clone(), now_ms));
        if next.shunned.len() > SHUNNED_MAX {
            next.shunned.remove(0);
        }
    }
    let rest_ms = (REST_MS << next.upkeep.strikes.min(8)).min(REST_MS_MAX);
    next.upkeep.rest_ms = next.upkeep.rest_ms.max(replica.placed_ms + rest_ms);
}

/// Forgets nodes that failed long enough ago, and a pause that is over.
pub(super) fn forgive(next: &mut ChannelRecord, now_ms: i64) {
    next.shunned.retain(|(_, at_ms)| now_ms - at_ms < SHUNNED_MS);
    for until_ms in [&mut next.upkeep.rest_ms, &mut next.upkeep.anywhere_ms] {
        if *until_ms <= now_ms {
            *until_ms = 0;
        }
    }
}
