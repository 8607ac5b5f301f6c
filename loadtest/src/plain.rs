//! The plain side: one ffmpeg process, a split filter, and its own HLS output.

use std::{ffi::OsString, path::Path, process::Stdio, time::Instant};

use anyhow::{Context, Result, bail, ensure};
use framemill_schemas::{
    ladder::{Ladder, VideoCodec, VideoRung},
    rate::{Ratio, rescale},
};
use serde::Deserialize;
use tokio::process::Command;

/// A source as the plain side needs it.
#[derive(Debug)]
pub struct PlainSource {
    pub width: u32,
    pub height: u32,
    pub rate: Ratio,
    pub has_audio: bool,
}

/// Asks ffprobe about a source.
pub async fn probe(ffprobe: &Path, file: &Path) -> Result<PlainSource> {
    #[derive(Deserialize)]
    struct Streams {
        streams: Vec<Stream>,
    }
    #[derive(Deserialize)]
    struct Stream {
        codec_type: String,
        width: Option<u32>,
        height: Option<u32>,
        r_frame_rate: Option<String>,
    }
    let output = Command::new(ffprobe)
        .args(["-v", "error", "-of", "json", "-show_entries", "stream=codec_type,width,height,r_frame_rate"])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot start {}", ffprobe.display()))?;
    ensure!(output.status.success(), "ffprobe cannot read {}", file.display());
    let streams: Streams = serde_json::from_slice(&output.stdout)?;
    let video = streams.streams.iter().find(|stream| stream.codec_type == "video").context("no picture in the file")?;
    Ok(PlainSource {
        width: video.width.context("no width")?,
        height: video.height.context("no height")?,
        rate: video.r_frame_rate.as_deref().and_then(Ratio::parse).context("no frame rate")?,
        has_audio: streams.streams.iter().any(|stream| stream.codec_type == "audio"),
    })
}

/// Encodes the whole ladder into `out` and returns the wall time in seconds.
pub async fn encode(ffmpeg: &Path, file: &Path, source: &PlainSource, ladder: &Ladder, out: &Path) -> Result<f64> {
    tokio::fs::create_dir_all(out).await?;
    let started = Instant::now();
    let output = Command::new(ffmpeg)
        .args(arguments(file, source, ladder))
        .current_dir(out)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot start {}", ffmpeg.display()))?;
    let seconds = started.elapsed().as_secs_f64();
    if !output.status.success() {
        bail!("plain ffmpeg ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(seconds)
}

/// A rendition's init and segments as one file's bytes.
pub async fn rendition(out: &Path, name: &str) -> Result<Vec<u8>> {
    let playlist = tokio::fs::read_to_string(out.join(format!("{name}.m3u8"))).await?;
    let map =
        playlist.lines().find_map(|line| line.strip_prefix("#EXT-X-MAP:URI=\"")).context("no init in the playlist")?;
    let mut bytes = tokio::fs::read(out.join(map.trim_end_matches('"'))).await?;
    for uri in playlist.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        bytes.extend(tokio::fs::read(out.join(uri)).await?);
    }
    Ok(bytes)
}

fn kept<'a>(ladder: &'a Ladder, source: &PlainSource) -> Vec<&'a VideoRung> {
    let height = source.height.next_multiple_of(2);
    ladder.video.iter().filter(|rung| ladder.upscale || rung.height <= height).collect()
}

fn arguments(file: &Path, source: &PlainSource, ladder: &Ladder) -> Vec<OsString> {
    let rungs = kept(ladder, source);
    let rate = source.rate;
    let gop = rescale(i64::from(ladder.gop_s), u64::from(rate.num), u64::from(rate.den) * 1000).max(1).to_string();
    let mut filter = format!("[0:v:0]split={}", rungs.len());
    filter.extend((0..rungs.len()).map(|index| format!("[s{index}]")));
    for (index, rung) in rungs.iter().enumerate() {
        let width = (rung.height * source.width / source.height).next_multiple_of(2);
        filter += &format!(";[s{index}]scale={width}:{},setsar=1,format=yuv420p[v{index}]", rung.height);
    }
    let mut args: Vec<OsString> =
        ["-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-i"].map(OsString::from).into();
    args.push(file.into());
    let mut push = |values: &[&str]| args.extend(values.iter().map(OsString::from));
    push(&["-filter_complex", &filter]);
    for (index, rung) in rungs.iter().enumerate() {
        push(&["-map", &format!("[v{index}]")]);
        push(&[&format!("-c:v:{index}"), encoder(rung.codec), &format!("-preset:v:{index}"), rung.preset()]);
        match (rung.bitrate_kbps, rung.quality) {
            (Some(kbps), _) => push(&[&format!("-b:v:{index}"), &format!("{kbps}k")]),
            (None, quality) => push(&[&format!("-crf:v:{index}"), &quality.unwrap_or(23).to_string()]),
        }
        let maxrate = rung.maxrate_kbps.or(rung.bitrate_kbps.map(|kbps| kbps * 3 / 2));
        if let Some(kbps) = maxrate.filter(|_| rung.codec != VideoCodec::Av1) {
            push(&[
                &format!("-maxrate:v:{index}"),
                &format!("{kbps}k"),
                &format!("-bufsize:v:{index}"),
                &format!("{kbps}k"),
            ]);
        }
    }
    push(&["-g", &gop, "-keyint_min", &gop, "-sc_threshold", "0", "-flags", "+cgop"]);
    let audio = ladder.audio.first().filter(|_| source.has_audio);
    if let Some(rung) = audio {
        push(&["-map", "0:a:0", "-c:a", "aac", "-b:a", &format!("{}k", rung.bitrate_kbps), "-ar", "48000"]);
        push(&["-ac", &rung.channels.to_string()]);
    }
    let mut streams: Vec<_> =
        rungs.iter().enumerate().map(|(index, rung)| format!("v:{index},name:{}", rung.name)).collect();
    streams.extend(audio.map(|rung| format!("a:0,name:{}", rung.name)));
    push(&["-f", "hls", "-hls_time", &(f64::from(ladder.segment_s) / 1000.0).to_string()]);
    push(&["-hls_playlist_type", "vod", "-hls_segment_type", "fmp4", "-hls_segment_filename", "%v-%d.m4s"]);
    push(&["-hls_fmp4_init_filename", "init-%v.mp4", "-var_stream_map", &streams.join(" "), "%v.m3u8"]);
    args
}

fn encoder(codec: VideoCodec) -> &'static str {
    match codec {
        VideoCodec::H264 => "libx264",
        VideoCodec::Hevc => "libx265",
        VideoCodec::Av1 => "libsvtav1",
    }
}
