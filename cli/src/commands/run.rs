//! `framemill run`: one file through a farm of its own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use framemill_schemas::{
    api::AssetView,
    asset::AssetState,
    object::{MASTER_PLAYLIST, MPD},
    submission::{LadderChoice, Submission},
};
use framemill_storage::Store;
use framemill_telemetry::{LogConfig, Shutdown};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{asset, role::slots};
use crate::{
    args::{Global, serve},
    bars,
    client::Client,
    config::{Settings, load},
    exit::{CliError, Exit},
    export,
    farm::{
        data::{DataFolder, TemporaryFolder},
        start::Farm,
        startup,
    },
    follow, ladder_file, output,
    run_line::RunLine,
};

/// Longest wait for a cancellation to be taken before everything is stopped anyway.
const CANCEL: Duration = Duration::from_secs(3);

/// How long a role's own fault is looked for when the API does not answer: what a role serves is
/// gone a moment before its end is seen.
const ROLE_END: Duration = Duration::from_secs(1);

/// What to do, checked as far as it can be before a farm is started.
struct Plan {
    file: PathBuf,
    ladder: LadderChoice,
    out: Option<PathBuf>,
    /// Whether the data folder stays.
    keep: bool,
    serve: bool,
    timeout: Option<Duration>,
    json: bool,
}

/// Runs the command.
pub async fn run(global: &Global, args: serve::Run) -> Result<(), CliError> {
    let mut settings = load::effective(global.config.as_deref())?;
    let plan = Plan {
        file: readable(&args.file)?,
        ladder: ladder_file::choose(args.ladder.as_deref())?,
        out: args.out,
        keep: args.data.is_some(),
        serve: args.serve,
        timeout: args.timeout.map(Duration::from_secs),
        json: global.json,
    };
    adapt(&mut settings, &plan.file, args.listen, slots(args.workers))?;
    let telemetry = startup::telemetry(&settings.telemetry(), "run")?;
    // Removed when this ends, however it ends; made before the farm so that it outlives it.
    let temporary = if args.data.is_none() { Some(TemporaryFolder::make()?) } else { None };
    settings.data = match (&temporary, args.data) {
        (Some(folder), _) => folder.path().to_owned(),
        (None, Some(data)) => data,
        (None, None) => unreachable!("a temporary folder was made"),
    };
    let mut signals = Signals::new()?;
    let ended = tokio::select! {
        ended = encode(&plan, &settings, &mut signals) => ended,
        // The second signal in the middle of the end that the first one began.
        () = signals_twice() => Err(interrupted()),
    };
    drop(temporary);
    telemetry.shutdown();
    ended
}

/// The file as the farm is told of it; what is plainly no video is refused before a farm starts.
fn readable(file: &Path) -> Result<PathBuf, CliError> {
    let fault = |what: String, mend: &str| CliError::new(Exit::Input, what).at(file.display().to_string()).mend(mend);
    let meta = std::fs::metadata(file)
        .map_err(|error| fault(format!("cannot read the file: {error}"), "check the path and who may read it"))?;
    if meta.is_dir() {
        return Err(fault("this is a folder".to_owned(), "name a video file"));
    }
    if !meta.is_file() {
        return Err(fault("this is no regular file".to_owned(), "copy it to a file, and name that"));
    }
    if meta.len() == 0 {
        return Err(fault("the file is empty".to_owned(), "name a file with a video in it"));
    }
    std::fs::File::open(file)
        .map_err(|error| fault(format!("cannot read the file: {error}"), "check who may read it"))?;
    let path =
        file.canonicalize().map_err(|error| fault(format!("cannot find the file: {error}"), "check the path"))?;
    if path.to_str().is_none() {
        return Err(fault("the path is not UTF-8".to_owned(), "rename the file"));
    }
    Ok(path)
}

/// A farm for one file: free ports, and only the folder of the file is open to it.
fn adapt(
    settings: &mut Settings,
    file: &Path,
    listen: Option<SocketAddr>,
    slots: Option<usize>,
) -> Result<(), CliError> {
    let listen = listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    if !listen.ip().is_loopback() {
        return Err(CliError::usage("`run` serves this machine only")
            .at(format!("--listen {listen}"))
            .mend("choose an address on loopback, or use `framemill up` and `framemill submit`"));
    }
    let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
    settings.scheduler.listen = listen;
    settings.scheduler.health = None;
    settings.scheduler.folders = vec![folder.clone()];
    settings.sources.folders = vec![folder];
    settings.worker.slots = slots.or(settings.worker.slots);
    if settings.log == LogConfig::default() {
        // The bars say what happens; the log is for what should not.
        settings.log.level = "warn".to_owned();
    }
    Ok(())
}

