//! One supervised child process: ffmpeg or ffprobe.
//!
//! It runs in a process group of its own, without our environment, with stdin closed unless asked
//! for, and ends in one of five ways: by itself, cancelled, stalled, in a flood of words, or dropped.
//! Whichever it is, its whole group is dead afterwards, and so is what left the group. It also
//! cannot outlive us: `setpriv` asks the kernel to
//! kill it when the thread that started it ends (see [`launch`]), and where that is missing its
//! pipes break, which ends it at its next write.
//!
//! Never here: what the child is for.

mod activity;
mod cgroup;
mod cpu;
mod group;
mod launch;
mod limits;
mod strays;
mod tail;
#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    os::fd::OwnedFd,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use command_fds::{CommandFdExt, FdMapping};
use framemill_schemas::failure::{Class, Failure};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    net::unix::pipe,
    process::{ChildStdin, ChildStdout, Command},
};
use tokio_util::sync::CancellationToken;

pub(crate) use activity::Activity;
use cgroup::Cell;
pub(crate) use cgroup::Cgroups;
use group::Group;
pub(crate) use limits::COPIER_BYTES;
pub(crate) use strays::kill_abandoned;
pub(crate) use tail::Said;
use tail::Tail;

/// Number of the first extra pipe in the child (`pipe:100`, `pipe:101`, ...): far above what the
/// child or the standard library's own exec pipe use.
pub(crate) const FIRST_PIPE: i32 = 100;

/// How long a child that was asked to end may take before it is killed. Short: what it would still
/// write is wanted by nobody, and whoever cancels a title wants the machine back.
const GRACE: Duration = Duration::from_millis(500);
/// How long a child may take to exit once all its pipes are closed.
const EXIT: Duration = Duration::from_secs(20);

/// Niceness of a child that yields: it takes what encoders leave, a seventieth of a busy core.
const YIELDING: &str = "19";

/// What to start.
pub(crate) struct Start<'a> {
    pub program: &'a Path,
    /// `setpriv`, where there is one.
    pub setpriv: Option<&'a Path>,
    /// `nice`, for a child that yields to those without it.
    pub nice: Option<&'a Path>,
    pub args: Vec<OsString>,
    /// Extra pipes the child writes, numbered from [`FIRST_PIPE`].
    pub outputs: usize,
    /// Whether we feed its stdin; else it has none.
    pub stdin: bool,
    /// Bytes of address space it may have; as many as it asks for where left out.
    pub address_space: Option<u64>,
    /// Where its control group is made, where it gets one.
    pub cgroups: Option<&'a Cgroups>,
}

/// A running child.
pub(crate) struct Child {
    child: tokio::process::Child,
    group: Group,
    strays: Strays,
    cell: Option<Cell>,
    tail: Tail,
    pub stdin: Option<ChildStdin>,
    pub stdout: Option<ChildStdout>,
    pub outputs: Vec<pipe::Receiver>,
}

/// What the child may leave behind outside its group. Killed on drop.
struct Strays {
    mark: String,
    leader: Option<i32>,
    done: bool,
}

impl Strays {
    /// Kills them, once the child itself is gone: from then on there can be no more.
    async fn kill(&mut self) {
        if !std::mem::replace(&mut self.done, true) {
            let (mark, leader) = (std::mem::take(&mut self.mark), self.leader);
            let _ = tokio::task::spawn_blocking(move || strays::kill_marked(&mark, leader)).await;
        }
    }
}

impl Drop for Strays {
    fn drop(&mut self) {
        if !self.done {
            strays::kill_marked(&self.mark, self.leader);
        }
    }
}

/// How a child that ran to its end did.
#[derive(Debug)]
pub(crate) struct Exit {
    pub status: ExitStatus,
    /// Bounded: what it said first and last on stderr.
    pub stderr: String,
}

