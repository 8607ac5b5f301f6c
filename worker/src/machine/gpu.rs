//! NVIDIA GPUs, asked through NVML. A card answers only some questions; what it does not answer is
//! left out. A machine without the library or the driver is a sentence.

use framemill_schemas::inventory::{Gpu, PcieLink};
use nvml_wrapper::{
    Device, Nvml,
    bitmasks::{device::ThrottleReasons, event::EventTypes},
    enum_wrappers::device::{Clock, TemperatureSensor, TemperatureThreshold},
    enums::event::XidError,
    error::NvmlError,
    event::EventSet,
};
use serde::Serialize;

/// The driver.
pub(crate) struct Gpus {
    nvml: Nvml,
}

/// Why the driver cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoDriver {
    /// There is none: a machine without an NVIDIA GPU.
    NotInstalled,
    /// It is there, and does not answer.
    Broken(String),
}

/// What a GPU does now. Absent: it does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GpuReading {
    /// The driver's number of it.
    pub index: u32,
    /// Share of the time the encoders worked, percent.
    pub encoder_percent: Option<u32>,
    /// Share of the time the decoders worked, percent.
    pub decoder_percent: Option<u32>,
    /// Share of the time a kernel ran, percent.
    pub shader_percent: Option<u32>,
    /// Encode sessions that are open.
    pub sessions: Option<u32>,
    /// Pictures per second of a session, averaged over all.
    pub session_fps: Option<u32>,
    /// Memory in use, bytes.
    pub memory_used_bytes: Option<u64>,
    /// Memory in all, bytes.
    pub memory_bytes: Option<u64>,
    /// Degrees Celsius.
    pub temperature_c: Option<u32>,
    /// Degrees Celsius at which it slows down.
    pub slowdown_c: Option<u32>,
    /// Clock of the encoders and decoders, MHz.
    pub video_clock_mhz: Option<u32>,
    /// Whether heat or power holds its clocks down.
    pub throttled: Option<bool>,
}

/// Heat and power; a GPU that idles or was given lower clocks is not throttled.
const THROTTLES: ThrottleReasons = ThrottleReasons::SW_POWER_CAP
    .union(ThrottleReasons::HW_SLOWDOWN)
    .union(ThrottleReasons::SW_THERMAL_SLOWDOWN)
    .union(ThrottleReasons::HW_THERMAL_SLOWDOWN)
    .union(ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN);

impl Gpus {
    /// Loads the library and greets the driver.
    pub fn open() -> Result<Self, NoDriver> {
        match Nvml::init() {
            Ok(nvml) => Ok(Self { nvml }),
            Err(NvmlError::LibloadingError(_)) => Err(NoDriver::NotInstalled),
            Err(error) => Err(NoDriver::Broken(error.to_string())),
        }
    }

    /// The version of the driver, and every GPU.
    pub fn list(&self) -> Result<(String, Vec<Gpu>), NoDriver> {
        let broken = |error: NvmlError| NoDriver::Broken(error.to_string());
        let driver = self.nvml.sys_driver_version().map_err(broken)?;
        let count = self.nvml.device_count().map_err(broken)?;
        // One that has fallen off the bus must not hide the others, nor itself.
        let gpu = |index| match self.nvml.device_by_index(index) {
            Ok(device) => describe(index, &device),
            Err(error) => Gpu { index, fault: Some(error.to_string()), ..Gpu::default() },
        };
        Ok((driver, (0..count).map(gpu).collect()))
    }

    /// What every GPU does now.
    pub fn read(&self) -> Vec<GpuReading> {
        let devices = 0..self.nvml.device_count().unwrap_or_default();
        devices.filter_map(|index| Some(reading(index, &self.nvml.device_by_index(index).ok()?))).collect()
    }

    /// Calls `say` with each error that a GPU reports (its number, where it still tells, and the XID),
    /// and `tick` about once a second, until that says no. Blocks.
    pub fn watch(&self, mut say: impl FnMut(Option<u32>, u64), mut tick: impl FnMut(&Self) -> bool) {
        let events = self.events();
        if events.is_none() {
            tracing::warn!("the NVIDIA driver reports no errors of GPUs here; they are not counted");
        }
        let wait_ms = u32::try_from(super::readings::EVERY.as_millis()).unwrap_or(u32::MAX);
        while tick(self) {
            match events.as_ref().map(|set| set.wait(wait_ms)) {
                Some(Ok(event)) => {
                    if let Some(XidError::Value(xid)) = event.event_data {
                        say(event.device.index().ok(), xid);
                    }
                }
                Some(Err(NvmlError::Timeout)) => {}
                // An error would come back at once, for ever: the pace is kept without the driver.
                Some(Err(_)) | None => std::thread::sleep(super::readings::EVERY),
            }
        }
    }

    /// The errors of every GPU that reports some. A refusal takes the set with it, so it is made anew
    /// without the one that refused.
    fn events(&self) -> Option<EventSet<'_>> {
        let mut devices: Vec<_> =
            (0..self.nvml.device_count().ok()?).filter_map(|index| self.nvml.device_by_index(index).ok()).collect();
        'anew: while !devices.is_empty() {
            let mut set = self.nvml.create_event_set().ok()?;
            for index in 0..devices.len() {
                match devices[index].register_events(EventTypes::CRITICAL_XID_ERROR, set) {
                    Ok(registered) => set = registered,
                    Err(_) => {
                        devices.remove(index);
                        continue 'anew;
                    }
                }
            }
            return Some(set);
        }
        None
    }
}

fn describe(index: u32, device: &Device<'_>) -> Gpu {
    let name = device.name().unwrap_or_else(|_| "unknown".to_owned());
    Gpu {
        index,
        uuid: device.uuid().unwrap_or_default(),
        nvenc_engines: super::models::of_driver(&name).map(|model| model.engines),
        architecture: device.architecture().map_or_else(|_| "unknown".to_owned(), |chip| chip.to_string()),
        memory_mib: device.memory_info().map_or(0, |memory| memory.total / (1024 * 1024)),
        mig: device.mig_mode().is_ok_and(|mode| mode.current != 0),
        pcie: link(device).ok(),
        fault: None,
        name,
    }
}

fn link(device: &Device<'_>) -> Result<PcieLink, NvmlError> {
    Ok(PcieLink {
        generation: device.current_pcie_link_gen()?,
        width: device.current_pcie_link_width()?,
        generation_max: device.max_pcie_link_gen()?,
        width_max: device.max_pcie_link_width()?,
    })
}

fn reading(index: u32, device: &Device<'_>) -> GpuReading {
    let memory = device.memory_info().ok();
    let encoding = device.encoder_stats().ok();
    GpuReading {
        index,
        encoder_percent: device.encoder_utilization().ok().map(|load| load.utilization),
        decoder_percent: device.decoder_utilization().ok().map(|load| load.utilization),
        shader_percent: device.utilization_rates().ok().map(|load| load.gpu),
        sessions: encoding.as_ref().map(|stats| stats.session_count),
        session_fps: encoding.as_ref().map(|stats| stats.average_fps),
        memory_used_bytes: memory.as_ref().map(|memory| memory.used),
        memory_bytes: memory.as_ref().map(|memory| memory.total),
        temperature_c: device.temperature(TemperatureSensor::Gpu).ok(),
        slowdown_c: device.temperature_threshold(TemperatureThreshold::Slowdown).ok(),
        video_clock_mhz: device.clock_info(Clock::Video).ok(),
        throttled: device.current_throttle_reasons().ok().map(|reasons| reasons.intersects(THROTTLES)),
    }
}
