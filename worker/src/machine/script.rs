//! Scripted GPUs: devices that are described in a file instead of being there. They stand in for the
//! driver (readings, errors) and for the encoder (sessions, memory, rate, refusals in the words of the
//! real one), so that everything around the silicon can be shown without it. What is encoded on them is
//! encoded by the processor. Wherever they show, they say that they are simulated.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use framemill_schemas::{
    inventory::{EncoderProof, Engine, Gpu, Inventory},
    ladder::VideoCodec,
};
use serde::Deserialize;

use super::{
    gpu::GpuReading,
    models::{Model, named, names},
};
use crate::headroom::WHOLE;

/// Begins every name of a scripted GPU.
pub const SIMULATED: &str = "simulated ";
/// Largest script.
const BYTES_MAX: usize = 64 * 1024;
/// Most GPUs of a node.
const GPUS_MAX: usize = 64;
/// What ffmpeg says when a GPU opens no more sessions.
const NO_SESSION: &str = "[h264_nvenc @ 0x5] [error] OpenEncodeSessionEx failed: out of memory (10): (no details)\n\
                          [h264_nvenc @ 0x5] [error] No capable devices found\n";
/// What ffmpeg says when a GPU has no memory left.
const NO_MEMORY: &str =
    "[AVHWDeviceContext @ 0x5] [error] Failed creating CUDA context: CUDA_ERROR_OUT_OF_MEMORY: out of memory (0x2)\n";

/// A file of scripted GPUs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Version of the driver they pretend to have.
    #[serde(default = "driver")]
    pub driver: String,
    /// The GPUs.
    pub gpus: Vec<DescribedGpu>,
}

fn driver() -> String {
    "550.54.14".to_owned()
}

/// GPUs of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DescribedGpu {
    /// The model, by its short name: `L4`.
    pub model: String,
    /// How many of them.
    #[serde(default = "one")]
    pub count: u32,
    /// How fast it really is, percent of what is published.
    #[serde(default = "hundred")]
    pub speed_percent: u64,
    /// Sessions it really opens; no limit where left out.
    pub sessions: Option<u32>,
    /// Memory that others use, MiB.
    #[serde(default)]
    pub memory_used_mib: u64,
    /// Temperature over time: seconds since the start and degrees, joined by straight lines.
    #[serde(default)]
    pub temperature: Vec<(u64, u32)>,
    /// What goes wrong, and when.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

fn one() -> u32 {
    1
}

fn hundred() -> u64 {
    100
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Seconds since the start.
    pub at_s: u64,
    /// Seconds it lasts; an error is reported once.
    #[serde(default)]
    pub for_s: u64,
    /// The GPU reports this error; 79 also takes it away.
    pub xid: Option<u64>,
    /// It opens no more sessions than this.
    pub sessions: Option<u32>,
    /// Others use so much of its memory, MiB.
    pub memory_used_mib: Option<u64>,
}

/// Why a script is not taken: where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScriptFault(String);

/// Scripted GPUs that run. Clones are the same ones.
#[derive(Clone)]
pub struct Script(Arc<Inner>);

struct Inner {
    description: Description,
    gpus: Vec<(&'static Model, DescribedGpu)>,
    started: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    serial: u64,
    open: Vec<Open>,
    /// Until when errors were reported.
    reported: Option<Duration>,
    /// GPUs that are gone for good.
    lost: Vec<u32>,
}

/// A process that encodes on a GPU.
struct Open {
    serial: u64,
    gpu: u32,
    sessions: u32,
    memory_mib: u64,
    /// What it asks of the encoders, millionths.
    demand: u64,
}

/// What a process takes of a GPU.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// Encode sessions.
    pub sessions: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Millionths of the encoders, as published.
    pub demand: u64,
}

