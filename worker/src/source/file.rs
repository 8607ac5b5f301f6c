//! Sources on this machine's file system, below the folders that may be read and nowhere else.
//!
//! What counts is the file that was opened, not the path that led there: a link that is swapped
//! between the check and the opening leads to a refusal.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    ops::Range,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use framemill_schemas::failure::{Class, Failure};
use nix::fcntl::OFlag;

use super::{
    blocks::BLOCK_BYTES,
    fault::{self, Faults},
    identity::identity,
};

/// A file that is open.
#[derive(Debug)]
pub(super) struct FileSource {
    file: File,
    shown: String,
    pub bytes: u64,
    pub identity: String,
    opened: Marks,
    pub faults: Arc<Faults>,
}

/// What changes with a file's bytes, as closely as this machine tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marks {
    bytes: u64,
    modified_s: i64,
    modified_ns: i64,
    inode: u64,
}

/// A place in a file.
pub(super) struct FileCursor {
    source: Arc<FileSource>,
    at: u64,
    end: u64,
}

impl FileSource {
    /// Opens `path`. Blocks: to be called where that is allowed.
    pub fn open(path: &Path, folders: &[PathBuf]) -> Result<Self, Failure> {
        let shown = path.display().to_string();
        let real: Vec<PathBuf> = folders.iter().filter_map(|folder| fs::canonicalize(folder).ok()).collect();
        let named = |path: &Path| folders.iter().chain(&real).any(|folder| path.starts_with(folder));
        let inside = |path: &Path| real.iter().any(|folder| path.starts_with(folder));
        // Before the file system is asked: nobody learns what exists elsewhere.
        let plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
        if !plain || !named(path) {
            return Err(outside(&shown));
        }
        let trouble = |error: io::Error| blame(&shown, &error);
        let target = fs::canonicalize(path).map_err(trouble)?;
        if !inside(&target) {
            return Err(outside(&shown));
        }
        if !fs::metadata(&target).map_err(trouble)?.is_file() {
            return Err(no_file(&shown));
        }
        // Not blocking: a pipe put there meanwhile must not hold the worker up.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(&target).map_err(trouble)?;
        let opened = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(trouble)?;
        let meta = file.metadata().map_err(trouble)?;
        if !inside(&opened) {
            return Err(outside(&shown));
        }
        if !meta.is_file() {
            return Err(no_file(&shown));
        }
        if meta.len() == 0 {
            return Err(fault::empty(&shown));
        }
        let opened = Marks::of(&meta);
        Ok(Self { file, shown, bytes: meta.len(), identity: opened.identity(), opened, faults: Arc::default() })
    }

    /// Reads exactly `range`. Blocks.
    fn read(&self, range: Range<u64>) -> Result<Bytes, Failure> {
        let size = usize::try_from(range.end - range.start).expect("a piece is at most a block");
        let mut bytes = BytesMut::zeroed(size);
        let read = self.file.read_exact_at(&mut bytes, range.start);
        // Looked at after the read: whatever was read before the file changed is good.
        let meta = self.file.metadata().map_err(|error| blame(&self.shown, &error))?;
        if meta.len() < self.bytes {
            return Err(fault::truncated(&self.shown, meta.len(), self.bytes));
        }
        if Marks::of(&meta) != self.opened {
            return Err(fault::changed(&self.shown));
        }
        read.map_err(|error| blame(&self.shown, &error))?;
        Ok(bytes.freeze())
    }
}

impl FileCursor {
    /// Reads `range`, which lies within the file.
    pub fn new(source: Arc<FileSource>, range: Range<u64>) -> Self {
        Self { source, at: range.start, end: range.end }
    }

    /// The next bytes; `None` at the end of the range. An error has been recorded.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.at >= self.end {
            return Ok(None);
        }
        let range = self.at..self.end.min(self.at + BLOCK_BYTES);
        self.at = range.end;
        let source = Arc::clone(&self.source);
        let read = tokio::task::spawn_blocking(move || source.read(range)).await;
        let read = read.unwrap_or_else(|_| Err(fault::interrupted(&self.source.shown, "the read was abandoned")));
        read.map(Some).inspect_err(|failure| self.source.faults.record(failure.clone()))
    }
}

impl Marks {
    fn of(meta: &Metadata) -> Self {
        Self { bytes: meta.len(), modified_s: meta.mtime(), modified_ns: meta.mtime_nsec(), inode: meta.ino() }
    }

    /// The same on every node. A copy (rsync -t) keeps the second at best, and each mount numbers
    /// its inodes as it likes: both only tell of changes below this process.
    fn identity(&self) -> String {
        identity("path", self.bytes, &[&self.modified_s.to_string()])
    }
}

fn outside(shown: &str) -> Failure {
    Failure::input("source-refused", format!("{shown} is not below a folder that workers may read"))
        .mend("move the file below one of sources.folders, or let the operator add its folder there")
}

fn no_file(shown: &str) -> Failure {
    Failure::input("source-not-a-file", format!("{shown} is not a regular file")).mend("submit the path of one file")
}

