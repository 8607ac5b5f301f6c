//! `loadtest bench vod`: the same file with the same ladder, once by one plain ffmpeg process and
//! once through the farm, alternating, so that a machine whose speed drifts treats both alike.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use framemill_schemas::ladder::Ladder;
use serde::Serialize;

use crate::{farm, figures::median, plain, quality};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The source.
    pub file: PathBuf,
    /// The ladder both sides encode.
    pub ladder: Ladder,
    /// Runs of each side.
    pub runs: usize,
    /// The `framemill` binary.
    pub framemill: PathBuf,
    /// The `ffmpeg` binary of the plain side, and the judge of both.
    pub ffmpeg: PathBuf,
    /// The `ffprobe` binary.
    pub ffprobe: PathBuf,
    /// Whether to measure quality, which decodes everything again.
    pub quality: bool,
}

/// What was measured. Times are seconds.
#[derive(Clone, Debug, Serialize)]
pub struct BenchReport {
    /// Wall time of each plain run.
    pub plain_s: Vec<f64>,
    /// Submission to the last segment stored, of each farm run.
    pub last_segment_s: Vec<f64>,
    /// Submission to published, of each farm run.
    pub published_s: Vec<f64>,
    /// Median of the plain runs.
    pub plain_median_s: f64,
    /// Median over pairs of farm time to the last segment divided by plain time.
    pub last_segment_ratio: f64,
    /// Median over pairs of farm time to published divided by plain time.
    pub published_ratio: f64,
    /// Both sides, rendition by rendition.
    pub renditions: Vec<RenditionReport>,
}

/// One rendition on both sides.
#[derive(Clone, Debug, Serialize)]
pub struct RenditionReport {
    /// Its name.
    pub name: String,
    /// Bytes of the plain side.
    pub plain_bytes: u64,
    /// Bytes of the farm.
    pub farm_bytes: u64,
    /// Farm divided by plain.
    pub size_ratio: f64,
    /// What quality was measured with; absent where it was not.
    pub metric: Option<&'static str>,
    /// Quality of the plain side against the source.
    pub plain_quality: Option<f64>,
    /// Quality of the farm against the source.
    pub farm_quality: Option<f64>,
}

/// Runs both sides. `say` is told one line after each run.
pub async fn vod(bench: &Bench, mut say: impl FnMut(String)) -> Result<BenchReport> {
    ensure!(bench.runs > 0, "--runs 0 measures nothing; ask for at least one");
    // Absolute: the plain side runs in a folder of its own.
    let file = std::path::absolute(&bench.file)?;
    ensure!(file.is_file(), "there is no file {}; name a video", file.display());
    let source = plain::probe(&bench.ffprobe, &file).await?;
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut report = BenchReport {
        plain_s: Vec::new(),
        last_segment_s: Vec::new(),
        published_s: Vec::new(),
        plain_median_s: 0.0,
        last_segment_ratio: 0.0,
        published_ratio: 0.0,
        renditions: Vec::new(),
    };
    let (mut plain_out, mut farm_out) = (None, None);
    for run in 0..bench.runs {
        let folder = work.path().join(format!("plain-{run}"));
        let seconds = plain::encode(&bench.ffmpeg, &file, &source, &bench.ladder, &folder).await?;
        say(format!("run {}: plain ffmpeg {seconds:.2} s", run + 1));
        report.plain_s.push(seconds);
        plain_out = Some(folder);

        let folder = work.path().join(format!("farm-{run}"));
        let made = farm::encode(&bench.framemill, &file, &bench.ladder, work.path(), &folder).await?;
        say(format!(
            "run {}: farm, last segment {:.2} s, published {:.2} s",
            run + 1,
            made.last_segment_s,
            made.published_s
        ));
        report.last_segment_s.push(made.last_segment_s);
        report.published_s.push(made.published_s);
        farm_out = Some((folder, made));
    }
    let ratios = |farm: &[f64]| median(farm.iter().zip(&report.plain_s).map(|(farm, plain)| farm / plain).collect());
    report.last_segment_ratio = ratios(&report.last_segment_s);
    report.published_ratio = ratios(&report.published_s);
    report.plain_median_s = median(report.plain_s.clone());

    let (plain_out, (farm_out, made)) = plain_out.zip(farm_out).expect("at least one run was asked for");
    for rendition in &made.renditions {
        let plain_media = plain::rendition(&plain_out, &rendition.name).await?;
        let farm_media = farm::rendition(&farm_out, &made, &rendition.name).await?;
        let mut row = RenditionReport {
            name: rendition.name.clone(),
            plain_bytes: plain_media.len() as u64,
            farm_bytes: farm_media.len() as u64,
            size_ratio: farm_media.len() as f64 / plain_media.len().max(1) as f64,
            metric: None,
            plain_quality: None,
            farm_quality: None,
        };
        if bench.quality {
            let judge = quality::Judge::find(&bench.ffmpeg).await?;
            row.metric = Some(judge.name());
            for (media, score) in [(plain_media, &mut row.plain_quality), (farm_media, &mut row.farm_quality)] {
                let path = work.path().join("judged.mp4");
                tokio::fs::write(&path, media).await?;
                *score = Some(judge.score(&path, &file, &source).await?);
            }
            say(format!("quality of {} measured", row.name));
        }
        report.renditions.push(row);
    }
    Ok(report)
}
