//! Whether a node takes a job, and on which of its devices. Pure: what the machine does, what runs on
//! it and what asks are all it looks at.

use framemill_queue::runner::Ask;
use framemill_schemas::lane::{Demand, Lane, Priority};
use uuid::Uuid;

use super::{
    ceilings::Ceilings,
    cost::{Cost, Grant, WHOLE, Wish, least_of, wish},
    device::{Device, Node},
    learn::Learned,
};
use crate::machine::gpu::GpuReading;

/// What a node does now. Absent: it does not tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings {
    /// Its GPUs.
    pub gpus: Vec<GpuReading>,
    /// Load of its processors, percent.
    pub cpu_percent: Option<u32>,
    /// What it sends, bytes a second.
    pub sent_per_s: Option<u64>,
    /// What is remembered of its devices, in their order.
    pub devices: Vec<DeviceState>,
    /// Whether the processors were too busy a moment ago.
    pub cpu_busy: bool,
    /// Whether a job of the processors started so lately that what it takes is not read yet.
    pub slot_unread: bool,
}

/// What is remembered of a device from one moment to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceState {
    /// It was too hot, and has not cooled down well below that.
    pub hot: bool,
    /// Sessions it refused to go beyond a moment ago.
    pub believed_sessions: Option<u32>,
    /// Why it takes nothing for now, whatever its load.
    pub shut: Option<String>,
    /// How long until a process may start on it, milliseconds; nothing while one may at once.
    pub starts_in_ms: Option<u64>,
}

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its claim.
    pub claim: Uuid,
    /// Where it waited, and what it takes.
    pub ask: Ask,
    /// What it was given of a device; nothing for one that needs none, and so takes a slot.
    pub grant: Option<Grant>,
}

/// What is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This one of those that ask is taken.
    Take {
        /// Its place among those that ask.
        index: usize,
        /// What it gets of a device, where it needs one.
        grant: Option<Grant>,
    },
    /// None, while other things run.
    Wait(String),
    /// None, ever.
    Never(String),
}

/// What decisions are about, beside what runs and asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub node: &'a Node,
    pub ceilings: &'a Ceilings,
    pub readings: &'a Readings,
    pub learned: &'a Learned,
}

/// The first of `asks` that the node has room for beside what runs, with a share of the device that has
/// most room. Why not, of the first, where there is none.
pub fn choose(
    node: &Node,
    ceilings: &Ceilings,
    readings: &Readings,
    learned: &Learned,
    running: &[Running],
    asks: &[Ask],
) -> Choice {
    let facts = Facts { node, ceilings, readings, learned };
    let mut first: Option<Choice> = None;
    for (index, ask) in asks.iter().enumerate() {
        match facts.place(ask, running) {
            Ok(grant) => return Choice::Take { index, grant },
            Err(refusal) => {
                let why = match refusal {
                    Refusal::Now(why) => Choice::Wait(why),
                    Refusal::Ever(why) => Choice::Never(why),
                };
                first.get_or_insert(why);
            }
        }
    }
    first.unwrap_or_else(|| Choice::Wait("nothing asks".to_owned()))
}

/// Why a job is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// While other things run here.
    Now(String),
    /// Not even with nothing else running.
    Ever(String),
}

