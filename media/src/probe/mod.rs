//! What one indexing pass over a source learns: its frame grid, where chunks may start, its sound
//! tracks, and whether it is taken at all. A source that is refused fails as `input`, with a
//! sentence for whoever sent it.
//!
//! ffprobe is asked twice: what the container says, then every packet, streamed through within
//! bounded memory. Sources whose packets carry no timestamps are decoded instead.

mod describe;
mod grid;
mod listing;
mod live;
mod rate;
mod seek;
mod tracks;

use framemill_schemas::{
    failure::{Class, Failure},
    probe::{Probe, Seek, VideoTrack},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    child::{COPIER_BYTES, Start, capture},
    command, failures, formats,
    toolchain::Toolchain,
};
pub(crate) use describe::Description;
use listing::{Clock, Index};
pub(crate) use live::live_format;

/// Longest description that is read: thousands of streams.
const DESCRIPTION_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Indexes the source at `url`. `identity` and `bytes` are what its reader says of it.
pub async fn probe(
    tools: &Toolchain,
    url: &str,
    identity: &str,
    bytes: u64,
    cancel: &CancellationToken,
) -> Result<Probe, Failure> {
    if bytes == 0 {
        return Err(not_media("the file is empty", ""));
    }
    let span = tracing::info_span!("ffmpeg", purpose = "probe", bytes);
    let source = Source { tools, url, identity, bytes, cancel };
    source.index().instrument(span).await.map_err(|failure| failures::redact(failure, url))
}

struct Source<'a> {
    tools: &'a Toolchain,
    url: &'a str,
    identity: &'a str,
    bytes: u64,
    cancel: &'a CancellationToken,
}

impl Source<'_> {
    fn start(&self, args: Vec<std::ffi::OsString>) -> Start<'_> {
        Start {
            program: self.tools.ffprobe(),
            setpriv: self.tools.setpriv(),
            cgroups: self.tools.cgroups(),
            nice: None,
            args,
            outputs: 0,
            stdin: false,
            address_space: Some(COPIER_BYTES),
        }
    }

    async fn index(&self) -> Result<Probe, Failure> {
        let description = self.describe().await?;
        let format = formats::find(&description.format.format_name)
            .ok_or_else(|| not_media(&format!("the format {} is not taken", description.format.format_name), ""))?;
        let video = tracks::picture(&description)?;
        let clock = Clock { format, time_base: video.time_base()?, stream: video.index };
        let (index, stderr) = self.packets(&description, clock).await?;
        index.check(&description, &stderr)?;
        // Without timestamps of their own, only decoding says when pictures are shown.
        let (times, seek) = if index.times.missing == 0 && index.has_keyframes() {
            (index.times, Some(index.keyframes.points()))
        } else if index.is_empty() {
            (index.times, None)
        } else {
            (self.frames(clock).await?, None)
        };
        if times.count == 0 {
            return Err(Failure::input("no-frames", "the source has a picture track, but not one picture in it")
                .mend("check that it plays, and upload it again"));
        }
        let interlaced = video.is_interlaced();
        let (rate, rate_source) = rate::choose(video, &times, clock.time_base, interlaced);
        let grid = grid::lay(&times, rate, clock.time_base)?;
        let start_us = description.format.start_us();
        // The deinterlacer looks at the picture before: after a seek, the first ones are not like
        // the same pictures in a single run.
        let settle_frames = if interlaced { 2 } else { 0 };
        let seek = match seek {
            Some(points) => Seek::Points(seek::points(&points, &grid, start_us, settle_frames)),
            None => Seek::FromStart,
        };
        let (width, height) = tracks::upright_size(video)?;
        Ok(Probe {
            format: description.format.format_name.clone(),
            bytes: self.bytes,
            identity: self.identity.to_owned(),
            start_us,
            video: VideoTrack {
                stream: video.index,
                codec: video.codec_name.clone().unwrap_or_default(),
                pixels: video.pix_fmt.clone().unwrap_or_default(),
                turned: tracks::is_turned(video),
                width,
                height,
                interlaced,
                grid,
                rate_source,
                seek,
            },
            audio: tracks::sound(&description),
        })
    }

    async fn describe(&self) -> Result<Description, Failure> {
        let start = self.start(command::describe(self.url));
        let (stdout, exit) = capture(start, DESCRIPTION_BYTES_MAX, self.tools.stall(), self.cancel).await?;
        let description = serde_json::from_slice::<Description>(&stdout).ok();
        match description {
            Some(description) if exit.status.success() => Ok(description),
            _ => Err(refused(&exit)),
        }
    }

    async fn packets(&self, description: &Description, clock: Clock) -> Result<(Index, String), Failure> {
        let mut index = Index::new(description, clock);
        let args = command::packets(self.url);
        let stderr = self.list(args, |line| index.packet(line)).await?;
        Ok((index, stderr))
    }

    async fn frames(&self, clock: Clock) -> Result<listing::Times, Failure> {
        let mut times = listing::Times::default();
        self.list(command::frames(self.url, clock.stream), |line| {
            times.frame(line);
            Ok(())
        })
        .await?;
        if times.missing > 0 {
            return Err(Failure::input("no-timestamps", "the source does not say when its pictures are shown")
                .mend("remux it into MP4 or Matroska first"));
        }
        Ok(times)
    }

    /// Runs a listing; each line is handed to `take` and forgotten.
    async fn list(
        &self,
        args: Vec<std::ffi::OsString>,
        mut take: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<String, Failure> {
        let mut child = crate::child::start(self.start(args)).await?;
        let stdout = child.stdout.take().expect("it was just started");
        let activity = crate::child::Activity::default();
        let work = async {
            let mut fault = None;
            crate::child::lines(stdout, |line| {
                activity.beat();
                fault = take(line).err();
                fault.is_none()
            })
            .await?;
            fault.map_or(Ok(()), Err)
        };
        let ((), exit) = child.supervise(work, &activity, self.tools.stall(), self.cancel).await?;
        if !exit.status.success() {
            return Err(failures::of_exit(exit.status, &exit.stderr));
        }
        failures::trouble(&exit.stderr).map_or(Ok(exit.stderr), Err)
    }
}

/// Why ffprobe would not open it.
fn refused(exit: &crate::child::Exit) -> Failure {
    let says = &exit.stderr;
    if says.contains("moov atom not found") {
        return not_media("the file is cut short: its index (moov) is missing", says);
    }
    if says.contains("not on whitelist") || says.contains("not in whitelist") {
        return not_media("the file is a playlist, a script, or of a format that is not taken", says);
    }
    let failure = failures::of_exit(exit.status, says);
    // Whatever is not this machine's or the connection's trouble is the file's.
    if failure.class == Class::Input || failure.code == "ffmpeg-failed" {
        return not_media("the file is not a video that can be read", says);
    }
    failure
}

fn not_media(reason: &str, evidence: &str) -> Failure {
    Failure::input("not-media", reason).mend(format!("send a video in one of: {}", formats::names())).evidence(evidence)
}
