//! The farm's own nats-server: a supervised child that dies with us, whatever kills us.
//!
//! It is started and watched on a thread of its own. The kernel sends the parent-death signal when
//! the *thread* that started a child ends, so that thread must live as long as the child.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::mpsc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStderr, Command},
};
use tokio_util::sync::CancellationToken;

use super::{data::DataFolder, nats_config};
use crate::exit::{CliError, Exit};

/// Longest wait for a server that starts: a large store is read first.
const START: Duration = Duration::from_secs(60);
/// How often the ports file is looked for.
const LOOK: Duration = Duration::from_millis(10);
/// How long a server may take to end before it is killed: what it acknowledged is written down
/// already.
const STOP: Duration = Duration::from_secs(3);
/// Waits between restarts, the last one repeated.
const BACKOFF: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
];
/// A server that ran this long starts the waits over.
const STEADY: Duration = Duration::from_secs(60);
/// Lines of the server's log kept for an error.
const TAIL_LINES: usize = 5;

/// A running server. Dropping it without [`NatsServer::stop`] stops it too, without waiting.
#[derive(Debug)]
pub struct NatsServer {
    url: String,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl NatsServer {
    /// Starts the server and waits until it listens.
    pub async fn start(server: PathBuf, setpriv: Option<PathBuf>, data: &DataFolder) -> Result<Self, CliError> {
        let home = data.folder("nats")?;
        let launch = Launch {
            server,
            setpriv,
            config: home.join("server.conf"),
            ports: home.join("ports"),
            store: home.join("store"),
            secrets: data.secrets().clone(),
        };
        let secrets = data.secrets();
        let credentials = format!("{}:{}", secrets.nats_user, secrets.nats_password);
        let stop = CancellationToken::new();
        let (started, start) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("nats-server".to_owned())
            .spawn({
                let stop = stop.clone();
                move || supervise(launch, started, stop)
            })
            .map_err(|error| CliError::failed(format!("cannot start a thread: {error}")))?;
        let port = start.await.map_err(|_| CliError::failed("the thread of nats-server ended"))??;
        Ok(Self { url: format!("nats://{credentials}@127.0.0.1:{port}"), stop, thread: Some(thread) })
    }

    /// Its address, with user and password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it and waits for its end. To be called last: it holds everybody's records.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // Waiting for a thread blocks, so it is done off the runtime.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What a server is started with.
#[derive(Debug)]
struct Launch {
    server: PathBuf,
    setpriv: Option<PathBuf>,
    config: PathBuf,
    ports: PathBuf,
    store: PathBuf,
    secrets: super::data::Secrets,
}

type Started = tokio::sync::oneshot::Sender<Result<u16, CliError>>;

fn supervise(launch: Launch, started: Started, stop: CancellationToken) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(keep(launch, started, stop)),
        Err(error) => {
            // The receiver only goes away with its process.
            let _ = started.send(Err(CliError::failed(format!("cannot start a runtime: {error}"))));
        }
    }
}

/// Keeps a server running until it is told to stop. The first start decides the port; restarts
/// keep it, so that everyone who is connected finds the server again.
async fn keep(launch: Launch, started: Started, stop: CancellationToken) {
    let (mut running, port) = match launch.start(-1, &stop).await {
        Ok(first) => first,
        Err(error) => {
            // As above.
            let _ = started.send(Err(error));
            return;
        }
    };
    if started.send(Ok(port)).is_err() {
        return running.terminate().await;
    }
    let mut failures = 0;
    loop {
        let since = Instant::now();
        tokio::select! {
            () = stop.cancelled() => return running.terminate().await,
            status = running.child.wait() => {
                let log = running.tail().await;
                tracing::error!(status = describe(status), log, "nats-server ended by itself; starting it again");
            }
        }
        if since.elapsed() >= STEADY {
            failures = 0;
        }
        running = loop {
            let wait = BACKOFF[failures.min(BACKOFF.len() - 1)];
            failures += 1;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            match launch.start(i32::from(port), &stop).await {
                Ok((running, _)) => {
                    tracing::info!("nats-server is back");
                    break running;
                }
                Err(error) => tracing::error!(error = %error.what, "nats-server does not start"),
            }
        };
    }
}

impl Launch {
    /// One start; returns when the server listens.
    async fn start(&self, port: i32, stop: &CancellationToken) -> Result<(Running, u16), CliError> {
        self.prepare(port).map_err(|error| {
            CliError::failed(format!("cannot prepare nats-server: {error}"))
                .at(self.config.display().to_string())
                .mend("check the disk and who owns the data folder")
        })?;
        let mut child = self.command().spawn().map_err(|error| {
            CliError::usage(format!("cannot run nats-server: {error}"))
                .at(self.server.display().to_string())
                .mend("name a nats-server 2.12 or newer with nats.server, or let infra/setup install one")
        })?;
        let (lines, log) = mpsc::sync_channel(TAIL_LINES * 4);
        let stderr = child.stderr.take().expect("stderr is piped");
        let mut running = Running { child, relay: tokio::spawn(relay(stderr, lines)), log };
        let deadline = Instant::now() + START;
        loop {
            if let Some(port) = self.port() {
                return Ok((running, port));
            }
            tokio::select! {
                () = stop.cancelled() => {
                    running.terminate().await;
                    return Err(CliError::failed("stopped while nats-server was starting"));
                }
                status = running.child.wait() => {
                    return Err(CliError::failed(format!("nats-server ended while starting ({})", describe(status)))
                        .at(self.server.display().to_string())
                        .mend(format!("it said: {}", running.tail().await)));
                }
                () = tokio::time::sleep(LOOK) => {}
            }
            if Instant::now() > deadline {
                running.terminate().await;
                return Err(CliError::failed(format!("nats-server does not listen after {} s", START.as_secs()))
                    .at(self.server.display().to_string())
                    .mend(format!("it said: {}", running.tail().await)));
            }
        }
    }

