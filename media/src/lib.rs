//! Everything that knows media: ISO-BMFF reading and cutting, ffmpeg command lines (pure), the
//! supervised ffmpeg child, probing, encoding and strict decoding.
//!
//! Never here: the network (an input is an address handed to ffmpeg), NATS, S3, jobs. Media time
//! is integers throughout.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod boxes;
pub mod canary;
mod child;
mod command;
mod cutter;
pub mod decode;
pub mod encode;
pub mod encoder;
mod failures;
pub mod formats;
pub mod live;
pub mod look;
pub mod probe;
pub mod toolchain;

pub use encode::{Cut, CutSegment, Piece};
pub use failures::failure_of;
pub use toolchain::{FfmpegConfig, Toolchain};
