//! The packager's live side: playlists and MPDs of channels from the log of their numbers.
//!
//! Every packager can write every channel, because what is written is a pure function of the log and
//! of what was folded out of it ([`chain`], [`render`]). Leases only see to it that one does at a
//! time; a put goes forwards or not at all ([`shelf`]), so that two of them could not do harm.

mod chain;
mod check;
mod chores;
mod clock;
mod dash;
mod facts;
mod fold;
mod folding;
mod gaps;
mod hls;
mod index;
mod inspect;
mod log;
mod master;
mod period;
mod recall;
mod render;
mod report;
mod retire;
mod rota;
#[cfg(test)]
mod sample;
mod sampler;
mod shards;
mod shelf;
mod stage;
#[cfg(test)]
mod stage_tests;
mod sweep;
mod target;
mod verdict;
mod window;
mod writer;

pub use folding::{FoldError, read as read_index};
pub use sampler::Sampler;
pub use shards::{LiveParts, run};
pub use sweep::list as list_indexes;
