//! A few frames that ffmpeg makes itself, encoded as fragmented MP4 onto stdout.

use std::{ffi::OsString, path::Path};

use framemill_schemas::{inventory::Engine, ladder::VideoCodec};

use super::arguments;
use crate::{
    canary::{PICTURES, Song, sound_samples},
    encoder::Encoder,
};

/// Arguments of a canary. No progress report: stdout is the stream.
pub(crate) fn canary(program: &Path, song: Song) -> Vec<OsString> {
    let mut command = ffmpeg_sidecar::command::FfmpegCommand::new_with_path(program);
    command.hide_banner().args(["-nostdin", "-loglevel", "level+warning", "-nostats"]);
    match song {
        Song::Video(encoder, gpu) => {
            command.args(device(encoder.engine));
            // Hardware encoders refuse pictures that are much smaller, and software takes its time.
            let size = if encoder.engine == Engine::Software { "320x180" } else { "640x360" };
            command.args(["-f", "lavfi"]).input(format!("testsrc2=size={size}:rate=25"));
            command.args(["-frames:v", &PICTURES.to_string(), "-vf", upload(encoder.engine)]);
            command.args(["-c:v", encoder.name(), "-g", "6"]);
            command.args(quickest(encoder));
            if let (Engine::Nvenc, Some(gpu)) = (encoder.engine, gpu) {
                command.args(["-gpu", &gpu.to_string()]);
            }
        }
        Song::Audio => {
            let samples = sound_samples();
            command
                .args(["-f", "lavfi"])
                .input(format!("sine=frequency=440:sample_rate=48000,atrim=end_sample={samples}"));
            command.args(["-c:a", "aac", "-b:a", "96k"]);
        }
    }
    command.args(["-movflags", "+cmaf+frag_keyframe+empty_moov+default_base_moof"]).format("mp4").output("pipe:1");
    arguments(&command)
}

/// The device that filters and encoders of an engine need; nvenc opens its own.
const fn device(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Vaapi => &["-init_hw_device", "vaapi=device", "-filter_hw_device", "device"],
        Engine::Qsv => &["-init_hw_device", "qsv=device", "-filter_hw_device", "device"],
        Engine::Nvenc | Engine::Software => &[],
    }
}

/// From the generator's pictures to what the engine takes.
const fn upload(engine: Engine) -> &'static str {
    match engine {
        Engine::Vaapi => "format=nv12,hwupload",
        Engine::Qsv => "format=nv12,hwupload=extra_hw_frames=64",
        Engine::Nvenc | Engine::Software => "format=yuv420p",
    }
}

/// The quickest each encoder has: whether it works is asked, not how well.
const fn quickest(encoder: Encoder) -> &'static [&'static str] {
    match (encoder.engine, encoder.codec) {
        (Engine::Software, VideoCodec::H264 | VideoCodec::Hevc) => &["-preset", "ultrafast", "-threads", "1"],
        (Engine::Software, VideoCodec::Av1) => &["-preset", "12", "-threads", "1"],
        (Engine::Nvenc, _) => &["-preset", "p1"],
        (Engine::Vaapi | Engine::Qsv, _) => &[],
    }
}