impl Facts<'_> {
    /// Where a job goes.
    pub fn place(&self, ask: &Ask, running: &[Running]) -> Result<Option<Grant>, Refusal> {
        if ask.lane.demand() != Some(Demand::Nvenc) {
            return self.slot(running).map(|()| None).map_err(Refusal::Now);
        }
        self.machine().map_err(Refusal::Now)?;
        let mut best: Option<(u64, Grant)> = None;
        let mut refusal: Option<Refusal> = None;
        for (at, device) in self.node.devices.iter().enumerate() {
            match self.on(at, device, ask, running) {
                Ok((free, grant)) if best.as_ref().is_none_or(|(most, _)| free > *most) => best = Some((free, grant)),
                Ok(_) => {}
                // What passes is said rather than what does not.
                Err(now @ Refusal::Now(_)) if !matches!(refusal, Some(Refusal::Now(_))) => refusal = Some(now),
                Err(other) => refusal = refusal.or(Some(other)),
            }
        }
        let none = || Refusal::Ever("no GPU here encodes it".to_owned());
        best.map(|(_, grant)| Some(grant)).ok_or_else(|| refusal.unwrap_or_else(none))
    }

    /// Why the least that a lane has would not be taken, as far as this lane goes.
    pub fn closed(&self, lane: Lane, running: &[Running]) -> Option<String> {
        match self.place(&least_of(lane), running) {
            Ok(_) => None,
            Err(Refusal::Now(why) | Refusal::Ever(why)) => Some(why),
        }
    }

    /// What would have to end so that a channel finds room: the least urgent title of the device, or of
    /// the slots, where the fewest have to go.
    pub fn victim(&self, ask: &Ask, running: &[Running]) -> Option<Uuid> {
        // What keeps it out must be titles.
        if ask.lane.priority() != Priority::Live || self.machine().is_err() {
            return None;
        }
        let places: Vec<Option<u32>> = if ask.lane.demand() == Some(Demand::Nvenc) {
            self.node.devices.iter().map(|device| Some(device.index)).collect()
        } else {
            vec![None]
        };
        let costs = places.into_iter().filter_map(|place| self.titles_to_end(ask, place, running));
        costs.min_by_key(|(count, _)| *count).map(|(_, first)| first)
    }

    /// How many titles of a place have to end before a job fits there, and which goes first.
    fn titles_to_end(&self, ask: &Ask, place: Option<u32>, running: &[Running]) -> Option<(usize, Uuid)> {
        // Room enough, by what is predicted: what is measured will follow. Or nothing that titles have.
        if self.would_fit(ask, place, running) || place.is_some_and(|index| self.is_closed(index)) {
            return None;
        }
        let there = |job: &&Running| job.grant.map(|grant| grant.device) == place;
        let is_title = |job: &&Running| job.ask.lane.priority() != Priority::Live && job.ask.lane.codec().is_some();
        let mut titles: Vec<Running> = running.iter().filter(there).filter(is_title).copied().collect();
        // The least urgent goes first.
        titles.sort_by_key(|job| std::cmp::Reverse(job.ask.lane.priority()));
        let fits_without = |count: &usize| {
            let left: Vec<Running> = running.iter().filter(|job| !titles[..*count].contains(job)).copied().collect();
            self.would_fit(ask, place, &left)
        };
        let count = (1..=titles.len()).find(fits_without)?;
        Some((count, titles.first()?.claim))
    }

    /// Whether a device takes nothing, whatever ends on it.
    fn is_closed(&self, index: u32) -> bool {
        let at = self.node.devices.iter().position(|device| device.index == index);
        let state = at.and_then(|at| self.readings.devices.get(at));
        state.is_some_and(|state| state.hot || state.shut.is_some())
    }

    /// Whether a job would fit beside `left`, by what is predicted: what is measured falls only once
    /// something has ended.
    fn would_fit(&self, ask: &Ask, place: Option<u32>, left: &[Running]) -> bool {
        let Some(index) = place else { return self.slot(left).is_ok() };
        let Some(device) = self.node.devices.iter().find(|device| device.index == index) else { return false };
        let Some(wish) = wish(ask, device, self.learned, self.ceilings.encoder_percent) else { return false };
        self.fits(device, &wish, &GpuReading::default(), None, left).is_ok()
    }

    /// A slot for what needs no GPU.
    fn slot(&self, running: &[Running]) -> Result<(), String> {
        let taken = running.iter().filter(|job| job.grant.is_none()).count();
        if taken >= self.node.slots {
            return Err(format!("{taken} of {} slots are taken", self.node.slots));
        }
        // What encodes in software alone is full when its slots are. Beside a GPU they are filled one by one,
        // so that the GPU keeps what it needs of the processors.
        if self.node.devices.is_empty() {
            return Ok(());
        }
        if self.readings.slot_unread {
            return Err("a job of the processors just started".to_owned());
        }
        self.machine()
    }

    /// What all GPUs of a machine need.
    fn machine(&self) -> Result<(), String> {
        let (ceilings, readings) = (self.ceilings, self.readings);
        if let Some(cpu) = readings.cpu_percent.filter(|cpu| readings.cpu_busy || *cpu >= ceilings.cpu_percent) {
            return Err(format!("processors {cpu} % of {} %", ceilings.cpu_percent));
        }
        if let (Some(sent), Some(uplink)) = (readings.sent_per_s, ceilings.uplink)
            && sent >= uplink * 9 / 10
        {
            return Err(format!("uplink {} of {} Mbit/s", sent / 125_000, uplink / 125_000));
        }
        Ok(())
    }

    /// What a job would get of one device, and what is free there.
    fn on(&self, at: usize, device: &Device, ask: &Ask, running: &[Running]) -> Result<(u64, Grant), Refusal> {
        let named = |why: String| format!("gpu {}: {why}", device.index);
        let wish = wish(ask, device, self.learned, self.ceilings.encoder_percent)
            .ok_or_else(|| Refusal::Ever(named("it does not encode the codec".to_owned())))?;
        self.fits(device, &wish, &GpuReading::default(), None, &[]).map_err(|why| Refusal::Ever(named(why)))?;
        let now = |why: String| Refusal::Now(named(why));
        let unknown = DeviceState::default();
        let state = self.readings.devices.get(at).unwrap_or(&unknown);
        if let Some(why) = &state.shut {
            return Err(now(why.clone()));
        }
        let silent = GpuReading::default();
        let reading = self.readings.gpus.iter().find(|gpu| gpu.index == device.index).unwrap_or(&silent);
        if state.hot {
            let degrees = reading.temperature_c.map_or_else(String::new, |degrees| format!(" at {degrees} °C"));
            return Err(now(format!("too hot{degrees}")));
        }
        // Channels line up with the rest: the line puts them first.
        if let Some(ms) = state.starts_in_ms.filter(|_| ask.lane.priority() != Priority::Live) {
            return Err(now(format!("a process just started; the next may in {ms} ms")));
        }
        let (free, cost) = self.fits(device, &wish, reading, state.believed_sessions, running).map_err(now)?;
        Ok((free, wish.grant(device.index, cost)))
    }

    /// What a job would get of a device's encoders beside `running`, and what is free of them.
    fn fits(
        &self,
        device: &Device,
        wish: &Wish,
        reading: &GpuReading,
        believed_sessions: Option<u32>,
        running: &[Running],
    ) -> Result<(u64, Cost), String> {
        let of_device = |job: &&Grant| job.device == device.index;
        let grants = || running.iter().filter_map(|job| job.grant.as_ref());
        let here = sum(grants().filter(of_device));
        let percent = self.ceilings.encoder_percent;
        // What is measured lags behind what was just started; what is predicted knows nothing of others.
        let measured = u64::from(reading.encoder_percent.unwrap_or_default()) * (WHOLE / 100);
        let used = here.encoder.max(measured);
        let free = (WHOLE * u64::from(percent) / 100).saturating_sub(used);
        let cost = wish.of_free(free).ok_or_else(|| {
            let needs = wish.least.div_ceil(WHOLE / 100);
            format!("encoder {} % of {percent} %, {needs} % needed", used / (WHOLE / 100))
        })?;
        for (what, load) in [("decoder", reading.decoder_percent), ("shaders", reading.shader_percent)] {
            if let Some(load) = load.filter(|load| *load >= percent) {
                return Err(format!("{what} {load} % of {percent} %"));
            }
        }
        const MIB: u64 = 1024 * 1024;
        let memory = device.memory_mib * u64::from(self.ceilings.memory_percent) / 100;
        let taken = here.memory_mib.max(reading.memory_used_bytes.unwrap_or_default() / MIB);
        if taken + cost.memory_mib > memory {
            return Err(format!("video memory {taken} of {memory} MiB, {} needed", cost.memory_mib));
        }
        let open = here.sessions.max(reading.sessions.unwrap_or_default());
        let allowed = [device.sessions, believed_sessions].into_iter().flatten().min();
        if let Some(allowed) = allowed.filter(|allowed| open + cost.sessions > *allowed) {
            return Err(format!("sessions {open} of {allowed}, {} needed", cost.sessions));
        }
        if let Some(allowed) = self.node.sessions {
            let measured: u32 = self.readings.gpus.iter().filter_map(|gpu| gpu.sessions).sum();
            let known = if running.is_empty() { 0 } else { measured };
            let open = sum(grants()).sessions.max(known);
            if open + cost.sessions > allowed {
                return Err(format!("sessions of the machine {open} of {allowed}, {} needed", cost.sessions));
            }
        }
        Ok((free, cost))
    }
}

fn sum<'a>(grants: impl Iterator<Item = &'a Grant>) -> Cost {
    grants.fold(Cost::default(), |all, Grant { cost, .. }| Cost {
        encoder: all.encoder + cost.encoder,
        sessions: all.sessions + cost.sessions,
        memory_mib: all.memory_mib + cost.memory_mib,
    })
}

/// Whether a device counts as too hot: from `margin` below where it slows itself down, until it is
/// another margin below that.
pub(super) fn is_hot(was: bool, reading: &GpuReading, margin_c: u32) -> bool {
    let (Some(now), Some(slows)) = (reading.temperature_c, reading.slowdown_c) else { return false };
    let shuts = slows.saturating_sub(margin_c);
    now >= if was { shuts.saturating_sub(margin_c.max(1)) } else { shuts }
}

/// Whether the processors count as too busy: from the ceiling on, until they are well below it.
pub(super) fn is_busy(was: bool, cpu_percent: Option<u32>, ceiling_percent: u32) -> bool {
    const RELIEF: u32 = 5;
    cpu_percent.is_some_and(|cpu| cpu >= if was { ceiling_percent.saturating_sub(RELIEF) } else { ceiling_percent })
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;
