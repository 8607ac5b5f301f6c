//! Numbers as people read them. Pure.

/// A size: `1.5 MB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths = (tenths + 500) / 1000;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
    }
}

/// A length: `1:02:03.4`, with tenths below a minute.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}.{} s", ms % 1000 / 100),
        (0, m, s) => format!("{m}:{s:02}"),
        (h, m, s) => format!("{h}:{m:02}:{s:02}"),
    }
}

/// A bitrate from a size and a length: `3.1 Mbit/s`; empty where either is missing.
pub fn bitrate(bytes: u64, ms: u64) -> String {
    if bytes == 0 || ms == 0 {
        return String::new();
    }
    let kbps = bytes.saturating_mul(8) / ms;
    if kbps < 1000 { format!("{kbps} kbit/s") } else { format!("{}.{} Mbit/s", kbps / 1000, kbps % 1000 / 100) }
}

/// A frame rate: `25`, `29.97`.
pub fn rate(rate: framemill_schemas::rate::Ratio) -> String {
    let text = format!("{:.3}", rate.as_f64());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A moment in UTC: `2026-11-20 18:02:03`.
pub fn moment(ms: i64) -> String {
    let text = jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string();
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use framemill_schemas::rate::Ratio;

    #[test]
    fn numbers_read_well() {
        for (number, text) in
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_550_000, "1.6 MB"), (u64::MAX, "18446744.1 TB")]
        {
            assert_eq!(bytes(number), text);
        }
        for (ms, text) in [(0, "0.0 s"), (5_040, "5.0 s"), (61_000, "1:01"), (3_723_000, "1:02:03")] {
            assert_eq!(duration(ms), text);
        }
        for (size, ms, text) in [(0, 1, ""), (125_000, 1000, "1.0 Mbit/s"), (16_000, 1000, "128 kbit/s")] {
            assert_eq!(bitrate(size, ms), text);
        }
        assert_eq!(rate(Ratio::new(30_000, 1001).unwrap()), "29.97");
        assert_eq!(rate(Ratio::new(25, 1).unwrap()), "25");
        assert_eq!(moment(1_700_000_000_000), "2023-11-14 22:13:20");
    }
}
