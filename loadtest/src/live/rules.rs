//! Rules that live playlists keep over time (RFC 8216, clauses 6.2.1 and 6.2.2). Pure.

use framemill_schemas::finding::Finding;

use super::playlist::Media;

/// By how much the time of a segment may differ between two playlists: dates have milliseconds.
const DATE_OFF_US: i64 = 1500;

/// What is wrong with one playlist by itself. `at` names it.
pub fn alone(at: &str, media: &Media) -> Vec<Finding> {
    let mut findings = Vec::new();
    for entry in &media.entries {
        let rounded = (entry.micros + 500_000) / 1_000_000;
        if rounded > media.target_s {
            let measured = format!("{} us in number {}", entry.micros, entry.number);
            findings.push(Finding::error("target-exceeded", at, measured, format!("{} s", media.target_s)));
        }
        let named = entry.uri.rsplit('/').next().and_then(|name| name.split(['.', '-']).next());
        if named != Some(entry.number.to_string().as_str()) {
            findings.push(Finding::error("number-differs", at, &entry.uri, entry.number));
        }
        if entry.starts_us.is_none() {
            findings.push(Finding::error("no-date", at, entry.number, "a date of every segment"));
        }
    }
    for pair in media.entries.windows(2) {
        let (Some(end), Some(start)) = (pair[0].ends_us(), pair[1].starts_us) else { continue };
        if pair[0].breaks == pair[1].breaks && (end - start).abs() > DATE_OFF_US {
            let measured =
                format!("number {} starts {} us after the end of the one before", pair[1].number, start - end);
            findings.push(Finding::error("date-jumps", at, measured, "dates that follow on"));
        }
    }
    findings
}

/// What is wrong with a playlist after another of the same rendition.
pub fn after(at: &str, before: &Media, now: &Media) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |code: &str, measured: String, expected: String| {
        findings.push(Finding::error(code, at, measured, expected));
    };
    if before.target_s != now.target_s {
        found("target-changes", now.target_s.to_string(), before.target_s.to_string());
    }
    if now.sequence < before.sequence {
        found("sequence-falls", now.sequence.to_string(), format!("at least {}", before.sequence));
    }
    if before.ended && before != now {
        found("ended-goes-on", "another playlist".to_owned(), "none after its end".to_owned());
    }
    let last = |media: &Media| media.last().map_or(media.sequence, |entry| entry.number + 1);
    if last(now) < last(before) {
        found("turned-back", format!("ends with {}", last(now)), format!("at least {}", last(before)));
    }
    for entry in &now.entries {
        let Some(known) = before.entry(entry.number) else { continue };
        let same = known.uri == entry.uri && known.micros == entry.micros && known.gap == entry.gap;
        // The init of a gap that nothing stood before is not told any more once it comes first.
        if !same || (!entry.gap && known.init != entry.init) {
            found("entry-changes", format!("{entry:?}"), format!("{known:?}"));
        }
        if known.breaks != entry.breaks {
            let measured = format!("number {} after {} discontinuities", entry.number, entry.breaks);
            found("discontinuity-sequence", measured, known.breaks.to_string());
        }
        let off = known.starts_us.zip(entry.starts_us).map_or(0, |(known, now)| (known - now).abs());
        if off > DATE_OFF_US {
            found("date-changes", format!("{off} us in number {}", entry.number), "the same".to_owned());
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::playlist::tests::playlist, *};

    fn media(first: u64, breaks: u64, what: &str) -> Media {
        Media::parse(&playlist(first, breaks, what)).unwrap()
    }

    #[test]
    fn a_window_that_slides_is_right() {
        for (before, now) in [
            (media(1, 0, "sss"), media(1, 0, "sss")),
            (media(1, 0, "sss"), media(2, 0, "sss")),
            (media(1, 0, "s|ss"), media(2, 1, "sss")),
            (media(1, 0, "s|ss"), media(2, 0, "|sss")),
            (media(1, 0, "sgs"), media(2, 0, "gss")),
        ] {
            assert_eq!(after("p", &before, &now), [], "{before:?} {now:?}");
            assert_eq!(alone("p", &now), []);
        }
    }

    #[test]
    fn each_breach_is_found() {
        let base = || media(5, 2, "sgs");
        let changed = |change: &dyn Fn(&mut Media)| {
            let mut media = base();
            change(&mut media);
            media
        };
        for (code, now) in [
            ("target-changes", changed(&|media| media.target_s = 3)),
            ("sequence-falls", media(4, 2, "ssgs")),
            ("turned-back", media(5, 2, "sg")),
            ("entry-changes", media(5, 2, "sss")),
            ("entry-changes", changed(&|media| media.entries[0].uri = "v/x/5.m4s".to_owned())),
            ("discontinuity-sequence", media(6, 3, "gs")),
            ("date-changes", changed(&|media| media.entries[2].starts_us = Some(1))),
        ] {
            let found = after("p", &base(), &now);
            assert!(found.iter().any(|finding| finding.code == code), "{code}: {found:?}");
        }
        let wrong = changed(&|media| media.entries[0].micros = 2_600_000);
        let codes: Vec<_> = alone("p", &wrong).into_iter().map(|finding| finding.code).collect();
        assert!(codes.contains(&"target-exceeded".to_owned()), "{codes:?}");
    }
}
