//! A farm of real processes to be struck: NATS, a store, and roles of the same binary, each with
//! connections of its own that can be broken.
//!
//! `farm` and `process` keep it running, `proxy` and `wrapper` are where it can be broken, `proc` sees
//! what runs, `api` asks it as a user would.

mod api;
mod farm;
mod folder;
mod member;
mod nats;
pub mod proc;
mod process;
mod proxy;
mod requests;
mod seed;
mod wrapper;

use std::path::PathBuf;

use framemill_storage::S3Config;

pub use api::Api;
pub use farm::{Farm, LOOK, Seat};
pub use folder::Folder;
pub use member::{Link, Member, Trouble};
pub use seed::Seed;
pub use wrapper::{MARK, Wrapper};

/// The programs of a farm, and what judges what it made.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The `framemill` binary.
    pub framemill: PathBuf,
    /// The `ffmpeg` binary.
    pub ffmpeg: PathBuf,
    /// The `ffprobe` binary.
    pub ffprobe: PathBuf,
    /// The nats-server.
    pub nats_server: PathBuf,
    /// `setpriv`, where there is one.
    pub setpriv: Option<PathBuf>,
    /// A store that runs elsewhere; without it, the embedded one.
    pub outside: Option<S3Config>,
}

/// What a farm is to be like.
#[derive(Clone, Debug)]
pub struct Build {
    /// What it is made of.
    pub programs: Programs,
    /// The processes that run a role.
    pub members: Vec<Member>,
    /// Jobs that a worker or packager runs at once.
    pub slots: u64,
    /// How long an encoder may show no progress, seconds.
    pub stall_s: u64,
    /// How busy the machine may be before a worker takes nothing more, percent; without it, as it is by default.
    pub busy_percent: Option<u32>,
    /// Encoders read their source at so many times its own speed; without it, as they like.
    pub pace: Option<u32>,
}
