//! The farm itself: what it is started from, and how it is ended.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use framemill_storage::{S3Config, Secret, Store, embedded};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Build, Link, Member, Trouble,
    api::Api,
    nats::Nats,
    proc,
    process::{Launch, Process},
    proxy::Proxy,
    wrapper::{MARK, Wrapper},
};
use crate::machine::free_port;

/// How long the farm may take to be ready.
const READY: Duration = Duration::from_secs(90);
/// Pause between two looks.
pub const LOOK: Duration = Duration::from_millis(100);

/// One role's process and what stands around it.
#[derive(Debug)]
pub struct Seat {
    /// The process.
    pub process: Process,
    /// Its way to NATS.
    pub nats: Proxy,
    /// Its way to the store.
    pub store: Proxy,
    /// Its ffmpeg.
    pub wrapper: Option<Wrapper>,
    /// Port of its health listener, which tells its metrics too.
    pub health: u16,
}

impl Seat {
    /// Its way to NATS or the store.
    pub const fn link(&self, link: Link) -> &Proxy {
        match link {
            Link::Nats => &self.nats,
            Link::Store => &self.store,
        }
    }
}

/// A farm that runs.
#[derive(Debug)]
pub struct Farm {
    /// What every process of it carries in its environment.
    pub mark: String,
    /// Its NATS.
    pub nats: Arc<Nats>,
    /// Its roles.
    pub seats: BTreeMap<Member, Arc<Seat>>,
    /// Its API.
    pub api: Api,
    /// Its store, past all faults.
    pub store: Store,
    stop_roles: CancellationToken,
    stop_base: CancellationToken,
    roles: TaskTracker,
    base: TaskTracker,
}

impl Farm {
    /// Starts everything in `folder` and waits until every role is ready.
    pub async fn start(build: &Build, folder: &Path, sources: &Path) -> Result<Self> {
        let mark = format!("{:016x}", uuid::Uuid::new_v4().as_u128() >> 64);
        let (stop_base, base) = (CancellationToken::new(), TaskTracker::new());
        let nats = Arc::new(Nats::prepare(&build.programs.nats_server, folder, launch(build, folder, "nats", &mark))?);
        base.spawn({
            let (nats, stop) = (nats.clone(), stop_base.clone());
            async move {
                if let Err(error) = nats.process.supervise(&stop, || {}).await {
                    tracing::error!(%error, "nats-server cannot be started");
                }
            }
        });
        nats.listens().await?;
        let (config, target) = store(build, folder, &mark, &stop_base, &base).await?;
        let store = Store::connect(&config).await.context("the store cannot be used")?;

        let mut seats = BTreeMap::new();
        let mut addresses = Vec::new();
        for member in build.members.iter().copied() {
            let ways = [
                Proxy::start(format!("127.0.0.1:{}", nats.port), Link::Nats).await?,
                Proxy::start(target.clone(), Link::Store).await?,
            ];
            let seat = seat(build, folder, sources, &mark, member, ways, &config, &mut addresses)?;
            seats.insert(member, Arc::new(seat));
        }
        let farm = Self {
            mark,
            nats,
            seats,
            api: Api::new(addresses)?,
            store,
            stop_roles: CancellationToken::new(),
            stop_base,
            roles: TaskTracker::new(),
            base,
        };
        farm.begin();
        farm.ready(READY).await?;
        Ok(farm)
    }

    fn begin(&self) {
        for seat in self.seats.values() {
            let (supervised, stop) = (seat.clone(), self.stop_roles.clone());
            self.roles.spawn(async move {
                let process = &supervised.process;
                if let Err(error) = process.supervise(&stop, || supervised.store.next_start()).await {
                    tracing::error!(name = process.launch.name, %error, "cannot be started");
                }
            });
            let (watched, api, stop) = (seat.clone(), self.api.clone(), self.stop_roles.clone());
            self.roles.spawn(async move {
                while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
                    let start = watched.process.starts();
                    let asks = watched.process.is_awake() && !watched.process.is_ready();
                    if asks && api.is_ready(watched.health).await {
                        watched.process.said_ready(start);
                    }
                }
            });
        }
    }

    /// Waits until every role is ready.
    pub async fn ready(&self, limit: Duration) -> Result<()> {
        let deadline = tokio::time::Instant::now() + limit;
        while let Some((member, seat)) = self.seats.iter().find(|(_, seat)| !seat.process.is_ready()) {
            let log = seat.process.launch.log.display();
            ensure!(
                tokio::time::Instant::now() < deadline,
                "{member} is not ready after {} s; its log is {log}",
                limit.as_secs()
            );
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Makes trouble between everybody and the store, or ends it.
    pub fn store_trouble(&self, trouble: Option<Trouble>) {
        self.seats.values().for_each(|seat| seat.store.set(trouble));
    }

    /// Ends every fault that lasts.
    pub fn heal(&self) {
        for seat in self.seats.values() {
            seat.nats.set(None);
            seat.store.set(None);
            seat.process.wake();
            seat.wrapper.iter().for_each(Wrapper::disarm);
        }
        self.nats.process.wake();
    }

    /// Marked processes that are neither roles nor NATS.
    pub fn others(&self) -> Vec<proc::Found> {
        let ours: Vec<i32> =
            self.seats.values().filter_map(|seat| seat.process.pid()).chain(self.nats.process.pid()).collect();
        let mut marked = proc::marked(&self.mark);
        marked.retain(|found| !ours.contains(&found.pid));
        marked
    }

    /// The seat of a process by the name of its node.
    pub fn seat(&self, node: &str) -> Option<Arc<Seat>> {
        self.seats.iter().find(|(member, _)| member.to_string() == node).map(|(_, seat)| seat.clone())
    }

    /// Ends the roles, as an init system would.
    pub async fn end_roles(&self) {
        self.stop_roles.cancel();
        self.roles.close();
        self.roles.wait().await;
    }

    /// Ends NATS and the store; the roles have ended.
    pub async fn end_base(&self) {
        self.stop_base.cancel();
        self.base.close();
        self.base.wait().await;
    }
}

/// How a process of this run is started, without what is its own.
fn launch(build: &Build, folder: &Path, name: &str, mark: &str) -> Launch {
    let mut environment = vec![(MARK.to_owned(), mark.to_owned()), ("NO_COLOR".to_owned(), "1".to_owned())];
    environment.extend(
        ["PATH", "TMPDIR", "HOME"].into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))),
    );
    Launch {
        name: name.to_owned(),
        program: PathBuf::new(),
        args: Vec::new(),
        environment,
        log: folder.join(format!("{name}.log")),
        setpriv: build.programs.setpriv.clone(),
    }
}

