//! An edge from its start to its end.

use std::{io, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use framemill_queue::Queue;
use framemill_schemas::{
    delivery::{EDGE_VERSION, EdgeRecord, Region},
    ids::NodeId,
};
use framemill_storage::S3Config;
use framemill_telemetry::Shutdown;
use framemill_tokens::Keyring;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};

use crate::{
    admission::{Revocations, follow_keys, follow_revocations},
    cache::{Cache, Shelf, ShelfError},
    clock::now_ms,
    cmcd::Viewers,
    config::EdgeConfig,
    fence::{Fence, Heard},
    http::{self, AccessLog, Certificate, Cors, Crowd, Edge, Guard, Proxies, Tarpit},
    metrics::Metrics,
    origin::{self, Origins},
    purge::{Table, acknowledge, apply},
    renewal::{self, Renewal, Schedulers},
    sessions,
    steering::{self, Board, Gauge, Own, Steering},
    trace::Traces,
};

/// Shortest secret between edges: it lets in without a token.
const SHIELD_SECRET_CHARS_MIN: usize = 16;

/// What an edge needs.
pub struct EdgeParts {
    /// How it serves.
    pub config: EdgeConfig,
    /// The store, with keys that only read.
    pub s3: S3Config,
    /// Its name.
    pub name: NodeId,
    /// The farm.
    pub queue: Queue,
    /// Tells others whether it may serve.
    pub fence: Fence,
    /// Where viewers reach it.
    pub listener: TcpListener,
    /// When to end.
    pub shutdown: Shutdown,
}

