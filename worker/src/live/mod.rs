//! Replicas: a channel is encoded by two of them, on two nodes, and nobody can tell their segments
//! apart.
//!
//! - [`source`] keeps one source open and its last seconds on a tape; [`ingest`] opens each kind
//! - [`log`] follows what is wanted, the timelines, and what was committed by whom
//! - [`plan`] makes a timeline (pure), [`decide`] says what a replica does next (pure)
//! - [`encoder`] is one run of ffmpeg, fed from a tape; [`publish`] puts and commits what comes out
//! - [`replica`] is the loop around all of it, [`status`] what it says of itself
//!
//! Never here: where replicas run, and playlists.

mod decide;
mod encoder;
mod fillers;
mod ingest;
mod log;
mod plan;
mod publish;
mod replica;
mod source;
mod status;

pub(crate) use ingest::Ingest;
pub use ingest::LiveConfig;
pub(crate) use publish::Place;
pub(crate) use replica::{Means, Replica};
