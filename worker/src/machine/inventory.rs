//! What this machine can encode with: every encoder tried, every GPU listed.

use std::time::Duration;

use framemill_media::{
    encoder::{self, Encoder},
    toolchain::Toolchain,
};
use framemill_schemas::inventory::{Engine, Inventory};
use tokio_util::sync::CancellationToken;

use super::gpu::Gpus;

/// Pause before an encoder that did not work is tried again, doubled each time.
const AGAIN: Duration = Duration::from_secs(5);
/// Longest such pause.
const AGAIN_MAX: Duration = Duration::from_secs(600);

/// Tries every encoder that ffmpeg lists, and asks the NVIDIA driver for its GPUs. What is not there
/// is said in the inventory, in the words of whoever was asked. Takes about a second.
pub async fn take(tools: &Toolchain, cancel: &CancellationToken) -> Inventory {
    // A driver may take seconds to answer the first question after a start.
    let gpus = tokio::task::spawn_blocking(|| Gpus::open().and_then(|gpus| gpus.list()));
    let (encoders, gpus) = tokio::join!(encoder::prove(tools, cancel), gpus);
    let gpus = gpus.unwrap_or_else(|error| Err(format!("asking the NVIDIA driver broke off: {error}")));
    match gpus {
        Ok((driver, gpus)) => Inventory { encoders, driver: Some(driver), gpus, no_driver: None },
        Err(why) => Inventory { encoders, no_driver: Some(why), ..Inventory::default() },
    }
}

/// Waits until a software encoder works that did not when `inventory` was taken: somebody mended the
/// machine. Waits for ever where all work.
pub(crate) async fn mended(tools: &Toolchain, inventory: &Inventory, cancel: &CancellationToken) {
    let broken = inventory.encoders.iter().filter(|proof| proof.engine == Engine::Software && !proof.works());
    let broken: Vec<Encoder> = broken.map(|proof| Encoder::software(proof.codec)).collect();
    if broken.is_empty() {
        return std::future::pending().await;
    }
    let mut pause = AGAIN;
    loop {
        tokio::time::sleep(pause).await;
        for encoder in &broken {
            if encoder::proof(tools, *encoder, cancel).await.works() {
                return;
            }
        }
        pause = (pause * 2).min(AGAIN_MAX);
    }
}
