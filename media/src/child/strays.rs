//! Strays: what a child started and left behind outside its group (`setsid`, a daemon). No signal
//! to the group reaches them, they keep the child's pipes open, and they outlive a worker that is
//! killed.
//!
//! Each child carries a mark in its environment, which everything it starts inherits. The mark
//! names the process that started the child, so that a later one on the same machine can tell the
//! strays of a dead owner from the children of a living one.

use std::{
    collections::HashSet,
    fs,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::{Pid, getpid},
};

/// The variable that holds the mark.
pub(super) const MARK: &str = "FRAMEMILL_CHILD";
/// Looks at the process table for one child: a stray may start another while it is found.
const LOOKS_MAX: u32 = 8;

/// A new mark: owner, and a number of its own.
pub(super) fn mark() -> String {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    format!("{}/{}", owner(), SERIAL.fetch_add(1, Ordering::Relaxed))
}

/// This process: its namespace of process numbers (a container's numbers mean nothing outside),
/// its number, and its start, because numbers come back.
fn owner() -> &'static str {
    static OWNER: OnceLock<String> = OnceLock::new();
    OWNER.get_or_init(|| {
        let own = getpid().as_raw();
        format!("{}/{own}/{}", namespace(), start_of(own).unwrap_or_default())
    })
}

fn namespace() -> &'static str {
    static NAMESPACE: OnceLock<String> = OnceLock::new();
    NAMESPACE.get_or_init(|| {
        let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
    })
}

/// Kills whatever carries a child's mark. The child itself, `leader`, has been reaped. Blocks for
/// a look at the process table.
pub(super) fn kill_marked(mark: &str, leader: Option<i32>) {
    let mut killed = HashSet::new();
    for _ in 0..LOOKS_MAX {
        let mut found = false;
        for process in younger_than(leader) {
            if mark_of(process).as_deref() == Some(mark) && killed.insert(process) {
                found = true;
                put_down(process, "a process that an ffmpeg left behind was killed");
            }
        }
        if !found {
            return;
        }
    }
}

/// Kills what carries the mark of an owner on this machine that is dead: its worker was killed,
/// and could not clean up. Blocks for a look at the process table.
pub(crate) fn kill_abandoned() {
    for process in processes() {
        if mark_of(process).is_some_and(|mark| is_abandoned(&mark)) {
            put_down(process, "a process of a worker that was killed is killed as well");
        }
    }
}

fn is_abandoned(mark: &str) -> bool {
    let mut parts = mark.split('/');
    let (Some(namespace_of), Some(id), Some(start)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let (Ok(id), Ok(start)) = (id.parse::<i32>(), start.parse::<u64>()) else { return false };
    namespace_of == namespace() && start_of(id) != Some(start)
}

fn put_down(process: i32, why: &'static str) {
    tracing::warn!(process, "{why}");
    let process = Pid::from_raw(process);
    let _ = kill(process, Signal::SIGKILL);
    // Where there is no init above us, orphans are ours to reap.
    if parent_of(process.as_raw()) == Some(getpid().as_raw()) {
        let _ = std::thread::Builder::new().name("reaper".to_owned()).spawn(move || waitpid(process, None));
    }
}

/// Processes that were started after `leader`. Numbers are handed out in turn, so that only a few
/// of a large machine's need a look.
fn younger_than(leader: Option<i32>) -> Vec<i32> {
    let last = fs::read_to_string("/proc/loadavg").ok().and_then(|line| line.split(' ').nth(4)?.trim().parse().ok());
    let mut all = processes();
    if let Some((leader, last)) = leader.zip(last) {
        all.retain(|&process| is_younger(process, leader, last));
    }
    all
}

/// Whether `process` was given its number after `leader` was, with `last` the last one given.
fn is_younger(process: i32, leader: i32, last: i32) -> bool {
    if leader <= last { leader < process && process <= last } else { process > leader || process <= last }
}

fn processes() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = getpid().as_raw();
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|id| *id != own).collect()
}

fn mark_of(process: i32) -> Option<String> {
    let environment = fs::read(format!("/proc/{process}/environ")).ok()?;
    let name = format!("{MARK}=");
    let mut variables = environment.split(|byte| *byte == 0);
    let found = variables.find_map(|variable| variable.strip_prefix(name.as_bytes()))?;
    Some(String::from_utf8_lossy(found).into_owned())
}

/// Fields of proc(5)'s `stat` behind the command's name, which may hold anything.
fn stat(process: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_ascii_whitespace().map(str::to_owned).collect())
}

fn parent_of(process: i32) -> Option<i32> {
    stat(process)?.get(1)?.parse().ok()
}

/// When a process was started, in ticks since the machine was; `None` when it is gone or dead.
fn start_of(process: i32) -> Option<u64> {
    let stat = stat(process)?;
    (stat.first()? != "Z").then(|| stat.get(19)?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dead_owner_of_this_machine_abandons() {
        let (own, space) = (getpid().as_raw(), namespace());
        let start = start_of(own).unwrap();
        for (mark, abandoned) in [
            (mark(), false),
            (format!("{space}/{own}/{}/0", start + 1), true),
            (format!("{space}/{}/{start}/0", i32::MAX), true),
            (format!("{space}1/{}/{start}/0", i32::MAX), false),
            (format!("{space}/x/{start}/0"), false),
            (String::new(), false),
        ] {
            assert_eq!(is_abandoned(&mark), abandoned, "{mark}");
        }
    }

    #[test]
    fn numbers_that_start_again_are_younger_too() {
        for (process, leader, last, younger) in
            [(11, 10, 20, true), (10, 10, 20, false), (9, 10, 20, false), (21, 10, 20, false)]
        {
            assert_eq!(is_younger(process, leader, last), younger, "{process} {leader} {last}");
        }
        for (process, younger) in [(32_001, true), (31_999, false), (5, true), (6, false)] {
            assert_eq!(is_younger(process, 32_000, 5), younger, "{process}");
        }
    }
}
