//! A control group (cgroup v2) for each child, below a folder that this process was given: a bound on memory and on
//! processes that no limit on address space could set, and an end that nothing within it escapes.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Processes and threads of one child; an encoder of eight rungs has some two hundred.
const TASKS_MAX: u64 = 1024;
/// How a child's group is called, before its number.
const NAME: &str = "ffmpeg";
/// What is asked for of a group that gives its children nothing yet.
const ENABLE: &[u8] = b"+memory +pids";

/// Where children's groups are made, and what each may take.
#[derive(Clone, Debug)]
pub struct Cgroups {
    folder: PathBuf,
    memory_bytes: u64,
    /// Groups that could not be removed yet: the kernel still counted their last process.
    left: Arc<Mutex<Vec<PathBuf>>>,
}

impl Cgroups {
    /// Looks whether groups can be made below `folder`, and removes those of a process that is gone.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn below(folder: &Path, memory_bytes: u64) -> Result<Self, String> {
        let control = folder.join("cgroup.subtree_control");
        let read = || fs::read_to_string(&control);
        read().map_err(|error| format!("it is no control group that can be read ({error})"))?;
        // Refused where processes stand in it, or where its own parent does not give them; then they lack below.
        let _ = fs::OpenOptions::new().append(true).open(&control).and_then(|mut file| file.write_all(ENABLE));
        let given = read().unwrap_or_default();
        for needed in ["memory", "pids"] {
            if !given.split_whitespace().any(|controller| controller == needed) {
                return Err(format!("its cgroup.subtree_control does not hold {needed:?}, and cannot be made to"));
            }
        }
        let groups = Self { folder: folder.to_owned(), memory_bytes, left: Arc::default() };
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(NAME) {
                // One that is not empty is another process's.
                let _ = fs::remove_dir(entry.path());
            }
        }
        groups.make().map(drop).map_err(|error| format!("no group can be made below it ({error})"))?;
        Ok(groups)
    }

    /// Puts a child that was just started into a group of its own.
    pub(super) fn enter(&self, child: u32) -> io::Result<Cell> {
        let cell = self.make()?;
        match fs::write(cell.folder.join("cgroup.procs"), child.to_string()) {
            // It ended before it was moved: there is nothing left to bound.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(cell),
            moved => moved.map(|()| cell),
        }
    }

    fn make(&self) -> io::Result<Cell> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        self.left().retain(|folder| !is_removed(folder));
        let name = format!("{NAME}-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let cell = Cell { folder: self.folder.join(name), groups: self.clone() };
        fs::create_dir(&cell.folder)?;
        fs::write(cell.folder.join("memory.max"), self.memory_bytes.to_string())?;
        fs::write(cell.folder.join("pids.max"), TASKS_MAX.to_string())?;
        // Where the kernel has no swap there is nothing to bound.
        let _ = fs::write(cell.folder.join("memory.swap.max"), "0");
        Ok(cell)
    }

    fn left(&self) -> std::sync::MutexGuard<'_, Vec<PathBuf>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_removed(folder: &Path) -> bool {
    match fs::remove_dir(folder) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// A child's group. What is left in it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Cell {
    folder: PathBuf,
    groups: Cgroups,
}

impl Cell {
    /// Bytes of memory that were too few for what ran in it; nothing where they sufficed.
    pub fn exceeded(&self) -> Option<u64> {
        let events = fs::read_to_string(self.folder.join("memory.events")).ok()?;
        let mut counts = events.lines().filter_map(|line| line.strip_prefix("oom_kill "));
        let killed: u64 = counts.next()?.trim().parse().ok()?;
        (killed > 0).then_some(self.groups.memory_bytes)
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        // Kernels before 5.14 have no such file; the group of processes and its mark are killed anyway.
        let _ = fs::write(self.folder.join("cgroup.kill"), "1");
        if !is_removed(&self.folder) {
            self.groups.left().push(std::mem::take(&mut self.folder));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks like a control group that gives these controllers to those below it.
    fn folder(controllers: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.subtree_control"), controllers).unwrap();
        folder
    }

    #[test]
    fn what_is_no_group_or_gives_nothing_is_refused() {
        let empty = tempfile::tempdir().unwrap();
        assert!(Cgroups::below(empty.path(), 1).unwrap_err().contains("no control group"));
        let why = Cgroups::below(folder("cpu pids").path(), 1).unwrap_err();
        assert_eq!(why, "its cgroup.subtree_control does not hold \"memory\", and cannot be made to");
    }

    #[test]
    fn a_child_gets_a_group_with_its_bounds() {
        let folder = folder("cpu memory pids\n");
        let cell = Cgroups::below(folder.path(), 1 << 30).unwrap().enter(4711).unwrap();
        for (file, text) in [("cgroup.procs", "4711"), ("memory.max", "1073741824"), ("pids.max", "1024")] {
            assert_eq!(fs::read_to_string(cell.folder.join(file)).unwrap(), text, "{file}");
        }
        assert_eq!(cell.exceeded(), None);
        fs::write(cell.folder.join("memory.events"), "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\n").unwrap();
        assert_eq!(cell.exceeded(), Some(1 << 30));
        let path = cell.folder.clone();
        drop(cell);
        assert_eq!(fs::read_to_string(path.join("cgroup.kill")).unwrap(), "1");
    }

    #[test]
    fn groups_of_a_process_that_is_gone_are_removed() {
        let folder = folder("memory pids\n");
        fs::create_dir(folder.path().join("ffmpeg-1-0")).unwrap();
        fs::create_dir(folder.path().join("others")).unwrap();
        Cgroups::below(folder.path(), 1).unwrap();
        assert!(!folder.path().join("ffmpeg-1-0").exists());
        assert!(folder.path().join("others").exists());
    }
}
