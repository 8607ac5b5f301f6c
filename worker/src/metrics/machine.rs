//! Every metric of a worker's machine, read once a second.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Meter},
};

use crate::machine::gpu::GpuReading;

/// The machine's instruments. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Metrics {
    cpu: Gauge<f64>,
    cpu_pressure: Gauge<f64>,
    received: Gauge<u64>,
    sent: Gauge<u64>,
    encoder: Gauge<u64>,
    decoder: Gauge<u64>,
    shader: Gauge<u64>,
    sessions: Gauge<u64>,
    session_fps: Gauge<u64>,
    memory_used: Gauge<u64>,
    memory: Gauge<u64>,
    temperature: Gauge<u64>,
    slowdown: Gauge<u64>,
    video_clock: Gauge<u64>,
    throttled: Gauge<u64>,
    xids: Counter<u64>,
}

impl Metrics {
    /// Registers them.
    pub fn new() -> Self {
        let meter = framemill_telemetry::meter("worker");
        Self {
            cpu: meter
                .f64_gauge("framemill_machine_cpu_percent")
                .with_description("Share of the time the processors worked, over the last second")
                .build(),
            cpu_pressure: meter
                .f64_gauge("framemill_machine_cpu_pressure_percent")
                .with_description("Share of the time something waited for a processor, over the last ten seconds")
                .build(),
            received: gauge(&meter, "network_received_bytes", "Bytes an interface received since it came up"),
            sent: gauge(&meter, "network_sent_bytes", "Bytes an interface sent since it came up"),
            encoder: gauge(&meter, "gpu_encoder_percent", "Share of the time a GPU's encoders worked"),
            decoder: gauge(&meter, "gpu_decoder_percent", "Share of the time a GPU's decoders worked"),
            shader: gauge(&meter, "gpu_shader_percent", "Share of the time a kernel ran on a GPU"),
            sessions: gauge(&meter, "gpu_sessions", "Encode sessions that are open on a GPU"),
            session_fps: gauge(&meter, "gpu_session_fps", "Pictures per second of a session, averaged over all"),
            memory_used: gauge(&meter, "gpu_memory_used_bytes", "Memory in use on a GPU"),
            memory: gauge(&meter, "gpu_memory_bytes", "Memory of a GPU"),
            temperature: gauge(&meter, "gpu_temperature_celsius", "Temperature of a GPU"),
            slowdown: gauge(&meter, "gpu_slowdown_celsius", "Temperature at which a GPU slows down"),
            video_clock: gauge(&meter, "gpu_video_clock_mhz", "Clock of a GPU's encoders and decoders"),
            throttled: gauge(&meter, "gpu_throttled", "1 while heat or power holds a GPU's clocks down"),
            xids: meter
                .u64_counter("framemill_machine_gpu_xids")
                .with_description("Errors that a GPU reported, by their number (XID)")
                .build(),
        }
    }

    /// The processors worked for so much of the last second.
    pub fn cpu(&self, percent: f64) {
        self.cpu.record(percent, &[]);
    }

    /// Something waited for a processor for so much of the last ten seconds.
    pub fn cpu_pressure(&self, percent: f64) {
        self.cpu_pressure.record(percent, &[]);
    }

    /// An interface moved so many bytes since it came up.
    pub fn network(&self, interface: &str, received: u64, sent: u64) {
        let labels = [KeyValue::new("interface", interface.to_owned())];
        self.received.record(received, &labels);
        self.sent.record(sent, &labels);
    }

    /// A GPU does this now. What it does not tell keeps no value.
    pub fn gpu(&self, now: &GpuReading) {
        let labels = [KeyValue::new("gpu", i64::from(now.index))];
        let values = [
            (&self.encoder, now.encoder_percent.map(u64::from)),
            (&self.decoder, now.decoder_percent.map(u64::from)),
            (&self.shader, now.shader_percent.map(u64::from)),
            (&self.sessions, now.sessions.map(u64::from)),
            (&self.session_fps, now.session_fps.map(u64::from)),
            (&self.memory_used, now.memory_used_bytes),
            (&self.memory, now.memory_bytes),
            (&self.temperature, now.temperature_c.map(u64::from)),
            (&self.slowdown, now.slowdown_c.map(u64::from)),
            (&self.video_clock, now.video_clock_mhz.map(u64::from)),
            (&self.throttled, now.throttled.map(u64::from)),
        ];
        for (gauge, value) in values {
            if let Some(value) = value {
                gauge.record(value, &labels);
            }
        }
    }

    /// A GPU reported an error.
    pub fn xid(&self, gpu: u32, xid: u64) {
        let number = i64::try_from(xid).unwrap_or(i64::MAX);
        self.xids.add(1, &[KeyValue::new("gpu", i64::from(gpu)), KeyValue::new("xid", number)]);
    }
}

fn gauge(meter: &Meter, name: &str, description: &'static str) -> Gauge<u64> {
    meter.u64_gauge(format!("framemill_machine_{name}")).with_description(description).build()
}
