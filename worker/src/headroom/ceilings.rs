//! How far a machine may be filled: section `[worker.headroom]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Up to where jobs are taken. Each is looked at before a job is taken, and never ends one that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeadroomConfig {
    /// Load of a GPU's encoders, its decoders and its shaders, percent.
    pub encoder_percent: u32,
    /// Memory of a GPU, percent.
    pub memory_percent: u32,
    /// Load of the processors beyond which no GPU gets another job: a GPU starves without them. A machine
    /// that encodes in software alone is filled by its slots.
    pub cpu_percent: u32,
    /// Degrees below the temperature at which a GPU slows itself down.
    pub temperature_margin_c: u32,
    /// Encode sessions of each GPU, or of all consumer cards together; what the driver's version allows
    /// where left out.
    pub sessions: Option<u32>,
    /// Shortest time between two starts of encoding processes on one GPU, milliseconds.
    pub start_gap_ms: u64,
    /// What the machine may send to the store, Mbit/s; not looked at where left out.
    pub uplink_mbps: Option<u32>,
}

impl Default for HeadroomConfig {
    fn default() -> Self {
        Self {
            encoder_percent: 90,
            memory_percent: 80,
            cpu_percent: 85,
            temperature_margin_c: 5,
            sessions: None,
            start_gap_ms: 1500,
            uplink_mbps: None,
        }
    }
}

impl HeadroomConfig {
    /// The key of the first value that makes no sense, and what would.
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        let percents = [
            ("encoder_percent", self.encoder_percent),
            ("memory_percent", self.memory_percent),
            ("cpu_percent", self.cpu_percent),
        ];
        let bad = percents.into_iter().find(|(_, percent)| !(10..=100).contains(percent));
        if let Some((key, _)) = bad {
            return Some((key, "use 10 to 100 percent"));
        }
        if self.temperature_margin_c > 40 {
            return Some(("temperature_margin_c", "use 0 to 40 degrees"));
        }
        if self.sessions.is_some_and(|sessions| !(1..=1024).contains(&sessions)) {
            return Some(("sessions", "use 1 to 1024, or leave it out"));
        }
        if !(100..=60_000).contains(&self.start_gap_ms) {
            return Some(("start_gap_ms", "use 100 to 60000 milliseconds"));
        }
        (self.uplink_mbps == Some(0)).then_some(("uplink_mbps", "use 1 or more, or leave it out"))
    }
}

/// The ceilings as decisions use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceilings {
    /// Of encoders, decoders and shaders, percent.
    pub encoder_percent: u32,
    /// Of a GPU's memory, percent.
    pub memory_percent: u32,
    /// Of the processors, percent.
    pub cpu_percent: u32,
    /// Below the temperature of slowing down, degrees.
    pub margin_c: u32,
    /// Between starts.
    pub gap: Duration,
    /// Of what is sent, bytes a second.
    pub uplink: Option<u64>,
}

impl From<&HeadroomConfig> for Ceilings {
    fn from(config: &HeadroomConfig) -> Self {
        Self {
            encoder_percent: config.encoder_percent,
            memory_percent: config.memory_percent,
            cpu_percent: config.cpu_percent,
            margin_c: config.temperature_margin_c,
            gap: Duration::from_millis(config.start_gap_ms),
            uplink: config.uplink_mbps.map(|mbps| u64::from(mbps) * 125_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_named() {
        assert_eq!(HeadroomConfig::default().fault(), None);
        let base = HeadroomConfig::default;
        for (config, key) in [
            (HeadroomConfig { encoder_percent: 0, ..base() }, "encoder_percent"),
            (HeadroomConfig { memory_percent: 101, ..base() }, "memory_percent"),
            (HeadroomConfig { sessions: Some(0), ..base() }, "sessions"),
            (HeadroomConfig { start_gap_ms: 1, ..base() }, "start_gap_ms"),
            (HeadroomConfig { uplink_mbps: Some(0), ..base() }, "uplink_mbps"),
            (HeadroomConfig { temperature_margin_c: 90, ..base() }, "temperature_margin_c"),
        ] {
            assert_eq!(config.fault().map(|(key, _)| key), Some(key));
        }
    }
}
