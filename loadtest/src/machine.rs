//! What this machine gives a farm: free ports, memory, and the time.

use std::{
    fs,
    net::TcpListener,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};

/// Size of a page in `statm`.
const PAGE_BYTES: u64 = 4096;

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("there is no free port on loopback")?;
    Ok(listener.local_addr()?.port())
}

/// Resident memory of a process; nothing of one that is gone.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    Some(pages * PAGE_BYTES)
}

/// Unix milliseconds: the clock that records are stamped with.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
