//! Where a job's source bytes come from. ffmpeg never opens an address of its own: it reads
//! `http://127.0.0.1:<port>/<unguessable>`, and what stands behind it is checked here, on every
//! hop and in the middle of every read.
//!
//! - [`reader`] opens a source and gives it such an address; [`listener`] answers there
//! - [`cursor`] reads forward through [`blocks`], and owns every retry of a source read
//! - [`file`](mod@file), [`http`] and [`object`] are the three things a source can be
//! - [`page`] fetches a whole small thing, for what is not read in parts
//! - [`guard`] and [`address`] decide which hosts may be asked; [`answer`] judges what they say
//! - [`fault`] keeps what went wrong, since ffmpeg only sees a short file
//!
//! Never here: what the bytes mean.

// A failure is made once per job at most: its size on the stack costs nothing.

mod address;
mod answer;
mod blocks;
mod config;
mod cursor;
mod fault;
mod file;
mod guard;
mod http;
mod identity;
mod listener;
mod object;
mod page;
mod range;
mod reader;
mod run;

pub use config::{Limits, SourcesConfig};
pub(crate) use guard::may_read_from;
pub use reader::{OpenSource, SourceReader};
