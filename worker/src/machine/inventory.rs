//! What this machine can encode with: every encoder tried, every GPU listed.

use std::time::Duration;

use framemill_media::{
    encoder::{self, Encoder},
    toolchain::Toolchain,
};
use framemill_schemas::inventory::{EncoderProof, Inventory};
use tokio_util::sync::CancellationToken;

use super::gpu::{GpuReading, Gpus, NoDriver};

/// Pause before an encoder that did not work is tried again, doubled each time.
const AGAIN: Duration = Duration::from_secs(5);
/// Longest such pause.
const AGAIN_MAX: Duration = Duration::from_secs(600);

/// Longest wait for the NVIDIA driver.
const DRIVER: Duration = Duration::from_secs(10);

/// Tries every encoder that ffmpeg lists, and asks the NVIDIA driver for its GPUs. What does not work
/// is said in the inventory, in the words of whoever was asked. Takes about a second, and where a
/// driver hangs at most half a minute.
pub async fn take(tools: &Toolchain, cancel: &CancellationToken) -> Inventory {
    let (encoders, gpus) = tokio::join!(encoder::prove(tools, cancel), ask(Gpus::list));
    match gpus {
        Ok((driver, gpus)) => Inventory { encoders, driver: Some(driver), gpus, driver_fault: None },
        Err(NoDriver::NotInstalled) => Inventory { encoders, ..Inventory::default() },
        Err(NoDriver::Broken(why)) => Inventory { encoders, driver_fault: Some(why), ..Inventory::default() },
    }
}

/// What every NVIDIA GPU of this machine does now; none where there is no driver, or it does not answer.
pub async fn readings() -> Vec<GpuReading> {
    ask(|gpus| Ok(gpus.read())).await.unwrap_or_default()
}

/// A driver that hangs is left to itself, with the thread that asked it.
async fn ask<T: Send + 'static>(question: fn(&Gpus) -> Result<T, NoDriver>) -> Result<T, NoDriver> {
    let asked = tokio::task::spawn_blocking(move || Gpus::open().and_then(|gpus| question(&gpus)));
    match tokio::time::timeout(DRIVER, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Err(NoDriver::Broken(format!("asking it broke off: {error}"))),
        Err(_) => Err(NoDriver::Broken(format!("no answer within {} s", DRIVER.as_secs()))),
    }
}

/// Waits until a software encoder works that did not when `inventory` was taken: somebody mended the
/// machine. Returns the inventory as it is then. Waits for ever where all work.
pub(crate) async fn mended(tools: &Toolchain, inventory: &Inventory, cancel: &CancellationToken) -> Inventory {
    if !inventory.encoders.iter().any(EncoderProof::is_broken_software) {
        return std::future::pending().await;
    }
    let mut pause = AGAIN;
    loop {
        tokio::time::sleep(pause).await;
        let mut now = inventory.clone();
        let mut is_mended = false;
        for tried in now.encoders.iter_mut().filter(|proof| proof.is_broken_software()) {
            *tried = encoder::proof(tools, Encoder::software(tried.codec), cancel).await;
            is_mended |= tried.works();
        }
        if is_mended {
            return now;
        }
        pause = (pause * 2).min(AGAIN_MAX);
    }
}