/// Starts a child.
pub(crate) async fn start(start: Start<'_>) -> Result<Child, Failure> {
    let name = start.program.display().to_string();
    let fault = |error: std::io::Error| {
        Failure::new(Class::Resource, "ffmpeg-not-started", format!("{name} cannot be started: {error}"))
            .mend("check the path in [ffmpeg], and the limits on processes and open files")
    };
    let mut line: Vec<OsString> = Vec::new();
    if let Some(setpriv) = start.setpriv {
        line.extend([setpriv.into(), "--pdeathsig".into(), "KILL".into(), "--".into()]);
    }
    if let Some(nice) = start.nice {
        line.extend([nice.into(), "-n".into(), YIELDING.into()]);
    }
    line.push(start.program.into());
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]);
    let mut outputs = Vec::with_capacity(start.outputs);
    let mut mappings = Vec::with_capacity(start.outputs);
    for (child_fd, _) in (FIRST_PIPE..).zip(0..start.outputs) {
        let (sender, receiver) = pipe::pipe().map_err(fault)?;
        let parent_fd: OwnedFd = sender.into_blocking_fd().map_err(fault)?;
        mappings.push(FdMapping { parent_fd, child_fd });
        outputs.push(receiver);
    }
    command
        .args(&start.args)
        // An inherited http_proxy would capture loopback addresses, and FFREPORT would write files.
        .env_clear()
        .env("LC_ALL", "C")
        // By default CUDA counts the fastest GPU first; the driver, whose numbers jobs are given, by the bus.
        .env("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        // One encoder writes pages of settings to stderr whatever ffmpeg's own level is.
        .env("SVT_LOG", "1")
        .stdin(if start.stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mark = strays::mark();
    command.env(strays::MARK, &mark);
    command.fd_mappings(mappings).expect("the numbers are distinct");
    let mut child = launch::launch(command).await.map_err(fault)?;
    let group = Group::of(&child);
    limits::set(child.id(), start.address_space);
    let cell = start.cgroups.zip(child.id()).map(|(cgroups, id)| cgroups.enter(id)).transpose();
    // Dropped, the child is killed.
    let cell = cell.map_err(|error| {
        Failure::new(Class::Resource, "cgroup-refused", format!("{name} cannot be given a control group: {error}"))
            .mend("see whether the folder in ffmpeg.cgroup still belongs to this process")
    })?;
    let strays = Strays { mark, leader: child.id().and_then(|id| i32::try_from(id).ok()), done: false };
    let tail = Tail::follow(child.stderr.take().expect("stderr is piped"));
    Ok(Child { stdin: child.stdin.take(), stdout: child.stdout.take(), outputs, child, group, strays, cell, tail })
}

impl Child {
    /// What it says on stderr.
    pub fn said(&self) -> Said {
        self.tail.said()
    }

    /// Runs `work`, which drives the child's pipes to their end, beside the child itself. Fails
    /// when `work` does, when cancelled, and when `activity` shows no sign of life for `stall`
    /// while the child does not compute either;
    /// the child's whole group is dead when this returns.
    pub async fn supervise<T>(
        mut self,
        work: impl Future<Output = Result<T, Failure>>,
        activity: &Activity,
        stall: Duration,
        cancel: &CancellationToken,
    ) -> Result<(T, Exit), Failure> {
        let mut work = std::pin::pin!(work);
        let leader = self.child.id();
        let mut stalled = std::pin::pin!(activity.stalled(stall, move || cpu::used(leader?)));
        let mut exited: Option<ExitStatus> = None;
        let done = loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    self.stop().await;
                    return Err(Failure::new(Class::Transient, "cancelled", "the work was cancelled"));
                }
                done = &mut work => break done,
                status = self.child.wait(), if exited.is_none() => {
                    exited = Some(status.map_err(lost)?);
                    // What it left behind would hold the pipes open for ever.
                    self.group.kill();
                    self.strays.kill().await;
                }
                () = self.tail.flooded() => {
                    self.stop().await;
                    let reason = format!("ffmpeg said more than {} MB", tail::FLOOD_BYTES / 1_000_000);
                    return Err(Failure::new(Class::Transient, "ffmpeg-flood", reason)
                        .evidence(self.tail.text().await));
                }
                silence = &mut stalled => {
                    self.stop().await;
                    return Err(Failure::new(
                        Class::Transient,
                        "ffmpeg-stalled",
                        format!("ffmpeg showed no progress for {} s", silence.as_secs()),
                    )
                    .evidence(self.tail.text().await));
                }
            }
        };
        let done = match done {
            Ok(done) => done,
            Err(failure) => {
                self.stop().await;
                self.within_memory()?;
                return Err(if failure.evidence.is_none() {
                    failure.evidence(self.tail.text().await)
                } else {
                    failure
                });
            }
        };
        // With its pipes at their end it has nothing left to do but exit.
        drop((self.stdin.take(), std::mem::take(&mut self.outputs)));
        let status = match exited {
            Some(status) => status,
            None => match tokio::time::timeout(EXIT, self.child.wait()).await {
                Ok(status) => status.map_err(lost)?,
                Err(_) => self.stop().await.ok_or_else(|| lost(std::io::Error::other("no exit status")))?,
            },
        };
        self.group.kill();
        self.strays.kill().await;
        self.within_memory()?;
        Ok((done, Exit { status, stderr: self.tail.text().await }))
    }

    /// Fails where it was killed because it needed more memory than it may have.
    fn within_memory(&self) -> Result<(), Failure> {
        let Some(bytes) = self.cell.as_ref().and_then(Cell::exceeded) else { return Ok(()) };
        let reason = format!("ffmpeg needed more than the {} MB of memory it may have", bytes >> 20);
        Err(Failure::new(Class::Resource, "ffmpeg-out-of-memory", reason)
            .mend("raise ffmpeg.memory_mb, or give the ladder fewer or smaller rungs"))
    }

    /// Ends the whole group: asked first, killed after [`GRACE`]. Returns when it is dead.
    async fn stop(&mut self) -> Option<ExitStatus> {
        self.group.terminate();
        let waited = tokio::time::timeout(GRACE, self.child.wait()).await;
        self.group.kill();
        let status = match waited {
            Ok(status) => status.ok(),
            Err(_) => self.child.wait().await.ok(),
        };
        self.strays.kill().await;
        status
    }
}