impl Description {
    /// Reads and checks a script.
    pub fn read(text: &str) -> Result<Self, ScriptFault> {
        let fault = |why: String| ScriptFault(why);
        if text.len() > BYTES_MAX {
            return Err(fault(format!("the script has {} bytes; keep it under {BYTES_MAX}", text.len())));
        }
        let description: Self = serde_saphyr::from_str(text).map_err(|error| fault(error.to_string()))?;
        let count: usize = description.gpus.iter().map(|gpu| gpu.count as usize).sum();
        if !(1..=GPUS_MAX).contains(&count) {
            return Err(fault(format!("gpus: {count} GPUs; describe 1 to {GPUS_MAX}")));
        }
        for (at, gpu) in description.gpus.iter().enumerate() {
            if named(&gpu.model).is_none() {
                let known: Vec<_> = names().collect();
                return Err(fault(format!(
                    "gpus[{at}].model: {:?} is not known; use one of {}",
                    gpu.model,
                    known.join(", ")
                )));
            }
            if !(1..=1000).contains(&gpu.speed_percent) {
                return Err(fault(format!("gpus[{at}].speed_percent: {}; use 1 to 1000", gpu.speed_percent)));
            }
            if !gpu.temperature.is_sorted_by_key(|(at_s, _)| *at_s) {
                return Err(fault(format!("gpus[{at}].temperature: its times run backwards; sort them")));
            }
        }
        Ok(description)
    }
}

impl Script {
    /// Starts a script.
    pub fn start(description: Description, now: Instant) -> Self {
        let gpus = description.gpus.iter().filter_map(|gpu| Some((named(&gpu.model)?, gpu)));
        let gpus = gpus.flat_map(|(model, gpu)| (0..gpu.count).map(move |_| (model, gpu.clone()))).collect();
        Self(Arc::new(Inner { description, gpus, started: now, state: Mutex::new(State::default()) }))
    }

    /// The inventory of a machine that has these GPUs beside what it really proved.
    pub fn inventory(&self, real: Inventory) -> Inventory {
        let gpus = self.0.gpus.iter().zip(0..).map(|((model, _), index)| {
            let generation = model.generation.map_or_else(|| "unknown".to_owned(), |known| format!("{known:?}"));
            let family = if model.is_consumer() { "GeForce RTX " } else { "" };
            Gpu {
                index,
                uuid: format!("simulated-{index}"),
                name: format!("{SIMULATED}{family}{}", model.name),
                architecture: generation,
                nvenc_engines: Some(model.engines),
                memory_mib: u64::from(model.memory_gib) * 1024,
                ..Gpu::default()
            }
        });
        let encodes = |codec: VideoCodec| {
            let able = |model: &Model| model.engines > 0 && model.generation.is_some_and(|known| known.encodes(codec));
            self.0.gpus.iter().any(|(model, _)| able(model))
        };
        let proof = |codec: VideoCodec| EncoderProof {
            engine: Engine::Nvenc,
            codec,
            name: format!("{SIMULATED}{}_nvenc", codec.as_str()),
            answer: (!encodes(codec)).then(|| "No capable devices found".to_owned()),
        };
        let software = real.encoders.into_iter().filter(|proof| proof.engine != Engine::Nvenc);
        Inventory {
            encoders: VideoCodec::ALL.map(proof).into_iter().chain(software).collect(),
            driver: Some(self.0.description.driver.clone()),
            gpus: gpus.collect(),
            driver_fault: None,
        }
    }

