//! One process of the farm: started, struck, and started again, as an init system would.

use std::{
    fs::File,
    io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::sys::signal::Signal;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::proc::{self, Usage};

/// Pause before one that ended by itself is started again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long one that was asked to end may take.
pub const END_MAX: Duration = Duration::from_secs(20);

/// How to start it.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Its name in reports and of its log.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment: nothing else is passed on but where programs are.
    pub environment: Vec<(String, String)>,
    /// Where its output goes.
    pub log: PathBuf,
    /// `setpriv`, where there is one: what we start does not outlive us.
    pub setpriv: Option<PathBuf>,
}

/// A process that is kept running.
#[derive(Debug)]
pub struct Process {
    /// How it is started.
    pub launch: Launch,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pid: Option<i32>,
    starts: u64,
    /// Whether it said that it is ready since it was started.
    ready: bool,
    /// What it took when it was ready.
    began: Option<Usage>,
    /// Pause before the next start; set by whoever kills it.
    pause: Option<Duration>,
    stopped: bool,
    /// Ends that nobody asked for, of a process that had been ready.
    broke: Vec<String>,
    /// Starts that came to nothing.
    failed_starts: u64,
    /// The end that took too long.
    slow_end: bool,
}

impl Process {
    /// One that is not started yet.
    pub fn new(launch: Launch) -> Self {
        Self { launch, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps it running until `stop`, and then ends it. `started` is told of each start.
    pub async fn supervise(&self, stop: &CancellationToken, mut started: impl FnMut()) -> io::Result<()> {
        loop {
            started();
            let mut child = self.spawn()?;
            {
                let mut state = self.state();
                state.pid = child.id().map(u32::cast_signed);
                state.starts += 1;
                (state.ready, state.began, state.stopped, state.pause) = (false, None, false, None);
            }
            let status = tokio::select! {
                status = child.wait() => status?,
                () = stop.cancelled() => return self.end(&mut child).await,
            };
            let pause = self.ended(status);
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Ok(());
            }
        }
    }

    fn spawn(&self) -> io::Result<Child> {
        let Launch { program, args, environment, log, setpriv, .. } = &self.launch;
        let mut command = match setpriv {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        let log = File::options().create(true).append(true).open(log)?;
        command
            .args(args)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    /// Books an end; returns the pause before the next start.
    fn ended(&self, status: ExitStatus) -> Duration {
        let mut state = self.state();
        state.pid = None;
        if let Some(pause) = state.pause.take() {
            return pause;
        }
        if state.ready {
            state.broke.push(status.to_string());
        } else {
            state.failed_starts += 1;
        }
        state.ready = false;
        AGAIN
    }

    async fn end(&self, child: &mut Child) -> io::Result<()> {
        self.wake();
        self.signal(Signal::SIGTERM);
        if tokio::time::timeout(END_MAX, child.wait()).await.is_err() {
            self.state().slow_end = true;
            child.kill().await?;
        }
        self.state().pid = None;
        Ok(())
    }

    /// SIGKILL, and a start after `pause`. False where there was nobody to kill.
    pub fn kill(&self, pause: Duration) -> bool {
        let mut state = self.state();
        let Some(pid) = state.pid else { return false };
        state.pause = Some(pause);
        state.ready = false;
        proc::signal(pid, Signal::SIGKILL)
    }

    /// SIGSTOP. False where there was nobody, or it is stopped already.
    pub fn stop(&self) -> bool {
        let mut state = self.state();
        let Some(pid) = state.pid.filter(|_| !state.stopped) else { return false };
        state.stopped = proc::signal(pid, Signal::SIGSTOP);
        state.stopped
    }

    /// SIGCONT, where it is stopped.
    pub fn wake(&self) {
        let mut state = self.state();
        if let Some(pid) = state.pid.filter(|_| state.stopped) {
            proc::signal(pid, Signal::SIGCONT);
            state.stopped = false;
        }
    }

    fn signal(&self, signal: Signal) -> bool {
        self.state().pid.is_some_and(|pid| proc::signal(pid, signal))
    }

    /// Its number while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.state().pid
    }

    /// How often it was started.
    pub fn starts(&self) -> u64 {
        self.state().starts
    }

    /// Whether it runs and is not stopped.
    pub fn is_awake(&self) -> bool {
        let state = self.state();
        state.pid.is_some() && !state.stopped
    }

    /// Whether it said that it is ready.
    pub fn is_ready(&self) -> bool {
        self.state().ready
    }

    /// It said so. `start` is the one that was asked: another may have begun since.
    pub fn said_ready(&self, start: u64) {
        let mut state = self.state();
        if state.starts == start && state.pid.is_some() && state.pause.is_none() && !state.ready {
            state.ready = true;
            state.began = state.pid.and_then(proc::usage);
        }
    }

    /// What it took when it became ready, and what it takes now.
    pub fn usage(&self) -> Option<(Usage, Usage)> {
        let state = self.state();
        Some((state.began?, proc::usage(state.pid?)?))
    }

    /// Ends that nobody asked for.
    pub fn broke(&self) -> Vec<String> {
        self.state().broke.clone()
    }

    /// Starts that came to nothing: roles refuse to start without NATS or a store.
    pub fn failed_starts(&self) -> u64 {
        self.state().failed_starts
    }

    /// Whether it had to be killed at the end.
    pub fn ended_late(&self) -> bool {
        self.state().slow_end
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    async fn until(what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !condition() {
            assert!(tokio::time::Instant::now() < deadline, "{what}");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_is_killed_comes_back_and_what_breaks_is_booked() {
        let folder = tempfile::tempdir().unwrap();
        let process = Arc::new(Process::new(Launch {
            name: "sleeper".to_owned(),
            program: "/bin/sleep".into(),
            args: vec!["600".to_owned()],
            environment: Vec::new(),
            log: folder.path().join("log"),
            setpriv: None,
        }));
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (process, stop) = (process.clone(), stop.clone());
            async move { process.supervise(&stop, || {}).await }
        });
        until("started", || process.is_awake()).await;
        assert!(process.kill(Duration::ZERO));
        until("started again", || process.starts() == 2).await;
        assert_eq!((process.broke(), process.failed_starts()), (Vec::new(), 0));

        // Ended from outside: nobody of ours asked for it.
        process.said_ready(2);
        assert!(process.usage().is_some());
        proc::signal(process.pid().unwrap(), Signal::SIGTERM);
        until("started a third time", || process.starts() == 3).await;
        assert_eq!(process.broke().len(), 1);

        assert!(process.stop() && !process.is_awake() && !process.stop());
        stop.cancel();
        running.await.unwrap().unwrap();
        assert!(process.pid().is_none() && !process.ended_late());
    }
}
