//! After a GPU reported an error: it encodes again, or it takes nothing until it does.

use std::time::{Duration, Instant};

use framemill_media::{
    encoder::{self, Encoder},
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
use crate::headroom::{Device, Headroom};

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

impl Checker {
    /// Waits until the proof of a GPU comes out otherwise than `inventory` says, and returns it as it is
    /// then. Whatever comes out, the headroom is told.
    pub async fn changed(
        &self,
        reported: &mut mpsc::UnboundedReceiver<Xid>,
        inventory: &Inventory,
        cancel: &CancellationToken,
    ) -> Inventory {
        loop {
            let faulty =
                |device: &Device| inventory.gpus.iter().any(|gpu| gpu.index == device.index && gpu.fault.is_some());
            let shut = self.headroom.is_shut() || self.devices.iter().any(faulty);
            tokio::select! {
                error = reported.recv() => match error {
                    Some((gpu, xid)) => self.take(gpu, xid),
                    None => return std::future::pending().await,
                },
                () = tokio::time::sleep(AGAIN), if shut => {}
            }
            tokio::time::sleep(SETTLE).await;
            while let Ok((gpu, xid)) = reported.try_recv() {
                self.take(gpu, xid);
            }
            let now = self.prove(inventory, cancel).await;
            if now != *inventory {
                return now;
            }
        }
    }

    fn take(&self, gpu: Option<u32>, xid: u64) {
        for device in &self.devices {
            // One that has gone does not say which it was.
            if gpu.is_none_or(|gpu| gpu == device.index) {
                self.headroom.reported(device.index, xid, Instant::now());
            }
        }
    }

    async fn prove(&self, inventory: &Inventory, cancel: &CancellationToken) -> Inventory {
        let mut now = inventory.clone();
        for device in &self.devices {
            let answer = self.try_out(device, cancel).await;
            match &answer {
                None => self.headroom.reopened(device.index),
                Some(answer) => self.headroom.shut(device.index, answer.clone()),
            }
            if let Some(gpu) = now.gpus.iter_mut().find(|gpu| gpu.index == device.index) {
                gpu.fault = answer;
            }
        }
        now
    }

    /// Why a device does not encode; nothing where it does.
    async fn try_out(&self, device: &Device, cancel: &CancellationToken) -> Option<String> {
        let codec = device.codecs.first().copied().unwrap_or(VideoCodec::H264);
        if let Some(script) = &self.script {
            let least = Use { sessions: 0, memory_mib: 1, demand: 1 };
            return script.open(device.index, least, Instant::now()).err().map(|says| says.trim().to_owned());
        }
        encoder::proof_on(&self.tools, Encoder { engine: Engine::Nvenc, codec }, device.index, cancel).await.answer
    }
}
