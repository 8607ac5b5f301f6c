//! The supervision, with shell scripts in the place of ffmpeg.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{sys::signal::kill, unistd::Pid};
use tokio::io::AsyncReadExt;

use super::*;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

struct Script {
    folder: tempfile::TempDir,
    path: PathBuf,
}

fn script(body: &str) -> Script {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ffmpeg");
    std::fs::write(&path, format!("#!/bin/sh\ncd {}\n{body}\n", folder.path().display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Script { folder, path }
}

impl Script {
    async fn start(&self, outputs: usize) -> Child {
        let setpriv = Path::new("/usr/bin/setpriv");
        let setpriv = setpriv.exists().then_some(setpriv);
        super::start(Start {
            cgroups: None,
            program: &self.path,
            setpriv,
            nice: None,
            args: Vec::new(),
            outputs,
            stdin: false,
            address_space: None,
        })
        .await
        .unwrap()
    }

    /// The process id a script wrote; waits until it has.
    async fn pid(&self, name: &str) -> Pid {
        let path = self.folder.path().join(name);
        until(|| std::fs::read_to_string(&path).ok()?.trim().parse().ok().map(Pid::from_raw)).await
    }
}

/// Waits for a condition, within a bound.
async fn until<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = condition() {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("the condition never came")
}

async fn is_gone(pid: Pid) {
    // A zombie that its new parent has not reaped yet is dead as well.
    let dead = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (kill(pid, None).is_err() || stat.contains(") Z ")).then_some(())
    };
    until(dead).await;
}

/// Reads a child's stdout and pipes to their ends.
async fn drain(child: &mut Child) -> impl Future<Output = Result<Vec<u8>, Failure>> + use<> {
    let mut stdout = child.stdout.take().unwrap();
    let outputs = std::mem::take(&mut child.outputs);
    async move {
        let mut all = Vec::new();
        stdout.read_to_end(&mut all).await.unwrap();
        for mut output in outputs {
            output.read_to_end(&mut all).await.unwrap();
        }
        Ok(all)
    }
}

#[tokio::test]
async fn pipes_and_exit_status_arrive_and_the_environment_does_not() {
    let script = script(
        "echo out; echo one > /dev/fd/100; echo two > /dev/fd/101; echo said >&2; echo \"$HOME$http_proxy\"; exit 3",
    );
    let mut child = script.start(2).await;
    let work = drain(&mut child).await;
    let activity = Activity::default();
    let cancel = CancellationToken::new();
    let (all, exit) = child.supervise(work, &activity, PATIENCE, &cancel).await.unwrap();
    assert_eq!(String::from_utf8(all).unwrap(), "out\n\none\ntwo\n");
    assert_eq!((exit.status.code(), exit.stderr.as_str()), (Some(3), "said\n"));
}

#[tokio::test]
async fn one_that_hangs_is_stopped_at_the_deadline_with_all_its_children() {
    // It ignores being asked, so that it has to be killed.
    let script =
        script("trap '' TERM; /bin/sleep 1000 & echo $! > grandchild; echo $$ > self; echo stuck >&2; wait; wait");
    let mut child = script.start(1).await;
    let work = drain(&mut child).await;
    let (own, grandchild) = (script.pid("self").await, script.pid("grandchild").await);
    let activity = Activity::default();
    let cancel = CancellationToken::new();
    let failure = child.supervise(work, &activity, Duration::from_millis(200), &cancel).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (Class::Transient, "ffmpeg-stalled"));
    assert_eq!(failure.evidence.as_deref(), Some("stuck\n"));
    is_gone(own).await;
    is_gone(grandchild).await;
}

#[tokio::test]
async fn one_that_is_silent_and_computes_is_waited_for() {
    // It computes until it is told to stop, for several deadlines.
    let script = script("while [ ! -e enough ]; do :; done; echo done");
    let mut child = script.start(0).await;
    let work = drain(&mut child).await;
    let stall = Duration::from_secs(1);
    let (activity, cancel) = (Activity::default(), CancellationToken::new());
    let work = async {
        let mut work = std::pin::pin!(work);
        assert!(tokio::time::timeout(stall * 3, &mut work).await.is_err());
        std::fs::write(script.folder.path().join("enough"), "").unwrap();
        work.await
    };
    let (all, exit) = child.supervise(work, &activity, stall, &cancel).await.unwrap();
    assert!(all == b"done\n" && exit.status.success());
}