    /// What the GPUs do at a time.
    pub fn read(&self, now: Instant) -> Vec<GpuReading> {
        let state = self.state();
        let read = |((model, gpu), index): (&(&'static Model, DescribedGpu), u32)| {
            let sum = |of: fn(&Open) -> u64| state.on(index).map(of).sum::<u64>();
            let percent = (sum(|open| open.demand) * 100 / gpu.speed_percent / (WHOLE / 100)).min(100);
            let memory = sum(|open| open.memory_mib) + self.memory_used_mib(gpu, now);
            const MIB: u64 = 1024 * 1024;
            GpuReading {
                index,
                encoder_percent: u32::try_from(percent).ok(),
                decoder_percent: Some(0),
                shader_percent: Some(0),
                sessions: u32::try_from(sum(|open| u64::from(open.sessions))).ok(),
                session_fps: None,
                memory_used_bytes: Some(memory * MIB),
                memory_bytes: Some(u64::from(model.memory_gib) * 1024 * MIB),
                temperature_c: Some(temperature(&gpu.temperature, self.elapsed(now))),
                slowdown_c: Some(SLOWDOWN_C),
                video_clock_mhz: None,
                throttled: Some(false),
            }
        };
        let there = |(_, index): &(&(&'static Model, DescribedGpu), u32)| !state.lost.contains(index);
        self.0.gpus.iter().zip(0..).filter(there).map(read).collect()
    }

    /// The errors that GPUs report since this was asked last.
    pub fn errors(&self, now: Instant) -> Vec<(u32, u64)> {
        let elapsed = self.elapsed(now);
        let mut state = self.state();
        let before = state.reported.replace(elapsed);
        let new = |fault: &&Fault| {
            let at = Duration::from_secs(fault.at_s);
            at <= elapsed && before.is_none_or(|before| at > before)
        };
        let mut errors = Vec::new();
        for ((_, gpu), index) in self.0.gpus.iter().zip(0..) {
            for fault in gpu.faults.iter().filter(new) {
                if let Some(xid) = fault.xid {
                    errors.push((index, xid));
                    if xid == 79 {
                        state.lost.push(index);
                    }
                }
            }
        }
        errors
    }

    /// Opens a process on a GPU; what ffmpeg would say where that fails.
    pub fn open(&self, gpu: u32, wanted: Use, now: Instant) -> Result<Session, &'static str> {
        let mut state = self.state();
        let Some((model, described)) = self.0.gpus.get(gpu as usize).filter(|_| !state.lost.contains(&gpu)) else {
            return Err("[error] No CUDA capable devices found\n");
        };
        let open: u32 = state.on(gpu).map(|open| open.sessions).sum();
        let lied = self.active(described, now).filter_map(|fault| fault.sessions).min();
        if [described.sessions, lied].into_iter().flatten().any(|most| open + wanted.sessions > most) {
            return Err(NO_SESSION);
        }
        let used = state.on(gpu).map(|open| open.memory_mib).sum::<u64>() + self.memory_used_mib(described, now);
        if used + wanted.memory_mib > u64::from(model.memory_gib) * 1024 {
            return Err(NO_MEMORY);
        }
        state.serial += 1;
        let serial = state.serial;
        let Use { sessions, memory_mib, demand } = wanted;
        state.open.push(Open { serial, gpu, sessions, memory_mib, demand });
        Ok(Session { script: self.clone(), serial })
    }

    fn memory_used_mib(&self, gpu: &DescribedGpu, now: Instant) -> u64 {
        let others = self.active(gpu, now).filter_map(|fault| fault.memory_used_mib);
        gpu.memory_used_mib + others.sum::<u64>()
    }

    fn active<'a>(&self, gpu: &'a DescribedGpu, now: Instant) -> impl Iterator<Item = &'a Fault> + use<'a> {
        let seconds = self.elapsed(now).as_secs();
        gpu.faults.iter().filter(move |fault| (fault.at_s..fault.at_s + fault.for_s).contains(&seconds))
    }

    fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.0.started)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn on(&self, gpu: u32) -> impl Iterator<Item = &Open> {
        self.open.iter().filter(move |open| open.gpu == gpu)
    }
}

/// Degrees at which scripted GPUs slow down.
const SLOWDOWN_C: u32 = 90;
/// Degrees of one of which nothing is said.
const MILD_C: u32 = 55;

