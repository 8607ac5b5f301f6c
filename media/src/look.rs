//! A look at a little of what was published: decoded strictly, as [`crate::decode`] does it, and looked at for
//! black, frozen and silent, and for how loud it is (EBU R 128, ITU-R BS.1770).
//!
//! Only what holds from its first frame to its last is said: of a segment of a few seconds, less is no sign of
//! anything.

mod tally;

use bytes::Bytes;
use framemill_schemas::{live::Flaw, spec::AAC_FRAME_SAMPLES};
use tokio::{io::AsyncRead, sync::mpsc};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::tally::Tally;
use crate::{
    child::{self, Activity, Start},
    command,
    decode::{DecodeFault, Media, feed, last_frame, sum_durations, verdict},
    toolchain::Toolchain,
};

/// How loud something is, in hundredths of LUFS; -7000 where nothing of it is above the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loudness {
    /// Of all of it, gated.
    pub integrated_centi: i32,
    /// Of its loudest 400 ms.
    pub momentary_centi: i32,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Pictures, or AAC frames, that were decoded.
    pub frames: u64,
    /// What all of it is: black, frozen or silent. A black picture is not said to stand still too.
    pub flaws: Vec<Flaw>,
    /// How loud it is; nothing of pictures, nor of less sound than 400 ms.
    pub loudness: Option<Loudness>,
}

/// Decodes a stream and looks at it: `bytes` brings the initialisation segment, then segments in order, and its
/// end is the stream's.
///
/// # Errors
/// A stream that a strict decoder refuses; trouble of ours, of which [`Toolchain::looks`] tells the most likely
/// before.
pub async fn look(
    tools: &Toolchain,
    media: Media,
    bytes: mpsc::Receiver<Bytes>,
    cancel: &CancellationToken,
) -> Result<Look, DecodeFault> {
    let span = tracing::info_span!("ffmpeg", purpose = "look", ?media);
    run(tools, media, bytes, cancel).instrument(span).await
}

async fn run(
    tools: &Toolchain,
    media: Media,
    bytes: mpsc::Receiver<Bytes>,
    cancel: &CancellationToken,
) -> Result<Look, DecodeFault> {
    let start = Start {
        program: tools.ffmpeg(),
        setpriv: tools.setpriv(),
        cgroups: tools.cgroups(),
        // Nobody waits for it.
        nice: tools.nice(),
        args: command::look(tools.ffmpeg(), media),
        outputs: if media == Media::Audio { 2 } else { 1 },
        stdin: true,
        address_space: None,
    };
    let mut child = child::start(start).await.map_err(DecodeFault::Failure)?;
    let stdin = child.stdin.take().expect("stdin was asked for");
    let stdout = child.stdout.take().expect("it was just started");
    let seen = child.outputs.pop();
    let listing = child.outputs.pop();
    let activity = Activity::default();
    let work = async {
        let sound = async {
            match listing {
                Some(listing) => sum_durations(listing, &activity).await,
                None => Ok(0),
            }
        };
        let seen = async {
            match seen {
                Some(seen) => read(seen).await,
                None => Ok(Tally::default()),
            }
        };
        let ((), pictures, samples, tally) =
            tokio::join!(feed(stdin, bytes, &activity), last_frame(stdout, &activity), sound, seen);
        let frames = match media {
            Media::Video => pictures?,
            Media::Audio => samples?.div_ceil(AAC_FRAME_SAMPLES),
        };
        Ok((frames, tally?))
    };
    let ((frames, tally), exit) =
        child.supervise(work, &activity, tools.stall(), cancel).await.map_err(DecodeFault::Failure)?;
    verdict(exit)?;
    Ok(Look { frames, flaws: tally.flaws(), loudness: tally.loudness() })
}

async fn read(seen: impl AsyncRead + Unpin) -> Result<Tally, framemill_schemas::failure::Failure> {
    let mut tally = Tally::default();
    child::lines(seen, |line| {
        tally.read(line);
        true
    })
    .await?;
    Ok(tally)
}
