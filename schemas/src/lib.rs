//! Every type that crosses a wire or is stored: records, jobs, events, API documents, and the
//! names of subjects, buckets and objects. Also the checks on what users send.
//!
//! Never here: I/O, clocks, randomness, async. A value of any of these types means the same on
//! every machine.

pub mod api;
pub mod asset;
pub mod cloud_event;
pub mod delivery;
pub mod event;
pub mod failure;
pub mod field_error;
pub mod finding;
pub mod holder;
pub mod ids;
pub mod index;
pub mod inventory;
pub mod job;
pub mod key;
pub mod ladder;
pub mod lane;
pub mod live;
pub mod load;
pub mod node;
pub mod nvenc;
pub mod object;
pub mod presence;
pub mod probe;
pub mod rate;
pub mod sizing;
pub mod source;
pub mod spec;
pub mod subject;
pub mod submission;
pub mod trace;
pub mod wire;
