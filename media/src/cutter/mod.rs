//! From an ffmpeg's pipe to segments: splits the stream into fragments, numbers and groups them on
//! the grid, and checks each against the plan. Pure: bytes in, pieces out, no I/O.

mod audio;
mod stream;
#[cfg(test)]
mod tests;
mod video;

pub(crate) use audio::{AudioCutter, sound_fragment};
pub(crate) use stream::{Part, Stream};
pub(crate) use video::VideoCutter;

use crate::boxes::BoxError;
use crate::encode::Piece;

/// Why a stream cannot be cut as planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CutError {
    /// Bytes that are not fragmented MP4.
    #[error("the encoder's output cannot be read: {0}")]
    Boxes(#[from] BoxError),
    /// Well-formed, but not what was asked for.
    #[error("the encoder did not keep to the plan: {0}")]
    OffPlan(String),
}

/// What turns one pipe's bytes into pieces.
pub(crate) trait Cutter {
    /// Takes bytes, appends the pieces they finish.
    fn push(&mut self, bytes: &[u8], pieces: &mut Vec<Piece>) -> Result<(), CutError>;
    /// How much of the plan came out.
    fn reached(&self) -> Reached;
    /// How far it has come: pictures, or samples of sound.
    fn done(&self) -> u64;
}

pub(crate) fn off_plan<T>(what: String) -> Result<T, CutError> {
    Err(CutError::OffPlan(what))
}

/// How far a stream came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// Pictures, or samples of sound.
    pub done: u64,
    /// What was planned.
    pub planned: u64,
}
