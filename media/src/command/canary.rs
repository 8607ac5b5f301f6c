//! A few frames that ffmpeg makes itself, encoded as fragmented MP4 onto stdout.

use std::{ffi::OsString, path::Path};

use framemill_schemas::ladder::VideoCodec;

use super::arguments;
use crate::{
    canary::{PICTURES, Song, sound_samples},
    toolchain::software_encoder,
};

/// Arguments of a canary. No progress report: stdout is the stream.
pub(crate) fn canary(program: &Path, song: Song) -> Vec<OsString> {
    let mut command = ffmpeg_sidecar::command::FfmpegCommand::new_with_path(program);
    command.hide_banner().args(["-nostdin", "-loglevel", "level+warning", "-nostats", "-f", "lavfi"]);
    match song {
        Song::Video(codec) => {
            command.input("testsrc2=size=320x180:rate=25");
            command.args(["-frames:v", &PICTURES.to_string(), "-pix_fmt", "yuv420p"]);
            command.args(["-c:v", software_encoder(codec), "-threads", "1", "-g", "6"]);
            command.args(preset(codec));
        }
        Song::Audio => {
            let samples = sound_samples();
            command.input(format!("sine=frequency=440:sample_rate=48000,atrim=end_sample={samples}"));
            command.args(["-c:a", "aac", "-b:a", "96k"]);
        }
    }
    command.args(["-movflags", "+cmaf+frag_keyframe+empty_moov+default_base_moof"]).format("mp4").output("pipe:1");
    arguments(&command)
}

/// The quickest each encoder has: whether it works is asked, not how well.
const fn preset(codec: VideoCodec) -> [&'static str; 2] {
    match codec {
        VideoCodec::H264 | VideoCodec::Hevc => ["-preset", "ultrafast"],
        VideoCodec::Av1 => ["-preset", "12"],
    }
}
