//! The store's folder: its lock, its layout, and the locks of single keys.
//!
//! ```text
//! lock                held while a process serves the folder
//! format              layout of this version
//! buckets/<bucket>/   objects, see `names`
//! incoming/           bodies being received; emptied at every start
//! uploads/<id>/       multipart uploads under way
//! ```

use std::{
    collections::hash_map::DefaultHasher,
    fs::{self, File, TryLockError},
    hash::{Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use s3s::{S3Result, s3_error};

use super::{EmbeddedError, fault, names};

/// Content of `format`.
const FORMAT: &str = "framemill embedded store 1\n";
/// Locks of keys: a key's lock is found by its hash, so the table is bounded and two keys that
/// share a lock only wait for each other.
const KEY_LOCKS: usize = 256;
/// Multipart uploads that nobody touched for this long are dropped at start.
const UPLOAD_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    buckets: PathBuf,
    incoming: PathBuf,
    uploads: PathBuf,
    key_locks: Vec<Mutex<()>>,
    /// Read to put a file into a folder, written to make or remove folders: a folder that a put
    /// has found is there, and durably, until the put is done.
    pub(super) tree: RwLock<()>,
    counter: AtomicU64,
    /// Unlocked when the process ends, however it does.
    _lock: File,
}

impl Folder {
    /// Opens a folder, made where it is missing, and clears what a crash left behind.
    pub fn open(root: &Path) -> Result<Self, EmbeddedError> {
        let fault = |source| EmbeddedError::Folder { root: root.to_owned(), source };
        fs::create_dir_all(root).map_err(fault)?;
        let lock = File::options().create(true).truncate(false).write(true).open(root.join("lock")).map_err(fault)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(EmbeddedError::Locked { root: root.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(fault(source)),
        }
        match fs::read_to_string(root.join("format")) {
            Ok(found) if found == FORMAT => {}
            // A crash between making the file and its content reaching the disk.
            Ok(found) if found.is_empty() => write_synced(root, "format", FORMAT).map_err(fault)?,
            Ok(found) => {
                let found = found.lines().next().unwrap_or_default().chars().take(80).collect();
                return Err(EmbeddedError::Foreign { root: root.to_owned(), found });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_synced(root, "format", FORMAT).map_err(fault)?;
            }
            Err(error) => return Err(fault(error)),
        }
        let incoming = root.join("incoming");
        match fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault(error)),
            _ => {}
        }
        let (buckets, uploads) = (root.join("buckets"), root.join("uploads"));
        for folder in [&incoming, &buckets, &uploads] {
            fs::create_dir_all(folder).map_err(fault)?;
        }
        drop_old_uploads(&uploads).map_err(fault)?;
        sync_folder(root).map_err(fault)?;
        let key_locks = (0..KEY_LOCKS).map(|_| Mutex::new(())).collect();
        let counter = AtomicU64::new(0);
        Ok(Self { buckets, incoming, uploads, key_locks, tree: RwLock::new(()), counter, _lock: lock })
    }

    /// Folder of a bucket, which need not exist.
    pub fn bucket(&self, name: &str) -> S3Result<PathBuf> {
        if !s3s::path::check_bucket_name(name) {
            return Err(s3_error!(InvalidBucketName, "that is no bucket name"));
        }
        Ok(self.buckets.join(name))
    }

    /// Folder of a bucket that exists.
    pub fn existing_bucket(&self, name: &str) -> S3Result<PathBuf> {
        let path = self.bucket(name)?;
        if path.is_dir() { Ok(path) } else { Err(s3_error!(NoSuchBucket, "there is no such bucket")) }
    }

    /// Folder of all buckets.
    pub fn buckets(&self) -> &Path {
        &self.buckets
    }

    /// Folder of all multipart uploads.
    pub fn uploads(&self) -> &Path {
        &self.uploads
    }

    /// Where an object is, or would be. Its bucket must exist.
    pub fn place(&self, bucket: &str, key: &str) -> S3Result<Place> {
        let below = names::path_of(key).map_err(fault::key)?;
        Ok(Place { bucket: self.existing_bucket(bucket)?, below })
    }

    /// A new name for a body that is being received.
    pub fn incoming(&self) -> PathBuf {
        self.incoming.join(self.counter.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Keeps others from changing what is stored at `place`.
    pub fn lock_key(&self, place: &Place) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        place.path().hash(&mut hasher);
        let slot = usize::try_from(hasher.finish() % KEY_LOCKS as u64).expect("less than the number of locks");
        // Nothing is guarded but the order of events: after a panic it is as good as before.
        self.key_locks[slot].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an object is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its bucket's folder.
    pub bucket: PathBuf,
    /// Path below it.
    pub below: PathBuf,
}

impl Place {
    /// Path of its file.
    pub fn path(&self) -> PathBuf {
        self.bucket.join(&self.below)
    }
}

/// Makes what happened to a folder's entries durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn write_synced(root: &Path, name: &str, text: &str) -> io::Result<()> {
    let path = root.join(name);
    fs::write(&path, text)?;
    File::open(&path)?.sync_all()
}

fn drop_old_uploads(uploads: &Path) -> io::Result<()> {
    for entry in fs::read_dir(uploads)? {
        let entry = entry?;
        let age = SystemTime::now().duration_since(entry.metadata()?.modified()?).unwrap_or_default();
        if age > UPLOAD_AGE_MAX {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        assert!(matches!(Folder::open(root.path()), Err(EmbeddedError::Locked { .. })));
        drop(folder);
        Folder::open(root.path()).unwrap();
    }

    #[test]
    fn what_a_crash_left_is_cleared_and_a_foreign_folder_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        fs::write(folder.incoming(), "half a body").unwrap();
        drop(folder);
        Folder::open(root.path()).unwrap();
        assert_eq!(fs::read_dir(root.path().join("incoming")).unwrap().count(), 0);
        fs::write(root.path().join("format"), "something else").unwrap();
        assert!(matches!(Folder::open(root.path()), Err(EmbeddedError::Foreign { .. })));
    }
}
