//! Manifests and validation: from the indexes of stored segments to playlists that players can
//! trust.
//!
//! Owns the HLS and DASH writers (pure: the same title gives the same bytes), the checks on
//! everything that was made, the handlers of package and validate jobs, and the playlists of channels. Never encodes, and
//! never reads media to write a manifest.
#![cfg_attr(test, allow(clippy::unwrap_used))]
// A failure carries what a person needs to know, and there is one for each attempt, not for each call.

mod archive;
pub mod bitrate;
pub mod check;
pub mod dash;
pub mod decimal;
mod handlers;
pub mod hls;
mod language;
mod live;
mod metrics;
mod objects;
mod parts;
mod run;
pub mod title;

pub use run::{LiveConfig, PackagerParts, SAMPLE_EVERY_S_MAX, SAMPLE_EVERY_S_MIN, run};
