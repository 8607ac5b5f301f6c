//! Against the installed ffmpegs: that every option and every value parses. None of the machines that run
//! this has such an encoder, so each run ends where the device is asked for, and in no other way.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use framemill_schemas::{
    nvenc::{Multipass, NvencTuning, Tune},
    rate::{FrameGrid, Ratio},
    source::Source,
    spec::{Nvenc, TranscodeSpec},
};

use super::*;
use crate::{command, encode::Via};

/// The ffmpegs at hand: the system's, and the newest.
fn ffmpegs() -> Vec<PathBuf> {
    let at_hand = std::env::var_os("FRAMEMILL_FFMPEG__FFMPEG").unwrap_or_else(|| "ffmpeg".into());
    let newest = std::env::var_os("FRAMEMILL_TEST_FFMPEG_NEW");
    std::iter::once(at_hand).chain(newest).map(PathBuf::from).collect()
}

/// What an ffmpeg lists.
fn lists(ffmpeg: &Path, what: &str, name: &str) -> bool {
    let listed = Command::new(ffmpeg).args(["-hide_banner", what]).output().unwrap();
    String::from_utf8_lossy(&listed.stdout).split_whitespace().any(|word| word == name)
}

/// How ffmpeg says that an option or a value is none of its.
const REFUSED: [&str; 10] = [
    "Unrecognized option",
    "Error setting option",
    "Option not found",
    "Undefined constant",
    "Unable to parse",
    "Error applying option",
    "Error splitting",
    "No such filter",
    "Unknown encoder",
    "has not been used for any stream",
];
/// How it says that there is no such device.
const NO_DEVICE: [&str; 5] = [
    "Cannot load libcuda",
    "Could not dynamically load CUDA",
    "No CUDA capable",
    "Cannot load libnvidia",
    "CUDA_ERROR",
];

/// Runs ffmpeg, which has to end for want of a device.
fn ends_at_the_device(ffmpeg: &Path, args: &[String]) {
    let ran = Command::new(ffmpeg).args(["-hide_banner", "-nostdin"]).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(!ran.status.success(), "{args:?}: there is a GPU after all");
    assert!(NO_DEVICE.iter().any(|says| said.contains(says)), "{}: {args:?}: {said}", ffmpeg.display());
    let refused = REFUSED.iter().find(|says| said.contains(**says));
    assert!(refused.is_none(), "{}: {args:?}: {said}", ffmpeg.display());
}

fn rung(tuning: NvencTuning, rate_control: RateControl) -> RungSpec {
    RungSpec {
        name: "r".to_owned(),
        width: 640,
        height: 360,
        rate_control,
        preset: "medium".to_owned(),
        nvenc: Some(tuning),
    }
}

fn spec(codec: VideoCodec, decoder: Decoder, rungs: Vec<RungSpec>) -> TranscodeSpec {
    TranscodeSpec {
        source: Source::Path("/x".into()),
        identity: String::new(),
        folder: String::new(),
        stream: 0,
        grid: FrameGrid {
            rate: Ratio { num: 25, den: 1 },
            frames: 100,
            origin_ticks: 0,
            time_base: Ratio { num: 1, den: 25 },
        },
        start_frame: 0,
        end_frame: 50,
        seek: Vec::new(),
        deinterlace: true,
        gop_frames: 50,
        segment_frames: 100,
        timescale: 25_000,
        threads: 1,
        nvenc: Some(Nvenc { decoder }),
        codec,
        rungs,
    }
}

/// Every preset, and every value of every other choice, with both kinds of rate control.
fn tunings() -> Vec<RungSpec> {
    let base = NvencTuning::default;
    let fast = NvencTuning { b_frames: 0, ..base() };
    let mut tunings: Vec<_> = (1..=7).map(|preset| NvencTuning { preset: Some(preset), ..base() }).collect();
    tunings.extend([Tune::Ll, Tune::Ull].map(|tune| NvencTuning { tune, ..fast }));
    tunings.extend([Multipass::Disabled, Multipass::Fullres].map(|multipass| NvencTuning { multipass, ..base() }));
    tunings.extend([
        NvencTuning { lookahead: 32, b_frames: 4, temporal_aq: true, ..base() },
        NvencTuning { b_ref: BReference::Disabled, spatial_aq: false, ..base() },
    ]);
    let average = RateControl::Average { bitrate_kbps: 800, maxrate_kbps: 1200 };
    let quality = RateControl::Quality { quality: 63, maxrate_kbps: Some(900) };
    tunings.iter().flat_map(|tuning| [rung(*tuning, average), rung(*tuning, quality)]).collect()
}