/// The temperature at a time: on the line between the points around it.
fn temperature(points: &[(u64, u32)], elapsed: Duration) -> u32 {
    let now = elapsed.as_secs();
    let after = points.partition_point(|(at_s, _)| *at_s <= now);
    let before = after.checked_sub(1).and_then(|at| points.get(at));
    match (before, points.get(after)) {
        (None, None) => MILD_C,
        (Some((_, degrees)), None) | (None, Some((_, degrees))) => *degrees,
        (Some((from_s, from)), Some((to_s, to))) => {
            let (passed, length) = (now - from_s, (to_s - from_s).max(1));
            let (from, to) = (u64::from(*from), u64::from(*to));
            u32::try_from((from * (length - passed) + to * passed) / length).unwrap_or(MILD_C)
        }
    }
}

/// A process that is open on a scripted GPU; closed when dropped.
pub struct Session {
    script: Script,
    serial: u64,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.script.state().open.retain(|open| open.serial != self.serial);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
gpus:
  - { model: l4, count: 2, sessions: 3 }
  - model: T4
    speed_percent: 50
    temperature: [[0, 60], [10, 80]]
    faults:
      - { at_s: 5, xid: 79 }
      - { at_s: 1, for_s: 2, sessions: 0 }
      - { at_s: 3, for_s: 1, memory_used_mib: 16000 }
";

    #[test]
    fn a_process_takes_what_there_is_and_is_refused_in_the_words_of_the_real_one() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let script = Script::start(Description::read(TEXT).unwrap(), start);
        let wanted = Use { sessions: 2, memory_mib: 700, demand: 300_000 };
        let held = script.open(0, wanted, start).ok();
        assert!(held.is_some());
        assert!(script.open(0, wanted, start).is_err_and(|says| says.contains("OpenEncodeSessionEx failed")));
        let reading = &script.read(start)[0];
        assert_eq!((reading.encoder_percent, reading.sessions), (Some(30), Some(2)));
        drop(held);
        assert!(script.open(0, wanted, start).is_ok());
        // The third is half as fast as published, refuses for a while, is full for a while, and is lost.
        let held = script.open(2, wanted, start).ok();
        assert_eq!(script.read(at(5))[2].encoder_percent, Some(60));
        assert_eq!(script.read(at(5))[2].temperature_c, Some(70));
        drop(held);
        assert!(script.open(2, wanted, at(2)).is_err_and(|says| says.contains("OpenEncodeSessionEx")));
        assert!(script.open(2, wanted, at(3)).is_err_and(|says| says.contains("CUDA_ERROR_OUT_OF_MEMORY")));
        assert!(script.open(2, wanted, at(4)).is_ok());
        assert_eq!((script.errors(at(4)), script.errors(at(6))), (vec![], vec![(2, 79)]));
        assert_eq!((script.errors(at(7)).len(), script.read(at(7)).len()), (0, 2));
        assert!(script.open(2, wanted, at(8)).is_err());
    }

    #[test]
    fn it_says_wherever_it_shows_that_it_is_simulated() {
        let script = Script::start(Description::read(TEXT).unwrap(), Instant::now());
        let inventory = script.inventory(Inventory::default());
        assert!(inventory.gpus.iter().all(|gpu| gpu.name.starts_with(SIMULATED)));
        assert!(inventory.encoders.iter().all(|proof| proof.name.starts_with(SIMULATED)));
        assert_eq!(inventory.encodes(Engine::Nvenc), VideoCodec::ALL);
    }

    #[test]
    fn a_script_that_is_wrong_is_told_where() {
        for (bad, says) in [
            ("gpus: []", "gpus: 0 GPUs"),
            ("gpus: [{ model: l5 }]", "gpus[0].model"),
            ("gpus: [{ model: l4, count: 65 }]", "65 GPUs"),
            ("gpus: [{ model: l4, speed_percent: 0 }]", "speed_percent"),
            ("gpus: [{ model: l4, temperature: [[9, 1], [3, 1]] }]", "temperature"),
            ("gpus: [{ model: l4, colour: red }]", "colour"),
            ("gpus: [{ model: l4, faults: [{ at_s: 1, burns: 1 }] }]", "burns"),
            ("gpus", "gpus"),
        ] {
            let fault = Description::read(bad).expect_err(bad).to_string();
            assert!(fault.contains(says), "{bad}: {fault}");
        }
    }
}
