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
