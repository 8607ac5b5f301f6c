//! What goes to stdout and stderr: JSON documents, tables, lines. A closed pipe ends quietly, as
//! it does for any tool that is piped into `head`.

use std::io::{self, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// Writes a line to stdout.
pub fn line(text: impl AsRef<str>) {
    // Nobody reads any more: there is no one to tell.
    let _ = writeln!(io::stdout().lock(), "{}", text.as_ref());
}

/// Writes a line to stderr.
pub fn note(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// Writes one JSON document on one line of stdout.
pub fn json<T: Serialize>(value: &T) {
    line(serde_json::to_string(value).expect("documents have string keys and finite numbers"));
}

/// Writes a table to stdout; without rows it says so.
pub fn table(header: &[&str], rows: Vec<Vec<String>>, nothing: &str) {
    if rows.is_empty() {
        return line(nothing);
    }
    line(render(header, rows));
}

/// A table as text, for stderr or a longer report.
pub fn render(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>());
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)).collect::<Vec<_>>());
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Text from outside without control characters: a title cannot steer the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Whether stderr is a terminal, and so progress bars are drawn.
pub fn is_interactive() -> bool {
    io::stderr().is_terminal()
}

/// Bytes for people.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    // For a display only, so the loss of precision above 2^53 does not matter.
    let mut value = count as f64;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A span of milliseconds for people.
pub fn span(millis: i64) -> String {
    let seconds = millis.max(0) / 1000;
    match seconds {
        0..=59 => format!("{}.{} s", seconds, millis.max(0) % 1000 / 100),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Unix milliseconds of this machine's clock, for ages in tables.
pub fn now_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// How long ago something was.
pub fn age(at_ms: i64) -> String {
    span(now_ms() - at_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_read_well() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 * 1024 * 1024 * 1024), "5.0 GiB");
        assert_eq!(span(-5), "0.0 s");
        assert_eq!(span(1_540), "1.5 s");
        assert_eq!(span(61_000), "1 min 1 s");
        assert_eq!(span(3_660_000), "1 h 1 min");
    }

    #[test]
    fn a_title_cannot_steer_the_terminal() {
        let text = render(&["name"], vec![vec!["a\u{1b}[31mb".to_owned()]]);
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}
