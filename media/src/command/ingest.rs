//! Opening a source of a channel without decoding it: its packets, or its pictures and its sound put
//! into packets, onto the child's first extra pipe.

use std::{ffi::OsString, path::Path};

use super::{admitted, arguments, base};
use crate::{child::FIRST_PIPE, live::ingest::Opening};

/// Into packets, with timestamps as they are.
const REMUX: [&str; 14] = [
    "-map",
    "0:v:0",
    "-map",
    "0:a:0?",
    "-c",
    "copy",
    "-muxdelay",
    "0",
    "-muxpreload",
    "0",
    "-mpegts_flags",
    "+resend_headers+initial_discontinuity",
    "-flush_packets",
    "1",
];

/// How much of a source is read before its packets come, at most.
const ANALYZE_US: &str = "2000000";

/// Arguments that read a source.
pub(crate) fn ingest(program: &Path, opening: &Opening) -> Vec<OsString> {
    let mut command = base(program);
    match opening {
        Opening::Packets { url, protocols, .. } => {
            // Bytes as they come: nothing is parsed, and no clock is unwrapped.
            command.args(["-protocol_whitelist", protocols, "-format_whitelist", "data", "-f", "data"]).input(url);
            command.args(["-map", "0", "-c", "copy", "-flush_packets", "1"]).format("data");
        }
        Opening::Streams { url, protocols, format, options, .. } => {
            command.args(["-copyts", "-protocol_whitelist", protocols]);
            command.args(["-format_whitelist", format, "-analyzeduration", ANALYZE_US]);
            command.args(options).args(["-f", format.split(',').next().unwrap_or(format)]).input(url);
            command.args(REMUX).format("mpegts");
        }
        Opening::File { url } => {
            command.args(admitted()).input(url).args(REMUX).format("mpegts");
        }
    }
    command.output(format!("pipe:{FIRST_PIPE}"));
    arguments(&command)
}

/// Arguments that put fragmented MP4 from stdin into packets.
pub(crate) fn repack(program: &Path) -> Vec<OsString> {
    let mut command = base(program);
    command.args(["-copyts", "-protocol_whitelist", "pipe", "-format_whitelist", "mov", "-f", "mov"]).input("pipe:0");
    command.args(REMUX).format("mpegts").output(format!("pipe:{FIRST_PIPE}"));
    arguments(&command)
}

/// Asks what a transport stream from stdin holds.
pub(crate) fn describe_stream() -> Vec<OsString> {
    let mut args: Vec<OsString> = ["-hide_banner", "-loglevel", "level+warning"].map(OsString::from).into();
    args.extend(["-protocol_whitelist", "pipe", "-format_whitelist", "mpegts", "-f", "mpegts"].map(OsString::from));
    args.extend(["-of", "json", "-show_format", "-show_streams", "-i", "pipe:0"].map(OsString::from));
    args
}
