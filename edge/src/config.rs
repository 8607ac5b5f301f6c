//! The section `edge` of the configuration.

use std::{net::SocketAddr, path::PathBuf};

use framemill_schemas::ids::Zone;
use framemill_storage::Secret;
use serde::{Deserialize, Serialize};

use crate::{
    http::{Addresses, TagHeader},
    origin::OriginOrder,
    steering::SteeringConfig,
};

/// The origin that is the store of the section `s3`.
pub const STORE: &str = "s3";

/// How an edge serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeConfig {
    /// Address that viewers reach.
    pub listen: SocketAddr,
    /// Address of /healthz, /readyz and /metrics.
    pub health: Option<SocketAddr>,
    /// Name of this edge in the farm; unset, its host name.
    pub name: Option<String>,
    /// Where viewers reach it, for whoever sends them there.
    pub url: Option<String>,
    /// What it shares with others that may fail together.
    pub zone: Option<Zone>,
    /// TLS; unset, plain HTTP.
    pub tls: Option<TlsConfig>,
    /// Where objects come from, the best first: [`STORE`], the `http(s)://` address of a web server with the same layout, or
    /// `edge+https://...` of another edge.
    pub origins: Vec<String>,
    /// What decides among origins that are equally well.
    pub origin_order: OriginOrder,
    /// What edges show to each other; unset, none may ask this one for objects.
    pub shield_secret: Option<Secret>,
    /// Memory for objects, megabytes.
    pub memory_mb: usize,
    /// Folder of the part of the cache that is on disk; unset, there is none.
    pub disk: Option<PathBuf>,
    /// How much of it, megabytes.
    pub disk_mb: usize,
    /// Pages that may read answers (`https://tv.example`), `*` for all.
    pub cors_origins: Vec<String>,
    /// Addresses (or networks, `10.0.0.0/8`) of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<String>,
    /// Header in which those are told what an object is tagged with; unset, none.
    pub tag_header: Option<TagHeader>,
    /// The region (ISO 3166-1 alpha-2) of viewers; unset, tokens that name regions are refused.
    pub region: Option<String>,
    /// Connections at once.
    pub connections: usize,
    /// Connections at once of one address (IPv4) or /64 (IPv6); 0 is any number. Those of trusted proxies have no such bound.
    pub connections_per_address: usize,
    /// Addresses of schedulers' APIs that renew tokens, the nearest first; none: tokens end as they say. Unset: none,
    /// but for an edge that runs beside a scheduler.
    pub renewal: Option<Vec<String>>,
    /// Longest time that the edge renews one session, seconds.
    pub renewal_session_s: u32,
    /// Networks (/24, or /64 of IPv6) that one session of an account with a limit may be asked for from within a minute;
    /// 0: any number.
    pub session_networks: usize,
    /// The share of requests that is traced, 0 to 1.
    pub trace_ratio: f64,
    /// Which other edges viewers are sent to.
    pub steering: SteeringConfig,
    /// File of the access log, `-` for standard output; unset, there is none.
    pub access_log: Option<PathBuf>,
    /// What is written of viewers' addresses.
    pub access_log_addresses: Addresses,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8090)),
            health: None,
            name: None,
            url: None,
            zone: None,
            tls: None,
            origins: vec![STORE.to_owned()],
            origin_order: OriginOrder::default(),
            shield_secret: None,
            memory_mb: 256,
            disk: None,
            disk_mb: 4096,
            cors_origins: vec!["*".to_owned()],
            trusted_proxies: Vec::new(),
            tag_header: None,
            region: None,
            connections: 8192,
            connections_per_address: 1024,
            renewal: None,
            renewal_session_s: 12 * 3600,
            session_networks: 8,
            trace_ratio: 0.001,
            steering: SteeringConfig::default(),
            access_log: None,
            access_log_addresses: Addresses::default(),
        }
    }
}

/// A certificate with its key, both PEM files.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The chain, the edge's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}
