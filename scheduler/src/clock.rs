//! The wall clock: for records and reports, never for deciding who is late.

/// Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
