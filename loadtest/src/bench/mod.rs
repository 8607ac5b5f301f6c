//! Benchmarks: what the farm does, and beside it, in the same run, what no such farm can do
//! without.

pub mod queue;
pub mod vod;
