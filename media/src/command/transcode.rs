//! One decode of a chunk, every rung of one codec from it.

use std::{ffi::OsString, path::Path};

use framemill_schemas::spec::{Decoder, Nvenc, TranscodeSpec};

use super::{FRAGMENTED, admitted, arguments, base, encoder, nvenc};
use crate::{child::FIRST_PIPE, encode::Via};

pub(super) const MOVFLAGS: &str = "+cmaf+frag_keyframe+empty_moov+default_base_moof+frag_discont+negative_cts_offsets";

/// Arguments that encode grid frames `start_frame..spec.end_frame`; rung k goes to the child's
/// extra pipe k.
pub(crate) fn transcode(program: &Path, spec: &TranscodeSpec, via: Via, start_frame: u64, url: &str) -> Vec<OsString> {
    let threads = spec.threads.max(1).to_string();
    let gpu = match (spec.nvenc, via) {
        (Some(nvenc), Via::Gpu { index, .. }) => Some((nvenc, index)),
        _ => None,
    };
    let mut command = base(program);
    // Times stay on the source's own line; all cutting is done by frame number in the graph.
    command.arg("-copyts");
    if let Some((nvenc, index)) = gpu {
        command.args(nvenc::input(nvenc.decoder, index));
    }
    if let Via::Gpu { pace_milli, .. } | Via::StandIn { pace_milli } = via {
        command.args(["-readrate", &decimal(pace_milli)]);
    }
    if let Some(seek_us) = seek(spec, start_frame) {
        command.args(["-noaccurate_seek", "-ss", &format!("{seek_us}us")]);
    }
    command.args(admitted()).args(["-threads", &threads]).input(url);
    command.args(["-filter_complex_threads", &threads]).filter_complex(graph(
        spec,
        gpu.map(|(nvenc, _)| nvenc),
        start_frame,
    ));
    for (index, rung) in spec.rungs.iter().enumerate() {
        command.map(format!("[v{index}]"));
        command.args(match (gpu, via) {
            (Some((_, gpu)), _) => nvenc::options(spec.into(), rung, gpu),
            (None, Via::StandIn { .. }) => encoder::quick_options(spec.into(), rung),
            (None, _) => encoder::options(spec.into(), rung),
        });
        command.args(["-fps_mode", "passthrough", "-video_track_timescale", &spec.timescale.to_string()]);
        command.args(FRAGMENTED).args(["-movflags", MOVFLAGS]).format("mp4");
        command.output(format!("pipe:{}", FIRST_PIPE as usize + index));
    }
    arguments(&command)
}

/// Thousandths as a decimal.
fn decimal(milli: u64) -> String {
    format!("{}.{:03}", milli / 1000, milli % 1000)
}

/// Where to seek for a frame: the last keyframe that is known to give it.
fn seek(spec: &TranscodeSpec, start_frame: u64) -> Option<i64> {
    let after = spec.seek.partition_point(|point| point.frame <= start_frame);
    after.checked_sub(1).map(|index| spec.seek[index].seek_us)
}

fn graph(spec: &TranscodeSpec, nvenc: Option<Nvenc>, start_frame: u64) -> String {
    let grid = &spec.grid;
    let on_gpu = nvenc.is_some_and(|nvenc| nvenc.decoder == Decoder::Gpu);
    // The origin is in the stream's own ticks, so it is taken off before any filter that changes
    // the time base (the deinterlacer does).
    let mut chain = format!("[0:{}]setpts=PTS-({})", spec.stream, grid.origin_ticks);
    if spec.deinterlace {
        chain.push_str(if on_gpu { nvenc::DEINTERLACE } else { ",bwdif=mode=send_frame" });
    }
    // From here one tick is one grid frame, and a frame belongs to exactly one chunk.
    chain.push_str(&format!(",fps={}", grid.rate));
    if start_frame == 0 {
        // The first pictures of a recording may not decode: the first that does stands for them.
        chain.push_str(":start_time=0");
    }
    if spec.end_frame == grid.frames {
        chain.push_str(&format!(",tpad=stop_mode=clone:stop={END_PAD_FRAMES}"));
    }
    chain.push_str(&format!(",trim=start_pts={start_frame}:end_pts={}", spec.end_frame));
    if nvenc.is_some() && !on_gpu {
        chain.push_str(nvenc::UPLOAD);
    }
    let count = spec.rungs.len();
    let labels = |prefix: char| (0..count).map(|index| format!("[{prefix}{index}]")).collect::<String>();
    chain.push_str(&format!(",split={count}{}", labels('s')));
    for (index, rung) in spec.rungs.iter().enumerate() {
        let scale = match nvenc {
            Some(_) => nvenc::scale(rung),
            None => format!("scale={}:{}:flags=bicubic,setsar=1,format=yuv420p", rung.width, rung.height),
        };
        chain.push_str(&format!(";[s{index}]{scale}[v{index}]"));
    }
    chain
}

