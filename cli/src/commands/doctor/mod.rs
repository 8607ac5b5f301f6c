//! `framemill doctor`: checks this machine and the farm. Each finding has a cause and a mend.

mod encoders;
mod machine;

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use framemill_schemas::inventory::Inventory;
use framemill_worker::{gpu::GpuReading, inventory};
use serde::Serialize;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::{
    args::{Global, operate::Doctor},
    config::{Settings, load},
    exit::CliError,
    farm::{nats, startup},
    output,
};

/// Oldest nats-server with what records need.
const NATS_MIN: (u32, u32) = (2, 12);
/// Longest time a program may take to say its version.
const VERSION: Duration = Duration::from_secs(10);
/// Free space below which a title of ordinary length does not fit.
const FREE_BYTES_MIN: u64 = 2 * 1024 * 1024 * 1024;

/// A name that is nobody's: asked for, it costs one answer.
const NOBODY: &str = "doctor";
/// Answers that are timed.
const TRIPS: u32 = 5;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    Warning,
    Error,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Good, found: found.into(), cause: None, mend: None }
    }

    fn bad(check: &'static str, state: State, found: impl Into<String>, cause: &str, mend: &str) -> Self {
        Self { check, state, found: found.into(), cause: Some(cause.to_owned()), mend: Some(mend.to_owned()) }
    }

    fn of(check: &'static str, error: CliError) -> Self {
        Self { check, state: State::Error, found: error.what, cause: error.place, mend: error.mend }
    }
}

/// Runs the command.
pub async fn run(global: &Global, args: Doctor) -> Result<(), CliError> {
    let settings = load::effective(global.config.as_deref())?;
    let (mut findings, inventory) = ffmpeg(&settings).await;
    let readings = inventory::readings().await;
    findings.extend(machine::findings(&readings).await);
    findings.extend(queue(&settings).await);
    findings.push(store(&settings).await);
    findings.push(data(&settings.data));
    findings.push(listen(&settings).await);
    let errors = findings.iter().filter(|finding| finding.state == State::Error).count();
    if args.report {
        output::json(&Report { framemill: env!("CARGO_PKG_VERSION"), inventory, readings, findings: &findings });
    } else if global.json {
        output::json(&findings);
    } else {
        findings.iter().for_each(show);
    }
    if errors == 0 {
        return Ok(());
    }
    Err(CliError::failed(format!("{errors} of {} checks found an error", findings.len())))
}

/// What is worth knowing of a machine that somebody else is to understand.
#[derive(Serialize)]
struct Report<'a> {
    framemill: &'static str,
    inventory: Option<Inventory>,
    readings: Vec<GpuReading>,
    findings: &'a [Finding],
}

fn show(finding: &Finding) {
    let state = match finding.state {
        State::Good => "good   ",
        State::Warning => "warning",
        State::Error => "error  ",
    };
    output::line(format!("{state}  {:<12} {}", finding.check, output::printable(&finding.found)));
    for (name, text) in [("cause", &finding.cause), ("mend", &finding.mend)] {
        if let Some(text) = text {
            output::line(format!("         {:<12} {name}: {}", "", output::printable(text)));
        }
    }
}

async fn ffmpeg(settings: &Settings) -> (Vec<Finding>, Option<Inventory>) {
    let tools = match startup::tools(&settings.ffmpeg).await {
        Ok(tools) => tools,
        Err(error) => return (vec![Finding::of("ffmpeg", error)], None),
    };
    let inventory = inventory::take(&tools, &CancellationToken::new()).await;
    let mut findings = vec![Finding::good("ffmpeg", format!("version {}", tools.version()))];
    findings.extend(encoders::findings(&inventory));
    (findings, Some(inventory))
}

/// The NATS of the farm, or the server that `up` would start.
async fn queue(settings: &Settings) -> Vec<Finding> {
    if settings.nats.url.is_some() {
        let config = settings.nats.to_queue();
        return vec![match startup::queue(&config).await {
            Ok(queue) => {
                let trip = round_trip(async || queue.nodes().get(NOBODY).await.map(drop)).await;
                Finding::good("nats", format!("{} answers{trip} and has what records need", config.shown()))
            }
            Err(error) => Finding::of("nats", error),
        }];
    }
    let server = match nats::find_server(settings.nats.server.as_deref()) {
        Ok(server) => nats_server(&server).await,
        Err(error) => Finding::of("nats-server", error),
    };
    let setpriv = match nats::on_path("setpriv") {
        Some(path) => Finding::good("setpriv", path.display().to_string()),
        None => Finding::bad(
            "setpriv",
            State::Warning,
            "setpriv is not on PATH",
            "a framemill that is killed leaves its nats-server behind",
            "install util-linux",
        ),
    };
    vec![server, setpriv]
}

