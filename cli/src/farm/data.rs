//! The data folder of `up` and `run`: one farm at a time uses it, and it holds the secrets the
//! farm's own NATS and store ask for.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::exit::{CliError, Exit};

/// Format of the secrets file.
const SECRETS_VERSION: u32 = 1;

/// A data folder that is ours until this is dropped.
#[derive(Debug)]
pub struct DataFolder {
    root: PathBuf,
    /// The kernel lets go of it when the process ends, however it ends.
    _lock: Flock<File>,
    secrets: Secrets,
}

/// What the farm's own NATS and store ask for. Made once per folder.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    v: u32,
    /// User of the NATS server.
    pub nats_user: String,
    /// Its password.
    pub nats_password: String,
    /// Access key of the store.
    pub s3_access_key: String,
    /// Its secret key.
    pub s3_secret_key: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    fn make() -> Self {
        // Two UUIDs hold 244 random bits.
        let secret = || format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        Self {
            v: SECRETS_VERSION,
            nats_user: "framemill".to_owned(),
            nats_password: secret(),
            s3_access_key: Uuid::new_v4().simple().to_string(),
            s3_secret_key: secret(),
        }
    }
}

impl DataFolder {
    /// Makes the folder where it is missing, and takes it. A folder another farm uses is refused.
    pub fn open(root: &Path) -> Result<Self, CliError> {
        let fault = |what: &str, error: &dyn std::fmt::Display| {
            CliError::usage(format!("{what}: {error}"))
                .at(root.display().to_string())
                .mend("give a folder that this user can write, with --data")
        };
        make_folder(root).map_err(|error| fault("cannot make the data folder", &error))?;
        let root = root.canonicalize().map_err(|error| fault("cannot find the data folder", &error))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(root.join("lock"))
            .map_err(|error| fault("cannot write in the data folder", &error))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            nix::errno::Errno::EWOULDBLOCK => {
                CliError::new(Exit::Refused, "another framemill is using this data folder")
                    .at(root.display().to_string())
                    .mend("stop it, or give this one a folder of its own with --data")
            }
            errno => fault("cannot lock the data folder", &errno),
        })?;
        let secrets = read_or_make(&root.join("secrets.json")).map_err(|error| fault("cannot keep secrets", &error))?;
        Ok(Self { root, _lock: lock, secrets })
    }

    /// The folder, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A folder inside it, made where it is missing.
    pub fn folder(&self, name: &str) -> Result<PathBuf, CliError> {
        let path = self.root.join(name);
        make_folder(&path).map_err(|error| {
            CliError::failed(format!("cannot make a folder: {error}"))
                .at(path.display().to_string())
                .mend("check the disk and who owns the data folder")
        })?;
        Ok(path)
    }

    /// Its secrets.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }
}

/// Only the owner may look inside: it holds secrets and sources.
fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn read_or_make(path: &Path) -> io::Result<Secrets> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            io::Error::other(format!("{} is damaged ({error}); remove it to have new ones made", path.display()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secrets = Secrets::make();
            let text = serde_json::to_vec(&secrets).expect("plain strings are JSON");
            write_private(path, &text)?;
            Ok(secrets)
        }
        Err(error) => Err(error),
    }
}

/// The secrets of a data folder, which may be another process's; `None` where there are none.
pub fn read_secrets(root: &Path) -> Result<Option<Secrets>, CliError> {
    let path = root.join("secrets.json");
    if !path.exists() {
        return Ok(None);
    }
    read_or_make(&path).map(Some).map_err(|error| {
        CliError::usage(format!("cannot read the farm's secrets: {error}"))
            .at(path.display().to_string())
            .mend("run this as the user that runs the farm")
    })
}

/// Writes a file only its owner may read, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// A folder that is removed with everything in it when this is dropped.
#[derive(Debug)]
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Makes one below the system's temporary folder.
    pub fn make() -> Result<Self, CliError> {
        let path = std::env::temp_dir().join(format!("framemill-run-{}", Uuid::new_v4().simple()));
        make_folder(&path).map_err(|error| {
            CliError::failed(format!("cannot make a temporary folder: {error}"))
                .at(path.display().to_string())
                .mend("set TMPDIR to a folder that can be written, or give --data")
        })?;
        Ok(Self(path))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "a temporary folder is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_used_by_one_and_keeps_its_secrets() {
        let temporary = TemporaryFolder::make().unwrap();
        let root = temporary.path().join("data");
        let first = DataFolder::open(&root).unwrap();
        let refused = DataFolder::open(&root).expect_err("in use");
        assert_eq!(refused.exit, Exit::Refused);
        let password = first.secrets().nats_password.clone();
        drop(first);
        let second = DataFolder::open(&root).unwrap();
        assert_eq!(second.secrets().nats_password, password);
        let mode = fs::metadata(root.join("secrets.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let path = temporary.path().to_owned();
        drop((second, temporary));
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_is_wrong_usage() {
        let error = DataFolder::open(Path::new("/dev/null/x")).expect_err("no folder");
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.mend.is_some());
    }
}
