//! What this machine is called in the farm.

use framemill_schemas::ids::{NAME_CHARS_MAX, NodeId};

/// The configured name, else the host name as far as it is one.
pub fn name(configured: Option<&str>) -> NodeId {
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let text = configured.map_or_else(host, str::to_owned);
    sanitised(&text).parse().expect("a sanitised name is a name")
}

/// A host name in the letters of a node name; `node` where nothing is left.
fn sanitised(text: &str) -> String {
    let first = text.trim().split('.').next().unwrap_or_default();
    let name: String = first
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .take(NAME_CHARS_MAX)
        .collect();
    let name = name.trim_start_matches('-');
    if name.is_empty() { "node".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_become_node_names() {
        for (host, node) in
            [("gpu-7\n", "gpu-7"), ("GPU_7.example.org", "gpu-7"), ("", "node"), ("--", "node"), ("größe", "gr--e")]
        {
            assert_eq!(name(Some(host)).as_str(), node);
        }
        assert_eq!(name(Some(&"a".repeat(200))).as_str().len(), NAME_CHARS_MAX);
    }
}
