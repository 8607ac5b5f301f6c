//! One run of a channel's encoder, from the first number it was started for until it is told to stop
//! or breaks. Owns the child and its pipes; what the segments are for is the caller's.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use framemill_schemas::{
    failure::{Class, Failure},
    live::{Timeline, WRAP_TICKS},
    spec::AAC_FRAME_SAMPLES,
};
use futures_util::future::try_join_all;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::ChildStdin,
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Signal,
    cutter::{PictureCutter, Piece},
    shift::shift,
    signals::signal,
    sound::{LEAD_FRAMES, SoundCutter, origin},
};
use crate::{
    child::{self, Activity, Start},
    command::{self, Feed, LEAD_S},
    cutter::CutError,
    encode::Via,
    failures,
    toolchain::Toolchain,
};

/// Bytes taken from a pipe at once.
const READ_BYTES: usize = 64 * 1024;
/// Ticks of 90 kHz in [`LEAD_S`].
const LEAD_TICKS: u64 = LEAD_S * 90_000;

/// A finished piece of a rendition.
#[derive(Clone, Debug)]
pub struct LivePiece {
    /// Index into the timeline's renditions: the rungs, then the sound.
    pub track: usize,
    /// The piece: its initialisation segment, before anything else, or a segment.
    pub what: Result<LiveSegment, Bytes>,
}

/// A segment of a channel, at its place on the timeline.
#[derive(Clone, Debug)]
pub struct LiveSegment {
    /// Its number.
    pub number: u64,
    /// Its bytes.
    pub bytes: Bytes,
    /// When the last of it left the encoder.
    pub at: Instant,
}

/// Where a run's stream comes from.
#[derive(Debug)]
pub enum LiveInput {
    /// Packets, from an entry before the first frame that is wanted on, tables first. The end of it
    /// ends the run.
    Stream(mpsc::Receiver<Bytes>),
    /// Nothing: ffmpeg makes so many segments itself.
    Filler(u32),
}

/// A run.
#[derive(Debug)]
pub struct LiveRun<'a> {
    /// What is encoded.
    pub timeline: &'a Timeline,
    /// The first number that is wanted.
    pub first: u64,
    /// Where it is encoded.
    pub via: Via,
    /// One frame of silence of each rung of sound.
    pub silence: &'a [Bytes],
    /// How long it may show no sign of life though it is fed.
    pub stall: Duration,
}

/// What comes out of a run.
#[derive(Clone, Debug)]
pub struct LiveOutput {
    /// Pieces; a full channel holds the encoder back.
    pub pieces: mpsc::Sender<LivePiece>,
    /// What the filters see; what nobody takes is dropped.
    pub signals: mpsc::Sender<Signal>,
}

/// What is wanted of a run's sound. Both only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The last number of which all is wanted now, with silence for what did not come.
    pub now: u64,
    /// The last number that may come: not far ahead of the pictures.
    pub until: u64,
}

/// Encodes until the input ends; gives out the sound that is `wanted`.
///
/// Fails as `transient` when the encoder breaks, stalls, or does not keep to the plan, which a format
/// change in the middle of the stream may cause; another run may then go on. As `transient`
/// (`cancelled`), after the whole process group is dead, when cancelled.
pub async fn run(
    tools: &Toolchain,
    run: LiveRun<'_>,
    input: LiveInput,
    output: LiveOutput,
    wanted: watch::Receiver<Wanted>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let span = tracing::info_span!("ffmpeg", purpose = "live", timeline = run.timeline.id, first = run.first);
    encode(tools, &run, input, output, wanted, cancel).instrument(span).await
}

async fn encode(
    tools: &Toolchain,
    run: &LiveRun<'_>,
    input: LiveInput,
    output: LiveOutput,
    wanted: watch::Receiver<Wanted>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let timeline = run.timeline;
    let feed = match &input {
        LiveInput::Stream(_) => Feed::Stream,
        LiveInput::Filler(segments) => Feed::Filler { frames: timeline.segment_frames * segments },
    };
    let (pictures, sounds) = (timeline.rungs.len(), timeline.audio.len());
    let start = Start {
        program: tools.ffmpeg(),
        setpriv: tools.setpriv(),
        cgroups: tools.cgroups(),
        nice: None,
        args: command::live(tools.ffmpeg(), timeline, feed, sound_start(timeline, run.first), run.via),
        outputs: pictures + sounds + 2,
        stdin: matches!(input, LiveInput::Stream(_)),
        address_space: None,
    };
    let mut child = child::start(start).await?;
    let mut outputs = std::mem::take(&mut child.outputs);
    let seen = outputs.split_off(pictures + sounds);
    let heard = outputs.split_off(pictures);
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("it was just started"));
    let activity = Activity::default();
    let shared = Shared { run, pieces: &output.pieces, activity: &activity };
    let work = async {
        let pictures = outputs.into_iter().enumerate().map(|(track, pipe)| shared.pictures(track, pipe));
        let heard = heard.into_iter().enumerate().map(|(index, pipe)| shared.sound(index, pipe, wanted.clone()));
        let seen = seen.into_iter().map(|pipe| watch_signals(pipe, &output.signals));
        let fed = async {
            if let (LiveInput::Stream(packets), Some(stdin)) = (input, stdin) {
                feed_stream(stdin, packets, run, &activity).await;
            }
        };
        // Each pipe is drained whatever the others do: one full pipe stalls every rung.
        let drained = async { tokio::try_join!(try_join_all(pictures), try_join_all(heard)).map(|_| ()) };
        let (drained, (), (), _) =
            tokio::join!(drained, fed, follow(stdout, &activity), futures_util::future::join_all(seen));
        drained
    };
    let ((), exit) = child.supervise(work, &activity, run.stall, cancel).await?;
    if exit.status.success() { Ok(()) } else { Err(failures::of_exit(exit.status, &exit.stderr)) }
}

