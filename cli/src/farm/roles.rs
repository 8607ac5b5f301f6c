//! Every role as a task of this process, and what its end means.

use std::{net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use framemill_edge::{EdgeConfig, EdgeParts, Fence};
use framemill_media::toolchain::Toolchain;
use framemill_packager::PackagerParts;
use framemill_queue::Queue;
use framemill_scheduler::{
    run::{SchedulerConfig, SchedulerParts},
    view::View,
};
use framemill_schemas::ids::NodeId;
use framemill_storage::{S3Config, Store};
use framemill_telemetry::{Shutdown, health};
use framemill_worker::{Machine, WorkerConfig, WorkerParts, source::SourcesConfig};
use tokio::{
    net::TcpListener,
    task::{JoinError, JoinSet},
};

use super::{node, startup};
use crate::{
    config::{PackagerSection, SchedulerSection, WorkerSection},
    exit::CliError,
};

/// How long roles may take to return after they were told to stop. With the drain before and NATS
/// behind, it keeps the end of every process within 15 s.
const RETURN: Duration = Duration::from_secs(5);
/// What a machine-facing listener that cannot be had is answered with.
const HEALTH_MEND: &str = "choose another with --health";

/// A role's name, and how it ended.
type Ended = (&'static str, Result<(), String>);

/// The roles of this process.
#[derive(Debug)]
pub struct Roles {
    tasks: JoinSet<Ended>,
    shutdown: Shutdown,
    /// Why the first one that ended by itself did.
    fault: Option<CliError>,
}

impl Roles {
    /// None yet.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { tasks: JoinSet::new(), shutdown, fault: None }
    }

    /// Starts a scheduler.
    pub fn scheduler(
        &mut self,
        section: &SchedulerSection,
        queue: Queue,
        store: Store,
        listener: TcpListener,
        view: View,
    ) {
        let config = SchedulerConfig {
            listen: section.listen,
            folders: section.folders.clone(),
            ladders: section.ladders.clone(),
            limits: section.limits,
            retention: section.retention,
            tokens: section.tokens,
            audit: section.audit,
            purge: section.purge.clone(),
        };
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            let parts = SchedulerParts { config, queue, store, listener, view, shutdown };
            ("scheduler", framemill_scheduler::run::run(parts).await.map_err(|error| chain(&error)))
        });
    }

    /// Starts a worker.
    pub fn worker(
        &mut self,
        section: &WorkerSection,
        sources: SourcesConfig,
        queue: Queue,
        store: Store,
        machine: Machine,
    ) {
        let config = WorkerConfig {
            slots: section.slots.and_then(NonZeroUsize::new),
            zone: section.zone.clone(),
            headroom: section.headroom.clone(),
            live: section.live.clone(),
        };
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            let parts = WorkerParts { config, sources, queue, store, machine, shutdown };
            ("worker", framemill_worker::run(parts).await.map_err(|error| chain(&error)))
        });
    }

    /// Starts a packager.
    pub fn packager(&mut self, section: &PackagerSection, queue: Queue, store: Store, tools: Toolchain, node: NodeId) {
        let slots = section.slots.unwrap_or_else(processors);
        let live = section.live.clone();
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            let parts = PackagerParts { queue, store, tools, node, slots, live, shutdown };
            ("packager", framemill_packager::run(parts).await.map_err(|error| chain(&error)))
        });
    }

    /// Starts an edge; `s3` has keys that only read.
    pub fn edge(&mut self, config: &EdgeConfig, s3: S3Config, queue: Queue, fence: Fence, listener: TcpListener) {
        let config = config.clone();
        let name = edge_name(&config, &listener);
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            let parts = EdgeParts { config, name, s3, queue, fence, listener, shutdown };
            ("edge", framemill_edge::run(parts).await.map_err(|error| chain(&error)))
        });
    }

    /// Waits until a role ended by itself, which stops the others; its fault is the answer.
    /// Cancel-safe. Never returns when every role ended because it was told to.
    pub async fn fault(&mut self) -> CliError {
        loop {
            if let Some(fault) = &self.fault {
                return fault.clone();
            }
            match self.tasks.join_next().await {
                Some(ended) => self.take(ended),
                None => return std::future::pending().await,
            }
        }
    }

    /// Waits until the process was told to end and every role has, or until one ended by itself:
    /// then all are stopped, and that one's fault is the answer.
    pub async fn end(mut self) -> Result<(), CliError> {
        let stopping = self.shutdown.stop.clone();
        let deadline = async {
            stopping.cancelled().await;
            tokio::time::sleep(RETURN).await;
        };
        tokio::pin!(deadline);
        loop {
            let ended = tokio::select! {
                ended = self.tasks.join_next() => ended,
                () = &mut deadline => {
                    self.fault.get_or_insert_with(|| {
                        CliError::failed(format!("a role did not return within {} s", RETURN.as_secs()))
                            .mend("nothing is lost: what it held goes to others; please report its log")
                    });
                    break;
                }
            };
            match ended {
                Some(ended) => self.take(ended),
                None => break,
            }
        }
        self.fault.map_or(Ok(()), Err)
    }

    /// Takes note of a role's end. One that nobody asked for ends the others.
    fn take(&mut self, ended: Result<Ended, JoinError>) {
        let Shutdown { drain, stop } = &self.shutdown;
        let said = match ended {
            Ok((_, Ok(()))) if drain.is_cancelled() || stop.is_cancelled() => return,
            Ok((role, Ok(()))) => format!("the {role} ended by itself"),
            Ok((role, Err(error))) => format!("the {role} failed: {error}"),
            Err(error) => format!("a role broke: {error}"),
        };
        tracing::error!(fault = said, "a role ended; stopping the others");
        self.fault.get_or_insert_with(|| CliError::failed(said).mend("the log above says more"));
        stop.cancel();
        drain.cancel();
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

/// As many jobs as the machine has cores.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Serves /healthz, /readyz and /metrics until the very end: a drain is worth watching.
pub async fn health(
    address: SocketAddr,
    queue: Queue,
    view: Option<View>,
    shutdown: &Shutdown,
) -> Result<SocketAddr, CliError> {
    let ready: health::Ready = Arc::new(move || {
        let mut checks = vec![("nats", queue.is_connected())];
        checks.extend(view.as_ref().map(|view| ("records", view.is_current())));
        checks
    });
    tell(address, ready, shutdown).await
}

/// The same for an edge, which is ready while it may serve: without NATS too, once it has begun.
pub async fn edge_health(address: SocketAddr, fence: Fence, shutdown: &Shutdown) -> Result<SocketAddr, CliError> {
    tell(address, Arc::new(move || vec![("serves", fence.is_open())]), shutdown).await
}

async fn tell(address: SocketAddr, ready: health::Ready, shutdown: &Shutdown) -> Result<SocketAddr, CliError> {
    let listener = startup::listen(address, "health checks", HEALTH_MEND).await?;
    let at = listener.local_addr().map_err(|error| CliError::failed(error.to_string()).at(address.to_string()))?;
    tokio::spawn(health::serve(listener, ready, shutdown.stop.clone()));
    Ok(at)
}

/// What an edge is called where nobody says: its machine and its port, since two of one name would acknowledge purges for
/// each other.
fn edge_name(config: &EdgeConfig, listener: &TcpListener) -> NodeId {
    let named = |name: &str| node::name(Some(name));
    match (&config.name, listener.local_addr()) {
        (Some(name), _) => named(name),
        (None, Ok(at)) => named(&format!("{}-{}", node::name(None), at.port())),
        (None, Err(_)) => node::name(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles() -> Roles {
        let mut roles = Roles::new(Shutdown::new());
        let stop = roles.shutdown.stop.clone();
        roles.tasks.spawn(async move {
            stop.cancelled().await;
            ("packager", Ok(()))
        });
        roles
    }

    #[tokio::test]
    async fn a_role_that_ends_by_itself_is_seen_at_once_and_ends_the_others() {
        let ends: [(Ended, &str); 2] = [
            (("worker", Err("no disk".to_owned())), "the worker failed: no disk"),
            (("scheduler", Ok(())), "the scheduler ended by itself"),
        ];
        for (end, said) in ends {
            let mut roles = roles();
            roles.tasks.spawn(async move { end });
            assert_eq!(roles.fault().await.what, said);
            assert!(roles.shutdown.stop.is_cancelled());
            // Asked again, and at the end of all, it is the same one.
            assert_eq!(roles.fault().await.what, said);
            assert_eq!(roles.end().await.unwrap_err().what, said);
        }
    }

    #[tokio::test]
    async fn an_end_that_was_asked_for_is_no_fault() {
        let mut roles = roles();
        roles.shutdown.stop.cancel();
        let asked = tokio::time::timeout(Duration::from_millis(200), roles.fault()).await;
        assert!(asked.is_err(), "{asked:?}");
        assert_eq!(roles.end().await, Ok(()));
    }
}
