//! Reading what ffmpeg says of itself. Pure.

use std::collections::BTreeSet;

/// The question whose answer lists the encoders.
pub(super) const ENCODERS: &str = "-encoders";

/// What every job needs: the option that lists it, and names.
pub(super) const NEEDED: &[(&str, &[&str])] = &[
    (ENCODERS, &["aac"]),
    ("-muxers", &["mp4", "null", "framecrc"]),
    ("-demuxers", &["mov", "matroska", "mpegts", "lavfi"]),
    (
        FILTERS,
        &[
            "setpts",
            "asetpts",
            "fps",
            "trim",
            "atrim",
            "tpad",
            "apad",
            "split",
            "scale",
            "setsar",
            "format",
            "aresample",
            "aformat",
            "bwdif",
            "testsrc2",
            "sine",
        ],
    ),
    ("-protocols", &["http", "tcp", "pipe"]),
];

/// The question whose answer lists the filters.
pub(super) const FILTERS: &str = "-filters";

/// Filters of a look at what was published. A build without them does everything else.
pub(super) const OF_A_LOOK: [&str; 6] =
    ["blackdetect", "freezedetect", "silencedetect", "ebur128", "metadata", "ametadata"];

/// The names in one of ffmpeg's lists. Each line holds flags, one or more names joined by commas,
/// and a description; lists of protocols hold the name alone. Newer versions set the flag of a device
/// apart from the others: ` D d lavfi`.
pub(super) fn names(answer: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in answer.lines() {
        let mut words = line.split_whitespace();
        let (Some(first), mut second) = (words.next(), words.next()) else { continue };
        if second == Some("d") {
            second = words.next();
        }
        names.extend(second.unwrap_or(first).split(',').map(str::to_owned));
    }
    names
}

/// What a tool calls its version: `5.1.9-0+deb12u1`, `n9.0.2-17-g2a571b6068`, `N-109468-gd39b34`.
pub(super) fn version(answer: &str) -> Option<String> {
    let line = answer.lines().next()?;
    ffmpeg_sidecar::log_parser::try_parse_version(&line.replacen("ffprobe", "ffmpeg", 1))
}

/// Major and minor version of its libavutil, which builds from git name too:
/// `libavutil      57. 28.100 / 57. 28.100`.
pub(super) fn libavutil(answer: &str) -> Option<(u32, u32)> {
    let line = answer.lines().find_map(|line| line.trim_start().strip_prefix("libavutil"))?;
    // The second one is the library that is loaded, whatever was compiled against.
    let (_, loaded) = line.split_once('/')?;
    let mut numbers = loaded.split('.').map(|number| number.trim().parse::<u32>());
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_releases_distributions_and_git_are_understood() {
        for (line, expected, library) in [
            ("ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000", "5.1.9-0+deb12u1", "57. 28.100 / 57. 28.100"),
            ("ffprobe version n9.0.2-17-g2a571b6068 Copyright", "n9.0.2-17-g2a571b6068", "61. 1.100 / 61.  1.100"),
            ("ffmpeg version N-109468-gd39b34123d Copyright", "N-109468-gd39b34123d", "57. 44.100 / 57. 44.100"),
        ] {
            let answer = format!("{line}\nbuilt with gcc\n  libavutil      {library}\n");
            assert_eq!(version(&answer).as_deref(), Some(expected));
            assert!(libavutil(&answer).is_some_and(|found| found >= (57, 28)), "{answer}");
        }
        assert_eq!(libavutil("ffmpeg version 4.4\nlibavutil      56. 70.100 / 56. 70.100"), Some((56, 70)));
        assert_eq!(libavutil("no libraries"), None);
    }

    #[test]
    fn names_are_found_in_each_kind_of_list() {
        let answer = " D  mov,mp4,m4a,3gp,3g2,mj2 QuickTime / MOV\n V....D libx264  libx264 H.264\n T.C fps V->V text\n  http\n\
             \x20D d lavfi           Libavfilter virtual input device\n  D  v4l2,alsa       some devices\n";
        let names = names(answer);
        for name in ["mov", "mp4", "libx264", "fps", "http", "lavfi", "v4l2", "alsa"] {
            assert!(names.contains(name), "{name}");
        }
    }
}
