//! Strict decoding of what was made.

use std::{ffi::OsString, path::Path};

use super::{arguments, base};
use crate::decode::Media;

/// Arguments that decode a stream from stdin and stop at the first fault. Pictures are counted by
/// the progress report; sound is listed frame by frame on the child's first extra pipe, because the
/// report rounds its length.
pub(crate) fn decode(program: &Path, media: Media) -> Vec<OsString> {
    let mut command = base(program);
    command.args(["-xerror", "-err_detect", "explode", "-protocol_whitelist", "pipe", "-format_whitelist", "mov"]);
    // Parts are decoded side by side: threads within one would only cost.
    command.args(["-threads", "1", "-f", "mov"]).input("pipe:0");
    match media {
        Media::Video => {
            command.map("0:v:0").args(["-fps_mode", "passthrough"]).format("null").output("-");
        }
        Media::Audio => {
            command.map("0:a:0").args(["-c:a", "pcm_s16le"]).format("framecrc");
            command.output(format!("pipe:{}", crate::child::FIRST_PIPE));
        }
    }
    arguments(&command)
}