async fn nats_server(path: &Path) -> Finding {
    let run = Command::new(path).arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
    let text = match tokio::time::timeout(VERSION, run).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it does not answer".to_owned(),
    };
    match version(&text) {
        Some(version) if version >= NATS_MIN => {
            Finding::good("nats-server", format!("{} at {}", text.trim(), path.display()))
        }
        _ => Finding::bad(
            "nats-server",
            State::Error,
            format!("{} at {}", text.trim(), path.display()),
            "records need JetStream features of 2.12",
            "run ./infra/setup, or name a newer one with nats.server",
        ),
    }
}

/// Major and minor in `nats-server: v2.12.8`.
fn version(text: &str) -> Option<(u32, u32)> {
    let digits = text.trim().rsplit_once('v')?.1;
    let mut parts = digits.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

async fn store(settings: &Settings) -> Finding {
    if settings.s3.endpoint.is_none() && settings.s3.access_key.is_none() {
        return Finding::good("store", "none is configured; `up` and `run` serve one of their own");
    }
    match startup::store(&settings.s3).await {
        Ok(store) => {
            let trip = round_trip(async || store.get(NOBODY).await.map(drop)).await;
            Finding::good("store", format!("{} answers{trip}, conditional puts work", settings.s3.endpoint_shown()))
        }
        Err(error) => Finding::of("store", error),
    }
}

/// How long an answer takes, the shortest of a few; nothing where none comes.
async fn round_trip<E>(ask: impl AsyncFn() -> Result<(), E>) -> String {
    let mut shortest: Option<Duration> = None;
    for _ in 0..TRIPS {
        let begun = Instant::now();
        if ask().await.is_ok() {
            let took = begun.elapsed();
            shortest = Some(shortest.map_or(took, |known| known.min(took)));
        }
    }
    shortest.map_or_else(String::new, |trip| format!(" within {:.1} ms", trip.as_secs_f64() * 1000.0))
}

/// The folder `up` would use, or the nearest one that exists.
fn data(folder: &Path) -> Finding {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let existing = absolute.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let shown = folder.display();
    if let Err(error) = nix::unistd::access(existing, nix::unistd::AccessFlags::W_OK) {
        return Finding::bad(
            "data",
            State::Error,
            format!("{shown} cannot be written ({})", error.desc()),
            "`up` keeps its records and its store there",
            "change its owner, or name another with `data` or --data",
        );
    }
    let free =
        nix::sys::statvfs::statvfs(existing).map(|stat| stat.blocks_available().saturating_mul(stat.fragment_size()));
    match free {
        Ok(free) if free < FREE_BYTES_MIN => Finding::bad(
            "data",
            State::Warning,
            format!("{} free at {shown}", output::bytes(free)),
            "a title that does not fit fails",
            "make room, or name a folder on another disk with `data` or --data",
        ),
        Ok(free) => Finding::good("data", format!("{shown}, {} free", output::bytes(free))),
        Err(error) => Finding::good("data", format!("{shown} (free space unknown: {})", error.desc())),
    }
}

async fn listen(settings: &Settings) -> Finding {
    let address = settings.scheduler.listen;
    match tokio::net::TcpListener::bind(address).await {
        Ok(_) => Finding::good("listen", format!("{address} is free")),
        Err(error) => Finding::bad(
            "listen",
            State::Warning,
            format!("{address} cannot be taken ({error})"),
            "a farm may be running there already",
            "that is fine if it is yours; else choose another with scheduler.listen or --listen",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_understood() {
        assert_eq!(version("nats-server: v2.12.8\n"), Some((2, 12)));
        assert_eq!(version("nats-server: v2.9.10"), Some((2, 9)));
        assert_eq!(version("nats-server: v2.15.1-RC.1"), Some((2, 15)));
        assert_eq!(version("no such file"), None);
    }
}
