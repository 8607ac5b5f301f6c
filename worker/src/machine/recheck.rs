//! After a GPU reported an error: it encodes again, or it takes nothing until it does.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use framemill_media::{
    encoder::{self, Encoder},
    failure_of,
    toolchain::Toolchain,
};
use framemill_schemas::{
    inventory::{Engine, Inventory},
    ladder::VideoCodec,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    readings::Xid,
    script::{Script, Use},
};
use crate::headroom::{Device, FULL, Headroom};

/// Pause between an error and the proof that the GPU encodes: what broke is being cleared away.
const SETTLE: Duration = Duration::from_secs(1);
/// How often a GPU is tried again that takes nothing.
const AGAIN: Duration = Duration::from_secs(30);

/// What tries GPUs.
pub(crate) struct Checker {
    pub tools: Toolchain,
    pub script: Option<Script>,
    pub headroom: Headroom,
    /// Every GPU that encoded when the worker started, whatever became of it.
    pub devices: Vec<Device>,
}

/// How the proof of a device came out.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    Encodes,
    Not(String),
    /// It is too full to say.
    NoVerdict,
}

impl Checker {
    /// Waits until the proof of a GPU comes out otherwise than `inventory` says, and returns it as it is
    /// then. Whatever comes out, the headroom is told. Only devices are proved that reported something,
    /// whose jobs broke, or that take nothing.
    pub async fn changed(
        &self,
        reported: &mut mpsc::UnboundedReceiver<Xid>,
        inventory: &Inventory,
        cancel: &CancellationToken,
    ) -> Inventory {
        loop {
            let mut suspects: BTreeSet<u32> = self.headroom.shut_ones().into_iter().collect();
            tokio::select! {
                error = reported.recv() => match error {
                    Some(error) => self.take(error, &mut suspects),
                    None => return std::future::pending().await,
                },
                () = tokio::time::sleep(AGAIN), if !suspects.is_empty() => {}
            }
            tokio::time::sleep(SETTLE).await;
            while let Ok(error) = reported.try_recv() {
                self.take(error, &mut suspects);
            }
            let now = self.prove(inventory, &suspects, cancel).await;
            if now != *inventory {
                return now;
            }
        }
    }

    fn take(&self, (gpu, xid): Xid, suspects: &mut BTreeSet<u32>) {
        // One that has gone does not say which it was.
        for device in self.devices.iter().filter(|device| gpu.is_none_or(|gpu| gpu == device.index)) {
            self.headroom.reported(device.index, xid, Instant::now());
            suspects.insert(device.index);
        }
    }

    async fn prove(&self, inventory: &Inventory, suspects: &BTreeSet<u32>, cancel: &CancellationToken) -> Inventory {
        let mut now = inventory.clone();
        for device in self.devices.iter().filter(|device| suspects.contains(&device.index)) {
            let fault = match self.try_out(device, cancel).await {
                Proof::Encodes => {
                    self.headroom.reopened(device.index);
                    None
                }
                Proof::Not(answer) => {
                    self.headroom.shut(device.index, answer.clone());
                    Some(answer)
                }
                Proof::NoVerdict => continue,
            };
            if let Some(gpu) = now.gpus.iter_mut().find(|gpu| gpu.index == device.index) {
                gpu.fault = fault;
            }
        }
        now
    }

    /// Whether a device encodes.
    async fn try_out(&self, device: &Device, cancel: &CancellationToken) -> Proof {
        let codec = device.codecs.first().copied().unwrap_or(VideoCodec::H264);
        let answer = if let Some(script) = &self.script {
            let least = Use { sessions: 1, memory_mib: 1, demand: 1 };
            script.open(device.index, least, Instant::now()).err().map(|says| says.trim().to_owned())
        } else {
            encoder::proof_on(&self.tools, Encoder { engine: Engine::Nvenc, codec }, device.index, cancel).await.answer
        };
        verdict(answer)
    }
}

fn verdict(answer: Option<String>) -> Proof {
    match answer {
        None => Proof::Encodes,
        // Our own jobs, or others', fill it.
        Some(answer) if FULL.contains(&failure_of(&answer).code.as_str()) => Proof::NoVerdict,
        Some(answer) => Proof::Not(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_full_is_not_broken() {
        let not = |says: &str| Proof::Not(says.to_owned());
        for (answer, expected) in [
            (None, Proof::Encodes),
            (Some("OpenEncodeSessionEx failed: out of memory (10): (no details)"), Proof::NoVerdict),
            (Some("Failed creating CUDA context: CUDA_ERROR_OUT_OF_MEMORY"), Proof::NoVerdict),
            (Some("No CUDA capable devices found"), not("No CUDA capable devices found")),
        ] {
            assert_eq!(verdict(answer.map(str::to_owned)), expected);
        }
    }
}
