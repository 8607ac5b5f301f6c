//! Runs one supervised ffmpeg, cuts its pipes, and hands pieces out as they are finished.
//!
//! Owns the run from start to end; what the pieces are for is the caller's. Whether a run is
//! complete is decided by counting what came out: ffmpeg ends a source that was cut off in the
//! middle without a word, and with exit code 0.

use bytes::{Bytes, BytesMut};
use framemill_schemas::{
    failure::{Class, Failure},
    index::KeyframeRange,
    spec::{AudioSpec, TranscodeSpec},
};
use futures_util::future::try_join_all;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    child::{self, Activity, Start},
    command,
    cutter::{AudioCutter, Cutter, Reached, VideoCutter},
    failures,
    toolchain::Toolchain,
};

/// A finished piece of a rendition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Index into the rungs of the spec; 0 for sound.
    pub rendition: usize,
    /// The piece.
    pub piece: Piece,
}

/// What a rendition is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Its initialisation segment, once, before anything else.
    Init(Bytes),
    /// A segment, in order.
    Segment(CutSegment),
}

/// A media segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutSegment {
    /// Its number, from 1.
    pub number: u64,
    /// Time of its first sample, in ticks of the rendition.
    pub start_ticks: u64,
    /// Its length in ticks.
    pub duration_ticks: u64,
    /// Pictures, or AAC frames.
    pub samples: u64,
    /// Where its keyframes lie; empty for sound.
    pub keyframes: Vec<KeyframeRange>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Bytes taken from a pipe at once.
const READ_BYTES: usize = 256 * 1024;

/// Where and how fast a chunk is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// On the processor, as fast as it can.
    Processor,
    /// On an NVIDIA GPU.
    Gpu {
        /// The driver's number of it.
        index: u32,
        /// How much faster than it is watched, thousandths.
        pace_milli: u64,
    },
    /// On the processor, in place of a GPU that is only scripted: quickly, and no faster than that GPU.
    StandIn {
        /// How much faster than it is watched, thousandths.
        pace_milli: u64,
    },
}

/// What is encoded, from where, and how.
#[derive(Clone, Copy, Debug)]
pub struct Begun<'a> {
    /// The chunk.
    pub spec: &'a TranscodeSpec,
    /// Its start, or that of a later segment of it when an earlier attempt is resumed.
    pub start_frame: u64,
    /// Where the source is read.
    pub url: &'a str,
    /// Where it is encoded.
    pub via: Via,
}

/// Encodes grid frames `start_frame..spec.end_frame` for every rung. `progress` counts frames since
/// `spec.start_frame`.
///
/// Fails as `transient` (`ffmpeg-short`) when the pictures end before the plan does and nothing says
/// why, and as `transient` (`cancelled`), after the whole process group is dead, when cancelled.
pub async fn transcode(
    tools: &Toolchain,
    begun: Begun<'_>,
    pieces: mpsc::Sender<Cut>,
    progress: &watch::Sender<u64>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let Begun { spec, start_frame, url, via } = begun;
    if start_frame < spec.start_frame
        || start_frame >= spec.end_frame
        || !start_frame.is_multiple_of(u64::from(spec.segment_frames))
    {
        return Err(Failure::new(
            Class::Bug,
            "off-plan",
            format!("frame {start_frame} starts no segment of the chunk"),
        ));
    }
    let args = command::transcode(tools.ffmpeg(), spec, via, start_frame, url);
    let cutters = spec.rungs.iter().map(|_| VideoCutter::new(spec, start_frame)).collect();
    let span = tracing::info_span!("ffmpeg", purpose = "transcode", start_frame, end_frame = spec.end_frame);
    let before = start_frame - spec.start_frame;
    let report = Report { progress, before, unit: "frames" };
    run(tools, args, cutters, pieces, report, cancel)
        .instrument(span)
        .await
        .map_err(|failure| failures::redact(failure, url))
}

/// Encodes one sound track for the whole title. `progress` counts samples.
pub async fn audio(
    tools: &Toolchain,
    spec: &AudioSpec,
    url: &str,
    pieces: mpsc::Sender<Cut>,
    progress: &watch::Sender<u64>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let args = command::audio(tools.ffmpeg(), spec, url);
    let span = tracing::info_span!("ffmpeg", purpose = "audio", stream = spec.stream);
    let report = Report { progress, before: 0, unit: "samples of sound" };
    run(tools, args, vec![AudioCutter::new(spec)], pieces, report, cancel)
        .instrument(span)
        .await
        .map_err(|failure| failures::redact(failure, url))
}

