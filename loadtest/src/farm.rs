//! The farm's side: `framemill run`, as a user would.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use framemill_schemas::ladder::Ladder;
use serde::Deserialize;
use tokio::process::Command;

/// The part of `run --json` that is measured.
#[derive(Debug, Deserialize)]
pub struct Made {
    pub last_segment_s: f64,
    pub published_s: f64,
    pub renditions: Vec<MadeRendition>,
    pub hls: PathBuf,
}

#[derive(Debug, Deserialize)]
pub struct MadeRendition {
    pub name: String,
    pub segments: u64,
}

/// Encodes a file through a farm of its own and copies the published tree to `out`.
pub async fn encode(framemill: &Path, file: &Path, ladder: &Ladder, work: &Path, out: &Path) -> Result<Made> {
    let ladder_file = work.join("ladder.json");
    tokio::fs::write(&ladder_file, serde_json::to_vec(ladder)?).await?;
    let output = Command::new(framemill)
        .arg("run")
        .arg(file)
        .arg("--ladder")
        .arg(&ladder_file)
        .arg("--out")
        .arg(out)
        .arg("--json")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot start {}", framemill.display()))?;
    if !output.status.success() {
        bail!("framemill run ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    let line = output.stdout.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
    serde_json::from_slice(line).context("framemill run printed something else than its JSON line")
}

/// A rendition's init and segments as one file's bytes.
pub async fn rendition(out: &Path, made: &Made, name: &str) -> Result<Vec<u8>> {
    let segments = made.renditions.iter().find(|rendition| rendition.name == name).map_or(0, |made| made.segments);
    let folder = generation_folder(out, &made.hls).await?.join(name);
    let mut bytes = tokio::fs::read(folder.join("init.mp4")).await.context("no init segment in the published tree")?;
    for number in 1..=segments {
        bytes.extend(tokio::fs::read(folder.join(format!("{number}.m4s"))).await?);
    }
    Ok(bytes)
}

/// The folder of the generation that the entry playlist points at.
async fn generation_folder(out: &Path, hls: &Path) -> Result<PathBuf> {
    let master = tokio::fs::read_to_string(out.join(hls)).await.context("no entry playlist in the published tree")?;
    let uri = master.lines().find(|line| !line.is_empty() && !line.starts_with('#')).context("an empty playlist")?;
    let folder = uri.rsplit_once('/').map_or("", |(folder, _)| folder);
    Ok(out.join(hls).parent().unwrap_or(out).join(folder))
}
