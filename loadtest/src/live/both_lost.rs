//! `loadtest live both-lost`: both replicas' nodes are killed, and one comes back after a while. Viewers see
//! gaps that are marked, and numbers that go on.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::json;

use super::{
    channel::Asked,
    judge::{Leave, judge},
    report::{Bar, Outcome},
    stage::{Common, Scene, Stage},
};
use crate::{
    machine::now_ms,
    rig::{LOOK, Seat, Seed},
};

/// How long everybody is away.
const AWAY_MS: (u64, u64) = (4_000, 20_000);
/// How much longer the second node is away: long after the first is back on air.
const LATER: Duration = Duration::from_secs(15);
/// How long a channel may take to get back.
const BACK: Duration = Duration::from_secs(60);
/// The promise: from a node's start to a new segment that viewers get.
const BACK_MS: i64 = 10_000;
/// Numbers that are looked at at the end.
const AFTER: u64 = 3;

/// What to run.
#[derive(Clone, Debug)]
pub struct BothLost {
    /// What all trials take.
    pub common: Common,
    /// Decides every choice.
    pub seed: u64,
    /// How often.
    pub times: usize,
}

/// One outage.
#[derive(Clone, Debug, Serialize)]
pub struct Outage {
    /// How long nobody was there, milliseconds.
    pub away_ms: u64,
    /// From the start of a node's process to a new segment in the playlists, milliseconds.
    pub back_ms: i64,
    /// From when that node was ready, milliseconds.
    pub back_ready_ms: i64,
}

/// Runs everything. `say` is told one line now and then.
pub async fn run(lost: &BothLost, mut say: impl FnMut(String)) -> Result<Outcome> {
    let mut seed = Seed::new(lost.seed);
    let scene = Scene { workers: 2, ..Scene::default() };
    let mut stage = Stage::set(&lost.common, &scene, &mut say).await?;
    let uri = stage.source.uri.clone();
    stage.air(&Asked::pair(&uri)).await?;
    let mut outages = Vec::new();
    for _ in 0..lost.times {
        outages.push(outage(&stage, seed.between(AWAY_MS.0, AWAY_MS.1), seed.below(2) == 0, &mut say).await?);
        ensure!(stage.whole(None, BACK).await.is_some(), "the channel is not whole again: {}", stage.said());
    }
    stage.numbers(AFTER, BACK).await?;
    let mut findings = stage.leave().await?;
    let seen = stage.viewer.seen().clone();
    let leave = Leave { gaps: true, breaks: false };
    let verdict = judge(&lost.common.programs.ffmpeg, &seen, stage.source.numbers, leave).await?;
    findings.extend(seen.findings.iter().chain(&verdict.findings).cloned());
    let longest = outages.iter().map(|outage| outage.back_ms).max().unwrap_or_default();
    let ready = outages.iter().map(|outage| outage.back_ready_ms).max().unwrap_or_default();
    let bars = vec![
        Bar::told("outages", outages.len()),
        Bar::at_most("from a node's start to a new segment, longest", longest, BACK_MS, "ms"),
        Bar::told("  from when it was ready", format!("{ready} ms")),
        Bar::told("numbers", verdict.numbers),
        Bar::told("gaps, marked as such", verdict.gaps),
        Bar::none("numbers missing", verdict.missing_numbers),
        Bar::none("discontinuities", verdict.discontinuities),
        Bar::none("pictures missing outside gaps", verdict.missing_pictures),
        Bar::none("pictures repeated", verdict.repeated_pictures),
    ];
    let trial = format!("both-lost, seed {}", lost.seed);
    let detail = json!({"seed": lost.seed, "outages": outages, "verdict": verdict});
    Ok(stage.conclude(Outcome::of(trial, bars, detail, findings), &mut say).await)
}

/// Kills both nodes, and waits until the one that comes back first is on air.
async fn outage(stage: &Stage, away_ms: u64, first: bool, say: &mut impl FnMut(String)) -> Result<Outage> {
    let away = Duration::from_millis(away_ms);
    let [one, two] = ["worker-1", "worker-2"].map(|node| stage.farm.seat(node));
    let (one, two) = (one.context("no first node")?, two.context("no second node")?);
    let (early, late) = if first { (one, two) } else { (two, one) };
    stage.farm.ready(BACK).await?;
    let starts = early.process.starts();
    ensure!(late.process.kill(away + LATER) && early.process.kill(away), "there was nobody to kill");
    let head = stage.viewer.seen().head().unwrap_or_default();
    let started_ms = until(BACK, "a node starts", || early.process.starts() > starts).await?;
    let ready_ms = until(BACK, "a node is ready", || is_back(&early)).await?;
    let back = || stage.viewer.seen().goes_on_ms(head, started_ms);
    until(BACK, "the channel is back", || back().is_some()).await?;
    let back_ms = back().context("it was back a moment ago")?;
    let outage = Outage { away_ms, back_ms: back_ms - started_ms, back_ready_ms: back_ms - ready_ms };
    say(format!("nobody for {away_ms} ms; back {} ms after a node's start", outage.back_ms));
    Ok(outage)
}

fn is_back(seat: &Seat) -> bool {
    seat.process.is_ready()
}

/// Waits for something; tells when it was, Unix milliseconds.
async fn until(limit: Duration, what: &str, mut is_so: impl FnMut() -> bool) -> Result<i64> {
    let deadline = Instant::now() + limit;
    while !is_so() {
        ensure!(Instant::now() < deadline, "{what}: not within {} s", limit.as_secs());
        tokio::time::sleep(LOOK / 4).await;
    }
    Ok(now_ms())
}
