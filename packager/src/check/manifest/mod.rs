//! Manifests, read back with readers of other people and compared with the index.

use std::collections::BTreeSet;

pub mod master;
pub mod media;
pub mod mpd;
mod mpd_read;

/// The key an address leads to from a manifest in `folder`; `None` for anything but a relative
/// address that stays below that folder.
pub fn resolve(folder: &str, uri: &str) -> Option<String> {
    let plain = !uri.is_empty()
        && !uri.contains([':', '?', '#', '%', '\\'])
        && uri.split('/').all(|part| !matches!(part, "" | "." | ".."));
    plain.then(|| format!("{folder}/{uri}"))
}

/// A comma-separated list of codecs as a set: their order means nothing.
fn codec_set(codecs: &str) -> BTreeSet<&str> {
    codecs.split(',').map(str::trim).filter(|codec| !codec.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_addresses_resolve() {
        assert_eq!(resolve("vod/t/a/g1-x", "720p/1.m4s").as_deref(), Some("vod/t/a/g1-x/720p/1.m4s"));
        for bad in ["", "/x", "../x", "a/../b", "./a", "http://h/x", "//h/x", "a?b", "a%2e", "a\\b", "a//b"] {
            assert_eq!(resolve("f", bad), None, "{bad}");
        }
    }
}
