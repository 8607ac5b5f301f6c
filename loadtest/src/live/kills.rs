//! `loadtest live kills`: one replica of a channel is struck again and again, each time after both are
//! there again, and no viewer may notice.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use framemill_schemas::finding::Finding;
use serde::Serialize;
use serde_json::json;

use super::{
    channel::{Asked, SEGMENT_MS},
    faults::{Kind, Strike, plan},
    judge::{Leave, judge},
    judges::{Player, parse},
    report::{Bar, Outcome},
    stage::{Common, Scene, Stage},
    strike::strike,
    tolds::Tale,
};
use crate::{chaos::audit::commits, figures::Spread, machine::now_ms};

/// How long redundancy may be gone before the trial gives up.
const RESTORED: Duration = Duration::from_secs(90);
/// How long a struck process may take until it is ready again.
const READY: Duration = Duration::from_secs(60);
/// The promise: redundancy restored.
const RESTORED_MS: i64 = 15_000;
/// The promise: age of a playlist, thousandths of a segment; and while the replica that is left holds back.
const AGE_MILLI: i64 = 1500;
const AGE_HELD_MILLI: i64 = 2000;
/// Numbers that are looked at after the last strike.
const AFTER: u64 = 3;

/// What to run.
#[derive(Clone, Debug)]
pub struct Kills {
    /// What all trials take.
    pub common: Common,
    /// Decides every choice.
    pub seed: u64,
    /// How many strikes.
    pub strikes: usize,
    /// Folder of the outside judges: a player before the trial, and a parser of its playlists.
    pub judges: Option<PathBuf>,
}

/// A strike, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was done.
    pub strike: Strike,
    /// To which node.
    pub node: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// How long until both replicas worked again, milliseconds; nothing where they did not.
    pub restored_ms: Option<i64>,
    /// The longest time that a playlist stood still, milliseconds.
    pub stood_ms: i64,
    /// Whether a replica held back meanwhile.
    pub held: bool,
    /// What was told of it.
    pub tale: Tale,
}

/// Runs everything. `say` is told one line now and then.
pub async fn run(kills: &Kills, mut say: impl FnMut(String)) -> Result<Outcome> {
    let strikes = plan(kills.seed, kills.strikes);
    let mut stage = Stage::set(&kills.common, &Scene::default(), &mut say).await?;
    let uri = stage.source.uri.clone();
    stage.air(&Asked::pair(&uri)).await?;
    let player = match &kills.judges {
        Some(judges) => Some(Player::begin(judges, &stage.serve().await?, &stage.look.folder).await?),
        None => None,
    };
    say(format!("on air; seed {}, {} strikes", kills.seed, strikes.len()));
    let mut findings = Vec::new();
    let mut rows = strike_all(&mut stage, &strikes, &mut findings, &mut say).await?;
    if let Err(error) = stage.numbers(AFTER, RESTORED).await {
        findings.push(Finding::error("off-air", "after the last strike", error, "new numbers"));
    }
    say("the strikes are over".to_owned());
    let end_ms = now_ms();
    let (mut others, mut said) = (Vec::new(), serde_json::Map::new());
    if let Some(player) = player {
        let (bars, account) = player.end(&mut findings).await?;
        others.extend(bars);
        said.insert("player".to_owned(), account);
    }
    let events = commits::read(&stage.nats()).await?.events;
    settle(&stage, &mut rows, &events, end_ms, &mut findings);
    findings.extend(stage.leave().await?);
    say("judging what viewers got".to_owned());
    let seen = stage.viewer.seen().clone();
    let verdict = judge(&kills.common.programs.ffmpeg, &seen, stage.source.numbers, Leave::default()).await?;
    findings.extend(seen.findings.iter().cloned());
    findings.extend(verdict.findings.iter().cloned());
    if let Some(judges) = &kills.judges {
        let (bars, account) = parse(judges, &stage.look.versions(), &mut findings).await?;
        others.extend(bars);
        said.insert("playlists".to_owned(), account);
    }
    let detail = json!({"seed": kills.seed, "strikes": rows, "verdict": verdict, "others": said});
    let trial = format!("kills, seed {}", kills.seed);
    let mut bars = bars(&rows, &verdict);
    bars.extend(others);
    Ok(stage.conclude(Outcome::of(trial, bars, detail, findings), &mut say).await)
}

