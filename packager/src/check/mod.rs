//! Checks on what was made, as pure functions from facts to findings. Fetching and decoding is
//! the handlers' work.

pub mod bitrate;
pub mod code;
pub mod expected;
pub mod findings;
pub mod manifest;
pub mod rendition;
pub mod segment;

pub use findings::Findings;
