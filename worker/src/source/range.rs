//! The `Range` header of a request (RFC 9110, clause 14). Pure.

use std::ops::Range;

/// What a request wants of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: no range, or one that is not understood and so ignored (clause 14.2).
    Whole,
    /// These bytes; never empty, never over the end.
    Part(Range<u64>),
    /// Bytes that are not there.
    Nothing,
}

/// Reads a `Range` header for a source of `size` bytes. Several ranges at once are answered with
/// the whole, as the clause allows.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(header) = header else { return Wanted::Whole };
    let Some((unit, ranges)) = header.split_once('=') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let Some((first, last)) = ranges.trim().split_once('-') else { return Wanted::Whole };
    match (number(first), number(last)) {
        (Number::Is(first), Number::None) => part(first, size, size),
        (Number::Is(first), Number::Is(last)) if first <= last => part(first, last.saturating_add(1), size),
        (Number::None, Number::Is(suffix)) => part(size.saturating_sub(suffix), size, size),
        _ => Wanted::Whole,
    }
}

fn part(start: u64, end: u64, size: u64) -> Wanted {
    let end = end.min(size);
    if start < end { Wanted::Part(start..end) } else { Wanted::Nothing }
}

enum Number {
    None,
    Is(u64),
    Bad,
}

/// Digits only: no sign, no separators. More than 64 bits is beyond every end.
fn number(text: &str) -> Number {
    let text = text.trim();
    if text.is_empty() {
        Number::None
    } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
        Number::Is(text.parse().unwrap_or(u64::MAX))
    } else {
        Number::Bad
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let cases = [
            (None, Wanted::Whole),
            (Some("bytes=0-"), Wanted::Part(0..100)),
            (Some("bytes=0-0"), Wanted::Part(0..1)),
            (Some("Bytes = 10-19"), Wanted::Part(10..20)),
            (Some("bytes=90-1000"), Wanted::Part(90..100)),
            (Some("bytes=99-"), Wanted::Part(99..100)),
            (Some("bytes=-5"), Wanted::Part(95..100)),
            (Some("bytes=-500"), Wanted::Part(0..100)),
            (Some("bytes=-0"), Wanted::Nothing),
            (Some("bytes=100-"), Wanted::Nothing),
            (Some("bytes=100-200"), Wanted::Nothing),
            (Some("bytes=99999999999999999999-"), Wanted::Nothing),
            (Some("bytes=0-99999999999999999999"), Wanted::Part(0..100)),
            (Some("bytes=20-10"), Wanted::Whole),
            (Some("bytes=0-1,5-6"), Wanted::Whole),
            (Some("bytes=-"), Wanted::Whole),
            (Some("bytes=+1-2"), Wanted::Whole),
            (Some("bytes=a-b"), Wanted::Whole),
            (Some("lines=0-1"), Wanted::Whole),
            (Some(""), Wanted::Whole),
        ];
        for (header, expected) in cases {
            assert_eq!(wanted(header, 100), expected, "{header:?}");
        }
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
    }

    proptest! {
        #[test]
        fn no_header_reaches_over_the_end(header in "(bytes=)?[-0-9, a]{0,30}", size: u64) {
            if let Wanted::Part(range) = wanted(Some(&header), size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }

        #[test]
        fn a_good_range_is_what_was_asked_for(first: u32, length in 1_u64..1 << 32, beyond: u32) {
            let first = u64::from(first);
            let size = first + length + u64::from(beyond);
            let header = format!("bytes={first}-{}", first + length - 1);
            prop_assert_eq!(wanted(Some(&header), size), Wanted::Part(first..first + length));
            prop_assert_eq!(wanted(Some(&format!("bytes=-{length}")), size), Wanted::Part(size - length..size));
        }
    }
}
