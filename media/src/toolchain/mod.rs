//! The ffmpeg and ffprobe that are used: found, and checked once for everything needed, so that
//! nothing is found missing in the middle of a job.

mod features;

use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    child::{Cgroups, Start, capture},
    encoder::Encoder,
};

/// Section `[ffmpeg]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FfmpegConfig {
    /// Path of ffmpeg; from `PATH` where left out.
    pub ffmpeg: Option<PathBuf>,
    /// Path of ffprobe; from `PATH` where left out.
    pub ffprobe: Option<PathBuf>,
    /// How long one that does not compute may go without progress before it is stopped; one that
    /// computes in silence gets fifteen times as long. Slow presets at large sizes need seconds
    /// for a picture; a hung one needs for ever.
    pub stall_s: u64,
    /// A control group (cgroup v2) that belongs to this process and gives memory and pids to those below
    /// it: each child gets one of its own there. No groups where left out.
    pub cgroup: Option<PathBuf>,
    /// Memory of one child, megabytes, where there are groups.
    pub memory_mb: u64,
}

impl Default for FfmpegConfig {
    fn default() -> Self {
        Self { ffmpeg: None, ffprobe: None, stall_s: STALL_S, cgroup: None, memory_mb: MEMORY_MB }
    }
}

/// Default of `stall_s`.
const STALL_S: u64 = 120;
/// Default of `memory_mb`: several rungs of 2160p with a long look ahead need half of it.
const MEMORY_MB: u64 = 8192;

/// Why no ffmpeg can be used. Each is a sentence with its mend.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// Not there, or it does not run.
    #[error(
        "{tool} cannot be used ({why}); install ffmpeg 5.1 or newer with ./infra/setup or the system's packages, \
         or set {key} in the section [ffmpeg] of the configuration"
    )]
    Unusable {
        /// `ffmpeg` or `ffprobe`, with its path where known.
        tool: String,
        /// What happened.
        why: String,
        /// The configuration key.
        key: &'static str,
    },
    /// Older than 5.1.
    #[error(
        "{tool} is version {version}, older than the 5.1 that is needed; install a newer one, or point [ffmpeg] at it"
    )]
    Old {
        /// Its path.
        tool: String,
        /// What it says.
        version: String,
    },
    /// Children cannot be put into control groups.
    #[error(
        "{folder} cannot hold the control groups of ffmpeg: {why}; let systemd delegate one (Delegate=yes) and enable \
         memory and pids in it, or leave out ffmpeg.cgroup"
    )]
    NoGroups {
        /// The folder.
        folder: String,
        /// What is wrong with it.
        why: String,
    },
    /// Built without something that is needed.
    #[error("{tool} {version} was built without {missing}; install a full build, or point [ffmpeg] at one")]
    Lacking {
        /// Its path.
        tool: String,
        /// What it says.
        version: String,
        /// What is not there, for people.
        missing: String,
    },
}

/// Libraries of ffmpeg 5.1: every build, whatever its version string says, names its libavutil.
const LIBAVUTIL_MIN: (u32, u32) = (57, 28);
/// How long one question to a tool may take.
const ANSWER: Duration = Duration::from_secs(20);
/// Longest answer; the list of filters is the longest, 40 kB.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug)]
struct Inner {
    ffmpeg: PathBuf,
    ffprobe: PathBuf,
    setpriv: Option<PathBuf>,
    nice: Option<PathBuf>,
    stall: Duration,
    version: String,
    encoders: BTreeSet<String>,
    cgroups: Option<Cgroups>,
    looks: bool,
}

/// A checked ffmpeg and ffprobe. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Toolchain(Arc<Inner>);