/// Strikes again and again, until one is not mended.
async fn strike_all(
    stage: &mut Stage,
    strikes: &[Strike],
    findings: &mut Vec<Finding>,
    say: &mut impl FnMut(String),
) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for (index, planned) in strikes.iter().enumerate() {
        let at = format!("strike {} ({})", index + 1, planned.kind.as_str());
        // A node that is away is no place for a replacement, and the next strike would say nothing.
        stage.farm.ready(READY).await?;
        if stage.whole(None, RESTORED).await.is_none() {
            findings.push(Finding::error("not-whole", &at, stage.said(), "both replicas"));
            break;
        }
        if !stage.source.is_sent() {
            findings.push(Finding::error("source-ended", &at, "the sender ended", "a source for the whole trial"));
            break;
        }
        tokio::time::sleep(Duration::from_millis(planned.rest_ms)).await;
        let Some(row) = strike_one(stage, planned).await else {
            findings.push(Finding::error("nobody-struck", &at, stage.said(), "a replica"));
            continue;
        };
        say(format!("{at} on {}: whole after {} ms", row.node, row.restored_ms.unwrap_or(-1)));
        let restored = row.restored_ms.is_some();
        rows.push(row);
        if !restored {
            findings.push(Finding::error("not-restored", &at, stage.said(), "both replicas"));
            break;
        }
    }
    Ok(rows)
}

/// Strikes once, and waits until everything is mended.
async fn strike_one(stage: &Stage, planned: &Strike) -> Option<Row> {
    let detail = stage.watch.detail()?;
    let struck = strike(&stage.farm, &detail, planned)?;
    let restored = stage.whole(Some(&struck.blow), RESTORED).await;
    // A strike that broke struck nobody; there is nothing to mend.
    let _ = struck.over.await;
    Some(Row {
        strike: *planned,
        node: struck.node,
        at_ms: struck.at_ms,
        restored_ms: restored.map(|at_ms| at_ms - struck.at_ms),
        stood_ms: 0,
        held: false,
        tale: Tale::default(),
    })
}

/// What each strike was followed by, until the next.
fn settle(stage: &Stage, rows: &mut [Row], events: &[commits::Told], end_ms: i64, findings: &mut Vec<Finding>) {
    let ends: Vec<i64> = rows.iter().skip(1).map(|row| row.at_ms).chain([end_ms]).collect();
    let seen = stage.viewer.seen();
    let said = stage.watch.said();
    for (index, (row, end_ms)) in rows.iter_mut().zip(ends).enumerate() {
        row.stood_ms = seen.stood_ms(row.at_ms, end_ms);
        row.held = said.flawed_ms.iter().any(|at_ms| (row.at_ms..end_ms).contains(at_ms));
        row.tale = Tale::of(events, row.at_ms, end_ms);
        let at = format!("strike {} ({}) on {}", index + 1, row.strike.kind.as_str(), row.node);
        findings.extend(row.tale.judge(&at, row.strike.kind));
    }
}

fn bars(rows: &[Row], verdict: &super::judge::Verdict) -> Vec<Bar> {
    let restored: Vec<i64> = rows.iter().filter_map(|row| row.restored_ms).collect();
    let spread = Spread::of(restored);
    let segment = SEGMENT_MS.cast_signed();
    let age = |held: bool| {
        let ages = rows.iter().filter(|row| row.held == held).map(|row| row.stood_ms * 1000 / segment);
        ages.max().unwrap_or_default()
    };
    let mut bars = vec![
        Bar::told("strikes", rows.len()),
        Bar::none("strikes after which redundancy did not come back", (rows.len() - spread.count) as u64),
        Bar::told("redundancy restored, p50", format!("{} ms", spread.p50_ms)),
        Bar::told("redundancy restored, p99", format!("{} ms", spread.p99_ms)),
        Bar::at_most("redundancy restored, longest", spread.max_ms, RESTORED_MS, "ms"),
        Bar::at_most("age of a playlist, longest", age(false), AGE_MILLI, "thousandths of a segment"),
        Bar::at_most("  while a replica held back", age(true), AGE_HELD_MILLI, "thousandths of a segment"),
        Bar::told("numbers", verdict.numbers),
        Bar::none("numbers missing", verdict.missing_numbers),
        Bar::none("gaps", verdict.gaps),
        Bar::none("discontinuities", verdict.discontinuities),
        Bar::told("pictures decoded, all renditions", verdict.pictures),
        Bar::none("pictures missing", verdict.missing_pictures),
        Bar::none("pictures repeated", verdict.repeated_pictures),
        Bar::told("samples of sound decoded", verdict.samples),
        Bar::none("samples of silence in place of the tone", verdict.silent_samples),
    ];
    for kind in Kind::ALL {
        let of = rows.iter().filter(|row| row.strike.kind == kind);
        let spread = Spread::of(of.clone().filter_map(|row| row.restored_ms).collect());
        let stood = of.clone().map(|row| row.stood_ms).max().unwrap_or_default();
        let (p50, max) = (spread.p50_ms, spread.max_ms);
        let text = format!("{}: whole after p50 {p50} ms, longest {max} ms; playlist stood {stood} ms", of.count());
        bars.push(Bar::told(format!("  {}", kind.as_str()), text));
    }
    bars
}
