//! `loadtest live`: channels on a farm of real processes, whose pictures show their own number. Replicas are
//! struck, and what viewers got is judged to the last picture.
//!
//! `source` makes what is sent, `stage` puts it on air, `viewer` reads as a viewer does, `watch` asks the
//! farm, `judge` and `rules` judge what was seen, `judges` has others judge it, `report` says what came of it. Each trial is a file of its
//! own.

pub mod align;
pub mod both_lost;
mod boxes;
mod channel;
pub mod check;
pub mod control;
mod faults;
mod judge;
mod judges;
pub mod kills;
pub mod latency;
pub mod load;
mod metrics;
mod pictures;
mod playlist;
pub mod report;
mod rules;
mod serve;
mod shares;
mod source;
mod stage;
mod strike;
mod tolds;
mod viewer;
mod watch;

pub use source::Way;
pub use stage::Common;
