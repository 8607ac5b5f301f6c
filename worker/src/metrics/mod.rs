//! Every metric of a worker: of its attempts here, of its machine in `machine`.

pub(crate) mod machine;

use framemill_schemas::{failure::Class, job::JobKind};
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram},
};

/// How a segment came to be in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This attempt encoded and stored it.
    Encoded,
    /// This attempt encoded it and found it stored: work done twice.
    Repeated,
    /// An earlier attempt stored it, and this one did not encode it again.
    Adopted,
}

/// Boundaries of what viewers of a channel wait for.
const LIVE_SECONDS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 5.0];

/// The worker's instruments. Clones are the same ones.
#[derive(Clone)]
pub struct Metrics {
    attempts: Counter<u64>,
    attempt_seconds: Histogram<f64>,
    segments: Counter<u64>,
    segment_bytes: Counter<u64>,
    encoded: Counter<u64>,
    repeated: Counter<u64>,
    adopted: Counter<u64>,
    held_bytes: Gauge<u64>,
    live_stored_seconds: Histogram<f64>,
    live_committed_seconds: Histogram<f64>,
}

impl Metrics {
    /// Registers them.
    pub fn new() -> Self {
        let meter = framemill_telemetry::meter("worker");
        Self {
            attempts: meter
                .u64_counter("framemill_worker_attempts")
                .with_description("Attempts that ended, by kind and outcome")
                .build(),
            attempt_seconds: meter
                .f64_histogram("framemill_worker_attempt_seconds")
                .with_description("Time from claim to the end of an attempt, by kind")
                .with_boundaries(vec![0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0])
                .build(),
            segments: meter
                .u64_counter("framemill_worker_segments_stored")
                .with_description("Segments stored, or found stored by an earlier attempt")
                .build(),
            segment_bytes: meter
                .u64_counter("framemill_worker_segment_stored_bytes")
                .with_description("Bytes of those segments")
                .build(),
            encoded: meter
                .u64_counter("framemill_worker_segments_encoded")
                .with_description("Segments that attempts here encoded, also those found stored afterwards")
                .build(),
            repeated: meter
                .u64_counter("framemill_worker_segments_repeated")
                .with_description("Segments that were encoded here though another attempt had stored them")
                .build(),
            adopted: meter
                .u64_counter("framemill_worker_segments_adopted")
                .with_description("Segments of earlier attempts that were not encoded again")
                .build(),
            held_bytes: meter
                .u64_gauge("framemill_worker_held_bytes")
                .with_description("Bytes of segments that wait for the store")
                .build(),
            live_stored_seconds: meter
                .f64_histogram("framemill_worker_live_stored_seconds")
                .with_description("From the last byte of a channel's segment out of the encoder until it is stored")
                .with_boundaries(LIVE_SECONDS.to_vec())
                .build(),
            live_committed_seconds: meter
                .f64_histogram("framemill_worker_live_committed_seconds")
                .with_description("From the last byte of a channel's number out of the encoder until it is committed")
                .with_boundaries(LIVE_SECONDS.to_vec())
                .build(),
        }
    }

    /// An attempt ended.
    pub fn attempt(&self, kind: JobKind, outcome: Result<(), Class>, seconds: f64) {
        let kind = KeyValue::new("kind", kind.as_str());
        let outcome = KeyValue::new("outcome", outcome.map_or_else(Class::as_str, |()| "done"));
        self.attempts.add(1, &[kind.clone(), outcome]);
        self.attempt_seconds.record(seconds, &[kind]);
    }

    /// A segment is stored.
    pub fn segment(&self, origin: Origin, bytes: u64) {
        match origin {
            Origin::Adopted => self.adopted.add(1, &[]),
            Origin::Encoded => self.encoded.add(1, &[]),
            Origin::Repeated => {
                self.encoded.add(1, &[]);
                self.repeated.add(1, &[]);
            }
        }
        self.segments.add(1, &[]);
        self.segment_bytes.add(bytes, &[]);
    }

    /// A segment of a channel is stored.
    pub fn live_stored(&self, seconds: f64) {
        self.live_stored_seconds.record(seconds, &[]);
    }

    /// A number of a channel is committed.
    pub fn live_committed(&self, seconds: f64) {
        self.live_committed_seconds.record(seconds, &[]);
    }

    /// So much memory is taken by segments now.
    pub fn held(&self, bytes: u64) {
        self.held_bytes.record(bytes, &[]);
    }
}