    fn prepare(&self, port: i32) -> std::io::Result<()> {
        // A ports file is named after a process that is gone: none may be left.
        if self.ports.exists() {
            std::fs::remove_dir_all(&self.ports)?;
        }
        std::fs::create_dir_all(&self.ports)?;
        std::fs::create_dir_all(&self.store)?;
        let text = nats_config::render(port, &self.store, &self.ports, &self.secrets);
        super::data::write_private(&self.config, text.as_bytes())
    }

    fn command(&self) -> Command {
        let mut command = match &self.setpriv {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.arg("--pdeathsig").arg("KILL").arg("--").arg(&self.server);
                command
            }
            None => Command::new(&self.server),
        };
        command
            .arg("-c")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Of its own, so that Ctrl-C in a terminal reaches us alone: it is stopped last.
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    fn port(&self) -> Option<u16> {
        port_below(&self.ports)
    }
}

/// A child and the tail of its log.
#[derive(Debug)]
struct Running {
    child: Child,
    relay: tokio::task::JoinHandle<()>,
    log: mpsc::Receiver<String>,
}

impl Running {
    /// Asks it to end, and kills it when it takes too long.
    async fn terminate(&mut self) {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            let pid = nix::unistd::Pid::from_raw(id);
            // It may have ended in between.
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        }
        if tokio::time::timeout(STOP, self.child.wait()).await.is_err() {
            tracing::warn!("nats-server does not stop; killing it");
            if let Err(error) = self.child.kill().await {
                tracing::error!(%error, "cannot kill nats-server");
            }
        }
    }

    /// What it complained of last. To be called after its end, so that its log has an end too.
    async fn tail(&mut self) -> String {
        // A grandchild could hold the pipe open.
        let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.relay).await;
        let lines: Vec<_> = self.log.try_iter().collect();
        if lines.is_empty() {
            return "nothing".to_owned();
        }
        lines[lines.len().saturating_sub(TAIL_LINES)..].join(" | ")
    }
}

/// Passes the server's log on, and keeps what it said first for an error at its start.
async fn relay(stderr: ChildStderr, tail: mpsc::SyncSender<String>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::debug!(target: "nats_server", line);
        if line.contains("[ERR]") || line.contains("[FTL]") || line.starts_with("nats-server:") {
            tracing::warn!(line, "nats-server complains");
            // A full tail has enough to explain an end.
            let _ = tail.try_send(line);
        }
    }
}

fn describe(status: std::io::Result<std::process::ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// The address of the server that an `up` on this data folder runs now, with user and password.
pub fn running(data: &Path) -> Result<String, CliError> {
    let missing = || {
        CliError::new(Exit::NotFound, "no farm runs on this data folder")
            .at(data.display().to_string())
            .mend("name the folder of a running `framemill up` with --data, or set nats.url to a farm's NATS")
    };
    let secrets = super::data::read_secrets(data)?.ok_or_else(missing)?;
    let port = port_below(&data.join("nats").join("ports")).ok_or_else(missing)?;
    Ok(format!("nats://{}:{}@127.0.0.1:{port}", secrets.nats_user, secrets.nats_password))
}

/// The port that a server wrote below its folder of ports files.
fn port_below(ports: &Path) -> Option<u16> {
    let entry = std::fs::read_dir(ports).ok()?.next()?.ok()?;
    nats_config::port_in(&std::fs::read_to_string(entry.path()).ok()?)
}

/// Where a program is: as configured, else beside the working directory or the program's own
/// workspace, else on PATH.
pub fn find_server(configured: Option<&Path>) -> Result<PathBuf, CliError> {
    if let Some(path) = configured {
        return if path.is_file() {
            Ok(path.to_owned())
        } else {
            Err(CliError::usage("there is no such nats-server")
                .at(format!("nats.server = {}", path.display()))
                .mend("correct it, or leave it out to have it found"))
        };
    }
    let beside = Path::new(".framemill/tools/bin/nats-server");
    let workspaces = std::env::current_exe().ok();
    let candidates = std::iter::once(beside.to_owned())
        .chain(workspaces.iter().flat_map(|exe| exe.ancestors().skip(1).take(4)).map(|folder| folder.join(beside)));
    for candidate in candidates {
        if candidate.is_file() {
            return candidate
                .canonicalize()
                .map_err(|error| CliError::failed(error.to_string()).at(candidate.display().to_string()));
        }
    }
    on_path("nats-server").ok_or_else(|| {
        CliError::usage("there is no nats-server")
            .at(".framemill/tools/bin and PATH")
            .mend("run ./infra/setup, or name one (2.12 or newer) with nats.server, or set nats.url to a farm's NATS")
    })
}

/// The first program of that name on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