fn lost(error: std::io::Error) -> Failure {
    Failure::new(Class::Transient, "ffmpeg-lost", format!("the state of the ffmpeg process cannot be read: {error}"))
}

/// Runs a child that only says something, and takes its whole stdout, at most `limit` bytes.
pub(crate) async fn capture(
    what: Start<'_>,
    limit: usize,
    stall: Duration,
    cancel: &CancellationToken,
) -> Result<(Vec<u8>, Exit), Failure> {
    let mut child = start(what).await?;
    let mut stdout = child.stdout.take().expect("it was just started");
    let activity = Activity::default();
    let read = async {
        let mut bytes = Vec::new();
        loop {
            let count = stdout.read_buf(&mut bytes).await.map_err(lost)?;
            activity.beat();
            if count == 0 {
                return Ok(bytes);
            }
            if bytes.len() > limit {
                return Err(Failure::input("description-too-large", "the source's description has no end"));
            }
        }
    };
    child.supervise(read, &activity, stall, cancel).await
}

/// Longest line that is taken whole.
const LINE_BYTES_MAX: u64 = 16 * 1024;

/// Reads a stream line by line; `each` answers whether it wants more.
pub(crate) async fn lines(stream: impl AsyncRead + Unpin, mut each: impl FnMut(&str) -> bool) -> Result<(), Failure> {
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = (&mut stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await.map_err(lost)?;
        if count == 0 || !each(&String::from_utf8_lossy(&line)) {
            return Ok(());
        }
    }
}
