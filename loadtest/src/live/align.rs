//! `loadtest live align`: whether replicas cut one source at the same pictures, whatever happens: at several
//! picture rates, across a wrap of the source's timestamps, across the loss of each of them, and across a
//! restart of everything but NATS and the store.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use framemill_schemas::{live::WRAP_TICKS, rate::Ratio};
use serde_json::{Value, json};

use super::{
    channel::Asked,
    faults::{Kind, Strike},
    judge::{Leave, judge},
    report::{Bar, Outcome},
    source::Signal,
    stage::{Common, Scene, Stage},
    strike::strike,
};
use crate::rig::{Link, Trouble};

/// Picture rates that are tried.
pub const RATES: [(u32, u32); 4] = [(25, 1), (30_000, 1001), (50, 1), (60_000, 1001)];
/// How long before its timestamps begin anew a source starts, seconds.
const BEFORE_WRAP_S: u64 = 45;
/// Ticks of timestamps in a second.
const TICKS_PER_S: u64 = 90_000;
/// How long a channel may take to be whole again.
const WHOLE: Duration = Duration::from_secs(90);
/// How long everybody is away in the restart.
const AWAY: Duration = Duration::from_millis(500);
/// Numbers that are looked at after each thing that happens.
const AFTER: u64 = 3;

/// What one rate came to.
struct Row {
    bars: Vec<Bar>,
    detail: Value,
    findings: Vec<framemill_schemas::finding::Finding>,
    source: String,
    wall_s: f64,
}

/// Tries all rates, or only the one that is named in thousandths of a picture a second.
pub async fn run(common: &Common, only: Option<(u32, u32)>, mut say: impl FnMut(String)) -> Result<Outcome> {
    let mut outcome = Outcome::of("align".to_owned(), Vec::new(), Value::Null, Vec::new());
    let mut details = Vec::new();
    for rate in RATES.into_iter().filter(|rate| only.is_none_or(|only| only == *rate)) {
        let row = one(common, rate, &mut say).await.with_context(|| format!("at {}/{}", rate.0, rate.1))?;
        outcome.bars.extend(row.bars);
        outcome.findings.extend(row.findings);
        outcome.wall_s += row.wall_s;
        outcome.source = row.source;
        details.push(row.detail);
    }
    outcome.detail = json!(details);
    Ok(outcome)
}

async fn one(common: &Common, (num, den): (u32, u32), say: &mut impl FnMut(String)) -> Result<Row> {
    let named = common.folder.as_ref().map(|folder| folder.join(format!("{num}-{den}")));
    let common = Common { folder: named, ..common.clone() };
    let rate = Ratio::new(num, den).context("not a rate")?;
    let signal = Signal { rate, starts_s: WRAP_TICKS / TICKS_PER_S - BEFORE_WRAP_S, ..Signal::PLAIN };
    let mut stage = Stage::set(&common, &Scene { signal, ..Scene::default() }, say).await?;
    let sent = std::time::Instant::now();
    let uri = stage.source.uri.clone();
    stage.air(&Asked::pair(&uri)).await?;
    say(format!("{num}/{den}: on air"));
    for (replica, kind) in [(0, Kind::KillEncoder), (1, Kind::KillWorker)] {
        struck(&stage, replica, kind).await?;
    }
    // The source's timestamps begin anew while both replicas run.
    let left = Duration::from_secs(BEFORE_WRAP_S + 5).saturating_sub(sent.elapsed());
    tokio::time::sleep(left).await;
    stage.numbers(AFTER, WHOLE).await?;
    struck(&stage, 0, Kind::KillWorker).await?;
    say(format!("{num}/{den}: over the wrap"));
    restart(&stage).await?;
    say(format!("{num}/{den}: over a restart of everything"));
    let timelines = stage.watch.detail().and_then(|detail| detail.timeline).unwrap_or_default();
    let mut findings = stage.leave().await?;
    let seen = stage.viewer.seen().clone();
    // Nobody encodes while nobody is there.
    let leave = Leave { gaps: true, breaks: false };
    let verdict = judge(&common.programs.ffmpeg, &seen, stage.source.numbers, leave).await?;
    findings.extend(seen.findings.iter().chain(&verdict.findings).cloned());
    let inits: BTreeSet<_> =
        seen.tracks.values().flat_map(|track| track.inits.keys()).filter(|init| !init.is_empty()).collect();
    let is = |what: &str| format!("{num}/{den}: {what}");
    let bars = vec![
        Bar::told(is("numbers"), verdict.numbers),
        Bar::none(is("numbers missing"), verdict.missing_numbers),
        Bar::told(is("gaps, at the restart"), verdict.gaps),
        Bar::none(is("timelines beyond the first"), u64::from(timelines.saturating_sub(1))),
        Bar::none(is("inits beyond one a rendition"), (inits.len() - seen.tracks.len().min(inits.len())) as u64),
        Bar::none(is("discontinuities"), verdict.discontinuities),
        Bar::none(is("segments of another length"), verdict.odd_lengths),
        Bar::none(is("pictures missing"), verdict.missing_pictures),
        Bar::none(is("pictures repeated"), verdict.repeated_pictures),
    ];
    let detail = json!({"rate": [num, den], "verdict": verdict});
    let outcome = stage.conclude(Outcome::of(is("align"), bars, detail, findings), say).await;
    Ok(Row {
        bars: outcome.bars,
        detail: outcome.detail,
        findings: outcome.findings,
        source: outcome.source,
        wall_s: outcome.wall_s,
    })
}

/// Strikes one replica, and waits until both are there again and went on for a while.
async fn struck(stage: &Stage, replica: u8, kind: Kind) -> Result<()> {
    stage.farm.ready(WHOLE).await?;
    ensure!(stage.whole(None, WHOLE).await.is_some(), "the channel is not whole: {}", stage.said());
    let detail = stage.watch.detail().context("nothing was said of the channel")?;
    let planned = Strike { kind, replica, length_ms: 500, rest_ms: 0, links: &[Link::Nats], trouble: Trouble::Refuse };
    let struck = strike(&stage.farm, &detail, &planned).context("there was nobody to strike")?;
    let whole = stage.whole(Some(&struck.blow), WHOLE).await;
    ensure!(whole.is_some(), "redundancy does not come back: {}", stage.said());
    stage.numbers(AFTER, WHOLE).await
}

/// Kills every role at once.
async fn restart(stage: &Stage) -> Result<()> {
    for seat in stage.farm.seats.values() {
        seat.process.kill(AWAY);
    }
    stage.farm.ready(WHOLE).await?;
    stage.numbers(AFTER, WHOLE).await?;
    ensure!(stage.whole(None, WHOLE).await.is_some(), "the channel is not whole again: {}", stage.said());
    stage.numbers(AFTER, WHOLE).await
}
