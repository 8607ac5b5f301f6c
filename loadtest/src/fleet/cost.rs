//! What deciding costs: the claim policy on a full node, and one reading of this machine.

use std::time::{Duration, Instant};

use framemill_queue::runner::Offer;
use framemill_schemas::{inventory::Inventory, job::JobRecord, load::Load};
use framemill_worker::{
    headroom::{Headroom, HeadroomConfig, Node},
    now::Now,
    script::{Description, Script},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::work;

/// Decisions that are timed.
const DECISIONS: u32 = 20_000;
/// Jobs that a busy node runs.
const RUNNING: usize = 24;

/// Mean time of one decision of a node of eight GPUs that runs so many jobs.
pub(super) async fn decision() -> Duration {
    let script =
        Script::start(Description::read("gpus: [{ model: L40S, count: 8 }]").expect("it is right"), Instant::now());
    let config = HeadroomConfig { start_gap_ms: 100, ..HeadroomConfig::default() };
    let node = Node::of(&script.inventory(Inventory::default()), &config, 8);
    let now = Now::default();
    let at = Instant::now();
    now.set_gpus(script.read(at), at);
    let headroom = Headroom::new(node, &config, now.clone());
    let mut room = headroom.room();
    let asks: Vec<_> = work::mixed(100, 10).iter().map(ask).collect();
    let mut seats = Vec::new();
    for ask in asks.iter().cycle().take(asks.len() * 20) {
        if seats.len() == RUNNING {
            break;
        }
        room.look(Instant::now());
        let claim = Uuid::new_v4();
        match room.take(claim, *ask) {
            Offer::Take(_) => {
                let mut seated = headroom.start(claim, &CancellationToken::new()).await;
                if let Some(seated) = &mut seated {
                    seated.first_picture();
                }
                seats.push(seated);
            }
            // Every device has just started one.
            _ => tokio::time::sleep_until(room.due().unwrap_or_else(Instant::now).into()).await,
        }
    }
    let at = Instant::now();
    let begun = Instant::now();
    for ask in asks.iter().cycle().take(DECISIONS as usize) {
        room.look(at);
        std::hint::black_box(headroom.offer(ask));
    }
    begun.elapsed() / DECISIONS
}

fn ask(job: &JobRecord) -> framemill_queue::runner::Ask {
    framemill_queue::runner::Ask { lane: job.lane, load: Load::of(&job.spec) }
}
