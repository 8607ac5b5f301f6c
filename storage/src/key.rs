//! Which object keys are taken. A key is also a path, in the embedded store's folder and in URLs
//! that players resolve: what could leave its place is refused before it goes anywhere.

/// Longest key (the limit of S3).
pub const KEY_BYTES_MAX: usize = 1024;

/// Why a key is refused; `None` when it is taken.
pub fn refusal(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        return Some("it is empty");
    }
    if key.len() > KEY_BYTES_MAX {
        return Some("it is longer than 1024 bytes");
    }
    if key.starts_with('/') {
        return Some("it starts with a slash");
    }
    if key.chars().any(char::is_control) {
        return Some("it holds a control character");
    }
    if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Some("it has an empty part, '.' or '..' between its slashes");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_keys_are_refused() {
        let long = "k".repeat(KEY_BYTES_MAX + 1);
        let bad =
            ["", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", "a/./b", "a//b", "a/", "a\0b", "a\nb", "a\u{85}b"];
        for key in bad.into_iter().chain([long.as_str()]) {
            assert!(refusal(key).is_some(), "{key:?}");
        }
        let longest = "k".repeat(KEY_BYTES_MAX);
        for key in ["a", "vod/default/x/g1-00000000/720p/1.m4s", "a..b/...", "å b/%2e%2e", longest.as_str()] {
            assert_eq!(refusal(key), None, "{key:?}");
        }
    }
}
