//! `framemill scheduler`, `worker`, `packager`: one role, on a NATS and a store that others run.

use std::net::SocketAddr;

use framemill_edge::Fence;
use framemill_media::toolchain::Toolchain;
use framemill_queue::Queue;
use framemill_scheduler::view::View;
use framemill_storage::Store;
use framemill_telemetry::Shutdown;

use crate::{
    args::{Global, serve},
    config::{Settings, load},
    exit::CliError,
    farm::{machine, node, roles, roles::Roles, startup},
    output,
};

/// Runs a scheduler.
pub async fn scheduler(global: &Global, args: serve::Scheduler) -> Result<(), CliError> {
    let mut settings = load::effective(global.config.as_deref())?;
    let section = &mut settings.scheduler;
    section.listen = args.listen.unwrap_or(section.listen);
    section.health = args.health.or(section.health);
    run(settings, "scheduler", async |settings: &Settings, shutdown: &Shutdown| {
        let section = &settings.scheduler;
        let listener = startup::listen(section.listen, "the API", "choose another with --listen").await?;
        let nats = settings.nats.to_queue();
        let (queue, store) = tokio::try_join!(startup::queue(&nats), startup::store(&settings.s3))?;
        let view = View::default();
        if let Some(address) = section.health {
            roles::health(address, queue.clone(), Some(view.clone()), shutdown).await?;
        }
        let mut roles = Roles::new(shutdown.clone());
        output::note(format!("scheduler: API and pages at http://{}", address_of(&listener)));
        roles.scheduler(section, queue, store, listener, view);
        Ok(roles)
    })
    .await
}

/// Runs a worker.
pub async fn worker(global: &Global, args: serve::Worker) -> Result<(), CliError> {
    let mut settings = load::effective(global.config.as_deref())?;
    let section = &mut settings.worker;
    section.slots = slots(args.slots).or(section.slots);
    section.node = args.node.or_else(|| section.node.take());
    section.health = args.health.or(section.health);
    section.gpu_script = args.gpu_script.or_else(|| section.gpu_script.take());
    settings.check()?;
    run(settings, "worker", async |settings: &Settings, shutdown: &Shutdown| {
        let (tools, queue, store) = base(settings).await?;
        let machine = machine::take(&settings.worker, tools, &shutdown.stop).await?;
        tell(settings.worker.health, &queue, shutdown).await?;
        let mut roles = Roles::new(shutdown.clone());
        roles.worker(&settings.worker, settings.sources.clone(), queue, store, machine);
        Ok(roles)
    })
    .await
}

/// Runs a packager.
pub async fn packager(global: &Global, args: serve::Packager) -> Result<(), CliError> {
    let mut settings = load::effective(global.config.as_deref())?;
    settings.packager.slots = slots(args.slots).or(settings.packager.slots);
    settings.packager.health = args.health.or(settings.packager.health);
    settings.worker.node = args.node.or_else(|| settings.worker.node.take());
    settings.check()?;
    run(settings, "packager", async |settings: &Settings, shutdown: &Shutdown| {
        let (tools, queue, store) = base(settings).await?;
        tell(settings.packager.health, &queue, shutdown).await?;
        let mut roles = Roles::new(shutdown.clone());
        let node = node::name(settings.worker.node.as_deref());
        roles.packager(&settings.packager, queue, store, tools, node);
        Ok(roles)
    })
    .await
}

/// Runs an edge.
pub async fn edge(global: &Global, args: serve::Edge) -> Result<(), CliError> {
    let mut settings = load::effective(global.config.as_deref())?;
    let section = &mut settings.edge;
    section.listen = args.listen.unwrap_or(section.listen);
    section.name = args.name.or_else(|| section.name.take());
    section.health = args.health.or(section.health);
    run(settings, "edge", async |settings: &Settings, shutdown: &Shutdown| {
        let section = &settings.edge;
        let listener = startup::listen(section.listen, "viewers", "choose another with --listen").await?;
        let queue = startup::queue(&settings.nats.to_queue()).await?;
        let fence = Fence::new(queue.clone());
        if let Some(address) = section.health {
            roles::edge_health(address, fence.clone(), shutdown).await?;
        }
        let mut roles = Roles::new(shutdown.clone());
        let scheme = if section.tls.is_some() { "https" } else { "http" };
        output::note(format!("edge: viewers are served at {scheme}://{}", address_of(&listener)));
        roles.edge(section, settings.s3.clone(), queue, fence, listener);
        Ok(roles)
    })
    .await
}

/// What a role that runs ffmpeg stands on.
async fn base(settings: &Settings) -> Result<(Toolchain, Queue, Store), CliError> {
    // This machine first: what is wrong here is said whatever the network does.
    let tools = startup::tools(&settings.ffmpeg).await?;
    let nats = settings.nats.to_queue();
    let (queue, store) = tokio::try_join!(startup::queue(&nats), startup::store(&settings.s3))?;
    Ok((tools, queue, store))
}

/// Opens the health listener, where there is to be one.
async fn tell(health: Option<SocketAddr>, queue: &Queue, shutdown: &Shutdown) -> Result<(), CliError> {
    if let Some(address) = health {
        roles::health(address, queue.clone(), None, shutdown).await?;
    }
    Ok(())
}

/// Slots as a flag gives them; its range was checked.
pub fn slots(flag: Option<u64>) -> Option<usize> {
    flag.and_then(|slots| usize::try_from(slots).ok())
}

fn address_of(listener: &tokio::net::TcpListener) -> String {
    listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
}

/// What every role has around it: logs, signals, and a last flush.
async fn run(
    settings: Settings,
    role: &'static str,
    start: impl AsyncFnOnce(&Settings, &Shutdown) -> Result<Roles, CliError>,
) -> Result<(), CliError> {
    let telemetry = startup::telemetry(&settings.telemetry(), role)?;
    let shutdown = Shutdown::new();
    shutdown.on_signals();
    let ended = async {
        let roles = tokio::select! {
            roles = start(&settings, &shutdown) => roles?,
            // Told to end before it began.
            () = shutdown.drain.cancelled() => return Ok(()),
        };
        roles.end().await
    };
    let ended = ended.await;
    telemetry.shutdown();
    ended
}
