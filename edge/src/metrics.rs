//! Every metric of an edge, but for what players tell: that is in `cmcd::metrics`.

use std::sync::Arc;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram},
};

use crate::{
    clock::now_ms,
    origin::Origins,
    sessions::Local,
    trace::{Fetch, Traces},
};

/// What is counted.
#[derive(Debug)]
pub struct Metrics {
    requests: Counter<u64>,
    denials: Counter<u64>,
    bytes: Counter<u64>,
    turned_away: Counter<u64>,
    fetches: Histogram<f64>,
    hedges: Counter<u64>,
    broken_off: Counter<u64>,
    purges: Histogram<f64>,
    renewals: Counter<u64>,
    traces: Arc<Traces>,
    steered: Counter<u64>,
    health: Gauge<u64>,
}

impl Metrics {
    /// Registers them. Traces are told of fetches too.
    pub fn new(traces: Arc<Traces>) -> Self {
        let meter = framemill_telemetry::meter("edge");
        let seconds = vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        Self {
            requests: meter
                .u64_counter("framemill_edge_requests")
                .with_description("Requests, by what became of them")
                .build(),
            denials: meter
                .u64_counter("framemill_edge_denials")
                .with_description("Requests that were refused, by why")
                .build(),
            bytes: meter.u64_counter("framemill_edge_sent_bytes").with_description("Bytes of bodies").build(),
            turned_away: meter
                .u64_counter("framemill_edge_turned_away")
                .with_description("Connections that were closed since their address had as many as it may")
                .build(),
            fetches: meter
                .f64_histogram("framemill_edge_fetch_seconds")
                .with_description("How long origins took, by origin and whether they answered")
                .with_boundaries(seconds.clone())
                .build(),
            hedges: meter
                .u64_counter("framemill_edge_hedges")
                .with_description("Times that a second origin was asked since the first was slow")
                .build(),
            broken_off: meter
                .u64_counter("framemill_edge_broken_off")
                .with_description("Objects that broke off for viewers while they arrived: no origin could go on")
                .build(),
            purges: meter
                .f64_histogram("framemill_edge_purge_seconds")
                .with_description("From a purge's request to its application here")
                .with_boundaries(seconds)
                .build(),
            renewals: meter
                .u64_counter("framemill_edge_renewals")
                .with_description("Tokens that were to be renewed for their viewers, by what came of it")
                .build(),
            traces,
            steered: meter
                .u64_counter("framemill_edge_steered")
                .with_description("Answers that name other edges, by what they are and whether this edge comes first")
                .build(),
            health: meter
                .u64_gauge("framemill_edge_health")
                .with_description("How well this edge serves, 0 to 100")
                .build(),
        }
    }

    /// A token was to be renewed.
    pub fn renewed(&self, came_to: &'static str) {
        self.renewals.add(1, &[KeyValue::new("came_to", came_to)]);
    }

    /// Tells how many sessions have a seat here, whenever it is asked for.
    pub fn watch_sessions(&self, seats: &Arc<Local>) {
        let seats = Arc::downgrade(seats);
        framemill_telemetry::meter("edge")
            .u64_observable_gauge("framemill_edge_sessions")
            .with_description("Sessions of accounts with a limit that watch here")
            .with_callback(move |observer| {
                if let Some(seats) = seats.upgrade() {
                    observer.observe(seats.count() as u64, &[]);
                }
            })
            .build();
    }

    /// Tells how origins are, whenever it is asked for.
    pub fn watch_origins(&self, origins: &Arc<Origins>) {
        let meter = framemill_telemetry::meter("edge");
        let (of_health, of_channels) = (Arc::downgrade(origins), Arc::downgrade(origins));
        meter
            .u64_observable_gauge("framemill_edge_origin_healthy")
            .with_description("1 while an origin answers and no other one is better for most channels, by origin")
            .with_callback(move |observer| {
                for told in of_health.upgrade().iter().flat_map(|origins| origins.told()) {
                    observer.observe(u64::from(told.healthy), &[KeyValue::new("origin", told.name)]);
                }
            })
            .build();
        meter
            .u64_observable_gauge("framemill_edge_origin_sick_channels")
            .with_description("Channels in use that another origin is better for, by origin")
            .with_callback(move |observer| {
                for told in of_channels.upgrade().iter().flat_map(|origins| origins.told()) {
                    observer.observe(told.sick_channels as u64, &[KeyValue::new("origin", told.name)]);
                }
            })
            .build();
    }

    /// A request ended.
    pub fn answered(&self, outcome: &'static str, bytes: u64) {
        self.requests.add(1, &[KeyValue::new("outcome", outcome)]);
        self.bytes.add(bytes, &[]);
    }

    /// A request was refused.
    pub fn denied(&self, reason: &'static str) {
        self.denials.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// A connection was closed since its address had as many as it may.
    pub fn turned_away(&self) {
        self.turned_away.add(1, &[]);
    }

    /// An origin began to answer just now, or did not: what viewers waited for.
    pub fn heard(&self, key: &str, origin: &str, answered: bool, took_ms: i64) {
        let begun_ms = now_ms().saturating_sub(took_ms);
        self.traces.fetched(Fetch { key: key.to_owned(), origin: origin.to_owned(), begun_ms, took_ms, answered });
    }

    /// An origin's answer is there as a whole, or will not be.
    pub fn fetched(&self, origin: &str, answered: bool, took_ms: i64) {
        let labels = [KeyValue::new("origin", origin.to_owned()), KeyValue::new("answered", answered)];
        self.fetches.record(took_ms as f64 / 1000.0, &labels);
    }

    /// A second origin was asked.
    pub fn hedged(&self) {
        self.hedges.add(1, &[]);
    }

    /// A viewer was told of edges: in a `playlist`, a steering `manifest` or on a `route`.
    pub fn steered(&self, what: &'static str, own: bool) {
        self.steered.add(1, &[KeyValue::new("what", what), KeyValue::new("own", own)]);
    }

    /// How well this edge serves.
    pub fn is_well(&self, health: u8) {
        self.health.record(u64::from(health), &[]);
    }

    /// An object broke off for whoever waited for it.
    pub fn broke_off(&self) {
        self.broken_off.add(1, &[]);
    }

    /// A purge was applied that was requested so long ago.
    pub fn purged(&self, took_ms: i64) {
        self.purges.record(took_ms.max(0) as f64 / 1000.0, &[]);
    }
}