/// Where progress goes.
#[derive(Clone, Copy)]
struct Report<'a> {
    progress: &'a watch::Sender<u64>,
    before: u64,
    unit: &'static str,
}

impl Report<'_> {
    fn reach(&self, done: u64) {
        let now = self.before + done;
        self.progress.send_if_modified(|seen| {
            let forward = now > *seen;
            *seen = now.max(*seen);
            forward
        });
    }
}

async fn run<C: Cutter>(
    tools: &Toolchain,
    args: Vec<std::ffi::OsString>,
    cutters: Vec<C>,
    pieces: mpsc::Sender<Cut>,
    report: Report<'_>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let start = Start {
        program: tools.ffmpeg(),
        setpriv: tools.setpriv(),
        cgroups: tools.cgroups(),
        nice: None,
        args,
        outputs: cutters.len(),
        stdin: false,
        address_space: None,
    };
    let mut child = child::start(start).await?;
    let outputs = std::mem::take(&mut child.outputs);
    let stdout = child.stdout.take().expect("it was just started");
    let activity = Activity::default();
    let slowest = Slowest::new(cutters.len(), report);
    let work = async {
        // Each pipe is drained whatever the others do: one full pipe stalls every rung.
        let cut = outputs
            .into_iter()
            .zip(cutters)
            .enumerate()
            .map(|(rendition, (pipe, cutter))| drain(rendition, pipe, cutter, &pieces, &activity, &slowest));
        let (reached, ()) = tokio::join!(try_join_all(cut), follow(stdout, &activity));
        reached
    };
    let (reached, exit) = child.supervise(work, &activity, tools.stall(), cancel).await?;
    let short = reached.iter().filter(|reached| reached.done < reached.planned).min_by_key(|reached| reached.done);
    match short {
        None => Ok(()),
        Some(reached) if exit.status.success() => {
            Err(failures::short(reached.done, reached.planned, report.unit, &exit.stderr))
        }
        Some(_) => Err(failures::of_exit(exit.status, &exit.stderr)),
    }
}

/// Progress is that of the slowest rung: what all of them have.
struct Slowest<'a> {
    done: Vec<std::sync::atomic::AtomicU64>,
    report: Report<'a>,
}

impl<'a> Slowest<'a> {
    fn new(count: usize, report: Report<'a>) -> Self {
        Self { done: (0..count).map(|_| 0.into()).collect(), report }
    }

    fn reach(&self, rendition: usize, done: u64) {
        use std::sync::atomic::Ordering::Relaxed;
        self.done[rendition].store(done, Relaxed);
        self.report.reach(self.done.iter().map(|done| done.load(Relaxed)).min().unwrap_or(done));
    }
}

/// Reads one pipe to its end.
async fn drain<C: Cutter>(
    rendition: usize,
    mut pipe: impl AsyncRead + Unpin,
    mut cutter: C,
    pieces: &mpsc::Sender<Cut>,
    activity: &Activity,
    slowest: &Slowest<'_>,
) -> Result<Reached, Failure> {
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    let mut finished = Vec::new();
    loop {
        buffer.clear();
        let count = pipe.read_buf(&mut buffer).await.map_err(|error| {
            Failure::new(Class::Transient, "ffmpeg-lost", format!("ffmpeg's output cannot be read: {error}"))
        })?;
        if count == 0 {
            return Ok(cutter.reached());
        }
        activity.beat();
        cutter
            .push(&buffer, &mut finished)
            .map_err(|error| Failure::new(Class::Resource, "encoder-off-plan", error.to_string()))?;
        for piece in finished.drain(..) {
            let hold = activity.hold();
            pieces
                .send(Cut { rendition, piece })
                .await
                .map_err(|_| Failure::new(Class::Transient, "cancelled", "nobody takes the segments any more"))?;
            drop(hold);
        }
        slowest.reach(rendition, cutter.done());
    }
}

/// Follows ffmpeg's progress report: a step forward is a sign of life, a repeated report is none.
async fn follow(stdout: impl AsyncRead + Unpin, activity: &Activity) {
    let mut seen = [String::new(), String::new()];
    // Where the report cannot be read, the pipes say the rest.
    let _ = child::lines(stdout, |line| {
        for (key, last) in ["frame=", "out_time_us="].iter().zip(&mut seen) {
            if line.starts_with(key) && line != last {
                line.clone_into(last);
                activity.beat();
            }
        }
        true
    })
    .await;
}
