//! `loadtest live check`: a channel's playlists over a long time, with a change of its ladder in the middle;
//! by our rules as they come, and by another's parser afterwards.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result};
use framemill_schemas::finding::Finding;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{
    channel::Asked,
    judge::{Leave, judge},
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
    let outside = match &check.judges {
        Some(judges) => Some(others(judges, &stage.look.archive.join("versions"), &mut findings).await?),
        None => None,
    };
    let breaks = verdict.discontinuities;
    let bars = vec![
        Bar::told("versions of playlists", versions),
        Bar::none("versions that break our rules", seen.findings.len() as u64),
        outside.as_ref().map_or_else(
            || Bar::told("hls-parser, strict", "not run: no --judges"),
            |said| Bar::none("versions that hls-parser refuses", said["refused"].as_u64().unwrap_or(u64::MAX)),
        ),
        Bar::told("numbers", verdict.numbers),
        Bar::none("numbers missing", verdict.missing_numbers),
        Bar::none("gaps", verdict.gaps),
        Bar::none("discontinuities beside the one of the change", breaks.abs_diff(1)),
        Bar::none("pictures missing", verdict.missing_pictures),
        Bar::none("pictures repeated", verdict.repeated_pictures),
    ];
    let trial = format!("check over {} s", check.span.as_secs());
    let detail = json!({"verdict": verdict, "outside": outside});
    Ok(stage.conclude(Outcome::of(trial, bars, detail, findings), &mut say).await)
}

/// Lets the outside judge read every version.
async fn others(judges: &Path, versions: &Path, findings: &mut Vec<Finding>) -> Result<Value> {
    let ended = Command::new("node")
        .arg(judges.join("live-playlists.mjs"))
        .arg(versions)
        .stdin(Stdio::null())
        .output()
        .await
        .context("cannot start node")?;
    let said: Value = serde_json::from_slice(&ended.stdout).with_context(|| {
        format!("the outside judge said nothing: {}", String::from_utf8_lossy(&ended.stderr).trim())
    })?;
    for one in said["findings"].as_array().into_iter().flatten() {
        let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        findings.push(Finding::error("hls-parser", text("at"), text("what"), "nothing to complain of"));
    }
    Ok(said)
}
