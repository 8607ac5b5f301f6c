//! Every metric of a worker's machine. Each is told when it is asked for, from the last reading: what
//! is not known any more has no series.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Counter},
};

use crate::machine::gpu::GpuReading;

/// A reading that is older says nothing: a driver that hangs tells no more.
const FRESH: Duration = Duration::from_secs(10);

/// What the machine does now. Absent: its kernel does not tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MachineReading {
    /// Share of the last second the processors worked, percent.
    pub cpu_percent: Option<f64>,
    /// Share of the last ten seconds something waited for a processor, percent.
    pub cpu_pressure_percent: Option<f64>,
    /// Bytes its interfaces received since they came up.
    pub received_bytes: Option<u64>,
    /// Bytes they sent.
    pub sent_bytes: Option<u64>,
}

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

/// The last reading, and when it was made.
#[derive(Debug)]
struct Latest<R>(Arc<Mutex<Option<(Instant, R)>>>);

impl<R> Clone for Latest<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R: Clone> Latest<R> {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }

    fn set(&self, reading: R, now: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, reading));
    }

    /// The reading, while it is fresh.
    fn get(&self, now: Instant) -> Option<R> {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().filter(|(at, _)| now.duration_since(*at) < FRESH).map(|(_, reading)| reading.clone())
    }
}

impl Latest<MachineReading> {
    /// Tells one value of it whenever it is asked for.
    fn tells<V>(
        &self,
        of: fn(&MachineReading) -> Option<V>,
    ) -> impl Fn(&dyn AsyncInstrument<V>) + Send + Sync + use<V> {
        let latest = self.clone();
        move |observer| {
            if let Some(value) = latest.get(Instant::now()).as_ref().and_then(of) {
                observer.observe(value, &[]);
            }
        }
    }
}

/// The machine's instruments. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Metrics {
    machine: Latest<MachineReading>,
    gpus: Latest<Vec<GpuReading>>,
    xids: Counter<u64>,
}

impl Metrics {
    /// Registers them.
    pub fn new() -> Self {
        let meter = framemill_telemetry::meter("worker");
        let (machine, gpus) = (Latest::<MachineReading>::new(), Latest::<Vec<GpuReading>>::new());
        let named = |name| format!("framemill_machine_{name}");
        for (name, says, of) in SHARES {
            meter.f64_observable_gauge(named(name)).with_description(says).with_callback(machine.tells(of)).build();
        }
        for (name, says, of) in NETWORK {
            meter.u64_observable_gauge(named(name)).with_description(says).with_callback(machine.tells(of)).build();
        }
        for (name, says, of) in GPU {
            let gpus = gpus.clone();
            meter
                .u64_observable_gauge(named(name))
                .with_description(says)
                .with_callback(move |observer| {
                    for gpu in gpus.get(Instant::now()).iter().flatten() {
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
        Self { machine, gpus, xids }
    }

    /// The machine does this now.
    pub fn machine(&self, now: MachineReading) {
        self.machine.set(now, Instant::now());
    }

    /// The GPUs do this now.
    pub fn gpus(&self, now: Vec<GpuReading>) {
        self.gpus.set(now, Instant::now());
    }

    /// A GPU reported an error; one that is lost does not say any more which it is.
    pub fn xid(&self, gpu: Option<u32>, xid: u64) {
        let gpu = gpu.map_or_else(|| "unknown".to_owned(), |index| index.to_string());
        let number = i64::try_from(xid).unwrap_or(i64::MAX);
        self.xids.add(1, &[KeyValue::new("gpu", gpu), KeyValue::new("xid", number)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_that_is_old_says_nothing() {
        let latest = Latest::new();
        let start = Instant::now();
        assert_eq!(latest.get(start), None::<u32>);
        latest.set(7, start);
        assert_eq!(latest.get(start + FRESH / 2), Some(7));
        assert_eq!(latest.get(start + FRESH), None);
    }
}
