//! What is left when nothing is being done: objects that nothing refers to, processes, memory and
//! file handles.

use std::collections::{BTreeMap, BTreeSet};

use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    finding::Finding,
    ids::AssetId,
    object::{INDEX, MASTER_PLAYLIST, MPD, REPORT, asset_folder, generation_folder},
};
use framemill_storage::Listed;

use crate::rig::proc::{Found, Usage};

/// How much more memory a process may take at rest than when it began: allocators keep some.
pub const RESIDENT_GROWTH_MAX: u64 = 96 * 1024 * 1024;
/// How many more file handles: pools keep connections open.
pub const HANDLES_GROWTH_MAX: u64 = 64;

/// Objects below `vod/` that nothing refers to. Titles that failed keep their segments for a
/// while (they can be redriven, or are collected later), so only what is published is judged, and
/// what belongs to no title at all.
pub fn orphans(
    listed: &[Listed],
    assets: &BTreeMap<AssetId, AssetRecord>,
    committed: &BTreeMap<String, String>,
) -> Vec<Finding> {
    let mut published = BTreeSet::new();
    let mut others = Vec::new();
    for asset in assets.values() {
        let folder = asset_folder(&asset.tenant, asset.id);
        if asset.state != AssetState::Published {
            others.push(format!("{folder}/"));
            continue;
        }
        published.extend([format!("{folder}/{MASTER_PLAYLIST}"), format!("{folder}/{MPD}")]);
        let generation = generation_folder(&asset.tenant, asset.id, &asset.generation);
        published.extend([REPORT, INDEX].map(|name| format!("{generation}/{name}")));
    }
    let is_known = |key: &String| {
        committed.contains_key(key) || published.contains(key) || others.iter().any(|folder| key.starts_with(folder))
    };
    let orphans = listed.iter().filter(|object| !is_known(&object.key));
    orphans
        .map(|object| {
            let said = format!("{} bytes that no record refers to", object.bytes);
            Finding::error("object-orphan", &object.key, said, "no such object")
        })
        .collect()
}

/// Processes that should not be there.
pub fn processes(left: &[Found], when: &str) -> Vec<Finding> {
    let finding = |found: &Found| {
        let line: String = found.line.chars().take(160).collect();
        let at = format!("process {} (parent {})", found.pid, found.parent);
        Finding::error("process-left", at, line, format!("nothing {when}"))
    };
    left.iter().map(finding).collect()
}

/// A process that takes more than it did.
pub fn growth(name: &str, began: Usage, now: Usage) -> Vec<Finding> {
    let mib = |bytes: u64| format!("{} MiB", bytes / (1024 * 1024));
    let memory = began.resident_bytes + RESIDENT_GROWTH_MAX;
    let handles = began.handles + HANDLES_GROWTH_MAX;
    let mut findings = Vec::new();
    if now.resident_bytes > memory {
        findings.push(Finding::error(
            "memory-grown",
            name,
            mib(now.resident_bytes),
            format!("at most {}", mib(memory)),
        ));
    }
    if now.handles > handles {
        findings.push(Finding::error("handles-grown", name, now.handles, format!("at most {handles}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_beyond_the_tolerance_is_found() {
        let began = Usage { resident_bytes: 1000, handles: 10 };
        let allowed = Usage { resident_bytes: 1000 + RESIDENT_GROWTH_MAX, handles: 10 + HANDLES_GROWTH_MAX };
        assert_eq!(growth("worker-1", began, allowed), []);
        let over = Usage { resident_bytes: allowed.resident_bytes + 1, handles: allowed.handles + 1 };
        let codes: Vec<_> = growth("worker-1", began, over).into_iter().map(|finding| finding.code).collect();
        assert_eq!(codes, ["memory-grown", "handles-grown"]);
    }

    #[test]
    fn what_belongs_to_nothing_is_an_orphan() {
        let object = |key: &str| Listed { key: key.to_owned(), bytes: 1, etag: String::new(), modified_ms: None };
        let committed = BTreeMap::from([("vod/t/a/1.m4s".to_owned(), "d".to_owned())]);
        let listed = [object("vod/t/a/1.m4s"), object("vod/t/a/2.m4s")];
        let found = orphans(&listed, &BTreeMap::new(), &committed);
        assert_eq!(found.iter().map(|finding| finding.at.as_str()).collect::<Vec<_>>(), ["vod/t/a/2.m4s"]);
    }
}
