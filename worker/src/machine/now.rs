//! The last readings of the machine, for whoever wants to know what it does now.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::gpu::GpuReading;

/// A reading that is older says nothing: a driver that hangs tells no more.
const FRESH: Duration = Duration::from_secs(10);

/// What the machine does now. Absent: its kernel does not tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MachineReading {
    /// Share of the last second the processors worked, percent.
    pub cpu_percent: Option<f64>,
    /// Share of the last ten seconds something waited for a processor, percent.
    pub cpu_pressure_percent: Option<f64>,
    /// Bytes its interfaces received since they came up.
    pub received_bytes: Option<u64>,
    /// Bytes they sent.
    pub sent_bytes: Option<u64>,
    /// Bytes they sent in the last second.
    pub sent_per_s: Option<u64>,
}

/// The last readings. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub struct Now {
    machine: Latest<MachineReading>,
    gpus: Latest<Vec<GpuReading>>,
}

impl Now {
    /// The processors and the network do this now.
    pub fn set_machine(&self, reading: MachineReading, at: Instant) {
        self.machine.set(reading, at);
    }

    /// The GPUs do this now.
    pub fn set_gpus(&self, readings: Vec<GpuReading>, at: Instant) {
        self.gpus.set(readings, at);
    }

    /// The machine, while that is fresh.
    pub fn machine(&self, now: Instant) -> Option<MachineReading> {
        self.machine.get(now)
    }

    /// The GPUs, while that is fresh.
    pub fn gpus(&self, now: Instant) -> Option<Vec<GpuReading>> {
        self.gpus.get(now)
    }

    /// When the GPUs were read last.
    pub fn gpus_at(&self) -> Option<Instant> {
        self.gpus.at()
    }
}

/// The last reading, and when it was made.
#[derive(Debug)]
struct Latest<R>(Arc<Mutex<Option<(Instant, R)>>>);

impl<R> Clone for Latest<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R> Default for Latest<R> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }
}

impl<R: Clone> Latest<R> {
    fn set(&self, reading: R, now: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, reading));
    }

    fn at(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(at, _)| *at)
    }

    fn get(&self, now: Instant) -> Option<R> {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().filter(|(at, _)| now.saturating_duration_since(*at) < FRESH).map(|(_, reading)| reading.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_that_is_old_says_nothing() {
        let latest = Latest::default();
        let start = Instant::now();
        assert_eq!(latest.get(start), None::<u32>);
        latest.set(7, start);
        assert_eq!(latest.get(start + FRESH / 2), Some(7));
        assert_eq!(latest.get(start + FRESH), None);
    }
}
