//! The folder that an object lies in: its channel's or its title's. Pure.

/// The folder of the channel or title that a key belongs to: `live/T/C`, `vod/T/A`; `None` where it is below none.
pub fn folder(key: &str) -> Option<&str> {
    key.match_indices('/').nth(2).map(|(at, _)| &key[..at])
}
