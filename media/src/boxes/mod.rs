//! Reading of initialisation and media segments (ISO/IEC 14496-12), for the cutter, the packager
//! and the validator.
//!
//! Containers are walked here, one level at a time and never recursively, so that hostile nesting
//! cannot exhaust the stack; the leaves are read by mp4-atom. Every size is checked against the
//! bytes at hand before anything is kept, and wrong bytes are an error, never a panic.

mod codec;
mod fragment;
mod init;
mod restamp;
mod start;
#[cfg(test)]
mod tests;
mod walk;

pub use fragment::{SegmentFacts, read_segment};
pub use init::{InitFacts, TrackKind, read_init};
pub use restamp::restamp;
pub use start::check_start;

pub(crate) use fragment::{Fragment, Mark, Sample, close, read_fragment};
pub(crate) use walk::{Header, children, fourcc, header};

/// Largest initialisation segment that is read.
pub const INIT_BYTES_MAX: usize = 1024 * 1024;

/// Why bytes are not the boxes they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoxError {
    /// A box that must be there is not.
    #[error("no {0} box where one is needed")]
    Missing(&'static str),
    /// A box whose size does not fit what holds it.
    #[error("a box at byte {offset} claims more bytes than there are")]
    Size {
        /// Where it starts.
        offset: usize,
    },
    /// A box whose content is not what its type says.
    #[error("the {kind} box cannot be read: {why}")]
    Content {
        /// Its type.
        kind: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// More samples, fragments or bytes than are taken.
    #[error("{0}")]
    Limit(&'static str),
}
