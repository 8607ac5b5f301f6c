//! The trace of those who watch something: one for each title or channel and day, found by its name alone. Edges know
//! no record of what they serve, and ask nobody; whoever looks for the trace derives the same.

use crate::trace::TraceContext;

/// A day, milliseconds.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// Takes what is watched (`asset:ID`, `channel:TENANT/CHANNEL`, as its objects are tagged) and a moment, Unix
/// milliseconds; returns the parent of what viewers do with it on that day (UTC). Nobody ever records that parent.
pub fn viewing(tag: &str, at_ms: i64) -> TraceContext {
    let day = at_ms.div_euclid(DAY_MS);
    let digest = blake3::hash(format!("framemill viewers\n{tag}\n{day}").as_bytes()).to_hex();
    TraceContext { traceparent: format!("00-{}-{}-01", &digest[..32], &digest[32..48]), ..TraceContext::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_a_channel_is_one_trace() {
        let of = |tag, at_ms| viewing(tag, at_ms).id().map(str::to_owned).expect("it is a trace");
        let news = of("channel:acme/news", 0);
        assert_eq!(news, of("channel:acme/news", DAY_MS - 1));
        assert_ne!(news, of("channel:acme/news", DAY_MS));
        assert_ne!(news, of("channel:acme/sport", 0));
        // What is printed has to be what edges wrote before: it never changes.
        assert_eq!(viewing("channel:acme/news", 0).traceparent.len(), 55);
    }
}
