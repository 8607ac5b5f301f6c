//! Channels: reading transport streams, encoding them without end, and cutting what comes out on a
//! timeline that every replica shares.
//!
//! [`ts`] reads packets and finds pictures, [`tape`] keeps the last seconds of them, [`shift`] moves
//! their timestamps to where an encoder's run begins; [`run()`] is one such run, [`cutter`] makes
//! segments of it, [`signals`] reads what its filters see. [`filler`] stands in for a source that is
//! lost. [`ingest`] opens a source without decoding it, [`keep`] moves what was made to a title's place.

mod cutter;
pub mod filler;
pub mod ingest;
pub mod keep;
mod run;
mod shift;
pub(crate) mod signals;
mod sound;
mod tape;
mod ts;

pub use filler::{Filler, filler};
pub use run::{LiveInput, LiveOutput, LivePiece, LiveRun, LiveSegment, Wanted, run};
pub use shift::shift;
pub use signals::Signal;
pub use tape::{Reel, Tape, distance};
pub use ts::{PACKET_BYTES, Picture, Span, TsItem, TsReader};
