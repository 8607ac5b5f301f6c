//! What a node has to encode with. Pure.

use framemill_schemas::{
    inventory::{Engine, Gpu, Inventory},
    ladder::VideoCodec,
};

use super::ceilings::HeadroomConfig;
use crate::machine::models::{Generation, of_architecture, of_driver};

/// A GPU that encodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The driver's number of it.
    pub index: u32,
    /// Encoders on the chip.
    pub engines: u32,
    /// Its encoders, of which rates are published.
    pub generation: Generation,
    /// What it encodes.
    pub codecs: Vec<VideoCodec>,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Most sessions it opens; absent where memory and rate alone bound them.
    pub sessions: Option<u32>,
}

/// A node: its GPUs, and its processors as slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// GPUs that encode.
    pub devices: Vec<Device>,
    /// Most sessions of all of them together; absent where each has its own limit or none.
    pub sessions: Option<u32>,
    /// Jobs at once that need no GPU.
    pub slots: usize,
}

impl Node {
    /// What an inventory offers.
    pub fn of(inventory: &Inventory, config: &HeadroomConfig, slots: usize) -> Self {
        let codecs = inventory.encodes(Engine::Nvenc);
        let driver = inventory.driver.as_deref().unwrap_or_default();
        let consumer = inventory.gpus.iter().any(is_consumer);
        let devices = inventory
            .gpus
            .iter()
            .filter_map(|gpu| device(gpu, &codecs))
            .map(|device| Device { sessions: config.sessions.filter(|_| !consumer), ..device });
        let devices: Vec<_> = if codecs.is_empty() { Vec::new() } else { devices.collect() };
        let sessions = consumer.then(|| config.sessions.unwrap_or_else(|| session_limit(driver)));
        Self { devices, sessions, slots }
    }

    /// What it encodes on GPUs.
    pub fn hardware(&self) -> Vec<VideoCodec> {
        let encodes = |codec: &VideoCodec| self.devices.iter().any(|device| device.codecs.contains(codec));
        VideoCodec::ALL.into_iter().filter(encodes).collect()
    }

    /// Encoders of all its GPUs.
    pub fn engines(&self) -> u32 {
        self.devices.iter().map(|device| device.engines).sum()
    }
}

fn device(gpu: &Gpu, codecs: &[VideoCodec]) -> Option<Device> {
    // One with a fault is there, and takes nothing until it encodes.
    if gpu.mig || gpu.nvenc_engines == Some(0) {
        return None;
    }
    let model = of_driver(&gpu.name);
    let generation = model.and_then(|model| model.generation).or_else(|| of_architecture(&gpu.architecture))?;
    Some(Device {
        index: gpu.index,
        // One that is not known has one at least: it encoded.
        engines: gpu.nvenc_engines.unwrap_or(1),
        generation,
        codecs: codecs.iter().copied().filter(|codec| generation.encodes(*codec)).collect(),
        memory_mib: gpu.memory_mib,
        sessions: None,
    })
}

/// Whether the driver limits its sessions: the cards for players.
fn is_consumer(gpu: &Gpu) -> bool {
    gpu.name.contains("GeForce")
}

/// Encode sessions that a driver of this version allows all consumer cards of a machine together, as
/// the vendor raised it over the years (vendor-published and reported by users; not measured).
pub fn session_limit(driver: &str) -> u32 {
    let mut numbers = driver.split('.').map_while(|part| part.parse::<u32>().ok());
    match (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) {
        (591.., _) => 12,
        (550.., _) => 8,
        (531.., _) | (530, 41..) => 5,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use framemill_schemas::inventory::EncoderProof;

    use super::*;

    fn inventory(names: &[(&str, &str, Option<u32>)], driver: &str) -> Inventory {
        let gpus = names.iter().zip(0..).map(|((name, architecture, engines), index)| Gpu {
            index,
            name: (*name).to_owned(),
            architecture: (*architecture).to_owned(),
            nvenc_engines: *engines,
            memory_mib: 1000,
            ..Gpu::default()
        });
        let proof = |codec| EncoderProof { engine: Engine::Nvenc, codec, name: String::new(), answer: None };
        Inventory {
            gpus: gpus.collect(),
            encoders: VideoCodec::ALL.map(proof).to_vec(),
            driver: Some(driver.to_owned()),
            driver_fault: None,
        }
    }

    #[test]
    fn only_what_encodes_is_a_device() {
        let mixed = [
            ("NVIDIA L4", "Ada", Some(2)),
            ("NVIDIA H200", "Hopper", Some(0)),
            ("Tesla T4", "Turing", Some(1)),
            ("NVIDIA RTX 2000 Ada", "Ada", None),
        ];
        let node = Node::of(&inventory(&mixed, "550.54.14"), &HeadroomConfig::default(), 4);
        let found: Vec<_> =
            node.devices.iter().map(|device| (device.index, device.engines, device.codecs.len())).collect();
        // Turing encodes no AV1; an unknown model of a known generation counts with one encoder.
        assert_eq!(found, [(0, 2, 3), (2, 1, 2), (3, 1, 3)]);
        assert_eq!((node.sessions, node.engines(), node.hardware().len()), (None, 4, 3));
        let mut broken = inventory(&mixed, "550");
        broken.encoders.clear();
        assert!(Node::of(&broken, &HeadroomConfig::default(), 4).devices.is_empty());
    }

    #[test]
    fn consumer_cards_share_what_the_driver_allows() {
        let cards = [("NVIDIA GeForce RTX 4090", "Ada", Some(2)), ("NVIDIA GeForce RTX 4090", "Ada", Some(2))];
        for (driver, allowed) in
            [("591.1", 12), ("550.54.14", 8), ("530.41.03", 5), ("530.30.02", 3), ("470.223", 3), ("?", 3)]
        {
            let node = Node::of(&inventory(&cards, driver), &HeadroomConfig::default(), 4);
            assert_eq!((node.sessions, node.devices[0].sessions), (Some(allowed), None), "{driver}");
        }
        let config = HeadroomConfig { sessions: Some(20), ..HeadroomConfig::default() };
        assert_eq!(Node::of(&inventory(&cards, "550"), &config, 4).sessions, Some(20));
        let server = [("NVIDIA L4", "Ada", Some(2))];
        assert_eq!(Node::of(&inventory(&server, "550"), &config, 4).devices[0].sessions, Some(20));
    }
}
