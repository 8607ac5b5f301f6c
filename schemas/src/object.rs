//! Objects in the store: their names and what is recorded of each.

use serde::{Deserialize, Serialize};

use crate::ids::{AssetId, Tenant};

/// One immutable published result of an asset; its folder carries a random part, so that no name
/// is ever reused for other bytes, not even after a restore from an old copy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Generation {
    /// Counts from 1.
    pub number: u32,
    /// Eight random hexadecimal digits.
    pub random: String,
}

/// An object that was put, as it is known to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StoredObject {
    /// Key below the bucket.
    pub key: String,
    /// Size.
    pub bytes: u64,
    /// blake3 of its bytes, hexadecimal.
    pub digest: String,
    /// The store's entity tag, without quotes: what a listing can show again.
    pub etag: String,
}

/// Folder of an asset, without a slash at the end.
pub fn asset_folder(tenant: &Tenant, asset: AssetId) -> String {
    format!("vod/{tenant}/{asset}")
}

/// Folder of a generation, without a slash at the end.
pub fn generation_folder(tenant: &Tenant, asset: AssetId, generation: &Generation) -> String {
    format!("{}/g{}-{}", asset_folder(tenant, asset), generation.number, generation.random)
}

/// The initialisation segment of a rendition.
pub fn init_key(folder: &str, rendition: &str) -> String {
    format!("{folder}/{rendition}/init.mp4")
}

/// A media segment of a rendition; numbers count from 1, as in the manifests.
pub fn segment_key(folder: &str, rendition: &str, number: u64) -> String {
    format!("{folder}/{rendition}/{number}.m4s")
}

/// Name of the HLS entry playlist, in an asset's and in a generation's folder.
pub const MASTER_PLAYLIST: &str = "master.m3u8";
/// Name of the DASH manifest, in an asset's and in a generation's folder.
pub const MPD: &str = "manifest.mpd";
/// The playlist that publishing copies to [`MASTER_PLAYLIST`]: beside the generation's folder,
/// where its addresses are right.
pub fn entry_playlist(folder: &str) -> String {
    format!("{folder}.m3u8")
}

/// The manifest that publishing copies to [`MPD`]: beside the generation's folder.
pub fn entry_mpd(folder: &str) -> String {
    format!("{folder}.mpd")
}

/// Name of the validation report in a generation's folder.
pub const REPORT: &str = "report.json";

/// Name of the index in a generation's folder.
pub const INDEX: &str = "index.json";

/// Media type of an object by its name.
pub fn content_type(key: &str) -> &'static str {
    match key.rsplit_once('.').map(|(_, extension)| extension) {
        Some("m3u8") => "application/vnd.apple.mpegurl",
        Some("mpd") => "application/dash+xml",
        Some("m4s") => "video/iso.segment",
        Some("mp4") => "video/mp4",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

/// Cache-Control of objects that never change.
pub const CACHE_IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Cache-Control of an asset's entry manifests.
pub const CACHE_ENTRY: &str = "public, max-age=5";

/// Longest path below a folder that viewers ask for.
const PATH_CHARS_MAX: usize = 512;

/// Whether a path that somebody asks for stays inside its folder, and is one that is written here.
pub fn is_plain_path(path: &str) -> bool {
    path.len() <= PATH_CHARS_MAX && path.split('/').all(is_plain_part)
}

/// Whether something between two slashes is written here: letters, digits, `-`, `_` and `.`, not empty, and no dot first.
pub(crate) fn is_plain_part(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// What an object below `vod/` belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its asset.
    pub asset: AssetId,
    /// Its generation; `None` for the entry manifests.
    pub generation: Option<Generation>,
}

/// Folder of all titles, with its slash.
pub const TITLES: &str = "vod/";

/// Reads a key that this farm writes; `None` for any other, which is nobody's here to judge.
pub fn place(key: &str) -> Option<Place> {
    let mut parts = key.strip_prefix(TITLES)?.splitn(3, '/');
    let (tenant, asset, rest) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
    let generation = match rest {
        MASTER_PLAYLIST | MPD => None,
        _ => Some(generation_of(rest.split_once('/').map_or_else(|| beside(rest), |(name, _)| Some(name))?)?),
    };
    Some(Place { tenant, asset, generation })
}

/// The name of a generation whose entry manifests lie beside its folder.
fn beside(name: &str) -> Option<&str> {
    name.strip_suffix(".m3u8").or_else(|| name.strip_suffix(".mpd"))
}

fn generation_of(name: &str) -> Option<Generation> {
    let (number, random) = name.strip_prefix('g')?.split_once('-')?;
    let is_random = random.len() == 8 && random.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_number = !number.starts_with(['0', '+']);
    let number = number.parse().ok().filter(|_| is_number && is_random)?;
    Some(Generation { number, random: random.to_owned() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_is_written_is_read_back_and_no_other() {
        let (tenant, asset): (Tenant, AssetId) =
            ("acme".parse().unwrap(), "0198c0de-0000-7000-8000-000000000000".parse().unwrap());
        let generation = Generation { number: 12, random: "00c0ffee".to_owned() };
        let folder = generation_folder(&tenant, asset, &generation);
        let place_of = |generation| Some(Place { tenant: tenant.clone(), asset, generation });
        for key in [
            init_key(&folder, "720p"),
            segment_key(&folder, "720p", 7),
            format!("{folder}/{INDEX}"),
            entry_playlist(&folder),
            entry_mpd(&folder),
        ] {
            assert_eq!(place(&key), place_of(Some(generation.clone())), "{key}");
        }
        let home = asset_folder(&tenant, asset);
        for name in [MASTER_PLAYLIST, MPD] {
            assert_eq!(place(&format!("{home}/{name}")), place_of(None), "{name}");
        }
        for other in
            ["g1-00c0ffee", "g01-00c0ffee/x", "g1-00C0FFEE/x", "g1-00c0ffe/x", "g-00c0ffee/x", "x", "poster.jpg"]
        {
            assert_eq!(place(&format!("{home}/{other}")), None, "{other}");
        }
        for key in ["vod/acme/film/master.m3u8", "live/acme/x/y", "master.m3u8", "vod/acme", "vod//x/y"] {
            assert_eq!(place(key), None, "{key}");
        }
    }
}
