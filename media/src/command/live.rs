//! One run of a channel's encoder: a transport stream from stdin, decoded once for all rungs, without
//! end. The stream was moved in time so that the first frame that is wanted lies [`LEAD_S`] after 0:
//! every run counts its frames from there, and what comes before is only decoded.

use std::{ffi::OsString, path::Path};

use framemill_schemas::{
    live::Timeline,
    spec::{AAC_FRAME_SAMPLES, AUDIO_RATE, Decoder},
};

use super::{FRAGMENTED, arguments, audio, base, encoder, nvenc, transcode};
use crate::{child::FIRST_PIPE, encode::Via};

/// Seconds between the start of a run's time and the first frame that is wanted: more than lies before
/// that one on any tape.
pub(crate) const LEAD_S: u64 = 60;
/// How much of a stream is read before decoding starts, at most: its tables and parameter sets come
/// with the entry it begins at.
const ANALYZE_US: &str = "1500000";
const PROBE_BYTES: &str = "5000000";
/// A picture that is nearly black, or does not change, or sound that nobody hears, for this long.
const FLAW_S: u32 = 2;
/// Size of the pictures that a GPU hands out to be looked at.
const LOOK: &str = "w=160:h=90";

/// What a run encodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feed {
    /// The source.
    Stream,
    /// A picture and silence that ffmpeg makes itself, so many frames of it; in software.
    Filler {
        /// Frames.
        frames: u32,
    },
}

/// Arguments of a run. Rungs go to the child's extra pipes in order, then the sound, then what the
/// filters see in pictures, then in sound. `sound_start`: where the first frame of sound lies, in samples
/// after the first picture that is wanted.
pub(crate) fn live(program: &Path, timeline: &Timeline, feed: Feed, sound_start: i64, via: Via) -> Vec<OsString> {
    let threads = timeline.threads.max(1).to_string();
    let gpu = match (feed, timeline.nvenc, via) {
        (Feed::Stream, Some(nvenc), Via::Gpu { index, .. }) => Some((nvenc, index)),
        _ => None,
    };
    let mut command = base(program);
    match feed {
        Feed::Stream => {
            command.arg("-copyts");
            if let Some((nvenc, index)) = gpu {
                command.args(nvenc::input(nvenc.decoder, index));
            }
            command.args(["-protocol_whitelist", "pipe", "-format_whitelist", "mpegts", "-f", "mpegts"]);
            command.args(["-analyzeduration", ANALYZE_US, "-probesize", PROBE_BYTES, "-threads", &threads]);
            command.input("pipe:0");
        }
        Feed::Filler { .. } => {
            let (width, height) = timeline.rungs.first().map_or((320, 180), |rung| (rung.width, rung.height));
            let rate = timeline.clock.rate;
            command.args(["-f", "lavfi"]).input(format!("color=c=0x16202a:s={width}x{height}:r={rate}"));
            command.args(["-f", "lavfi"]).input(format!("anullsrc=r={AUDIO_RATE}:cl=stereo"));
        }
    }
    let pipes = Pipes::of(timeline);
    let graph = pictures(timeline, feed, gpu.map(|(nvenc, _)| nvenc.decoder), &pipes);
    command.args(["-filter_complex_threads", &threads]).filter_complex(graph);
    if has_sound(timeline, feed) {
        command.filter_complex(sound(timeline, feed, sound_start, &pipes));
    }
    for (index, rung) in timeline.rungs.iter().enumerate() {
        command.map(format!("[v{index}]"));
        command.args(match gpu {
            Some((_, gpu)) => nvenc::options(timeline.into(), rung, gpu),
            None => encoder::options(timeline.into(), rung),
        });
        command.args(["-fps_mode", "passthrough", "-video_track_timescale", &timeline.timescale.to_string()]);
        command.args(FRAGMENTED).args(["-movflags", transcode::MOVFLAGS]).format("mp4");
        command.output(pipes.path(index));
    }
    if has_sound(timeline, feed) {
        for (index, rung) in timeline.audio.iter().enumerate() {
            command.map(format!("[a{index}]"));
            command.args(["-c:a", "aac", "-b:a", &format!("{}k", rung.bitrate_kbps), "-flags", "+bitexact"]);
            // Short fragments: a segment waits for the last of its sound.
            command.args(FRAGMENTED).args(["-frag_duration", "100000", "-movflags", audio::MOVFLAGS]).format("mp4");
            command.output(pipes.path(timeline.rungs.len() + index));
        }
    }
    arguments(&command)
}

/// Whether a run makes sound: where the source has none, silence is made once and repeated.
pub(crate) fn has_sound(timeline: &Timeline, feed: Feed) -> bool {
    let heard = matches!(feed, Feed::Filler { .. }) || timeline.format.sound.is_some();
    heard && !timeline.audio.is_empty()
}

/// Numbers of the extra pipes.
struct Pipes {
    tracks: usize,
}