/// Why an edge cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// A setting is not one.
    #[error("edge.{setting}: {why}")]
    Config {
        /// Which.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Its cache has no place.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// Its listener broke.
    #[error("the edge's listener has no address")]
    Listener(#[source] io::Error),
}

/// Serves until it is told to end.
///
/// # Errors
/// What keeps it from starting.
pub async fn run(parts: EdgeParts) -> Result<(), EdgeError> {
    let EdgeParts { config, name, s3, queue, fence, listener, shutdown } = parts;
    let fault = |setting| move |why: String| EdgeError::Config { setting, why };
    let origins = Origins::open(&config, &s3).map_err(fault("origins"))?;
    if config.shield_secret.as_ref().is_some_and(|secret| secret.expose().len() < SHIELD_SECRET_CHARS_MIN) {
        return Err(fault("shield_secret")(format!("use at least {SHIELD_SECRET_CHARS_MIN} characters")));
    }
    let proxies = Proxies::new(&config.trusted_proxies).map_err(|error| fault("trusted_proxies")(error.to_string()))?;
    let region = config.region.as_deref().map(str::parse::<Region>).transpose();
    let region = region.map_err(|error| fault("region")(error.to_string()))?;
    let traces = Traces::new(config.trace_ratio).map_err(fault("trace_ratio"))?;
    let certificate = config.tls.as_ref().map(Certificate::open).transpose().map_err(fault("tls"))?;
    let tls = certificate.as_ref().map(Certificate::acceptor).transpose().map_err(fault("tls"))?;
    let open_log = |path: &PathBuf| AccessLog::open(path, config.access_log_addresses);
    let access_log = config.access_log.as_ref().map(open_log).transpose();
    let access_log = access_log.map_err(|error| fault("access_log")(error.to_string()))?;
    let schedulers = config.renewal.as_deref().filter(|addresses| !addresses.is_empty());
    let schedulers = schedulers.map(Schedulers::open).transpose().map_err(fault("renewal"))?;
    let disk = config.disk.clone().map(|folder: PathBuf| (folder, config.disk_mb));
    let shelf = Shelf::open(config.memory_mb, disk).await?;
    let address = listener.local_addr().map_err(EdgeError::Listener)?;

    let traces = Arc::new(traces);
    let metrics = Arc::new(Metrics::new(Arc::clone(&traces)));
    let table = Arc::new(Table::default());
    let keyring = Arc::new(ArcSwap::from_pointee(Keyring::default()));
    let revocations = Arc::new(Revocations::default());
    let (seats, claims) = sessions::Local::new();
    let seats = Arc::new(seats);
    metrics.watch_sessions(&seats);
    let origins = Arc::new(origins);
    metrics.watch_origins(&origins);
    let (board, gauge) = (Arc::new(Board::new(name.clone())), Arc::new(Gauge::default()));
    let steering = Steering::new(name.clone(), &config.steering, Arc::clone(&board), Arc::clone(&metrics));
    let steering = steering.map_err(fault("steering"))?;
    let itself = Own {
        name: name.clone(),
        url: config.url.clone().unwrap_or_default(),
        zone: config.zone.clone(),
        place: config.steering.place,
        connections_max: config.connections,
        egress_mbps: config.steering.egress_mbps,
        fence: fence.clone(),
        origins: Arc::clone(&origins),
        gauge: Arc::clone(&gauge),
        metrics: Arc::clone(&metrics),
    };
    let cache = Arc::new(Cache::new(shelf, Arc::clone(&origins), Arc::clone(&table), Arc::clone(&metrics)));
    let own = EdgeRecord {
        v: EDGE_VERSION,
        edge: name.clone(),
        url: config.url.clone().unwrap_or_default(),
        zone: config.zone.clone(),
        started_ms: now_ms(),
        applied: 0,
        applied_ms: 0,
    };
    let applying = Arc::clone(&metrics);
    let renewing = schedulers.map(|schedulers| {
        let (renewal, asks) = Renewal::new(i64::from(config.renewal_session_s) * 1000, Arc::clone(&metrics));
        (Arc::new(renewal), schedulers, asks)
    });
    let renewal = renewing.as_ref().map(|(renewal, ..)| Arc::clone(renewal));
    let edge = Arc::new(Edge {
        cache: Arc::clone(&cache),
        guard: Guard::new(
            Arc::clone(&keyring),
            Arc::clone(&revocations),
            Arc::clone(&seats),
            sessions::Spread::new(config.session_networks),
            renewal.clone(),
            region,
            Arc::clone(&metrics),
        ),
        renewal,
        fence: fence.clone(),
        table: Arc::clone(&table),
        cors: Cors::new(&config.cors_origins),
        proxies,
        tag_header: config.tag_header,
        tarpit: Tarpit::new(),
        shield_secret: config.shield_secret.clone(),
        steering,
        gauge,
        // TLS may end in front of it.
        secure: tls.is_some() || config.url.as_ref().is_some_and(|url| url.starts_with("https://")),
        metrics,
        access_log,
        viewers: Viewers::new(),
        reports: Semaphore::new(http::REPORTS_MAX),
        traces,
    });
    let stop = &shutdown.stop;
    let [(purges, heard_purges), (keys, heard_keys), (revoked, heard_revocations)] =
        std::array::from_fn(|_| watch::channel(None));
    let heard = Heard { purges: heard_purges, keys: heard_keys, revocations: heard_revocations };
    let mut tasks = JoinSet::new();
    tasks.spawn(fence.run(heard, Arc::clone(&table), stop.clone()));
    tasks.spawn(apply(queue.clone(), Arc::clone(&table), applying, purges, stop.clone()));
    tasks.spawn(acknowledge(queue.clone(), table, own, stop.clone()));
    if let Some((renewal, schedulers, asks)) = renewing {
        tasks.spawn(renewal::run(renewal, schedulers, Arc::clone(&keyring), asks, stop.clone()));
    }
    tasks.spawn(follow_keys(queue.clone(), keyring, keys, stop.clone()));
    tasks.spawn(follow_revocations(queue.clone(), revocations, revoked, stop.clone()));
    tasks.spawn(origin::probe(origins, stop.clone()));
    tasks.spawn(steering::watch(queue.clone(), Arc::clone(&board), stop.clone()));
    tasks.spawn(steering::say(queue.clone(), itself, board, shutdown.drain.clone()));
    tasks.spawn(sessions::run(queue, seats, claims, stop.clone()));
    if let Some(certificate) = certificate {
        tasks.spawn(certificate.renew(stop.clone()));
    }
    let crowd = Crowd::new(config.connections_per_address);
    tracing::info!(%address, %name, origins = config.origins.len(), tls = tls.is_some(), "the edge listens");
    http::serve(edge, listener, tls, config.connections, crowd, shutdown.drain.clone()).await;
    cache.close().await;
    shutdown.stop.cancelled().await;
    tasks.join_all().await;
    Ok(())
}
