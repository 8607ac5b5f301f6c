//! What ffprobe is asked.

use std::ffi::OsString;

use super::admitted;

fn ffprobe(extra: &[&str], url: &str) -> Vec<OsString> {
    let mut args: Vec<OsString> = ["-hide_banner", "-loglevel", "level+warning"].map(OsString::from).into();
    args.extend(admitted().map(OsString::from));
    args.extend(extra.iter().map(OsString::from));
    args.extend(["-i", url].map(OsString::from));
    args
}

/// Container and streams, as JSON.
pub(crate) fn describe(url: &str) -> Vec<OsString> {
    ffprobe(&["-of", "json", "-show_format", "-show_streams"], url)
}

/// One line for each packet of every stream: stream, pts, dts, duration, flags.
pub(crate) fn packets(url: &str) -> Vec<OsString> {
    let entries = "packet=stream_index,pts,dts,duration,flags";
    ffprobe(&["-of", "compact=p=0:nk=0", "-show_packets", "-show_entries", entries], url)
}

/// One line for each decoded picture of a stream: its best timestamp and its duration. For sources
/// whose packets carry no timestamps.
pub(crate) fn frames(url: &str, stream: u32) -> Vec<OsString> {
    let entries = "frame=best_effort_timestamp,pkt_duration,duration";
    let stream = stream.to_string();
    ffprobe(&["-select_streams", &stream, "-of", "compact=p=0:nk=0", "-show_frames", "-show_entries", entries], url)
}
