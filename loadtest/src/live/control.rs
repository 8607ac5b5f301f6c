//! `loadtest live control`: the control that has to fail. Two encoders as they are often set up, with key
//! frames forced every so many seconds and ffmpeg's own HLS, join one source at different times; viewers are
//! sent from one to the other. The judge that acquits channels must condemn this.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::process::{Child, Command};

use super::{
    judge::{Leave, Verdict, judge},
    playlist::Media,
    report::{Bar, Outcome},
    source::{Signal, Source, Way, has_multicast},
    stage::Common,
    viewer::{Kept, Seen, Track},
};
use crate::{
    machine::now_ms,
    rig::{Folder, Seed},
};

/// Seconds between forced key frames, and so of a segment.
const SEGMENT_S: u64 = 2;
/// How much later the second encoder joins, milliseconds: more than a group of pictures of the source, so
/// that the two cannot start with the same one.
const LATER_MS: (u64, u64) = (2_000, 4_000);
/// How long both encode.
const TOGETHER: Duration = Duration::from_secs(14);
/// How long an encoder may take to end.
const ENDS: Duration = Duration::from_secs(10);

/// Runs the control. It passes when the judge finds what is wrong.
pub async fn run(common: &Common, seed: u64, mut say: impl FnMut(String)) -> Result<Outcome> {
    let began = std::time::Instant::now();
    let folder = Folder::make("framemill-control-", common.folder.as_deref())?;
    let way = match common.way {
        Some(way) => way,
        None if has_multicast().await => Way::Udp,
        None => Way::File,
    };
    let mark = uuid::Uuid::new_v4().simple().to_string();
    let source = Source::start(&common.programs, way, Signal::PLAIN, &mark, &folder.path).await?;
    let later_ms = Seed::new(seed).between(LATER_MS.0, LATER_MS.1);
    say(format!("two naive encoders, {later_ms} ms apart; source by {}", way.as_str()));
    let first = Naive::start(common, &source, way, folder.path.join("a"), 0)?;
    tokio::time::sleep(Duration::from_millis(later_ms)).await;
    let second = Naive::start(common, &source, way, folder.path.join("b"), later_ms)?;
    tokio::time::sleep(TOGETHER).await;
    let first = first.end().await?;
    let second = second.end().await?;
    let numbers = source.numbers;
    source.end().await;

    let ffmpeg = &common.programs.ffmpeg;
    let alone = judge(ffmpeg, &seen(&first), numbers, Leave::default()).await?;
    let switched = judge(ffmpeg, &seen(&switch(&first, &second)), numbers, Leave::default()).await?;
    let off = |verdict: &Verdict| verdict.missing_pictures + verdict.repeated_pictures;
    let condemned = Bar {
        what: "pictures missing or repeated after a switch".to_owned(),
        measured: off(&switched).to_string(),
        bar: "found by the judge".to_owned(),
        kept: off(&switched) > 0 && !switched.findings.is_empty(),
        of_speed: false,
    };
    let bars = vec![
        Bar::told("pictures of one encoder", alone.pictures),
        Bar::none("pictures missing or repeated in one alone", off(&alone)),
        condemned,
        Bar::told("findings after a switch", switched.findings.len()),
    ];
    let detail = json!({"seed": seed, "later_ms": later_ms, "alone": alone, "switched": switched});
    let mut outcome = Outcome::of(format!("control, seed {seed}"), bars, detail, Vec::new());
    way.as_str().clone_into(&mut outcome.source);
    outcome.wall_s = began.elapsed().as_secs_f64();
    if let Some(kept) = folder.end(outcome.is_kept()) {
        say(format!("what was encoded is kept in {}", kept.display()));
    }
    Ok(outcome)
}

/// An encoder as it is often set up.
struct Naive {
    child: Child,
    folder: PathBuf,
}

impl Naive {
    fn start(common: &Common, source: &Source, way: Way, folder: PathBuf, at_ms: u64) -> Result<Self> {
        std::fs::create_dir_all(&folder).context("cannot make a folder for an encoder")?;
        let mut command = Command::new(&common.programs.ffmpeg);
        command.args(["-nostdin", "-hide_banner", "-v", "error"]);
        if way == Way::File {
            command.args(["-re", "-ss", &format!("{at_ms}ms")]);
        } else {
            command.arg("-copyts");
        }
        let keys = format!("expr:gte(t,n_forced*{SEGMENT_S})");
        let child = command
            .args(["-i", &source.uri, "-map", "0:v:0", "-c:v", "libx264", "-preset", "ultrafast", "-qp", "24"])
            .args(["-sc_threshold", "0", "-g", "1000", "-force_key_frames", &keys, "-f", "hls"])
            .args(["-hls_time", &SEGMENT_S.to_string(), "-hls_list_size", "0", "-hls_segment_type", "fmp4"])
            .args(["-hls_flags", "program_date_time", "-hls_segment_filename", "%d.m4s", "video.m3u8"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log"))?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", common.programs.ffmpeg.display()))?;
        Ok(Self { child, folder })
    }

    /// Kills it, as a replica is killed; returns what it had made.
    async fn end(mut self) -> Result<Made> {
        tokio::time::timeout(ENDS, self.child.kill()).await.context("an encoder does not end")??;
        let text = std::fs::read_to_string(self.folder.join("video.m3u8")).context("an encoder made no playlist")?;
        let media = Media::parse(&text).map_err(|why| anyhow::anyhow!("{}: {why}", self.folder.display()))?;
        Ok(media.entries.iter().map(|entry| kept(entry.clone(), &self.folder)).collect())
    }
}

type Made = Vec<Kept>;

fn kept(entry: super::playlist::Entry, folder: &Path) -> Kept {
    let path = Some(folder.join(&entry.uri));
    Kept { entry, path, digest: String::new(), at_ms: now_ms() }
}

/// The first half of one, and of the other what starts nearest to its end. Pure.
fn switch(first: &[Kept], second: &[Kept]) -> Made {
    let half = first.len() / 2;
    let mut joined = first[..half].to_vec();
    let end = joined.last().and_then(|kept| kept.entry.ends_us()).unwrap_or_default();
    let off = |kept: &Kept| kept.entry.starts_us.map_or(i64::MAX, |start| (start - end).abs());
    let nearest = (0..second.len()).min_by_key(|at| off(&second[*at])).unwrap_or(second.len());
    joined.extend_from_slice(&second[nearest..]);
    joined
}

/// As a viewer would have seen it: numbered through, under one init.
fn seen(made: &[Kept]) -> Seen {
    let mut track = Track::default();
    let Some(first) = made.first() else { return Seen::default() };
    for (number, kept) in (first.entry.number..).zip(made) {
        let mut kept = kept.clone();
        kept.entry.number = number;
        kept.entry.breaks = first.entry.breaks;
        kept.entry.init.clone_from(&first.entry.init);
        track.segments.insert(number, kept);
    }
    let init = first.path.as_ref().and_then(|path| path.parent()).map(|folder| folder.join(&first.entry.init));
    track.inits.extend(init.map(|init| (first.entry.init.clone(), init)));
    Seen { tracks: [("video.m3u8".to_owned(), track)].into(), ..Seen::default() }
}
