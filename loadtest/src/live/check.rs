//! `loadtest live check`: a channel's playlists over a long time, with a change of its ladder in the middle;
//! by our rules as they come, and by another's parser afterwards.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    channel::Asked,
    judge::{Leave, judge},
    judges::parse,
    report::{Bar, Outcome},
    stage::{Common, Scene, Stage},
};

/// How long new numbers may take.
const NUMBERS: Duration = Duration::from_secs(30);
/// Numbers that are looked at after a change.
const AFTER: u64 = 3;

/// What to run.
#[derive(Clone, Debug)]
pub struct Check {
    /// What all trials take.
    pub common: Common,
    /// How long.
    pub span: Duration,
    /// Folder of the outside judges; without it, only our own rules judge.
    pub judges: Option<PathBuf>,
}

/// Runs everything. `say` is told one line now and then.
pub async fn run(check: &Check, mut say: impl FnMut(String)) -> Result<Outcome> {
    let mut stage = Stage::set(&check.common, &Scene { workers: 2, ..Scene::default() }, &mut say).await?;
    let uri = stage.source.uri.clone();
    let asked = Asked::pair(&uri);
    stage.air(&asked).await?;
    say(format!("on air; looking for {} s", check.span.as_secs()));
    tokio::time::sleep(check.span / 2).await;
    // The same renditions at another rate: another timeline, and one marked discontinuity.
    stage.start(&Asked { heights: &[144, 72], kbps_percent: 80, ..asked }).await?;
    say("the ladder is changed".to_owned());
    tokio::time::sleep(check.span / 2).await;
    stage.numbers(AFTER, NUMBERS).await?;
    let mut findings = stage.leave().await?;
    let seen = stage.viewer.seen().clone();
    let leave = Leave { gaps: false, breaks: true };
    let verdict = judge(&check.common.programs.ffmpeg, &seen, stage.source.numbers, leave).await?;
    findings.extend(seen.findings.iter().chain(&verdict.findings).cloned());
    let versions: u64 = seen.tracks.values().map(|track| track.versions).sum();
    let (others, outside) = match &check.judges {
        Some(judges) => parse(judges, &stage.look.versions(), &mut findings).await?,
        None => (vec![Bar::told("hls-parser, strict", "not run: no --judges")], Value::Null),
    };
    let breaks = verdict.discontinuities;
    let mut bars = vec![
        Bar::told("versions of playlists", versions),
        Bar::none("versions that break our rules", seen.findings.len() as u64),
        Bar::told("numbers", verdict.numbers),
        Bar::none("numbers missing", verdict.missing_numbers),
        Bar::none("gaps", verdict.gaps),
        Bar::none("discontinuities beside the one of the change", breaks.abs_diff(1)),
        Bar::none("pictures missing", verdict.missing_pictures),
        Bar::none("pictures repeated", verdict.repeated_pictures),
    ];
    bars.extend(others);
    let trial = format!("check over {} s", check.span.as_secs());
    let detail = json!({"verdict": verdict, "outside": outside});
    Ok(stage.conclude(Outcome::of(trial, bars, detail, findings), &mut say).await)
}
