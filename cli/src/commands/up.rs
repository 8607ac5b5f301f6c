//! `framemill up`: a whole farm on this machine.

use std::net::SocketAddr;

use framemill_edge::EdgeConfig;
use framemill_telemetry::Shutdown;
use tokio::net::TcpListener;

use super::role::slots;
use crate::{
    args::{Global, serve},
    config::{Settings, load},
    exit::CliError,
    farm::{data::DataFolder, start::Farm, startup},
    output,
};

/// Runs the command; it ends when it is told to, by a signal.
pub async fn run(global: &Global, args: serve::Up) -> Result<(), CliError> {
    let mut settings = load::effective(global.config.as_deref())?;
    settings.data = args.data.unwrap_or(settings.data);
    settings.scheduler.listen = args.listen.unwrap_or(settings.scheduler.listen);
    settings.worker.slots = slots(args.workers).or(settings.worker.slots);
    settings.worker.gpu_script = args.gpu_script.or_else(|| settings.worker.gpu_script.take());
    settings.scheduler.health.get_or_insert_with(|| health_near(settings.scheduler.listen.port()));
    share_folders(&mut settings);
    let telemetry = startup::telemetry(&settings.telemetry(), "up")?;
    let chosen = args.edge.is_some() || settings.edge.listen != EdgeConfig::default().listen;
    settings.edge.listen = args.edge.unwrap_or(settings.edge.listen);
    let ended = serve(global, &settings, chosen).await;
    telemetry.shutdown();
    ended
}

async fn serve(global: &Global, settings: &Settings, chosen: bool) -> Result<(), CliError> {
    let shutdown = Shutdown::new();
    shutdown.on_signals();
    let data = DataFolder::open(&settings.data)?;
    let root = data.root().display().to_string();
    let listener = startup::listen(
        settings.scheduler.listen,
        "the API",
        "stop what listens there, or choose another with --listen (port 0 takes a free one)",
    )
    .await?;
    let viewers = viewers(settings.edge.listen, chosen).await?;
    let farm = tokio::select! {
        farm = Farm::start(settings, data, listener, Some(viewers), shutdown.clone()) => farm?,
        () = shutdown.stop.cancelled() => return Ok(()),
    };
    announce(global, &farm, &root);
    farm.end().await
}

/// Says where it listens: to people on stderr, or as a document on stdout.
fn announce(global: &Global, farm: &Farm, data: &str) {
    let Farm { listen, edge, health, .. } = farm;
    if global.json {
        return output::json(&serde_json::json!({
            "api": format!("http://{listen}"),
            "edge": edge.map(|edge| format!("http://{edge}")),
            "health": health.map(|health| format!("http://{health}")),
            "data": data,
        }));
    }
    output::note(format!("framemill is up: http://{listen} (pages), http://{listen}/docs (API)"));
    if let Some(edge) = edge {
        output::note(format!("viewers are served at http://{edge}, with a token (framemill token --help)"));
    }
    if let Some(health) = health {
        output::note(format!("health at http://{health}/readyz, metrics at http://{health}/metrics"));
    }
    output::note(format!("everything is kept in {data}; Ctrl-C finishes what runs, a second one stops at once"));
}

/// Where the edge listens. An address that nobody chose and that is taken is no reason not to start.
async fn viewers(address: SocketAddr, chosen: bool) -> Result<TcpListener, CliError> {
    match startup::listen(address, "viewers", "stop what listens there, or choose another with --edge").await {
        Err(_) if !chosen => {
            let free = SocketAddr::from(([127, 0, 0, 1], 0));
            startup::listen(free, "viewers", "check that the loopback interface is up").await
        }
        listener => listener,
    }
}

/// Where health is told when nobody chose: on loopback, beside the API where that is free.
fn health_near(port: u16) -> SocketAddr {
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let beside = at(port.checked_add(1).filter(|_| port != 0).unwrap_or(0));
    if std::net::TcpListener::bind(beside).is_ok() { beside } else { at(0) }
}

/// In one process the API and the worker read the same files: what one may, the other may.
fn share_folders(settings: &mut Settings) {
    let mut folders = settings.scheduler.folders.clone();
    folders
        .extend(settings.sources.folders.iter().filter(|folder| !settings.scheduler.folders.contains(folder)).cloned());
    settings.scheduler.folders.clone_from(&folders);
    settings.sources.folders = folders;
}
