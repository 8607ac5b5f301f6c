//! Starting and ending a whole farm, in the order its parts need each other: NATS and the store
//! first, then the roles; the roles end first, and NATS last.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use framemill_edge::{EdgeConfig, Fence};
use framemill_queue::NatsConfig;
use framemill_scheduler::view::View;
use framemill_storage::{S3Config, Secret, Store, embedded};
use framemill_telemetry::Shutdown;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    data::DataFolder,
    machine,
    nats::{self, NatsServer},
    roles,
    roles::Roles,
    startup,
};
use crate::{config::Settings, exit::CliError, output};

/// A farm that runs.
#[derive(Debug)]
pub struct Farm {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where the edge listens, if there is one.
    pub edge: Option<SocketAddr>,
    /// Where health is told.
    pub health: Option<SocketAddr>,
    /// Its store.
    pub store: Store,
    /// When to stop.
    pub shutdown: Shutdown,
    roles: Roles,
    base: Base,
    /// Kept until the very end: while it is ours, nobody else uses the folder.
    _data: DataFolder,
}

/// How a role of this machine reaches a listener: one that listens everywhere does so here too.
fn beside(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

/// What the roles stand on, as far as it is ours.
#[derive(Debug)]
pub struct Base {
    nats: Option<NatsServer>,
    s3: Option<(JoinHandle<()>, CancellationToken)>,
}

impl Farm {
    /// Starts a farm in a data folder.
    pub async fn start(
        settings: &Settings,
        data: DataFolder,
        listener: TcpListener,
        viewers: Option<TcpListener>,
        shutdown: Shutdown,
    ) -> Result<Self, CliError> {
        // The machine tries itself while NATS starts: the first title need not wait for it.
        let tried = async {
            let tools = startup::tools(&settings.ffmpeg).await?;
            machine::take(&settings.worker, tools, &shutdown.stop).await
        };
        let (started, tried) = tokio::join!(Base::start(settings, &data), tried);
        let (base, nats_config, s3_config) = started?;
        let begun = async {
            let machine = tried?;
            let (queue, store) = tokio::try_join!(startup::queue(&nats_config), startup::store(&s3_config))?;
            let listen =
                listener.local_addr().map_err(|error| CliError::failed(format!("the API has no address: {error}")))?;
            let view = View::default();
            let health = match settings.scheduler.health {
                Some(address) => Some(roles::health(address, queue.clone(), Some(view.clone()), &shutdown).await?),
                None => None,
            };
            let (tools, node) = (machine.tools.clone(), machine.node.clone());
            let mut roles = Roles::new(shutdown.clone());
            roles.scheduler(&settings.scheduler, queue.clone(), store.clone(), listener, view);
            roles.worker(&settings.worker, settings.sources.clone(), queue.clone(), store.clone(), machine);
            roles.packager(&settings.packager, queue.clone(), store.clone(), tools, node);
            let mut edge = None;
            if let Some(viewers) = viewers {
                edge = viewers.local_addr().ok();
                let scheme = if settings.edge.tls.is_some() { "https" } else { "http" };
                let here = edge.map(|at| format!("{scheme}://{at}"));
                let renewal = settings.edge.renewal.clone().or_else(|| Some(vec![beside(listen)]));
                let url = settings.edge.url.clone().or(here);
                let own = EdgeConfig { url, renewal, ..settings.edge.clone() };
                roles.edge(&own, base.reading(&s3_config), queue.clone(), Fence::new(queue), viewers);
            }
            Ok((listen, edge, health, store, roles))
        };
        match begun.await {
            Ok((listen, edge, health, store, roles)) => {
                Ok(Self { listen, edge, health, store, shutdown, roles, base, _data: data })
            }
            Err(error) => {
                base.stop().await;
                Err(error)
            }
        }
    }

    /// Waits until a role ended by itself; its fault is the answer. Cancel-safe.
    pub async fn fault(&mut self) -> CliError {
        self.roles.fault().await
    }

    /// Waits until the farm was told to end, and ends it; or until a part of it failed.
    pub async fn end(self) -> Result<(), CliError> {
        let ended = self.roles.end().await;
        self.base.stop().await;
        ended
    }
}

impl Base {
    /// Starts what the settings do not name, and tells where all of it is.
    pub async fn start(settings: &Settings, data: &DataFolder) -> Result<(Self, NatsConfig, S3Config), CliError> {
        let mut base = Self { nats: None, s3: None };
        let nats_config = match &settings.nats.url {
            Some(_) => settings.nats.to_queue(),
            None => {
                let server = nats::find_server(settings.nats.server.as_deref())?;
                let setpriv = nats::on_path("setpriv");
                if setpriv.is_none() {
                    output::note(
                        "setpriv is missing: a killed framemill leaves its nats-server behind; install util-linux",
                    );
                }
                let nats = NatsServer::start(server, setpriv, data).await?;
                let config = NatsConfig { url: nats.url().to_owned(), ..NatsConfig::default() };
                base.nats = Some(nats);
                config
            }
        };
        let s3_config = match &settings.s3.endpoint {
            Some(_) => settings.s3.clone(),
            None => match base.serve_s3(settings, data).await {
                Ok(config) => config,
                Err(error) => {
                    base.stop().await;
                    return Err(error);
                }
            },
        };
        Ok((base, nats_config, s3_config))
    }

    /// How an edge reaches the store: the embedded one with keys that only read; another as it is configured, where
    /// it is the operator's to give an edge of its own other keys.
    pub fn reading(&self, s3: &S3Config) -> S3Config {
        let pair = s3.access_key.as_ref().zip(s3.secret_key.as_ref()).filter(|_| self.s3.is_some());
        let Some((access, secret)) = pair else { return s3.clone() };
        let (access, secret) = embedded::reader(access, secret);
        S3Config { access_key: Some(access), secret_key: Some(secret), create_bucket: false, ..s3.clone() }
    }

    /// Serves the embedded store on a free port.
    async fn serve_s3(&mut self, settings: &Settings, data: &DataFolder) -> Result<S3Config, CliError> {
        let root = data.folder("s3")?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = startup::listen(any, "the store", "check that the loopback interface is up").await?;
        let address = listener.local_addr().map_err(|error| CliError::failed(error.to_string()))?;
        let secrets = data.secrets();
        let config = S3Config {
            endpoint: Some(format!("http://{address}")),
            access_key: Some(Secret::new(secrets.s3_access_key.clone())),
            secret_key: Some(Secret::new(secrets.s3_secret_key.clone())),
            path_style: true,
            create_bucket: true,
            ..settings.s3.clone()
        };
        let stop = CancellationToken::new();
        let access_key = Secret::new(secrets.s3_access_key.clone());
        let secret_key = Secret::new(secrets.s3_secret_key.clone());
        let served = tokio::spawn({
            let stop = stop.clone();
            async move {
                if let Err(error) = embedded::serve(&root, listener, &access_key, &secret_key, stop).await {
                    tracing::error!(%error, "the embedded store ended");
                }
            }
        });
        self.s3 = Some((served, stop));
        Ok(config)
    }

    /// Ends what is ours.
    pub async fn stop(self) {
        if let Some((served, stop)) = self.s3 {
            stop.cancel();
            // A broken task has said so in the log.
            let _ = served.await;
        }
        if let Some(nats) = self.nats {
            nats.stop().await;
        }
    }
}
