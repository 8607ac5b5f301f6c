//! Sources whose length in frames is known, made once and submitted again and again: tiny
//! pictures with sound.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use framemill_schemas::submission::{LadderChoice, Submission};
use serde_json::json;
use tokio::process::Command;

/// Seconds of the clips.
const SECONDS: [u32; 4] = [2, 6, 11, 20];
/// Name of their sound rendition.
pub const SOUND: &str = "stereo";
/// Frames per second of all of them.
pub const RATE: u32 = 25;

/// A source.
#[derive(Clone, Debug)]
pub struct Clip {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub frames: u64,
}

/// Makes all clips in `folder`.
pub async fn make(ffmpeg: &Path, folder: &Path) -> Result<Vec<Clip>> {
    let mut clips = Vec::new();
    for seconds in SECONDS {
        let path = folder.join(format!("clip-{seconds}.mp4"));
        let picture = format!("testsrc2=size=128x96:rate={RATE}:duration={seconds}");
        let tone = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
        let made = Command::new(ffmpeg)
            .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &tone])
            .args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25"])
            .args(["-c:a", "aac", "-ac", "2", "-f", "mp4"])
            .arg(&path)
            .stdin(Stdio::null())
            .output()
            .await
            .with_context(|| format!("cannot start {}", ffmpeg.display()))?;
        ensure!(made.status.success(), "ffmpeg cannot make a clip: {}", String::from_utf8_lossy(&made.stderr).trim());
        clips.push(Clip { path, frames: u64::from(seconds * RATE) });
    }
    Ok(clips)
}

/// What is submitted of a clip: two small rungs and sound.
pub fn submission(clip: &Clip) -> Submission {
    let rung = |name: &str, height: u32, kbps: u32| {
        json!({"name": name, "codec": "h264", "height": height, "bitrate_kbps": kbps, "maxrate_kbps": kbps * 5 / 4,
               "preset": "veryfast"})
    };
    Submission {
        source: clip.path.display().to_string(),
        ladder: LadderChoice::Inline(json!({
            "name": "chaos", "gop_s": 1, "segment_s": 2,
            "video": [rung("96p", 96, 150), rung("64p", 64, 80)],
            "audio": [{"name": SOUND, "codec": "aac", "channels": 2, "bitrate_kbps": 64}],
        })),
        tenant: None,
        priority: framemill_schemas::lane::Priority::Standard,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_is_a_ladder() {
        let clip = Clip { path: "/clips/clip-2.mp4".into(), frames: 50 };
        let checked = submission(&clip).check(|_| None).unwrap();
        assert_eq!((checked.ladder.video.len(), checked.ladder.audio.len()), (2, 1));
    }
}
