//! The line `run --json` ends with. Scripts read it: names and meanings stay. Pure.

use framemill_schemas::{
    api::{AssetView, AudioView, Dropped, JobCounts, RenditionView, ValidationView},
    asset::AssetState,
};
use serde::Serialize;

/// The line. Times are seconds from submission.
#[derive(Clone, Debug, Serialize)]
pub struct RunLine {
    /// Id of the title.
    pub asset: String,
    /// Folder of its generation.
    pub generation: String,
    /// Where it ended.
    pub state: AssetState,
    /// Length of every rendition; absent when the source was never understood.
    pub duration_s: Option<f64>,
    /// Frames of every rendition.
    pub frames: Option<u64>,
    /// The picture.
    pub renditions: Vec<RenditionView>,
    /// The sound.
    pub audio: Vec<AudioView>,
    /// What was left out, with the reason.
    pub dropped: Vec<Dropped>,
    /// HLS entry playlist: a path below `--out`, or an address.
    pub hls: Option<String>,
    /// DASH manifest, likewise.
    pub dash: Option<String>,
    /// Its jobs.
    pub jobs: JobCounts,
    /// The verdict.
    pub validation: Option<ValidationView>,
    /// When the last segment was stored.
    pub last_segment_s: Option<f64>,
    /// When it was published.
    pub published_s: Option<f64>,
    /// When everything was done, the copy included.
    pub wall_s: f64,
    /// Its length divided by the time to publishing.
    pub realtime_x: Option<f64>,
}

impl RunLine {
    /// The line of a title at its end. `hls` and `dash` are where they can be played.
    pub fn new(asset: &AssetView, hls: Option<String>, dash: Option<String>, wall_ms: i64) -> Self {
        let published = asset.state == AssetState::Published;
        let published_ms = asset.ended_ms.filter(|_| published).map(|end| end - asset.submitted_ms);
        let duration_ms = asset.input.as_ref().map(|input| input.duration_ms);
        Self {
            asset: asset.id.to_string(),
            generation: format!("g{}-{}", asset.generation.number, asset.generation.random),
            state: asset.state,
            duration_s: duration_ms.map(|millis| millis as f64 / 1000.0),
            frames: asset.input.as_ref().map(|input| input.frames),
            renditions: asset.renditions.clone(),
            audio: asset.audio.clone(),
            dropped: asset.dropped.clone(),
            hls: hls.filter(|_| published),
            dash: dash.filter(|_| published),
            jobs: asset.jobs,
            validation: asset.validation.clone(),
            last_segment_s: asset.last_segment_ms.map(|at| seconds(at - asset.submitted_ms)),
            published_s: published_ms.map(seconds),
            wall_s: seconds(wall_ms),
            realtime_x: duration_ms
                .zip(published_ms)
                .filter(|(_, published)| *published > 0)
                .map(|(duration, published)| (duration as f64 / published as f64 * 1000.0).round() / 1000.0),
        }
    }
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}
