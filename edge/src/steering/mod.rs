//! Sending viewers to the edge that serves them best: what this edge says of its load, what it knows of others, their
//! order for a viewer, and the forms in which a viewer hears of it.
//!
//! Never here: the objects themselves. What is cached names no edge and no token; an answer is composed for one viewer,
//! behind the cache.

mod board;
mod compose;
mod config;
mod endpoint;
mod gauge;
mod health;
mod hls;
mod manifest;
mod mpd;
mod networks;
mod rank;
#[cfg(test)]
mod sample;
mod say;
mod steer;

pub use board::{Board, watch};
pub use config::{NetworkPlace, SteeringConfig};
pub use gauge::Gauge;
pub use say::{Own, say};
pub use steer::{Steering, Watching, is_manifest};
