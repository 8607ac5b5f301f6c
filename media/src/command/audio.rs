//! One sound track, from the picture's origin to the picture's end.

use std::{ffi::OsString, path::Path};

use framemill_schemas::spec::{AUDIO_RATE, AudioSpec};

use super::{FRAGMENTED, admitted, arguments, base};
use crate::child::FIRST_PIPE;

pub(super) const MOVFLAGS: &str = "+cmaf+empty_moov+default_base_moof+frag_discont+negative_cts_offsets";

/// Arguments that encode a sound track into the child's first extra pipe.
pub(crate) fn audio(program: &Path, spec: &AudioSpec, url: &str) -> Vec<OsString> {
    let mut command = base(program);
    command.arg("-copyts").args(admitted()).args(["-vn", "-sn", "-dn"]).input(url);
    command.filter_complex(graph(spec)).map("[a0]");
    command.args(["-c:a", "aac", "-b:a", &format!("{}k", spec.bitrate_kbps), "-flags", "+bitexact"]);
    // A fragment a second keeps memory and progress even; the cutter regroups them.
    command.args(FRAGMENTED).args(["-frag_duration", "1000000", "-movflags", MOVFLAGS]).format("mp4");
    command.output(format!("pipe:{FIRST_PIPE}"));
    arguments(&command)
}

fn graph(spec: &AudioSpec) -> String {
    let grid = &spec.grid;
    let total = grid.duration_ticks(AUDIO_RATE);
    let layout = layout(spec.channels);
    // The origin is the picture's, in seconds: sound has ticks of its own. Gaps and overlaps in
    // the source become silence and cuts, so that sound stays where the picture is.
    format!(
        "[0:{}]asetpts=round(PTS-({}*{}/{})/TB),aresample={AUDIO_RATE}:async=1:first_pts=0,\
         aformat=sample_fmts=fltp:channel_layouts={layout},apad=whole_len={total},atrim=end_sample={total}[a0]",
        spec.stream, grid.origin_ticks, grid.time_base.num, grid.time_base.den
    )
}

/// ffmpeg's name of a number of channels.
pub(super) const fn layout(channels: u8) -> &'static str {
    match channels {
        1 => "mono",
        6 => "5.1",
        _ => "stereo",
    }
}