impl Toolchain {
    /// Finds and checks both tools.
    pub async fn find(config: &FfmpegConfig) -> Result<Self, ToolchainError> {
        // A worker that was killed here could not clean up: whoever comes next does.
        let _ = tokio::task::spawn_blocking(crate::child::kill_abandoned).await;
        let ffmpeg = locate("ffmpeg", config.ffmpeg.as_deref())?;
        let ffprobe = locate("ffprobe", config.ffprobe.as_deref())?;
        let setpriv = on_path("setpriv");
        if setpriv.is_none() {
            tracing::warn!(
                "setpriv (util-linux) is not on PATH: an ffmpeg whose worker is killed ends only at its next write"
            );
        }
        let version = check_version(&ffmpeg, setpriv.as_deref(), "ffmpeg").await?;
        check_version(&ffprobe, setpriv.as_deref(), "ffprobe").await?;
        let (mut encoders, mut looks) = (BTreeSet::new(), false);
        for (question, needed) in features::NEEDED {
            let answer = ask(&ffmpeg, setpriv.as_deref(), "ffmpeg", &["-hide_banner", question]).await?;
            let names = features::names(&answer);
            if let Some(missing) = needed.iter().find(|name| !names.contains(**name)) {
                return Err(ToolchainError::Lacking {
                    tool: ffmpeg.display().to_string(),
                    version,
                    missing: format!("the {} {missing}", question.trim_start_matches('-').trim_end_matches('s')),
                });
            }
            match *question {
                features::ENCODERS => encoders = names,
                features::FILTERS => looks = features::OF_A_LOOK.iter().all(|name| names.contains(*name)),
                _ => {}
            }
        }
        let cgroups = config.cgroup.as_deref().map(|folder| groups(folder, config.memory_mb)).transpose()?;
        let stall = Duration::from_secs(config.stall_s.max(1));
        let nice = on_path("nice");
        Ok(Self(Arc::new(Inner { ffmpeg, ffprobe, setpriv, nice, stall, version, encoders, cgroups, looks })))
    }

    /// What ffmpeg calls its version.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// Whether ffmpeg was built with an encoder. Whether it works is for [`crate::encoder::prove`].
    pub fn lists(&self, encoder: Encoder) -> bool {
        self.0.encoders.contains(encoder.name())
    }

    /// Whether ffmpeg was built with what [`crate::look`] needs.
    pub fn looks(&self) -> bool {
        self.0.looks
    }

    pub(crate) fn ffmpeg(&self) -> &Path {
        &self.0.ffmpeg
    }

    pub(crate) fn ffprobe(&self) -> &Path {
        &self.0.ffprobe
    }

    pub(crate) fn setpriv(&self) -> Option<&Path> {
        self.0.setpriv.as_deref()
    }

    /// How long a child may go without progress.
    pub(crate) fn stall(&self) -> Duration {
        self.0.stall
    }

    /// Where children's control groups are made.
    pub(crate) fn cgroups(&self) -> Option<&Cgroups> {
        self.0.cgroups.as_ref()
    }

    /// Starts a child that yields to the encoders, where there is one.
    pub(crate) fn nice(&self) -> Option<&Path> {
        self.0.nice.as_deref()
    }
}

fn locate(tool: &'static str, configured: Option<&Path>) -> Result<PathBuf, ToolchainError> {
    match configured {
        Some(path) if is_program(path) => Ok(path.to_owned()),
        Some(path) => Err(unusable(tool, &path.display().to_string(), "there is no such program")),
        None => on_path(tool).ok_or_else(|| unusable(tool, tool, "it is not on PATH")),
    }
}

fn groups(folder: &Path, memory_mb: u64) -> Result<Cgroups, ToolchainError> {
    Cgroups::below(folder, memory_mb << 20)
        .map_err(|why| ToolchainError::NoGroups { folder: folder.display().to_string(), why })
}

fn unusable(key: &'static str, tool: &str, why: &str) -> ToolchainError {
    ToolchainError::Unusable { tool: tool.to_owned(), why: why.to_owned(), key }
}

fn on_path(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|path| path.is_absolute() && is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

async fn ask(
    program: &Path,
    setpriv: Option<&Path>,
    key: &'static str,
    args: &[&str],
) -> Result<String, ToolchainError> {
    let start = Start {
        program,
        setpriv,
        nice: None,
        args: args.iter().map(Into::into).collect(),
        outputs: 0,
        stdin: false,
        address_space: None,
        cgroups: None,
    };
    let tool = program.display().to_string();
    let (stdout, exit) = capture(start, ANSWER_BYTES_MAX, ANSWER, &CancellationToken::new())
        .await
        .map_err(|failure| unusable(key, &tool, &failure.reason))?;
    if !exit.status.success() {
        return Err(unusable(key, &tool, exit.stderr.lines().last().unwrap_or("it fails without a word")));
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

async fn check_version(program: &Path, setpriv: Option<&Path>, key: &'static str) -> Result<String, ToolchainError> {
    let answer = ask(program, setpriv, key, &["-version"]).await?;
    let tool = program.display().to_string();
    let version = features::version(&answer).ok_or_else(|| unusable(key, &tool, "it does not say its version"))?;
    match features::libavutil(&answer) {
        Some(found) if found >= LIBAVUTIL_MIN => Ok(version),
        Some(_) => Err(ToolchainError::Old { tool, version }),
        None => Err(unusable(key, &tool, "it does not name its libraries")),
    }
}
