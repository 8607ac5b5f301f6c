//! Every metric of a worker's machine. Each is told when it is asked for, from the last reading: what
//! is not known any more has no series.

use std::time::Instant;

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Counter},
};

use crate::machine::{
    gpu::GpuReading,
    now::{MachineReading, Now},
};

/// A gauge: its name, what it says, and where in a reading it stands.
type Gauge<R, V> = (&'static str, &'static str, fn(&R) -> Option<V>);

const SHARES: [Gauge<MachineReading, f64>; 2] = [
    ("cpu_percent", "Share of the time the processors worked, over the last second", |now| now.cpu_percent),
    ("cpu_pressure_percent", "Share of the time something waited for a processor, over the last ten seconds", |now| {
        now.cpu_pressure_percent
    }),
];

const NETWORK: [Gauge<MachineReading, u64>; 2] = [
    ("network_received_bytes", "Bytes the interfaces received since they came up", |now| now.received_bytes),
    ("network_sent_bytes", "Bytes the interfaces sent since they came up", |now| now.sent_bytes),
];

const GPU: [Gauge<GpuReading, u64>; 11] = [
    ("gpu_encoder_percent", "Share of the time a GPU's encoders worked", |gpu| gpu.encoder_percent.map(u64::from)),
    ("gpu_decoder_percent", "Share of the time a GPU's decoders worked", |gpu| gpu.decoder_percent.map(u64::from)),
    ("gpu_shader_percent", "Share of the time a kernel ran on a GPU", |gpu| gpu.shader_percent.map(u64::from)),
    ("gpu_sessions", "Encode sessions that are open on a GPU", |gpu| gpu.sessions.map(u64::from)),
    ("gpu_session_fps", "Pictures per second of a session, averaged", |gpu| gpu.session_fps.map(u64::from)),
    ("gpu_memory_used_bytes", "Memory in use on a GPU", |gpu| gpu.memory_used_bytes),
    ("gpu_memory_bytes", "Memory of a GPU", |gpu| gpu.memory_bytes),
    ("gpu_temperature_celsius", "Temperature of a GPU", |gpu| gpu.temperature_c.map(u64::from)),
    ("gpu_slowdown_celsius", "Temperature at which a GPU slows down", |gpu| gpu.slowdown_c.map(u64::from)),
    ("gpu_video_clock_mhz", "Clock of a GPU's encoders and decoders", |gpu| gpu.video_clock_mhz.map(u64::from)),
    ("gpu_throttled", "1 while heat or power holds a GPU's clocks down", |gpu| gpu.throttled.map(u64::from)),
];

/// The machine's instruments. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Metrics {
    xids: Counter<u64>,
}

/// Tells one value of the machine whenever it is asked for.
fn tells<V: 'static>(
    now: &Now,
    of: fn(&MachineReading) -> Option<V>,
) -> impl Fn(&dyn AsyncInstrument<V>) + Send + Sync + use<V> {
    let now = now.clone();
    move |observer| {
        if let Some(value) = now.machine(Instant::now()).as_ref().and_then(of) {
            observer.observe(value, &[]);
        }
    }
}

impl Metrics {
    /// Registers them; they tell what `now` holds.
    pub fn new(now: &Now) -> Self {
        let meter = framemill_telemetry::meter("worker");
        let named = |name| format!("framemill_machine_{name}");
        for (name, says, of) in SHARES {
            meter.f64_observable_gauge(named(name)).with_description(says).with_callback(tells(now, of)).build();
        }
        for (name, says, of) in NETWORK {
            meter.u64_observable_gauge(named(name)).with_description(says).with_callback(tells(now, of)).build();
        }
        for (name, says, of) in GPU {
            let now = now.clone();
            meter
                .u64_observable_gauge(named(name))
                .with_description(says)
                .with_callback(move |observer| {
                    for gpu in now.gpus(Instant::now()).iter().flatten() {
                        if let Some(value) = of(gpu) {
                            observer.observe(value, &[KeyValue::new("gpu", i64::from(gpu.index))]);
                        }
                    }
                })
                .build();
        }
        let xids = meter
            .u64_counter("framemill_machine_gpu_xids")
            .with_description("Errors that a GPU reported, by their number (XID)")
            .build();
        Self { xids }
    }

    /// A GPU reported an error; one that is lost does not say any more which it is.
    pub fn xid(&self, gpu: Option<u32>, xid: u64) {
        let gpu = gpu.map_or_else(|| "unknown".to_owned(), |index| index.to_string());
        let number = i64::try_from(xid).unwrap_or(i64::MAX);
        self.xids.add(1, &[KeyValue::new("gpu", gpu), KeyValue::new("xid", number)]);
    }
}
