//! What the machine does now, read every second and told as metrics: GPUs, processor, network.

use std::{thread, time::Duration};

use procfs::{CpuPressure, Current, CurrentSI, KernelStats, net::dev_status};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::gpu::Gpus;
use crate::metrics::machine::Metrics;

/// How often.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// Reads until dropped. On threads of their own: a driver that hangs holds up nothing else.
pub(crate) fn start() -> DropGuard {
    let stop = CancellationToken::new();
    let metrics = Metrics::new();
    spawn("gpu-readings", {
        let (stop, metrics) = (stop.clone(), metrics.clone());
        move || gpus(&metrics, &stop)
    });
    spawn("machine-readings", {
        let stop = stop.clone();
        move || machine(&metrics, &stop)
    });
    stop.drop_guard()
}

fn spawn(name: &str, reads: impl FnOnce() + Send + 'static) {
    // Metrics that are missing must not keep a worker from working.
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(reads) {
        tracing::warn!(%error, name, "a thread could not be started; its metrics are missing");
    }
}

fn gpus(metrics: &Metrics, stop: &CancellationToken) {
    // Why there is none is in the inventory.
    let Ok(gpus) = Gpus::open() else { return };
    gpus.watch(
        |gpu, xid| {
            tracing::warn!(gpu, xid, "a GPU reports an error");
            metrics.xid(gpu, xid);
        },
        |gpus| {
            gpus.read().iter().for_each(|reading| metrics.gpu(reading));
            !stop.is_cancelled()
        },
    );
}

fn machine(metrics: &Metrics, stop: &CancellationToken) {
    let mut before = None;
    while !stop.is_cancelled() {
        // A kernel that does not tell (in some containers) leaves the metric out.
        let ticks = KernelStats::current().ok().map(|stats| Ticks::of(&stats.total));
        if let (Some(before), Some(now)) = (before, ticks)
            && let Some(permille) = now.busy_permille(before)
        {
            metrics.cpu(f64::from(permille) / 10.0);
        }
        before = ticks.or(before);
        if let Ok(pressure) = CpuPressure::current() {
            metrics.cpu_pressure(f64::from(pressure.some.avg10));
        }
        if let Ok(devices) = dev_status() {
            for device in devices.values().filter(|device| device.name != "lo") {
                metrics.network(&device.name, device.recv_bytes, device.sent_bytes);
            }
        }
        thread::sleep(EVERY);
    }
}

/// What the processors did since the machine started, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    idle: u64,
}

impl Ticks {
    fn of(time: &procfs::CpuTime) -> Self {
        let interrupts = time.irq.unwrap_or_default() + time.softirq.unwrap_or_default();
        Self {
            // A guest's time is in the user's already; what others stole was not ours.
            busy: time.user + time.nice + time.system + interrupts,
            idle: time.idle + time.iowait.unwrap_or_default(),
        }
    }

    /// Thousandths of the time between two readings; nothing where none passed.
    fn busy_permille(self, before: Self) -> Option<u32> {
        // The kernel lets the time of waiting run backwards.
        let busy = self.busy.saturating_sub(before.busy);
        let idle = self.idle.saturating_sub(before.idle);
        let permille = (busy * 1000).checked_div(busy + idle)?;
        u32::try_from(permille).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_of_the_time_between() {
        let ticks = |busy, idle| Ticks { busy, idle };
        assert_eq!(ticks(150, 50).busy_permille(ticks(100, 0)), Some(500));
        assert_eq!(ticks(100, 50).busy_permille(ticks(100, 0)), Some(0));
        assert_eq!(ticks(200, 40).busy_permille(ticks(100, 50)), Some(1000), "waiting ran backwards");
        assert_eq!(ticks(100, 0).busy_permille(ticks(100, 0)), None);
    }
}
