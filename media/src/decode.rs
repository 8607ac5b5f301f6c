//! Strict decoding: every picture or sound frame of a rendition, the first fault ends it.
//!
//! The bytes come from the caller and go into ffmpeg's stdin; nothing is decoded twice and
//! nothing is written anywhere.

use std::ffi::OsString;

use bytes::Bytes;
use framemill_schemas::{failure::Failure, spec::AAC_FRAME_SAMPLES};
use tokio::{
    io::{AsyncRead, AsyncWriteExt},
    net::unix::pipe,
    process::ChildStdin,
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    child::{self, Activity, Start},
    command,
    toolchain::Toolchain,
};

/// What is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Pictures, or AAC frames (samples divided by 1024, rounded up).
    pub frames: u64,
}

/// Why a stream was not decoded to its end.
#[derive(Debug, thiserror::Error)]
pub enum DecodeFault {
    /// The stream is broken.
    #[error("the stream cannot be decoded")]
    Stream {
        /// What ffmpeg says of it.
        evidence: String,
    },
    /// We are in trouble, and know nothing about the stream.
    #[error("decoding failed: {}", .0.reason)]
    Failure(Failure),
}

/// Decodes a stream: `bytes` brings the initialisation segment, then segments in order, and its
/// end is the stream's.
pub async fn decode_strict(
    tools: &Toolchain,
    media: Media,
    bytes: mpsc::Receiver<Bytes>,
    cancel: &CancellationToken,
) -> Result<Decoded, DecodeFault> {
    let span = tracing::info_span!("ffmpeg", purpose = "decode", ?media);
    run(tools, media, bytes, cancel).instrument(span).await
}

async fn run(
    tools: &Toolchain,
    media: Media,
    bytes: mpsc::Receiver<Bytes>,
    cancel: &CancellationToken,
) -> Result<Decoded, DecodeFault> {
    let nothing = async |_: Option<pipe::Receiver>| Ok(());
    let (frames, ()) = strict(tools, media, command::decode(tools.ffmpeg(), media), 0, nothing, bytes, cancel).await?;
    Ok(Decoded { frames })
}

/// Runs a strict decoder over `bytes` and counts the pictures, or the AAC frames, that come out. Where its filters
/// write on extra pipes of their own, behind that of the count, `aside` reads the last of them.
pub(crate) async fn strict<T, F: Future<Output = Result<T, Failure>>>(
    tools: &Toolchain,
    media: Media,
    args: Vec<OsString>,
    extra: usize,
    aside: impl FnOnce(Option<pipe::Receiver>) -> F,
    bytes: mpsc::Receiver<Bytes>,
    cancel: &CancellationToken,
) -> Result<(u64, T), DecodeFault> {
    let start = Start {
        program: tools.ffmpeg(),
        setpriv: tools.setpriv(),
        cgroups: tools.cgroups(),
        // A chunk that waits for its check delays nobody; an encoder that waits delays everything.
        nice: tools.nice(),
        args,
        outputs: usize::from(media == Media::Audio) + extra,
        stdin: true,
        address_space: None,
    };
    let mut child = child::start(start).await.map_err(DecodeFault::Failure)?;
    let stdin = child.stdin.take().expect("stdin was asked for");
    let stdout = child.stdout.take().expect("it was just started");
    let seen = if extra > 0 { child.outputs.pop() } else { None };
    let listing = child.outputs.pop();
    let activity = Activity::default();
    let work = async {
        let sound = async {
            match listing {
                Some(listing) => sum_durations(listing, &activity).await,
                None => Ok(0),
            }
        };
        let ((), pictures, samples, aside) =
            tokio::join!(feed(stdin, bytes, &activity), last_frame(stdout, &activity), sound, aside(seen));
        let frames = match media {
            Media::Video => pictures?,
            Media::Audio => samples?.div_ceil(AAC_FRAME_SAMPLES),
        };
        Ok((frames, aside?))
    };
    let (counted, exit) =
        child.supervise(work, &activity, tools.stall(), cancel).await.map_err(DecodeFault::Failure)?;
    verdict(exit).map(|()| counted)
}

/// What a strict decoder's end says of the stream.
fn verdict(exit: child::Exit) -> Result<(), DecodeFault> {
    match exit.status.code() {
        // What it only warns of (an init it finds odd, a stream without pictures) counts too where
        // it is an error by its own word.
        Some(0) if !exit.stderr.contains("[error]") && !exit.stderr.contains("[fatal]") => Ok(()),
        Some(_) => Err(DecodeFault::Stream { evidence: exit.stderr }),
        None => Err(DecodeFault::Failure(crate::failures::of_exit(exit.status, &exit.stderr))),
    }
}

/// Writes the stream into the child. A child that gave up closes its end: why is in its stderr.
async fn feed(mut stdin: ChildStdin, mut bytes: mpsc::Receiver<Bytes>, activity: &Activity) {
    loop {
        let waiting = activity.hold();
        let Some(mut next) = bytes.recv().await else { return };
        drop(waiting);
        while !next.is_empty() {
            match stdin.write_buf(&mut next).await {
                Ok(_) => activity.beat(),
                // Not taking the rest tells the sender to stop as well.
                Err(_) => return,
            }
        }
    }
}

/// The last `frame=` of the progress report: it is written once more at the end, exactly.
async fn last_frame(stdout: impl AsyncRead + Unpin, activity: &Activity) -> Result<u64, Failure> {
    let mut frames = 0;
    child::lines(stdout, |line| {
        if let Some(count) = line.strip_prefix("frame=").and_then(|count| count.trim().parse().ok()) {
            if count != frames {
                activity.beat();
            }
            frames = count;
        }
        true
    })
    .await?;
    Ok(frames)
}

/// Sums the fourth column of a `framecrc` listing: the duration of each decoded frame, in samples.
async fn sum_durations(listing: impl AsyncRead + Unpin, activity: &Activity) -> Result<u64, Failure> {
    let mut samples = 0_u64;
    child::lines(listing, |line| {
        if !line.starts_with('#') {
            let duration = line.split(',').nth(3).and_then(|column| column.trim().parse::<u64>().ok());
            samples = samples.saturating_add(duration.unwrap_or_default());
            activity.beat();
        }
        true
    })
    .await?;
    Ok(samples)
}
