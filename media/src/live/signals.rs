//! What filters see: black, frozen, silent. They write their findings as frame metadata, of which each line
//! says one; those of an encoder and those of a look at what was published say it alike. Pure.

use framemill_schemas::live::Flaw;

/// Something begins or ends to be wrong with the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// What.
    pub flaw: Flaw,
    /// Whether it begins.
    pub begins: bool,
}

/// Metadata keys of the filters, without their values.
const KEYS: [(&str, Flaw, bool); 6] = [
    ("lavfi.black_start=", Flaw::Black, true),
    ("lavfi.black_end=", Flaw::Black, false),
    ("lavfi.freezedetect.freeze_start=", Flaw::Frozen, true),
    ("lavfi.freezedetect.freeze_end=", Flaw::Frozen, false),
    ("lavfi.silence_start=", Flaw::Silent, true),
    ("lavfi.silence_end=", Flaw::Silent, false),
];

/// Reads a line of what the metadata filter prints.
pub(super) fn signal(line: &str) -> Option<Signal> {
    timed(line).map(|(signal, _)| signal)
}

/// The same, with the time it says, in seconds as ffmpeg writes them.
pub(crate) fn timed(line: &str) -> Option<(Signal, &str)> {
    let line = line.trim_start();
    let found = |(key, flaw, begins): &(&str, Flaw, bool)| {
        let time = line.strip_prefix(key)?;
        Some((Signal { flaw: *flaw, begins: *begins }, time.trim_end()))
    };
    KEYS.iter().find_map(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_beginnings_and_ends_are_signals() {
        let signal_of = |flaw, begins| Some(Signal { flaw, begins });
        for (line, expected) in [
            ("frame:50   pts:50      pts_time:2", None),
            ("lavfi.black_start=2.04", signal_of(Flaw::Black, true)),
            ("lavfi.black_end=4", signal_of(Flaw::Black, false)),
            ("lavfi.freezedetect.freeze_start=1.5", signal_of(Flaw::Frozen, true)),
            ("lavfi.freezedetect.freeze_duration=3", None),
            ("lavfi.freezedetect.freeze_end=4.5", signal_of(Flaw::Frozen, false)),
            ("lavfi.silence_start=0.3", signal_of(Flaw::Silent, true)),
            ("lavfi.silence_duration=0.3", None),
            ("", None),
        ] {
            assert_eq!(signal(line), expected, "{line}");
        }
    }
}
