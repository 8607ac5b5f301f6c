//! Processes as the system shows them: those of a run by their mark, and what one takes.

use std::{fs, path::Path};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::wrapper::MARK;
use crate::machine::resident_bytes;

/// A process of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub pid: i32,
    /// The one that started it.
    pub parent: i32,
    /// Its command line, for people.
    pub line: String,
}

/// What a process takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory.
    pub resident_bytes: u64,
    /// Open file handles.
    pub handles: u64,
}

/// The living processes that carry the mark of a run, this one left out.
pub fn marked(mark: &str) -> Vec<Found> {
    let wanted = format!("{MARK}={mark}");
    let own = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let environment = fs::read(entry.path().join("environ")).ok()?;
            let is_marked = environment.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes());
            if !is_marked || pid == own {
                return None;
            }
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned();
            // A zombie has no command line any more.
            (!line.is_empty()).then(|| Found { pid: pid.cast_signed(), parent: parent(&entry.path()), line })
        })
        .collect()
}

/// Of those, the encoders and decoders at work, oldest first.
pub fn encoders(mark: &str) -> Vec<Found> {
    let mut found = marked(mark);
    // The wrapper has become the tool it stands before; roles are never called so.
    found.retain(|process| {
        let program = process.line.split(' ').next().unwrap_or_default();
        Path::new(program).file_name().is_some_and(|name| name.to_string_lossy().starts_with("ffmpeg"))
    });
    found.sort_by_key(|process| process.pid);
    found
}

/// What a process takes; nothing for one that is gone.
pub fn usage(pid: i32) -> Option<Usage> {
    let resident_bytes = resident_bytes(u32::try_from(pid).ok()?)?;
    let handles = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(Usage { resident_bytes, handles })
}

/// Milliseconds of processor time that a process took so far, its children left out; nothing for one that
/// is gone. The kernel counts in hundredths of a second.
pub fn cpu_ms(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in brackets and may hold anything; user's and system's share are fields 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) * 10)
}

/// Milliseconds of processor time that everything on this machine took so far.
pub fn machine_ms() -> Option<u64> {
    busy_ms(&fs::read_to_string("/proc/stat").ok()?)
}

/// Of the first line of `/proc/stat`: user, nice, system, idle, waiting, interrupts, more of those; guests are
/// in the user's share.
fn busy_ms(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
    let fields: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    let idle = fields.get(3)? + fields.get(4)?;
    Some((fields.iter().sum::<u64>() - idle) * 10)
}

/// Sends a signal; false where there was nobody to get it.
pub fn signal(pid: i32, signal: Signal) -> bool {
    kill(Pid::from_raw(pid), signal).is_ok()
}

fn parent(process: &Path) -> i32 {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    // The name is in brackets and may hold anything.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_idle_or_waits_is_not_busy() {
        assert_eq!(busy_ms("cpu  100 1 50 9000 400 2 3 4 55 0\ncpu0 1 2 3"), Some(1600));
        assert_eq!(busy_ms("cpu0 1 2 3"), None);
        assert!(machine_ms().is_some() && cpu_ms(std::process::id().cast_signed()).is_some());
    }

    #[test]
    fn a_process_is_found_by_its_mark_until_it_is_dead() {
        let mark = format!("mark-{}", std::process::id());
        let mut child = Command::new("sleep").arg("600").env(MARK, &mark).spawn().unwrap();
        let pid = child.id().cast_signed();
        // Between fork and exec it still looks like its parent.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while marked(&mark).is_empty() {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
        let found = marked(&mark);
        assert_eq!((found.len(), found[0].pid, found[0].parent), (1, pid, std::process::id().cast_signed()));
        assert!(found[0].line.contains("sleep 600"), "{found:?}");
        let usage = usage(pid).unwrap();
        assert!(usage.resident_bytes > 0 && usage.handles >= 1, "{usage:?}");
        assert!(signal(pid, Signal::SIGKILL));
        child.wait().unwrap();
        assert_eq!(marked(&mark), []);
    }
}
