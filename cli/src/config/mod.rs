//! What an operator may set: `framemill.toml`, then the environment, then flags. One key has one
//! name everywhere: `s3.endpoint` in the file is `FRAMEMILL_S3__ENDPOINT` in the environment.
//!
//! Never here: what a role does with it.

pub mod environment;
pub mod load;
pub mod show;

use std::{net::SocketAddr, path::PathBuf};

use framemill_edge::EdgeConfig;
use framemill_media::toolchain::FfmpegConfig;
use framemill_packager::{SAMPLE_EVERY_S_MAX, SAMPLE_EVERY_S_MIN};
use framemill_queue::NatsConfig;
use framemill_scheduler::{
    delivery::{AuditSettings, TokenSettings},
    gate::Limits,
    purges::PurgeConfig,
    retention::Retention,
};
use framemill_schemas::ids::Zone;
use framemill_storage::S3Config;
use framemill_telemetry::{LogConfig, OtelConfig, TelemetryConfig};
use framemill_worker::{LiveConfig, headroom::HeadroomConfig, source::SourcesConfig};
use serde::{Deserialize, Serialize};

use crate::exit::CliError;

/// Most jobs a process runs at once.
pub const SLOTS_MAX: usize = 1024;

/// The whole configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Folder of everything `up` and `run` keep.
    pub data: PathBuf,
    /// The queue.
    pub nats: NatsSection,
    /// The store.
    pub s3: S3Config,
    /// Where ffmpeg is.
    pub ffmpeg: FfmpegConfig,
    /// What workers may read.
    pub sources: SourcesConfig,
    /// The scheduler.
    pub scheduler: SchedulerSection,
    /// The worker.
    pub worker: WorkerSection,
    /// The packager.
    pub packager: PackagerSection,
    /// The edge.
    pub edge: EdgeConfig,
    /// Logs.
    pub log: LogConfig,
    /// Traces.
    pub otel: OtelConfig,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::from(".framemill/data"),
            nats: NatsSection::default(),
            s3: S3Config::default(),
            ffmpeg: FfmpegConfig::default(),
            sources: SourcesConfig::default(),
            scheduler: SchedulerSection::default(),
            worker: WorkerSection::default(),
            packager: PackagerSection::default(),
            edge: EdgeConfig::default(),
            log: LogConfig::default(),
            otel: OtelConfig::default(),
        }
    }
}

/// The queue.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NatsSection {
    /// `nats://host:port`, several with commas; unset, `up` and `run` start a server of their own.
    pub url: Option<String>,
    /// Credentials file (`.creds`).
    pub credentials: Option<PathBuf>,
    /// Copies of every record; 3 on a cluster.
    pub replicas: Option<u8>,
    /// The nats-server that `up` and `run` start.
    pub server: Option<PathBuf>,
}

impl NatsSection {
    /// What the queue takes; a role on its own finds a server on this machine by default.
    pub fn to_queue(&self) -> NatsConfig {
        let mut config = NatsConfig { credentials: self.credentials.clone(), ..NatsConfig::default() };
        if let Some(url) = &self.url {
            config.url = url.clone();
        }
        if let Some(replicas) = self.replicas {
            config.replicas = replicas;
        }
        config
    }
}

/// The scheduler.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulerSection {
    /// Address of the API and the pages.
    pub listen: SocketAddr,
    /// Folders whose files may be submitted by path.
    pub folders: Vec<PathBuf>,
    /// Folder of ladder files; unset, only those that are built in.
    pub ladders: Option<PathBuf>,
    /// Address of /healthz, /readyz and /metrics.
    pub health: Option<SocketAddr>,
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

impl Default for SchedulerSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            folders: Vec::new(),
            ladders: None,
            health: None,
            limits: Limits::default(),
            retention: Retention::default(),
            tokens: TokenSettings::default(),
            audit: AuditSettings::default(),
            purge: PurgeConfig::default(),
        }
    }
}

