//! One decode of a chunk, every rung of one codec from it.

use std::{ffi::OsString, path::Path};

use framemill_schemas::spec::TranscodeSpec;

use super::{FRAGMENTED, admitted, arguments, base, encoder};
use crate::child::FIRST_PIPE;

const MOVFLAGS: &str = "+cmaf+frag_keyframe+empty_moov+default_base_moof+frag_discont+negative_cts_offsets";

/// Arguments that encode grid frames `start_frame..spec.end_frame`; rung k goes to the child's
/// extra pipe k.
pub(crate) fn transcode(program: &Path, spec: &TranscodeSpec, start_frame: u64, url: &str) -> Vec<OsString> {
    let threads = spec.threads.max(1).to_string();
    let mut command = base(program);
    // Times stay on the source's own line; all cutting is done by frame number in the graph.
    command.arg("-copyts");
    if let Some(seek_us) = seek(spec, start_frame) {
        command.args(["-noaccurate_seek", "-ss", &format!("{seek_us}us")]);
    }
    command.args(admitted()).args(["-threads", &threads]).input(url);
    command.args(["-filter_complex_threads", &threads]).filter_complex(graph(spec, start_frame));
    for (index, rung) in spec.rungs.iter().enumerate() {
        command.map(format!("[v{index}]"));
        command.args(encoder::options(spec, rung)).args(["-fps_mode", "passthrough"]);
        command.args(["-video_track_timescale", &spec.timescale.to_string()]);
        command.args(FRAGMENTED).args(["-movflags", MOVFLAGS]).format("mp4");
        command.output(format!("pipe:{}", FIRST_PIPE as usize + index));
    }
    arguments(&command)
}

/// Where to seek for a frame: the last keyframe that is known to give it.
fn seek(spec: &TranscodeSpec, start_frame: u64) -> Option<i64> {
    let after = spec.seek.partition_point(|point| point.frame <= start_frame);
    after.checked_sub(1).map(|index| spec.seek[index].seek_us)
}

fn graph(spec: &TranscodeSpec, start_frame: u64) -> String {
    let grid = &spec.grid;
    // The origin is in the stream's own ticks, so it is taken off before any filter that changes
    // the time base (the deinterlacer does).
    let mut chain = format!("[0:{}]setpts=PTS-({})", spec.stream, grid.origin_ticks);
    if spec.deinterlace {
        chain.push_str(",bwdif=mode=send_frame");
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
    let count = spec.rungs.len();
    let labels = |prefix: char| (0..count).map(|index| format!("[{prefix}{index}]")).collect::<String>();
    chain.push_str(&format!(",split={count}{}", labels('s')));
    for (index, rung) in spec.rungs.iter().enumerate() {
        chain.push_str(&format!(
            ";[s{index}]scale={}:{}:flags=bicubic,setsar=1,format=yuv420p[v{index}]",
            rung.width, rung.height
        ));
    }
    chain
}

/// How long a picture ends a source is rounded differently by ffmpeg's versions: one frame may be
/// missing at the very end of the grid, and the last picture then stays for it. More would hide a
/// source that was cut.
const END_PAD_FRAMES: u32 = 1;
