//! Names of a channel's records and objects.

use crate::{
    ids::{ChannelId, Tenant},
    live::Timeline,
};

/// Folder of all channels, with its slash.
pub const CHANNELS: &str = "live/";

/// Key of a channel's records: the channel itself, and its timelines.
pub fn record_key(tenant: &Tenant, channel: &ChannelId) -> String {
    format!("{tenant}.{channel}")
}

/// Key of the commit of a number; `*` for all of a channel.
pub fn commit_key(tenant: &Tenant, channel: &ChannelId, number: impl std::fmt::Display) -> String {
    format!("{tenant}.{channel}.{number}")
}

/// Folder of a channel, without a slash at the end: of its playlists and manifests.
pub fn channel_folder(tenant: &Tenant, channel: &ChannelId) -> String {
    format!("{CHANNELS}{tenant}/{channel}")
}

/// Name of a timeline's folder below its channel's.
pub fn folder_of(timeline: &Timeline) -> String {
    format!("t{}-{}", timeline.id, timeline.random)
}

/// The initialisation segment with this name, below a channel's folder.
pub fn init_key(folder: &str, rendition: &str, init: &str) -> String {
    format!("{folder}/{rendition}/init-{init}.mp4")
}

/// A segment, below a channel's folder.
pub fn segment_key(folder: &str, rendition: &str, number: u64) -> String {
    format!("{folder}/{rendition}/{number}.m4s")
}

/// Filler in place of a segment, below a channel's folder: under a name of its own, so that it never
/// stands in the way of the real one.
pub fn filler_key(folder: &str, rendition: &str, number: u64) -> String {
    format!("{folder}/{rendition}/{number}-filler.m4s")
}

/// What an object below `live/` belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivePlace {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its channel.
    pub channel: ChannelId,
    /// Its timeline; `None` for playlists, manifests and indexes.
    pub timeline: Option<u32>,
}

/// Reads a key that this farm writes for channels; `None` for any other.
pub fn live_place(key: &str) -> Option<LivePlace> {
    let mut parts = key.strip_prefix(CHANNELS)?.splitn(3, '/');
    let (tenant, channel, rest) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
    let timeline = rest.split_once('/').and_then(|(folder, _)| timeline_of(folder));
    Some(LivePlace { tenant, channel, timeline })
}

fn timeline_of(folder: &str) -> Option<u32> {
    let (number, _) = folder.strip_prefix('t')?.split_once('-')?;
    number.parse().ok()
}
