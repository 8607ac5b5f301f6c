//! ffmpeg and ffprobe command lines. Pure: the same plan gives the same arguments.

mod audio;
mod canary;
mod decode;
mod encoder;
mod ingest;
mod live;
mod nvenc;
mod probe;
mod transcode;

use std::{ffi::OsString, path::Path};

use ffmpeg_sidecar::command::FfmpegCommand;

pub(crate) use audio::audio;
pub(crate) use canary::canary;
pub(crate) use decode::{decode, look};
pub(crate) use ingest::{describe_stream, ingest, repack};
pub(crate) use live::{Feed, LEAD_S, live};
pub(crate) use probe::{describe, frames, packets};
pub(crate) use transcode::transcode;

use crate::formats;

/// A builder with what every run has: no questions, no banner, machine-readable progress on
/// stdout, only warnings on stderr.
fn base(program: &Path) -> FfmpegCommand {
    let mut command = FfmpegCommand::new_with_path(program);
    command.hide_banner().args(["-nostdin", "-loglevel", "level+warning", "-nostats"]);
    command.args(["-progress", "pipe:1", "-stats_period", "0.25"]);
    command
}

/// What a source may be: bytes from our own loopback reader, in a listed format. A playlist in
/// disguise is refused before anything it names is opened.
fn admitted() -> [String; 4] {
    ["-protocol_whitelist".to_owned(), "http,tcp".to_owned(), "-format_whitelist".to_owned(), formats::whitelist()]
}

/// Fragmented MP4 into a pipe, with times exactly as on the source's own line and nothing in it
/// that depends on when or where it was made. `negative_cts_offsets` and `cmaf` keep the decode
/// time of the first sample equal to its presentation time; an edit list would hide it.
const FRAGMENTED: [&str; 10] = [
    "-map_metadata",
    "-1",
    "-map_chapters",
    "-1",
    "-avoid_negative_ts",
    "disabled",
    "-use_editlist",
    "0",
    "-fflags",
    "+bitexact",
];

fn arguments(command: &FfmpegCommand) -> Vec<OsString> {
    command.get_args().map(OsString::from).collect()
}
