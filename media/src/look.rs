//! A look at a little of what was published: decoded strictly, as [`crate::decode`] does it, and looked at for
//! black, frozen and silent, and for how loud it is (EBU R 128, ITU-R BS.1770).
//!
//! Only what holds from its first frame to its last is said: of a segment of a few seconds, less is no sign of
//! anything.

mod tally;

use bytes::Bytes;
use framemill_schemas::live::Flaw;
use tokio::{io::AsyncRead, net::unix::pipe, sync::mpsc};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::tally::Tally;
use crate::{
    child, command,
    decode::{DecodeFault, Media, strict},
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
    let tally = async |seen: Option<pipe::Receiver>| read(seen.expect("one pipe was asked for")).await;
    let (frames, tally) = strict(tools, media, command::look(tools.ffmpeg(), media), 1, tally, bytes, cancel).await?;
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