#[test]
fn every_option_of_every_encoder_parses() {
    for ffmpeg in ffmpegs() {
        for codec in VideoCodec::ALL {
            let encoder = Encoder { engine: framemill_schemas::inventory::Engine::Nvenc, codec };
            // AV1 is newer than the oldest ffmpeg that is taken.
            if !lists(&ffmpeg, "-encoders", encoder.name()) {
                assert_eq!(codec, VideoCodec::Av1, "{}", ffmpeg.display());
                continue;
            }
            for rung in tunings() {
                let spec = spec(codec, Decoder::Gpu, vec![rung.clone()]);
                let mut args = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25", "-frames:v", "2"]
                    .map(str::to_owned)
                    .to_vec();
                args.extend(options((&spec).into(), &rung, 0));
                args.extend(["-f", "null", "-"].map(str::to_owned));
                ends_at_the_device(&ffmpeg, &args);
            }
        }
    }
}

#[test]
fn every_filter_is_there_and_takes_its_options() {
    for ffmpeg in ffmpegs() {
        for filter in ["scale_cuda", "yadif_cuda", "hwupload_cuda"] {
            assert!(lists(&ffmpeg, "-filters", filter), "{}: {filter}", ffmpeg.display());
        }
        let average = RateControl::Average { bitrate_kbps: 800, maxrate_kbps: 1200 };
        let rung = rung(NvencTuning::default(), average);
        // Without a device the graph is read, with all its options, and then has no way from one memory to
        // the other.
        let graph = format!("testsrc2=size=640x360,setpts=PTS{DEINTERLACE},{}", scale(&rung));
        let ran = Command::new(&ffmpeg)
            .args(["-hide_banner", "-nostdin", "-f", "lavfi", "-i", &graph, "-frames:v", "1", "-f", "null", "-"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(!ran.status.success() && said.contains("Impossible to convert between the formats"), "{said}");
        let refused = ["Option not found", "No such filter", "Unable to parse", "Undefined constant"];
        assert!(!refused.iter().any(|says| said.contains(says)), "{}: {said}", ffmpeg.display());
        let upload = format!("testsrc2=size=640x360{UPLOAD}");
        let args = ["-f", "lavfi", "-i", &upload, "-frames:v", "1", "-f", "null", "-"].map(str::to_owned);
        ends_at_the_device(&ffmpeg, &args);
    }
}

#[test]
fn whole_command_lines_are_taken_up_to_the_device() {
    let average = RateControl::Average { bitrate_kbps: 800, maxrate_kbps: 1200 };
    let rungs = vec![rung(NvencTuning::default(), average); 2];
    for ffmpeg in ffmpegs() {
        for decoder in [Decoder::Gpu, Decoder::Software] {
            let spec = spec(VideoCodec::H264, decoder, rungs.clone());
            let via = Via::Gpu { index: 0, pace_milli: 2500 };
            let args = command::transcode(&ffmpeg, &spec, via, 0, "http://127.0.0.1:1/x");
            let args: Vec<_> = args.into_iter().map(|arg| arg.into_string().unwrap()).collect();
            ends_at_the_device(&ffmpeg, &args);
        }
    }
}

#[test]
fn pictures_stay_on_the_gpu_where_it_decodes_and_go_up_once_where_it_does_not() {
    let average = RateControl::Average { bitrate_kbps: 800, maxrate_kbps: 1200 };
    let line = |decoder| {
        let spec = spec(VideoCodec::Hevc, decoder, vec![rung(NvencTuning::default(), average); 2]);
        let args = command::transcode(Path::new("ffmpeg"), &spec, Via::Gpu { index: 3, pace_milli: 2500 }, 0, "u");
        args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    };
    let scaled = "split=2[s0][s1];[s0]scale_cuda=w=640:h=360:interp_algo=bicubic:format=nv12,setsar=1[v0];\
                  [s1]scale_cuda=w=640:h=360:interp_algo=bicubic:format=nv12,setsar=1[v1]";
    let gpu = line(Decoder::Gpu);
    for part in [
        "-init_hw_device cuda=gpu:3 -filter_hw_device gpu -hwaccel cuda",
        "-readrate 2.500",
        &format!(
            "setpts=PTS-(0),yadif_cuda=mode=send_frame,fps=25/1:start_time=0,trim=start_pts=0:end_pts=50,{scaled}"
        ),
        "-c:v hevc_nvenc -gpu 3 -preset p5 -tune hq",
        "-g 50 -flags +cgop+bitexact -forced-idr 1 -strict_gop 1",
        "-tag:v hvc1",
    ] {
        assert!(gpu.contains(part), "{part}\n{gpu}");
    }
    let hybrid = line(Decoder::Software);
    assert!(!hybrid.contains("-hwaccel"), "{hybrid}");
    let part = format!(
        ",bwdif=mode=send_frame,fps=25/1:start_time=0,trim=start_pts=0:end_pts=50,format=nv12,hwupload_cuda,{scaled}"
    );
    assert!(hybrid.contains(&part), "{part}\n{hybrid}");
}