fn blame(shown: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => fault::missing(shown),
        io::ErrorKind::PermissionDenied => {
            Failure::input("source-unreadable", format!("the worker may not read {shown}"))
                .mend("let the user that runs the worker read the file and the folders above it")
        }
        _ => Failure::new(Class::Transient, "source-io", format!("reading {shown} failed: {error}"))
            .mend("check the disk or the network file system it is on"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn code(path: &Path, folders: &[PathBuf]) -> String {
        FileSource::open(path, folders).map_or_else(|failure| failure.code, |_| "opened".to_owned())
    }

    #[test]
    fn only_regular_files_below_the_folders_are_opened() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        let (media, other) = (root.join("media"), root.join("other"));
        fs::create_dir_all(media.join("sub")).unwrap();
        fs::create_dir(&other).unwrap();
        fs::create_dir(root.join("media-private")).unwrap();
        for file in ["media/a.mp4", "other/secret", "media-private/b.mp4"] {
            fs::write(root.join(file), "x").unwrap();
        }
        fs::write(media.join("empty.mp4"), "").unwrap();
        symlink(other.join("secret"), media.join("escape.mp4")).unwrap();
        symlink(&other, media.join("out")).unwrap();
        symlink(media.join("a.mp4"), media.join("inner.mp4")).unwrap();
        symlink(media.join("loop"), media.join("loop")).unwrap();
        symlink(&media, root.join("alias")).unwrap();
        nix::unistd::mkfifo(&media.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let folders = [media.clone(), root.join("not-there")];
        for (path, expected) in [
            (media.join("a.mp4"), "opened"),
            (media.join("inner.mp4"), "opened"),
            (media.join("sub/./../a.mp4"), "source-refused"),
            (media.join("../other/secret"), "source-refused"),
            (media.join("../nothing"), "source-refused"),
            (media.join("escape.mp4"), "source-refused"),
            (media.join("out/secret"), "source-refused"),
            (other.join("secret"), "source-refused"),
            (root.join("media-private/b.mp4"), "source-refused"),
            ("/etc/passwd".into(), "source-refused"),
            ("/nothing/here".into(), "source-refused"),
            ("a.mp4".into(), "source-refused"),
            (media.join("missing.mp4"), "source-missing"),
            (media.join("a.mp4/x"), "source-missing"),
            (media.join("empty.mp4"), "source-empty"),
            (media.join("sub"), "source-not-a-file"),
            (media.join("pipe"), "source-not-a-file"),
            (media.clone(), "source-not-a-file"),
        ] {
            assert_eq!(code(&path, &folders), expected, "{}", path.display());
        }
        assert_ne!(code(&media.join("loop"), &folders), "opened");
        assert_eq!(code(&media.join("a.mp4"), &[]), "source-refused");
        // A folder that is itself a link: by either name.
        for path in [root.join("alias/a.mp4"), media.join("a.mp4")] {
            assert_eq!(code(&path, &[root.join("alias")]), "opened", "{}", path.display());
        }
    }

    #[test]
    fn a_copy_that_keeps_size_and_second_is_the_same_source() {
        let place = tempfile::tempdir().unwrap();
        let identity = |name: &str, bytes: usize, seconds: u64, ns: u32| {
            let path = place.path().join(name);
            fs::write(&path, vec![7; bytes]).unwrap();
            let modified = std::time::UNIX_EPOCH + std::time::Duration::new(seconds, ns);
            OpenOptions::new().write(true).open(&path).unwrap().set_modified(modified).unwrap();
            FileSource::open(&path, &[place.path().to_owned()]).unwrap().identity
        };
        let original = identity("a.mp4", 1000, 1_700_000_000, 123_456_789);
        for (name, bytes, seconds, same) in [
            ("copy.mp4", 1000, 1_700_000_000, true),
            ("longer.mp4", 1001, 1_700_000_000, false),
            ("newer.mp4", 1000, 1_700_000_001, false),
        ] {
            assert_eq!(identity(name, bytes, seconds, 0) == original, same, "{name}");
        }
    }

    #[test]
    fn a_file_that_changes_is_noticed() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.mp4");
        fs::write(&path, vec![7; 1000]).unwrap();
        let open = || FileSource::open(&path, &[place.path().to_owned()]).unwrap();
        let source = open();
        assert_eq!(source.read(10..20).unwrap(), vec![7; 10]);
        assert_eq!(open().identity, source.identity);
        // Within the second it is the same source to others, and a change to who reads it.
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        let second = changed.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let moment = |ns| std::time::UNIX_EPOCH + std::time::Duration::new(second, ns);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_modified(moment(0)).unwrap();
        let source = open();
        file.set_modified(moment(7)).unwrap();
        assert_eq!(source.read(10..20).unwrap_err().code, "source-changed");
        assert_eq!(open().identity, source.identity);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(source.read(10..20).unwrap_err().code, "source-changed");
        assert_ne!(open().identity, source.identity);
        file.set_len(15).unwrap();
        assert_eq!(source.read(10..20).unwrap_err().code, "source-truncated");
    }
}