/// The store's configuration and where its proxies lead: an embedded one of this process, or one
/// that runs elsewhere, with a bucket of its own.
async fn store(
    build: &Build,
    folder: &Path,
    mark: &str,
    stop: &CancellationToken,
    base: &TaskTracker,
) -> Result<(S3Config, String)> {
    if let Some(outside) = &build.programs.outside {
        let endpoint = outside.endpoint.as_deref().unwrap_or_default();
        let Some(address) = endpoint.strip_prefix("http://") else {
            bail!("the store at {endpoint} is not on plain HTTP, so nothing can stand between; use an http:// address");
        };
        let address = address.trim_end_matches('/');
        let target = if address.contains(':') { address.to_owned() } else { format!("{address}:80") };
        let config = S3Config { bucket: format!("chaos-{mark}"), create_bucket: true, ..outside.clone() };
        return Ok((config, target));
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("the store finds no free port")?;
    let target = listener.local_addr()?.to_string();
    let secret = Secret::new(uuid::Uuid::new_v4().simple().to_string());
    let config = S3Config {
        endpoint: Some(format!("http://{target}")),
        access_key: Some(Secret::new("chaos")),
        secret_key: Some(secret.clone()),
        create_bucket: true,
        ..S3Config::default()
    };
    let root = folder.join("s3");
    std::fs::create_dir_all(&root).context("cannot make the store's folder")?;
    let stop = stop.clone();
    base.spawn(async move {
        if let Err(error) = embedded::serve(&root, listener, &Secret::new("chaos"), &secret, stop).await {
            tracing::error!(%error, "the embedded store ended");
        }
    });
    Ok((config, target))
}

#[expect(clippy::too_many_arguments, reason = "all that one process is made of, called in one place")]
fn seat(
    build: &Build,
    folder: &Path,
    sources: &Path,
    mark: &str,
    member: Member,
    ways: [Proxy; 2],
    store: &S3Config,
    addresses: &mut Vec<String>,
) -> Result<Seat> {
    let name = member.to_string();
    let [nats, store_way] = ways;
    let health = free_port()?;
    let mut launch = launch(build, folder, &name, mark);
    launch.program.clone_from(&build.programs.framemill);
    launch.args = vec![member.role().to_owned()];
    let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned()).unwrap_or_default();
    let mut set = |key: &str, value: String| launch.environment.push((format!("FRAMEMILL_{key}"), value));
    set("NATS__URL", format!("nats://127.0.0.1:{}", nats.port));
    set("S3__ENDPOINT", format!("http://127.0.0.1:{}", store_way.port));
    set("S3__REGION", store.region.clone());
    set("S3__BUCKET", store.bucket.clone());
    set("S3__ACCESS_KEY", secret(&store.access_key));
    set("S3__SECRET_KEY", secret(&store.secret_key));
    set("S3__CREATE_BUCKET", "true".to_owned());
    set("WORKER__NODE", name.clone());
    set(&format!("{}__HEALTH", member.role().to_uppercase()), format!("127.0.0.1:{health}"));
    let mut wrapper = None;
    if let Member::Scheduler(_) = member {
        let port = free_port()?;
        set("SCHEDULER__LISTEN", format!("127.0.0.1:{port}"));
        set("SCHEDULER__FOLDERS", sources.display().to_string());
        addresses.push(format!("http://127.0.0.1:{port}"));
    } else {
        let stands = Wrapper::write(folder, &name, &build.programs.ffmpeg, mark, build.pace)
            .context("cannot write a wrapper of ffmpeg")?;
        let probes = Wrapper::write(folder, &format!("probe-{name}"), &build.programs.ffprobe, mark, None)?;
        set("FFMPEG__FFMPEG", stands.program.display().to_string());
        set("FFMPEG__FFPROBE", probes.program.display().to_string());
        set("FFMPEG__STALL_S", build.stall_s.to_string());
        set("SOURCES__FOLDERS", sources.display().to_string());
        set(&format!("{}__SLOTS", member.role().to_uppercase()), build.slots.to_string());
        if let (Some(busy), Member::Worker(_)) = (build.busy_percent, member) {
            set("WORKER__HEADROOM__CPU_PERCENT", busy.to_string());
        }
        wrapper = Some(stands);
    }
    Ok(Seat { process: Process::new(launch), nats, store: store_way, wrapper, health })
}