/// How long a picture ends a source is rounded differently by ffmpeg's versions: one frame may be
/// missing at the very end of the grid, and the last picture then stays for it. More would hide a
/// source that was cut.
const END_PAD_FRAMES: u32 = 1;

#[cfg(test)]
mod tests {
    use framemill_schemas::{
        ladder::VideoCodec,
        probe::SeekPoint,
        rate::{FrameGrid, Ratio},
        source::Source,
        spec::{RateControl, RungSpec},
    };

    use super::*;

    fn spec() -> TranscodeSpec {
        let rung = |name: &str, height| RungSpec {
            name: name.to_owned(),
            width: height * 2,
            height,
            rate_control: RateControl::Average { bitrate_kbps: 800, maxrate_kbps: 1000 },
            preset: "slow".to_owned(),
            nvenc: None,
        };
        let (rate, time_base) = (Ratio { num: 30_000, den: 1001 }, Ratio { num: 1, den: 1000 });
        TranscodeSpec {
            source: Source::Path("/x".into()),
            identity: String::new(),
            folder: String::new(),
            stream: 2,
            grid: FrameGrid { rate, frames: 900, origin_ticks: -17, time_base },
            start_frame: 120,
            end_frame: 240,
            seek: [(0, 1), (100, 2_000_000), (180, 4_000_000)]
                .map(|(frame, seek_us)| SeekPoint { frame, seek_us })
                .into(),
            deinterlace: true,
            gop_frames: 60,
            segment_frames: 60,
            timescale: 30_000,
            threads: 1,
            nvenc: None,
            codec: VideoCodec::H264,
            rungs: vec![rung("a", 360), rung("b", 180)],
        }
    }

    #[test]
    fn the_graph_counts_frames_on_the_grid() {
        let spec = spec();
        assert_eq!(
            graph(&spec, None, 180),
            "[0:2]setpts=PTS-(-17),bwdif=mode=send_frame,fps=30000/1001,trim=start_pts=180:end_pts=240,split=2[s0][s1]\
             ;[s0]scale=720:360:flags=bicubic,setsar=1,format=yuv420p[v0]\
             ;[s1]scale=360:180:flags=bicubic,setsar=1,format=yuv420p[v1]"
        );
        let first = TranscodeSpec { start_frame: 0, deinterlace: false, ..spec.clone() };
        assert!(graph(&first, None, 0).starts_with("[0:2]setpts=PTS-(-17),fps=30000/1001:start_time=0,trim="));
        let last = TranscodeSpec { end_frame: 900, ..spec };
        assert!(graph(&last, None, 840).contains(",tpad=stop_mode=clone:stop=1,trim=start_pts=840:end_pts=900,"));
    }

    #[test]
    fn a_chunk_starts_at_the_last_keyframe_that_serves_it() {
        let spec = spec();
        assert_eq!(
            [120, 179, 180, 239].map(|frame| seek(&spec, frame)),
            [2_000_000, 2_000_000, 4_000_000, 4_000_000].map(Some)
        );
        assert_eq!(seek(&TranscodeSpec { seek: Vec::new(), ..spec }, 120), None);
    }

    #[test]
    fn sources_are_only_read_through_listed_protocols_and_formats() {
        let args: Vec<_> = transcode(Path::new("ffmpeg"), &spec(), Via::Processor, 120, "http://127.0.0.1:1/x")
            .into_iter()
            .map(|arg| arg.into_string().unwrap())
            .collect();
        let place = |what: &str| args.iter().position(|arg| arg == what).unwrap();
        let input = place("-i");
        for option in ["-protocol_whitelist", "-format_whitelist", "-copyts", "-noaccurate_seek", "-ss"] {
            assert!(place(option) < input, "{option} is an option of the input");
        }
        assert_eq!(args[place("-protocol_whitelist") + 1], "http,tcp");
        assert_eq!(args[place("-ss") + 1], "2000000us");
        assert!(args.contains(&"-nostdin".to_owned()) && args.contains(&"pipe:101".to_owned()));
        assert_eq!(args[place("-bufsize") + 1], "1000k");
    }
}