/// Where the first frame of sound that is encoded lies, in samples after the first picture: some before
/// the first that is wanted.
fn sound_start(timeline: &Timeline, first: u64) -> i64 {
    let wanted = timeline.sound_frames(first).start - LEAD_FRAMES;
    (wanted * AAC_FRAME_SAMPLES).cast_signed() - origin(timeline, first).cast_signed()
}

struct Shared<'a> {
    run: &'a LiveRun<'a>,
    pieces: &'a mpsc::Sender<LivePiece>,
    activity: &'a Activity,
}

impl Shared<'_> {
    async fn pictures(&self, track: usize, mut pipe: impl AsyncRead + Unpin) -> Result<(), Failure> {
        let mut cutter = PictureCutter::new(self.run.timeline, self.run.first);
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let mut finished = Vec::new();
        while read(&mut pipe, &mut buffer).await? > 0 {
            self.activity.beat();
            cutter.push(&buffer, &mut finished).map_err(off_plan)?;
            self.hand_out(track, &mut finished).await?;
        }
        Ok(())
    }

    async fn sound(
        &self,
        index: usize,
        mut pipe: impl AsyncRead + Unpin,
        mut wanted: watch::Receiver<Wanted>,
    ) -> Result<(), Failure> {
        let mut cutter = SoundCutter::new(self.run.timeline, self.run.first);
        let track = self.run.timeline.rungs.len() + index;
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let mut finished = Vec::new();
        let silence = self.run.silence.get(index);
        wanted.mark_changed();
        loop {
            tokio::select! {
                count = read(&mut pipe, &mut buffer) => {
                    // Open until the child ends, also where it makes no sound.
                    if count? == 0 {
                        return Ok(());
                    }
                    self.activity.beat();
                    cutter.push(&buffer, &mut finished).map_err(off_plan)?;
                }
                Ok(()) = wanted.changed() => {
                    let Wanted { now, until } = *wanted.borrow_and_update();
                    cutter.allow(until, &mut finished).map_err(off_plan)?;
                    if let Some(silence) = silence {
                        cutter.fill(now, silence, &mut finished).map_err(off_plan)?;
                    }
                }
            }
            self.hand_out(track, &mut finished).await?;
        }
    }

    async fn hand_out(&self, track: usize, finished: &mut Vec<Piece>) -> Result<(), Failure> {
        for piece in finished.drain(..) {
            let what = match piece {
                Piece::Init(bytes) => Err(bytes),
                Piece::Segment { number, bytes } => Ok(LiveSegment { number, bytes, at: Instant::now() }),
            };
            let hold = self.activity.hold();
            let sent = self.pieces.send(LivePiece { track, what }).await;
            drop(hold);
            sent.map_err(|_| Failure::new(Class::Transient, "cancelled", "nobody takes the segments any more"))?;
        }
        Ok(())
    }
}

fn off_plan(error: CutError) -> Failure {
    Failure::new(Class::Transient, "encoder-off-plan", error.to_string())
}

async fn read(pipe: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> Result<usize, Failure> {
    buffer.clear();
    pipe.read_buf(buffer).await.map_err(|error| {
        Failure::new(Class::Transient, "ffmpeg-lost", format!("ffmpeg's output cannot be read: {error}"))
    })
}

/// Writes the stream into the child, moved to the run's own time. A child that gave up closes its end:
/// why is in its stderr.
async fn feed_stream(
    mut stdin: ChildStdin,
    mut packets: mpsc::Receiver<Bytes>,
    run: &LiveRun<'_>,
    activity: &Activity,
) {
    let start = run.timeline.clock.pts_of(run.timeline.frames_of(run.first).start.cast_signed());
    let base = start.wrapping_sub(LEAD_TICKS) % WRAP_TICKS;
    loop {
        // A source that is silent is no stalled encoder.
        let waiting = activity.hold();
        let Some(next) = packets.recv().await else { return };
        drop(waiting);
        let mut moved = BytesMut::from(&next[..]);
        shift(&mut moved, base);
        let mut moved = moved.freeze();
        while !moved.is_empty() {
            match stdin.write_buf(&mut moved).await {
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

/// Follows the progress report: a step forward is a sign of life.
async fn follow(stdout: impl AsyncRead + Unpin, activity: &Activity) {
    let mut last = String::new();
    // Where the report cannot be read, the pipes say the rest.
    let _ = child::lines(stdout, |line| {
        if line.starts_with("frame=") && line != last {
            line.clone_into(&mut last);
            activity.beat();
        }
        true
    })
    .await;
}

async fn watch_signals(pipe: impl AsyncRead + Unpin, signals: &mpsc::Sender<Signal>) {
    // Findings only colour what is published: without them it goes on.
    let _ = child::lines(pipe, |line| {
        if let Some(signal) = signal(line) {
            let _ = signals.try_send(signal);
        }
        true
    })
    .await;
}
