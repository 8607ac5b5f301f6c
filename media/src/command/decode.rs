//! Strict decoding of what was made, and looking at it.

use std::{ffi::OsString, path::Path};

use ffmpeg_sidecar::command::FfmpegCommand;

use super::{arguments, base};
use crate::decode::Media;

/// Seconds that something must last to be seen: far shorter than any segment, of which all must be so.
const LOOK_S: &str = "0.2";

/// Arguments that decode a stream from stdin and stop at the first fault. Pictures are counted by
/// the progress report; sound is listed frame by frame on the child's first extra pipe, because the
/// report rounds its length.
pub(crate) fn decode(program: &Path, media: Media) -> Vec<OsString> {
    let mut command = strict(program);
    to_count(&mut command, media);
    arguments(&command)
}

/// The same, with filters that look at what comes out: what they see goes to the child's last extra pipe.
pub(crate) fn look(program: &Path, media: Media) -> Vec<OsString> {
    let mut command = strict(program);
    let pipe = |index| format!("pipe\\\\:{}", crate::child::FIRST_PIPE + index);
    // Times count from the first frame: those of a channel are too long for what the filters print.
    match media {
        Media::Video => command.args(["-vf", &pictures(&pipe(0))]),
        Media::Audio => command.args(["-af", &sound(&pipe(1))]),
    };
    to_count(&mut command, media);
    arguments(&command)
}

/// Black and frozen as encoders find them, only with more patience for a picture that stands still: encoded
/// anew with each keyframe, it breathes a little.
fn pictures(pipe: &str) -> String {
    format!(
        "setpts=PTS-STARTPTS,blackdetect=d={LOOK_S}:pix_th=0.08,freezedetect=n=-50dB:d={LOOK_S},\
         metadata=mode=print:direct=1:file={pipe}"
    )
}

fn sound(pipe: &str) -> String {
    format!(
        "asetpts=PTS-STARTPTS,silencedetect=n=-60dB:d={LOOK_S},ebur128=metadata=1,\
         ametadata=mode=print:direct=1:file={pipe}"
    )
}

fn strict(program: &Path) -> FfmpegCommand {
    let mut command = base(program);
    command.args(["-xerror", "-err_detect", "explode", "-protocol_whitelist", "pipe", "-format_whitelist", "mov"]);
    // Parts are decoded side by side: threads within one would only cost.
    command.args(["-threads", "1", "-f", "mov"]).input("pipe:0");
    command
}

fn to_count(command: &mut FfmpegCommand, media: Media) {
    match media {
        Media::Video => {
            command.map("0:v:0").args(["-fps_mode", "passthrough"]).format("null").output("-");
        }
        Media::Audio => {
            command.map("0:a:0").args(["-c:a", "pcm_s16le"]).format("framecrc");
            command.output(format!("pipe:{}", crate::child::FIRST_PIPE));
        }
    }
}
