//! What the machine does now, read every second and told as metrics: GPUs, processor, network.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use procfs::{CpuPressure, Current, CurrentSI, KernelStats, net::dev_status};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    gpu::Gpus,
    now::{MachineReading, Now},
    script::Script,
};
use crate::metrics::machine::Metrics;

/// How often.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// Who tells of the GPUs.
#[derive(Clone)]
pub(crate) enum Source {
    /// The driver of this machine.
    Driver,
    /// A script.
    Script(Script),
}

/// An error that a GPU reported: its number, where it still tells, and the XID.
pub(crate) type Xid = (Option<u32>, u64);
/// In place of an error that a GPU did not report.
pub(crate) const NO_XID: u64 = 0;

/// Reads into `now` until dropped, and sends every error of a GPU. On threads of their own: a driver
/// that hangs holds up nothing else.
pub(crate) fn start(source: Source, now: &Now, xids: mpsc::UnboundedSender<Xid>) -> DropGuard {
    let stop = CancellationToken::new();
    let metrics = Metrics::new(now);
    spawn("gpu-readings", {
        let (stop, now) = (stop.clone(), now.clone());
        move || {
            let say = |gpu: Option<u32>, xid: u64| {
                tracing::warn!(gpu, xid, "a GPU reports an error");
                metrics.xid(gpu, xid);
                // Nobody who listens is left at the end of a worker.
                let _ = xids.send((gpu, xid));
            };
            match source {
                Source::Driver => driver(&now, say, &stop),
                Source::Script(script) => scripted(&script, &now, say, &stop),
            }
        }
    });
    spawn("machine-readings", {
        let (stop, now) = (stop.clone(), now.clone());
        move || machine(&now, &stop)
    });
    stop.drop_guard()
}

fn spawn(name: &str, reads: impl FnOnce() + Send + 'static) {
    // Metrics that are missing must not keep a worker from working.
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(reads) {
        tracing::warn!(%error, name, "a thread could not be started; its metrics are missing");
    }
}

fn driver(now: &Now, say: impl FnMut(Option<u32>, u64), stop: &CancellationToken) {
    // Why there is none is in the inventory.
    let Ok(gpus) = Gpus::open() else { return };
    gpus.watch(say, |gpus| {
        now.set_gpus(gpus.read(), Instant::now());
        !stop.is_cancelled()
    });
}

fn scripted(script: &Script, now: &Now, mut say: impl FnMut(Option<u32>, u64), stop: &CancellationToken) {
    while !stop.is_cancelled() {
        let at = Instant::now();
        for (gpu, xid) in script.errors(at) {
            say(Some(gpu), xid);
        }
        now.set_gpus(script.read(at), at);
        thread::sleep(EVERY);
    }
}

fn machine(now: &Now, stop: &CancellationToken) {
    let mut before = Before::default();
    while !stop.is_cancelled() {
        now.set_machine(read(&mut before), Instant::now());
        thread::sleep(EVERY);
    }
}

/// What was read a second ago.
#[derive(Clone, Copy, Default)]
struct Before {
    ticks: Option<Ticks>,
    sent: Option<u64>,
}

/// One reading. A kernel that does not tell (in some containers) leaves a value out.
fn read(before: &mut Before) -> MachineReading {
    let ticks = KernelStats::current().ok().map(|stats| Ticks::of(&stats.total));
    let busy = before.ticks.zip(ticks).and_then(|(before, now)| now.busy_permille(before));
    let network = moved();
    let sent = network.map(|(_, sent)| sent);
    let sent_per_s = sent.zip(before.sent).map(|(now, before)| now.saturating_sub(before));
    *before = Before { ticks: ticks.or(before.ticks), sent };
    MachineReading {
        cpu_percent: busy.map(|permille| f64::from(permille) / 10.0),
        cpu_pressure_percent: CpuPressure::current().ok().map(|pressure| f64::from(pressure.some.avg10)),
        received_bytes: network.map(|(received, _)| received),
        sent_bytes: sent,
        sent_per_s,
    }
}

/// What one reading of this machine takes: its GPUs where it has some, processors and network. The mean
/// of many.
pub fn cost() -> Duration {
    const READINGS: u32 = 200;
    let gpus = Gpus::open().ok();
    let mut before = Before::default();
    let begun = Instant::now();
    for _ in 0..READINGS {
        std::hint::black_box(read(&mut before));
        std::hint::black_box(gpus.as_ref().map(Gpus::read));
    }
    begun.elapsed() / READINGS
}

/// Bytes received and sent by all interfaces of hardware; in a container, which has none, by all but
/// the loopback. On a host the virtual ones would count the same bytes again.
fn moved() -> Option<(u64, u64)> {
    let devices: Vec<_> = dev_status().ok()?.into_values().filter(|device| device.name != "lo").collect();
    let real = |name: &str| Path::new("/sys/class/net").join(name).join("device").exists();
    let any_real = devices.iter().any(|device| real(&device.name));
    let counted = devices.iter().filter(|device| !any_real || real(&device.name));
    Some(counted.fold((0, 0), |(received, sent), device| (received + device.recv_bytes, sent + device.sent_bytes)))
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
