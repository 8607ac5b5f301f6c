//! Quality against the source: VMAF where the ffmpeg at hand has it, else SSIM, and it says which.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::plain::PlainSource;

/// What quality is measured with.
pub struct Judge {
    ffmpeg: PathBuf,
    vmaf: bool,
}

impl Judge {
    /// Asks ffmpeg which filters it has.
    pub async fn find(ffmpeg: &Path) -> Result<Self> {
        let output = Command::new(ffmpeg).args(["-hide_banner", "-filters"]).stdin(Stdio::null()).output().await?;
        let vmaf = String::from_utf8_lossy(&output.stdout).split_whitespace().any(|word| word == "libvmaf");
        Ok(Self { ffmpeg: ffmpeg.to_owned(), vmaf })
    }

    /// `vmaf` (0 to 100) or `ssim` (0 to 1).
    pub fn name(&self) -> &'static str {
        if self.vmaf { "vmaf" } else { "ssim" }
    }

    /// Mean score of a rendition, scaled to the source's size and compared frame by frame.
    pub async fn score(&self, media: &Path, source: &Path, facts: &PlainSource) -> Result<f64> {
        let filter = if self.vmaf { "libvmaf=n_threads=2" } else { "ssim" };
        // Frame n against frame n. Both sides encoded the source on its constant rate, so the source
        // is put on it too: in a clip with a gap the numbers would drift apart otherwise.
        let graph = format!(
            "[0:v:0]settb=1/1000,setpts=N,scale={w}:{h}:flags=bicubic,format=yuv420p[a];\
             [1:v:0]setpts=PTS-STARTPTS,fps={rate},settb=1/1000,setpts=N,scale={w}:{h},format=yuv420p[b];\
             [a][b]{filter}",
            rate = facts.rate,
            w = facts.width,
            h = facts.height,
        );
        let output = Command::new(&self.ffmpeg)
            .args(["-nostdin", "-hide_banner", "-i"])
            .arg(media)
            .arg("-i")
            .arg(source)
            .args(["-filter_complex", &graph, "-f", "null", "-"])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let log = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cannot measure quality: {}", log.trim());
        let marker = if self.vmaf { "VMAF score: " } else { "All:" };
        let after = log.rsplit_once(marker).map(|(_, after)| after).context("ffmpeg printed no score")?;
        let number = after.split_whitespace().next().unwrap_or_default();
        number.parse().with_context(|| format!("{number:?} is no score"))
    }
}