async fn encode(plan: &Plan, settings: &Settings, signals: &mut Signals) -> Result<(), CliError> {
    if let Some(out) = &plan.out {
        export::prepare(out).await?;
    }
    let data = DataFolder::open(&settings.data)?;
    let listener =
        startup::listen(settings.scheduler.listen, "the API", "leave --listen out to have a free port").await?;
    let mut farm = tokio::select! {
        farm = Farm::start(settings, data, listener, None, Shutdown::new()) => farm?,
        () = signals.next() => return Err(interrupted()),
    };
    let (listen, store) = (farm.listen, farm.store.clone());
    let followed = async {
        let outcome = title(plan, listen, &store, signals).await;
        if plan.serve && outcome.is_ok() {
            signals.next().await;
        }
        outcome
    };
    let mut outcome = tokio::select! {
        biased;
        fault = farm.fault() => Err(fault),
        outcome = followed => outcome,
    };
    if outcome.as_ref().is_err_and(|error| error.exit == Exit::Failed)
        && let Ok(fault) = tokio::time::timeout(ROLE_END, farm.fault()).await
    {
        outcome = Err(fault);
    }
    farm.shutdown.drain.cancel();
    farm.shutdown.stop.cancel();
    let ended = farm.end().await;
    outcome.and(ended)
}

/// One title from submission to its copy.
async fn title(plan: &Plan, listen: SocketAddr, store: &Store, signals: &mut Signals) -> Result<(), CliError> {
    let base = format!("http://{listen}");
    let client = Client::new(&base, None)?;
    let submission = Submission {
        source: plan.file.to_string_lossy().into_owned(),
        ladder: plan.ladder.clone(),
        tenant: None,
        priority: framemill_schemas::lane::Priority::Standard,
    };
    let accepted: AssetView = client.post_json("/v1/assets", &submission, None).await?;
    let id = accepted.id.to_string();
    let mut watcher = bars::watcher(plan.json);
    let end = tokio::select! {
        end = follow::follow(&client, &id, plan.timeout, &mut watcher) => end,
        () = signals.next() => {
            let cancel = format!("/v1/assets/{id}/cancel");
            let cancelled = client.post::<serde_json::Value>(&cancel);
            // The farm ends either way, and takes its ffmpeg with it.
            let _ = tokio::time::timeout(CANCEL, cancelled).await;
            return Err(interrupted());
        }
    }?;
    let verdict = follow::verdict(&end);
    if let (Some(out), AssetState::Published) = (&plan.out, end.state) {
        export::export(store, &end, out).await?;
    }
    say(plan, &end, &base);
    verdict
}

fn say(plan: &Plan, end: &AssetView, base: &str) {
    let wall_ms = output::now_ms() - end.submitted_ms;
    if plan.json {
        let place = |name: &str, key: &Option<String>| match &plan.out {
            Some(_) => Some(name.to_owned()),
            None => key.as_ref().map(|key| preview(base, key)),
        };
        output::json(&RunLine::new(end, place(MASTER_PLAYLIST, &end.hls), place(MPD, &end.dash), wall_ms));
        // The line is the one thing on stdout; where the page is, is for people.
        if plan.serve && end.state == AssetState::Published {
            output::note(page(end, base));
        }
        return;
    }
    output::line(asset::summary(end));
    if end.state != AssetState::Published {
        return;
    }
    match &plan.out {
        Some(out) => output::line(format!("copied to {}; play {}", out.display(), out.join(MASTER_PLAYLIST).display())),
        None if !plan.serve && !plan.keep => {
            output::note("the stream was not kept; give --out DIR for a copy, or --serve to watch it")
        }
        None => {}
    }
    if plan.serve {
        output::line(page(end, base));
    }
}

fn page(end: &AssetView, base: &str) -> String {
    format!("watch it at {base}/assets/{}; Ctrl-C ends", end.id)
}

/// Where the page's player takes an object from.
fn preview(base: &str, key: &str) -> String {
    format!("{base}/preview/{}", key.trim_start_matches("vod/"))
}

fn interrupted() -> CliError {
    CliError::new(Exit::Interrupted, "interrupted; nothing was kept")
}

/// SIGINT and SIGTERM, one after the other.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(|error| CliError::failed(format!("cannot take signals: {error}")));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Returns at the second signal.
async fn signals_twice() {
    match Signals::new() {
        Ok(mut signals) => {
            signals.next().await;
            signals.next().await;
        }
        Err(_) => std::future::pending().await,
    }
}