/// The worker.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerSection {
    /// Encodes at once; unset, as many as the machine has cores.
    pub slots: Option<usize>,
    /// Name of this machine in the farm; unset, its host name.
    pub node: Option<String>,
    /// What this machine shares with others that may fail together; unset, nothing.
    pub zone: Option<Zone>,
    /// Address of /healthz, /readyz and /metrics.
    pub health: Option<SocketAddr>,
    /// GPUs that stand in for those of the machine.
    pub gpu_script: Option<PathBuf>,
    /// How far the machine may be filled.
    pub headroom: HeadroomConfig,
    /// What channels may read.
    pub live: LiveConfig,
}

/// The packager.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PackagerSection {
    /// Jobs at once; unset, as many as the machine has cores.
    pub slots: Option<usize>,
    /// Address of /healthz, /readyz and /metrics.
    pub health: Option<SocketAddr>,
    /// How it looks at channels.
    pub live: framemill_packager::LiveConfig,
}

impl Settings {
    /// What telemetry takes.
    pub fn telemetry(&self) -> TelemetryConfig {
        TelemetryConfig { log: self.log.clone(), otel: self.otel.clone() }
    }

    /// What no type can say.
    pub fn check(&self) -> Result<(), CliError> {
        for (key, slots) in [("worker.slots", self.worker.slots), ("packager.slots", self.packager.slots)] {
            if slots.is_some_and(|slots| !(1..=SLOTS_MAX).contains(&slots)) {
                return Err(CliError::usage(format!("{key} is out of range"))
                    .at(key)
                    .mend(format!("use 1 to {SLOTS_MAX}, or leave it out")));
            }
        }
        let every_s = self.packager.live.sample_every_s;
        if every_s != 0 && !(SAMPLE_EVERY_S_MIN..=SAMPLE_EVERY_S_MAX).contains(&every_s) {
            return Err(CliError::usage("a pause between samples that is out of range")
                .at("packager.live.sample_every_s")
                .mend(format!("use {SAMPLE_EVERY_S_MIN} to {SAMPLE_EVERY_S_MAX} seconds, or 0 for none")));
        }
        if !(5..=3600).contains(&self.ffmpeg.stall_s) {
            return Err(CliError::usage("a deadline on progress that is out of range")
                .at("ffmpeg.stall_s")
                .mend("use 5 to 3600 seconds"));
        }
        if !(256..=1024 * 1024).contains(&self.ffmpeg.memory_mb) {
            return Err(CliError::usage("a bound on memory that is out of range")
                .at("ffmpeg.memory_mb")
                .mend("use 256 to 1048576 megabytes"));
        }
        if let Some((key, what, mend)) = self.scheduler.purge.fault() {
            return Err(CliError::usage(what).at(format!("scheduler.purge.{key}")).mend(mend));
        }
        if self.nats.replicas.is_some_and(|replicas| !matches!(replicas, 1 | 3 | 5)) {
            return Err(CliError::usage("a number of copies that is no majority")
                .at("nats.replicas")
                .mend("use 1, 3 or 5"));
        }
        if let Some((key, mend)) = self.worker.headroom.fault() {
            return Err(CliError::usage("a ceiling that is out of range")
                .at(format!("worker.headroom.{key}"))
                .mend(mend));
        }
        let (tokens, audit) = (self.scheduler.tokens.fault(), self.scheduler.audit.fault());
        let faults = [tokens.map(|fault| ("tokens", fault)), audit.map(|fault| ("audit", fault))];
        if let Some((section, (key, mend))) = faults.into_iter().flatten().next() {
            return Err(CliError::usage("a time that is out of range")
                .at(format!("scheduler.{section}.{key}"))
                .mend(mend));
        }
        if let Some(node) = &self.worker.node {
            node.parse::<framemill_schemas::ids::NodeId>().map_err(|error| {
                CliError::usage(error.to_string()).at("worker.node").mend("name the machine, for example gpu-7")
            })?;
        }
        Ok(())
    }
}
