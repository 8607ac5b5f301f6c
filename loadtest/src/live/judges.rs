//! Others' programs that judge a channel: hls.js in a browser, which plays it all the time, and hls-parser,
//! which reads every version of its playlists afterwards. Both are run by node, from a folder that is named.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use framemill_schemas::finding::Finding;
use serde_json::Value;
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
};

use super::{report::Bar, serve::Origin};
use crate::rig::LOOK;

/// How long a player may take to come, and segments it then has: those it begins with, and more.
const COMES: Duration = Duration::from_secs(120);
const BEGUN: u64 = 10;
/// How long it may take to say what it saw.
const SAYS: Duration = Duration::from_secs(60);
/// Longest account that is read of a judge.
const ACCOUNT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Exit code of a judge that found no browser.
const NOT_RUN: i32 = 77;

/// A player before a trial. It plays until it is asked how it was.
#[derive(Debug)]
pub struct Player {
    node: Child,
}

impl Player {
    /// Puts a player before what `origin` hands out, and waits until it has begun.
    pub async fn begin(judges: &Path, origin: &Origin, channel: &str) -> Result<Self> {
        let url = format!("{}/{channel}/master.m3u8", origin.address);
        let node = Command::new("node")
            .arg(judges.join("live-play.mjs"))
            .arg(url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start node")?;
        let mut player = Self { node };
        let deadline = Instant::now() + COMES;
        // One that ended already says why when it is asked.
        while origin.segments() < BEGUN && player.node.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "no player came within {} s", COMES.as_secs());
            tokio::time::sleep(LOOK).await;
        }
        Ok(player)
    }

    /// Lets it go, and asks how it was; what should not be is added to `findings`.
    pub async fn end(mut self, findings: &mut Vec<Finding>) -> Result<(Vec<Bar>, Value)> {
        // It ends with its stdin.
        drop(self.node.stdin.take());
        let mut account = Vec::new();
        let stdout = self.node.stdout.take().context("a player without output")?;
        let mut stdout = stdout.take(ACCOUNT_BYTES_MAX);
        let read = tokio::time::timeout(SAYS, stdout.read_to_end(&mut account)).await;
        read.with_context(|| format!("the player says nothing for {} s", SAYS.as_secs()))??;
        let code = self.node.wait().await?.code();
        let said: Value = serde_json::from_slice(&account).context("the player says nothing")?;
        if code == Some(NOT_RUN) {
            let why = said["reason"].as_str().unwrap_or("it found no browser");
            return Ok((vec![Bar::told("hls.js", format!("not run: {why}"))], said));
        }
        for found in texts(&said["findings"]) {
            findings.push(Finding::error("player", "hls.js", found, "a picture that never stands still"));
        }
        let number = |name: &str| said[name].as_u64();
        let bars = vec![
            Bar::told("hls.js: played", format!("{:.0} s", said["played_s"].as_f64().unwrap_or_default())),
            Bar::none("hls.js: times it ran dry", number("dry").unwrap_or(u64::MAX)),
            Bar::told("hls.js: stood still, longest", format!("{} ms", number("still_ms").unwrap_or_default())),
            Bar::told("hls.js: least that it had in hand", format!("{} ms", number("ahead_ms").unwrap_or_default())),
            Bar::told("hls.js: waits of its decoder", number("slow").unwrap_or_default()),
        ];
        Ok((bars, said))
    }
}

fn texts(list: &Value) -> impl Iterator<Item = String> {
    list.as_array().into_iter().flatten().filter_map(|one| Some(one.as_str()?.to_owned()))
}

/// Lets hls-parser read every version of the playlists that were seen; what it refuses is added to `findings`.
pub async fn parse(judges: &Path, versions: &Path, findings: &mut Vec<Finding>) -> Result<(Vec<Bar>, Value)> {
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
    let count = |name: &str| said[name].as_u64().unwrap_or(u64::MAX);
    let bars = vec![
        Bar::told("hls-parser, strict: versions read", count("versions")),
        Bar::none("hls-parser, strict: versions refused", count("refused")),
    ];
    Ok((bars, said))
}
