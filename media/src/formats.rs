//! The container formats that are taken. Demuxers that open further addresses (playlists, concat
//! scripts, image sequences, manifests) are not among them: nothing a source says can make ffmpeg
//! read anything else.

/// A container format that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// ffmpeg's name of the demuxer.
    pub demuxer: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// Whether its index gives every keyframe's place, so that a seek lands where it was aimed.
    pub indexed: bool,
    /// Whether timestamps may jump inside it: broadcast formats are recorded, not authored.
    pub may_jump: bool,
}

const fn format(demuxer: &'static str, name: &'static str, indexed: bool, may_jump: bool) -> Format {
    Format { demuxer, name, indexed, may_jump }
}

/// All of them.
pub const FORMATS: &[Format] = &[
    format("mov", "MP4, MOV, M4V, 3GP", true, false),
    format("matroska", "Matroska, WebM", false, false),
    format("mpegts", "MPEG transport stream (TS, M2TS)", false, true),
    format("mpeg", "MPEG program stream (MPG, VOB)", false, true),
    format("avi", "AVI", false, false),
    format("mxf", "MXF", false, false),
    format("flv", "Flash video (FLV)", false, true),
    format("asf", "Windows Media (WMV, ASF)", false, false),
    format("ogg", "Ogg", false, false),
];

/// The list as ffmpeg's `-format_whitelist` takes it.
pub fn whitelist() -> String {
    FORMATS.iter().map(|format| format.demuxer).collect::<Vec<_>>().join(",")
}

/// The list for people.
pub fn names() -> String {
    FORMATS.iter().map(|format| format.name).collect::<Vec<_>>().join("; ")
}

/// The format ffmpeg reports; it names several at once (`mov,mp4,m4a,3gp,3g2,mj2`).
pub fn find(reported: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| reported.split(',').any(|name| name == format.demuxer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ffmpegs_names_are_found() {
        assert!(find("mov,mp4,m4a,3gp,3g2,mj2").is_some_and(|format| format.indexed));
        assert!(find("matroska,webm").is_some());
        assert!(find("mpegts").is_some_and(|format| format.may_jump));
        for refused in ["hls", "concat", "dash", "image2", "lavfi", "tty", ""] {
            assert!(find(refused).is_none(), "{refused}");
        }
    }
}
