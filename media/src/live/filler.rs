//! Filler: one segment of a still picture and of silence, made once and given its place on the
//! timeline as often as it is needed. It costs no encoder while sources are away.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use framemill_schemas::{
    failure::{Class, Failure},
    live::Timeline,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    LiveInput, LiveOutput, LivePiece, LiveRun, Wanted, cutter, run,
    sound::{self, last_payload},
};
use crate::{cutter::CutError, encode::Via, toolchain::Toolchain};

/// How long making it may take without a sign of life.
const STALL: Duration = Duration::from_secs(20);

/// What stands in for a source.
#[derive(Clone, Debug)]
pub struct Filler {
    /// The initialisation segment of each rendition: the rungs, then the sound.
    pub inits: Vec<Bytes>,
    /// One segment of each rung.
    pictures: Vec<Bytes>,
    /// One frame of silence of each rung of sound.
    pub silence: Vec<Bytes>,
}

/// Makes the filler of a timeline.
pub async fn filler(tools: &Toolchain, timeline: &Timeline, cancel: &CancellationToken) -> Result<Filler, Failure> {
    let tracks = timeline.rungs.len() + timeline.audio.len();
    let (pieces, mut made) = mpsc::channel::<LivePiece>(4);
    let (signals, _unheard) = mpsc::channel(1);
    let (_wanted, nothing) = watch::channel(Wanted::default());
    let first = timeline.first;
    let maker = LiveRun { timeline, first, via: Via::Processor, silence: &[], stall: STALL };
    let collect = async {
        let mut inits = vec![Bytes::new(); tracks];
        let mut segments = vec![Bytes::new(); tracks];
        while let Some(piece) = made.recv().await {
            match piece.what {
                Err(init) => inits[piece.track] = init,
                Ok(segment) if segment.number == first => segments[piece.track] = segment.bytes,
                Ok(_) => {}
            }
        }
        (inits, segments)
    };
    let output = LiveOutput { pieces, signals };
    let making = run::run(tools, maker, LiveInput::Filler(1), output, nothing, cancel);
    let (done, (inits, mut segments)) = tokio::join!(making, collect);
    done?;
    if inits.iter().chain(&segments).any(Bytes::is_empty) {
        return Err(Failure::new(Class::Transient, "ffmpeg-short", "ffmpeg made less filler than it was asked for"));
    }
    let sounds = segments.split_off(timeline.rungs.len());
    let silence = sounds.iter().map(last_payload).collect::<Result<_, _>>().map_err(unreadable)?;
    Ok(Filler { inits, pictures: segments, silence })
}

fn unreadable(error: CutError) -> Failure {
    Failure::new(Class::Bug, "filler-unreadable", format!("what stands in for lost sources cannot be read: {error}"))
}

impl Filler {
    /// One rendition of a number.
    pub fn segment(&self, timeline: &Timeline, track: usize, number: u64) -> Result<Bytes, Failure> {
        match self.pictures.get(track) {
            Some(picture) => {
                let mut bytes = BytesMut::from(&picture[..]);
                cutter::place(&mut bytes, timeline, number).map_err(unreadable)?;
                Ok(bytes.freeze())
            }
            None => {
                let frame = &self.silence[track - self.pictures.len()];
                let frames = timeline.sound_frames(number);
                let frames = vec![frame.clone(); (frames.end - frames.start) as usize];
                sound::segment(timeline, number, &frames).map_err(unreadable)
            }
        }
    }
}