#[tokio::test]
async fn a_flood_on_stderr_neither_blocks_it_nor_fills_memory() {
    let script = script(
        "i=0; while [ $i -lt 20000 ]; do echo 'a line of a flood that nobody wants to read' >&2; i=$((i+1)); done; echo done",
    );
    let mut child = script.start(0).await;
    let work = drain(&mut child).await;
    let (activity, cancel) = (Activity::default(), CancellationToken::new());
    let (all, exit) = child.supervise(work, &activity, PATIENCE, &cancel).await.unwrap();
    assert_eq!(all, b"done\n");
    assert!(exit.stderr.len() < 20_000 && exit.stderr.contains("bytes left out"));
}

#[tokio::test]
async fn a_grandchild_that_holds_the_pipes_does_not_outlive_its_parent() {
    let script = script("/bin/sleep 1000 & echo $! > grandchild; echo bye");
    let mut child = script.start(1).await;
    let work = drain(&mut child).await;
    let (activity, cancel) = (Activity::default(), CancellationToken::new());
    let (all, exit) = child.supervise(work, &activity, PATIENCE, &cancel).await.unwrap();
    assert!(all == b"bye\n" && exit.status.success());
    is_gone(script.pid("grandchild").await).await;
}

#[tokio::test]
async fn cancelling_ends_the_whole_group_before_it_returns() {
    let script = script("/bin/sleep 1000 & echo $! > grandchild; echo $$ > self; wait");
    let mut child = script.start(1).await;
    let work = drain(&mut child).await;
    let (own, grandchild) = (script.pid("self").await, script.pid("grandchild").await);
    let (activity, cancel) = (Activity::default(), CancellationToken::new());
    cancel.cancel();
    let failure = child.supervise(work, &activity, PATIENCE, &cancel).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (Class::Transient, "cancelled"));
    assert!(kill(own, None).is_err(), "the leader is reaped");
    is_gone(grandchild).await;
}

#[tokio::test]
async fn dropping_it_kills_the_group() {
    let script = script("/bin/sleep 1000 & echo $! > grandchild; echo $$ > self; wait");
    let child = script.start(1).await;
    let (own, grandchild) = (script.pid("self").await, script.pid("grandchild").await);
    drop(child);
    is_gone(own).await;
    is_gone(grandchild).await;
}

#[tokio::test]
async fn back_pressure_is_not_a_stall() {
    // It writes more than a pipe takes, and we do not read for many deadlines.
    let script = script("/usr/bin/head -c 1000000 /dev/zero > /dev/fd/100");
    let mut child = script.start(1).await;
    let mut output = child.outputs.pop().unwrap();
    let (activity, cancel) = (Activity::default(), CancellationToken::new());
    let stall = Duration::from_millis(50);
    let work = async {
        let hold = activity.hold();
        assert!(tokio::time::timeout(stall * 10, std::future::pending::<()>()).await.is_err());
        drop(hold);
        let mut all = Vec::new();
        output.read_to_end(&mut all).await.unwrap();
        Ok(all.len())
    };
    let (bytes, _) = child.supervise(work, &activity, stall, &cancel).await.unwrap();
    assert_eq!(bytes, 1_000_000);
}

#[tokio::test]
async fn what_does_not_exist_is_a_failure_of_this_machine() {
    let start = Start {
        program: Path::new("/nonexistent"),
        setpriv: None,
        cgroups: None,
        nice: None,
        args: Vec::new(),
        outputs: 0,
        stdin: false,
        address_space: None,
    };
    let failure = super::start(start).await.err().unwrap();
    assert_eq!((failure.class, failure.code.as_str()), (Class::Resource, "ffmpeg-not-started"));
}
