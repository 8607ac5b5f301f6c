//! The multivariant playlist.

use crate::{
    hls::{
        VERSION,
        group::groups,
        variant::{iframe_stream_inf, in_order, stream_inf},
    },
    title::Title,
};

/// Writes it. `prefix` stands before every address: empty for the one in the generation's
/// folder, [`Title::entry_prefix`] for the one that lies a folder up.
pub fn master(title: &Title, prefix: &str) -> String {
    let groups = groups(title);
    let target_s = title.target_duration_s();
    let renditions = in_order(title);
    let mut out = format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    for group in &groups {
        out += &group.tags(prefix);
    }
    // All variants of the most compatible sound come first. A title without sound has one round
    // without a group.
    let rounds = if groups.is_empty() { vec![None] } else { groups.iter().map(Some).collect() };
    for group in rounds {
        for &rendition in &renditions {
            out += &stream_inf(title.spec.rate, rendition, group, target_s, prefix);
        }
    }
    for &rendition in &renditions {
        out += &iframe_stream_inf(rendition, prefix);
    }
    out
}
