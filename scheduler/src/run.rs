//! One scheduler: its API and its loops, until told to stop.

use std::{path::PathBuf, sync::Arc};

use framemill_queue::{LEASE, Outbox, Queue, QueueError, lease};
use framemill_storage::Store;
use framemill_telemetry::shutdown::Shutdown;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    act::Actor,
    api,
    delivery::{AuditSettings, TokenSettings},
    gate::Limits,
    ladders::{LadderError, Ladders},
    loops::{
        audit, channels,
        collect::{self, Collector},
        drive, keep, nodes, notify, purges, reap, sweep, watch,
    },
    metrics,
    purges::{Caches, PurgeConfig},
    retention::Retention,
    view::View,
};

/// What a scheduler is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchedulerConfig {
    /// Address of the API and the page.
    pub listen: std::net::SocketAddr,
    /// Path sources are taken below these folders only.
    pub folders: Vec<PathBuf>,
    /// Folder of ladders besides the built-in ones.
    pub ladders: Option<PathBuf>,
    /// How much open work is taken.
    pub limits: Limits,
    /// How long what nobody needs any more is kept.
    pub retention: Retention,
    /// How long tokens are valid.
    pub tokens: TokenSettings,
    /// What of viewers is kept.
    pub audit: AuditSettings,
    /// Caches of others that are purged too.
    pub purge: PurgeConfig,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 8080).into(),
            folders: Vec::new(),
            ladders: None,
            limits: Limits::default(),
            retention: Retention::default(),
            tokens: TokenSettings::default(),
            audit: AuditSettings::default(),
            purge: PurgeConfig::default(),
        }
    }
}

/// What a scheduler is made of.
pub struct SchedulerParts {
    /// What it is told.
    pub config: SchedulerConfig,
    /// Records, hints and events.
    pub queue: Queue,
    /// Objects.
    pub store: Store,
    /// Where the API listens.
    pub listener: TcpListener,
    /// What the records say; shared, so that the caller can tell whether it is current.
    pub view: View,
    /// When to stop.
    pub shutdown: Shutdown,
}

/// Why a scheduler does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// The queue.
    #[error("the scheduler cannot use NATS")]
    Queue(#[from] QueueError),
    /// A ladder file.
    #[error(transparent)]
    Ladders(#[from] LadderError),
    /// The client that purges caches of others.
    #[error("no HTTP client can be made of this machine's certificates")]
    Client(#[from] reqwest::Error),
    /// The listener.
    #[error("the API cannot listen")]
    Listen(#[from] std::io::Error),
}

/// Runs until the shutdown says so. A scheduler holds nothing that must be finished: what it was
/// about to do, another one does.
pub async fn run(parts: SchedulerParts) -> Result<(), SchedulerError> {
    let SchedulerParts { config, queue, store, listener, view, shutdown } = parts;
    let stop = shutdown.drain.child_token();
    let ladders = Arc::new(Ladders::load(config.ladders.as_deref())?);
    let caches = Caches::new(&config.purge)?;
    let actor = Arc::new(Actor::new(queue.clone(), store.clone(), view.clone()));
    let collector =
        Collector { queue: queue.clone(), store: store.clone(), view: view.clone(), retention: config.retention };
    let state = api::ApiState::new(queue.clone(), store.clone(), view.clone(), config, ladders);
    let trail = state.delivery.audit.clone();
    let process = Uuid::new_v4();
    let outbox = Outbox::new(queue.clone());
    metrics::register(&view);

    let reaper = {
        let (queue, view) = (queue.clone(), view.clone());
        move |held: CancellationToken| {
            let (queue, view) = (queue.clone(), view.clone());
            async move { reap::run(&queue, &view, LEASE, &held).await }
        }
    };
    let collector = {
        move |held: CancellationToken| {
            let collector = collector.clone();
            async move { collect::run(&collector, &held).await }
        }
    };
    let keeper = {
        let actor = actor.clone();
        move |held: CancellationToken| {
            let actor = actor.clone();
            async move { keep::run(&actor, &held).await }
        }
    };
    let fleet = {
        let (queue, view) = (queue.clone(), view.clone());
        move |held: CancellationToken| {
            let (queue, view) = (queue.clone(), view.clone());
            async move { nodes::run(&queue, &view, &held).await }
        }
    };
    let controller = {
        let (queue, view) = (queue.clone(), view.clone());
        move |held: CancellationToken| {
            let (queue, view) = (queue.clone(), view.clone());
            async move { channels::run(&queue, &view, &held).await }
        }
    };
    let purger = {
        let (queue, view) = (queue.clone(), view.clone());
        move |held: CancellationToken| {
            let (queue, view) = (queue.clone(), view.clone());
            let caches = caches.clone();
            async move { purges::run(&queue, &view, &caches, &held).await }
        }
    };
    let served = async {
        let outcome = api::serve(state, listener, stop.clone()).await;
        // Without its API a scheduler is no use: the other loops end with it.
        stop.cancel();
        outcome
    };
    let (served, ..) = tokio::join!(
        served,
        watch::run(&queue, &view, &stop),
        drive::run(&actor, &stop),
        notify::run(&outbox, &view, &stop),
        sweep::run(&queue, &view, &stop),
        audit::run(&trail, &stop),
        lease::hold(&queue, "reaper", process, LEASE, &stop, reaper),
        lease::hold(&queue, "collector", process, LEASE, &stop, collector),
        lease::hold(&queue, "keeper", process, LEASE, &stop, keeper),
        lease::hold(&queue, "nodes", process, LEASE, &stop, fleet),
        lease::hold(&queue, "channels", process, LEASE, &stop, controller),
        lease::hold(&queue, "purges", process, LEASE, &stop, purger),
    );
    Ok(served?)
}
