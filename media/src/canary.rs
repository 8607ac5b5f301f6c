//! A canary: a few frames through each encoder and back through a decoder, for a machine of which
//! it is not known whether it can do its work. Needs no source, no store and no job.

use bytes::Bytes;
use framemill_schemas::{
    failure::{Class, Failure},
    ladder::VideoCodec,
    spec::AAC_FRAME_SAMPLES,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    child::{Start, capture},
    command,
    decode::{DecodeFault, Media, decode_strict},
    encoder::Encoder,
    failures,
    toolchain::Toolchain,
};

/// Pictures of a canary: more than one group, so that each kind of picture occurs.
pub(crate) const PICTURES: u64 = 12;
/// Frames of sound of a canary.
pub(crate) const SOUND_FRAMES: u64 = 24;
/// Largest canary: 12 small pictures are some 20 kB.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long one may go without a sign of life.
const STALL: std::time::Duration = std::time::Duration::from_secs(30);

/// What is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Song {
    /// Pictures, on an NVIDIA GPU of this number.
    Video(Encoder, Option<u32>),
    /// Sound.
    Audio,
}

/// Encodes and decodes a few frames with the software encoder of each of `codecs` that this ffmpeg
/// lists, and with the one for sound. Fails at the first that does not come out as it should.
pub async fn check(tools: &Toolchain, codecs: &[VideoCodec], cancel: &CancellationToken) -> Result<(), Failure> {
    for encoder in codecs.iter().copied().map(Encoder::software).filter(|encoder| tools.lists(*encoder)) {
        pictures(tools, encoder, None, cancel).await?;
    }
    sing(tools, Song::Audio, cancel).await
}

/// The same with one encoder of pictures.
pub(crate) async fn pictures(
    tools: &Toolchain,
    encoder: Encoder,
    gpu: Option<u32>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    sing(tools, Song::Video(encoder, gpu), cancel).await
}

async fn sing(tools: &Toolchain, song: Song, cancel: &CancellationToken) -> Result<(), Failure> {
    let span = tracing::info_span!("ffmpeg", purpose = "canary", ?song);
    try_out(tools, song, cancel).instrument(span).await
}

async fn try_out(tools: &Toolchain, song: Song, cancel: &CancellationToken) -> Result<(), Failure> {
    let start = Start {
        program: tools.ffmpeg(),
        setpriv: tools.setpriv(),
        cgroups: tools.cgroups(),
        nice: None,
        args: command::canary(tools.ffmpeg(), song),
        outputs: 0,
        stdin: false,
        address_space: None,
    };
    let (bytes, exit) = capture(start, BYTES_MAX, STALL, cancel).await?;
    if !exit.status.success() {
        return Err(failures::of_exit(exit.status, &exit.stderr));
    }
    let (media, wanted) = match song {
        Song::Video(..) => (Media::Video, PICTURES),
        Song::Audio => (Media::Audio, SOUND_FRAMES),
    };
    let (sender, receiver) = mpsc::channel(1);
    // Taken by the decoder, or dropped with it: its verdict says which.
    let (_, decoded) = tokio::join!(
        async move { sender.send(Bytes::from(bytes)).await },
        decode_strict(tools, media, receiver, cancel)
    );
    match decoded {
        Ok(decoded) if decoded.frames >= wanted => Ok(()),
        Ok(decoded) => Err(wrong(song, format!("{} of {wanted} frames came back", decoded.frames))),
        Err(DecodeFault::Stream { evidence }) => {
            Err(wrong(song, "what was encoded cannot be decoded".to_owned()).evidence(evidence))
        }
        Err(DecodeFault::Failure(failure)) => Err(failure),
    }
}

fn wrong(song: Song, what: String) -> Failure {
    Failure::new(Class::Resource, "canary-failed", format!("a canary of {song:?}: {what}"))
}

/// Samples of sound of a canary: whole frames of AAC.
pub(crate) fn sound_samples() -> u64 {
    SOUND_FRAMES * AAC_FRAME_SAMPLES
}
