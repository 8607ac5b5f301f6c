//! Bounds on what a child may take of the machine, set from outside right after it started; whatever it
//! starts inherits them. What an encoder computes and how much memory it needs is for the machine's own
//! bounds (a unit's or a container's): CUDA reserves address space that no limit here could tell from use.

use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// Open files: pipes, sockets, libraries.
const FILES: u64 = 1024;
/// Largest file it may write: it writes none, and whoever breaks into it cannot fill a disk.
const FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Address space of a child that only copies or describes: what it reads is a stranger's.
pub(crate) const COPIER_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Sets them; one that cannot be set is said.
pub(super) fn set(child: Option<u32>, address_space: Option<u64>) {
    let Some(pid) = child.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return };
    let bounds = [
        (Resource::Core, Some(0)),
        (Resource::Nofile, Some(FILES)),
        (Resource::Fsize, Some(FILE_BYTES)),
        (Resource::As, address_space),
    ];
    for (resource, bound) in bounds {
        let Some(bound) = bound else { continue };
        // One that is gone already needs none.
        if let Err(error) = prlimit(Some(pid), resource, Rlimit { current: Some(bound), maximum: Some(bound) })
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!(%error, ?resource, "a bound on a child could not be set");
        }
    }
}
