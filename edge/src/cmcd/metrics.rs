//! Every metric of what players tell. The edge's own are in `crate::metrics`.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram},
};

use super::playback::Added;

/// What is counted.
#[derive(Debug)]
pub struct Metrics {
    records: Counter<u64>,
    starts: Histogram<f64>,
    standstills: Counter<u64>,
    stood: Histogram<f64>,
    errors: Counter<u64>,
    media: Counter<f64>,
    bitrate: Histogram<f64>,
    buffer: Histogram<f64>,
    throughput: Histogram<f64>,
}

impl Metrics {
    /// Registers them.
    pub fn new() -> Self {
        let meter = framemill_telemetry::meter("edge");
        let seconds = || vec![0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0];
        let kbps = || vec![100.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0, 32000.0, 64000.0];
        let histogram = |name: &'static str, says: &'static str, boundaries: Vec<f64>| {
            meter.f64_histogram(name).with_description(says).with_boundaries(boundaries).build()
        };
        Self {
            records: meter
                .u64_counter("framemill_edge_viewer_records")
                .with_description("Records of players (CMCD), by what became of them")
                .build(),
            starts: histogram("framemill_edge_viewer_start_seconds", "How long starts took", seconds()),
            standstills: meter
                .u64_counter("framemill_edge_viewer_rebuffers")
                .with_description("Times that a picture stood still since nothing was there to show")
                .build(),
            stood: histogram(
                "framemill_edge_viewer_rebuffer_seconds",
                "How long it stood, where that is told",
                seconds(),
            ),
            errors: meter
                .u64_counter("framemill_edge_viewer_errors")
                .with_description("Faults that players told of, by whether they gave up")
                .build(),
            media: meter
                .f64_counter("framemill_edge_viewer_media_seconds")
                .with_description("Duration of the pictures that were fetched")
                .build(),
            bitrate: histogram("framemill_edge_viewer_bitrate_kbps", "Bitrate of each object that was fetched", kbps()),
            buffer: histogram("framemill_edge_viewer_buffer_seconds", "What was buffered at each fetch", seconds()),
            throughput: histogram("framemill_edge_viewer_throughput_kbps", "What players measured", kbps()),
        }
    }

    /// A record came, and this became of it.
    pub fn recorded(&self, outcome: &'static str) {
        self.records.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// A record adds this to a channel.
    pub fn add(&self, channel: &str, added: &Added) {
        let of = |channel: &str| KeyValue::new("channel", channel.to_owned());
        let labels = [of(channel)];
        let seconds = |ms: u64| ms as f64 / 1000.0;
        if let Some(start_ms) = added.start_ms {
            self.starts.record(seconds(start_ms), &labels);
        }
        if added.standstills > 0 {
            self.standstills.add(added.standstills.into(), &labels);
        }
        for stood_ms in &added.stood_ms {
            self.stood.record(seconds(*stood_ms), &labels);
        }
        if added.failed || added.faulted {
            self.errors.add(1, &[of(channel), KeyValue::new("fatal", added.failed)]);
        }
        let Some(object) = added.object else { return };
        if let Some(kbps) = object.bitrate_kbps {
            let media = if object.is_audio { "audio" } else { "video" };
            self.bitrate.record(kbps as f64, &[of(channel), KeyValue::new("media", media)]);
        }
        if let Some(kbps) = object.throughput_kbps {
            self.throughput.record(kbps as f64, &labels);
        }
        // Sound comes beside the pictures: once is enough.
        if object.is_audio {
            return;
        }
        if let Some(duration_ms) = object.duration_ms {
            self.media.add(seconds(duration_ms), &labels);
        }
        if let Some(buffer_ms) = object.buffer_ms {
            self.buffer.record(seconds(buffer_ms), &labels);
        }
    }
}
