//! `loadtest chaos`: a saboteur. A farm of separate processes works on a stream of titles while
//! processes are killed and stopped, connections break, the store refuses, and encoders
//! misbehave, at moments that a seed decides. Afterwards everything is judged from outside.
//!
//! `plan` decides what happens when (pure), `strike` breaks the farm, `stream` gives it work, `witness`
//! looks on, `audit` judges, `report` says what came of it.

pub mod audit;
mod clips;
pub mod fault;
mod plan;
pub mod report;
mod settle;
mod stream;
mod strike;
mod witness;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use framemill_queue::{NatsConfig, Queue};
use tokio_util::sync::CancellationToken;

pub use plan::{Planned, plan};
use report::Report;
use stream::Stream;
use strike::Struck;
use witness::Witness;

use crate::rig::{Build, Farm, Folder, Programs, Seed, Wrapper};

/// What to run.
#[derive(Clone, Debug)]
pub struct Chaos {
    /// Decides every choice.
    pub seed: u64,
    /// How long faults happen.
    pub minutes: u64,
    /// How long the farm may take to come to rest afterwards.
    pub settle: Duration,
    /// What the farm is made of.
    pub programs: Programs,
    /// Where logs and data are kept; without it, a temporary folder that is kept only when the
    /// audit finds something.
    pub folder: Option<PathBuf>,
}

/// Jobs a worker or packager runs at once: more than the stream mostly needs, so that there is
/// room elsewhere when one of them is killed.
const SLOTS: u64 = 4;
/// How long an encoder may show no progress, seconds: enough for tiny pictures on a busy machine.
const STALL_S: u64 = 15;
/// Encoders are slowed down, so that faults meet them at work without costing the machine anything.
const PACE: u32 = 3;
/// The stream's choices come from the plan's seed, and are others than the plan's.
const STREAM: u64 = 0x5eed_0f71_71e5;

/// Runs everything. `say` is told one line now and then.
pub async fn run(chaos: &Chaos, mut say: impl FnMut(String)) -> Result<Report> {
    let planned = plan(chaos.seed, chaos.minutes);
    let folder = Folder::make("framemill-chaos-", chaos.folder.as_deref())?;
    say(format!(
        "seed {}: {} faults in {} min; logs in {}",
        chaos.seed,
        planned.len(),
        chaos.minutes,
        folder.path.display()
    ));
    let sources = folder.path.join("clips");
    std::fs::create_dir_all(&sources).context("cannot make a folder for clips")?;
    let clips = clips::make(&chaos.programs.ffmpeg, &sources).await?;
    let build = Build {
        programs: chaos.programs.clone(),
        members: fault::members(),
        slots: SLOTS,
        stall_s: STALL_S,
        busy_percent: None,
        pace: Some(PACE),
    };
    let farm = Arc::new(Farm::start(&build, &folder.path, &sources).await?);
    say("the farm is ready".to_owned());

    let witness = Arc::new(Witness::default());
    let looking = look(&farm, witness.clone()).await?;
    let began = Instant::now();
    let no_more = CancellationToken::new();
    let streaming = tokio::spawn({
        let (farm, witness, stop) = (farm.clone(), witness.clone(), no_more.clone());
        let seed = Seed::new(chaos.seed ^ STREAM);
        async move { stream::run(&farm, &witness, &clips, seed, &stop).await }
    });
    let struck = strike_all(&farm, &witness, &planned, chaos.minutes, began, &mut say).await;
    no_more.cancel();
    let stream = streaming.await.context("the stream of titles broke")?;
    farm.heal();
    let healed = Instant::now();
    say(format!("the faults are over; {} titles were accepted; waiting for rest", stream.accepted.len()));
    let unrest = settle::wait(&farm, &witness, &stream, chaos.settle).await;
    let settled_s = healed.elapsed().as_secs_f64();

    say("auditing".to_owned());
    let mut report = audit_all(chaos, &farm, &witness, &stream, &struck, unrest).await?;
    looking.cancel();
    farm.end_roles().await;
    farm.end_base().await;
    settle::leftovers(&farm, &mut report).await;
    report.settled_s = settled_s;
    report.wall_s = began.elapsed().as_secs_f64();
    if let Some(kept) = folder.end(report.is_clean()) {
        say(format!("logs and data are kept in {}", kept.display()));
    }
    Ok(report)
}

