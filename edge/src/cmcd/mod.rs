//! What players tell of themselves (CMCD: CTA-5004, and version 2, CTA-5004-B), and what comes of it for a channel: how
//! long starts took, where the picture stood still, what was watched. A player may say anything: what it says is read
//! within bounds, counted, and believed nowhere else. No word of it becomes a label, a key or a line of a log.

mod fields;
mod labels;
mod metrics;
mod playback;
mod record;
mod viewers;

pub use record::{of_report, of_request};
pub use viewers::{Told, Viewers};
