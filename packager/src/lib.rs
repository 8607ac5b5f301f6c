//! Manifests and validation: from the indexes of stored segments to playlists that players can
//! trust.
//!
//! Owns the HLS and DASH writers (pure: the same title gives the same bytes), the checks on
//! everything that was made, and the handlers of package and validate jobs. Never encodes, and
//! never reads media to write a manifest.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bitrate;
pub mod check;
pub mod dash;
pub mod decimal;
pub mod hls;
mod language;
pub mod title;