/// Begins to look on; the token ends it.
async fn look(farm: &Farm, witness: Arc<Witness>) -> Result<CancellationToken> {
    let config = NatsConfig { url: format!("nats://127.0.0.1:{}", farm.nats.port), ..NatsConfig::default() };
    let queue = Queue::connect(&config).await.context("the saboteur cannot connect to NATS")?;
    let stop = CancellationToken::new();
    let watching = stop.clone();
    tokio::spawn(async move {
        // A record that cannot be read ends one look, not the looking.
        while let Err(error) = witness.run(&queue, &watching).await {
            tracing::warn!(%error, "looking on is begun again");
        }
    });
    Ok(stop)
}

/// Does the whole plan at its times; returns when the last fault is over.
async fn strike_all(
    farm: &Arc<Farm>,
    witness: &Arc<Witness>,
    planned: &[Planned],
    minutes: u64,
    began: Instant,
    say: &mut impl FnMut(String),
) -> Vec<Struck> {
    let stop = CancellationToken::new();
    let mut strikes = Vec::new();
    let mut minute = 0;
    for Planned { at_ms, fault } in planned.iter().copied() {
        tokio::time::sleep_until((began + Duration::from_millis(at_ms)).into()).await;
        if at_ms / 60_000 > minute {
            minute = at_ms / 60_000;
            let ended = witness.seen().assets.values().filter(|asset| asset.state.is_terminal()).count();
            say(format!("minute {minute} of {minutes}: {} faults, {ended} titles at an end", strikes.len()));
        }
        let (farm, witness, stop) = (farm.clone(), witness.clone(), stop.clone());
        strikes.push(tokio::spawn(async move { strike::strike(&farm, &witness, fault, &stop).await }));
    }
    tokio::time::sleep_until((began + Duration::from_secs(minutes * 60)).into()).await;
    stop.cancel();
    let mut struck = Vec::new();
    for strike in strikes {
        // A strike that broke has struck nobody.
        struck.extend(strike.await.ok());
    }
    struck
}

/// Judges everything while the farm stands.
async fn audit_all(
    chaos: &Chaos,
    farm: &Farm,
    witness: &Witness,
    stream: &Stream,
    struck: &[Struck],
    unrest: Vec<framemill_schemas::finding::Finding>,
) -> Result<Report> {
    let faults = report::count(struck);
    let kinds = faults.iter().filter(|(_, count)| count.struck > 0).map(|(kind, count)| (kind.clone(), count.struck));
    let judged = settle::judge(chaos, farm, witness, stream, &kinds.collect()).await?;
    let puts: Vec<String> = farm.seats.values().flat_map(|seat| seat.store.puts()).collect();
    let vain: Vec<String> = farm.seats.values().flat_map(|seat| seat.store.vain_puts()).collect();
    let mut tricks = std::collections::BTreeMap::new();
    for taken in farm.seats.values().filter_map(|seat| seat.wrapper.as_ref()).map(Wrapper::taken) {
        taken.into_iter().for_each(|(trick, count)| *tricks.entry(trick).or_default() += count);
    }
    let mut findings = unrest;
    findings.extend(stream.findings.iter().cloned());
    findings.extend(judged.findings);
    let recoveries = witness.seen().recoveries.clone();
    Ok(Report {
        seed: chaos.seed,
        minutes: chaos.minutes,
        wall_s: 0.0,
        settled_s: 0.0,
        kills: struck.iter().filter(|one| one.hit && one.fault.is_kill()).count() as u64,
        tricks,
        recovery: report::recoveries(&recoveries, struck),
        work: report::work(&puts, &vain),
        assets: judged.fates,
        failed_starts: farm.seats.values().map(|seat| seat.process.failed_starts()).sum(),
        duplicate_commits: judged.duplicate_commits,
        invalid_outputs: judged.invalid_outputs,
        leftover_processes: 0,
        faults,
        findings,
    })
}