impl Pipes {
    fn of(timeline: &Timeline) -> Self {
        Self { tracks: timeline.rungs.len() + timeline.audio.len() }
    }

    fn path(&self, index: usize) -> String {
        format!("pipe:{}", FIRST_PIPE as usize + index)
    }

    /// The same within a filter, where a colon ends an option.
    fn quoted(&self, index: usize) -> String {
        format!("pipe\\\\:{}", FIRST_PIPE as usize + index)
    }
}

/// Filters that see what is wrong with a picture, and say so on a pipe.
fn watch(pipes: &Pipes) -> String {
    let pipe = pipes.quoted(pipes.tracks);
    format!(
        "blackdetect=d={FLAW_S}:pix_th=0.08,freezedetect=n=-60dB:d={FLAW_S},metadata=mode=print:direct=1:file={pipe}"
    )
}

fn pictures(timeline: &Timeline, feed: Feed, decoder: Option<Decoder>, pipes: &Pipes) -> String {
    let on_gpu = decoder == Some(Decoder::Gpu);
    let mut chain = "[0:v:0]".to_owned();
    match feed {
        Feed::Stream => {
            chain.push_str(&format!("setpts=PTS-{LEAD_S}/TB"));
            if timeline.format.interlaced {
                chain.push_str(if on_gpu { nvenc::DEINTERLACE } else { ",bwdif=mode=send_frame" });
            }
            // From here one tick is one frame, counted from the first that is wanted.
            chain.push_str(&format!(",fps={},trim=start_pts=0", timeline.clock.rate));
        }
        Feed::Filler { frames } => chain.push_str(&format!("trim=end_frame={frames}")),
    }
    let count = timeline.rungs.len();
    let smallest = timeline.rungs.iter().enumerate().min_by_key(|(_, rung)| rung.height).map_or(0, |(index, _)| index);
    let looks = feed == Feed::Stream;
    let aside = looks && decoder.is_some();
    if aside && !on_gpu {
        chain.push_str(&format!(",split=2[up][look];[look]scale={LOOK},{},nullsink;[up]null", watch(pipes)));
        chain.push_str(nvenc::UPLOAD);
    }
    let labels: String = (0..count).map(|index| format!("[s{index}]")).collect();
    if on_gpu {
        chain.push_str(&format!(",split={}{labels}[look]", count + 1));
        chain.push_str(&format!(
            ";[look]scale_cuda={LOOK}:format=nv12,hwdownload,format=nv12,{},nullsink",
            watch(pipes)
        ));
    } else {
        chain.push_str(&format!(",split={count}{labels}"));
    }
    for (index, rung) in timeline.rungs.iter().enumerate() {
        let scale = match decoder {
            Some(_) => nvenc::scale(rung),
            None => format!("scale={}:{}:flags=bicubic,setsar=1,format=yuv420p", rung.width, rung.height),
        };
        chain.push_str(&format!(";[s{index}]{scale}"));
        if looks && !aside && index == smallest {
            chain.push_str(&format!(",{}", watch(pipes)));
        }
        chain.push_str(&format!("[v{index}]"));
    }
    chain
}

fn sound(timeline: &Timeline, feed: Feed, sound_start: i64, pipes: &Pipes) -> String {
    let mut chain = match feed {
        // From its first sample on, sound is as long as its time: what is missing is filled in, and what is too
        // much is cut. So samples can be counted, and no rounding of a timestamp moves a frame off its grid.
        // The first resampler follows a clock that drifts, the second begins at the sample. One that did both would,
        // in ffmpeg 5.1, begin again at its first sample with the first drift, and put silence for all that was.
        Feed::Stream => {
            let pipe = pipes.quoted(pipes.tracks + 1);
            format!(
                "[0:a:0]asetpts=PTS-{LEAD_S}/TB,aresample={AUDIO_RATE}:async=1000,aresample={AUDIO_RATE}:async=1:first_pts={sound_start},\
                 silencedetect=n=-60dB:d={FLAW_S},ametadata=mode=print:direct=1:file={pipe},asetpts=N+({sound_start})"
            )
        }
        Feed::Filler { frames } => {
            let rate = timeline.clock.rate;
            let samples = u64::from(frames) * u64::from(rate.den) * u64::from(AUDIO_RATE) / u64::from(rate.num);
            // More than lies before the first that is wanted, and behind the last.
            format!("[1:a:0]atrim=end_sample={},asetpts=N+({sound_start})", samples + 8 * AAC_FRAME_SAMPLES)
        }
    };
    let count = timeline.audio.len();
    let labels: String = (0..count).map(|index| format!("[h{index}]")).collect();
    chain.push_str(&format!(",asplit={count}{labels}"));
    for (index, rung) in timeline.audio.iter().enumerate() {
        let layout = audio::layout(rung.channels);
        chain.push_str(&format!(";[h{index}]aformat=sample_fmts=fltp:channel_layouts={layout}[a{index}]"));
    }
    chain
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
