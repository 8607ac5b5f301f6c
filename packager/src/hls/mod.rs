//! HLS playlists (RFC 8216) from a title: pure, the same title gives the same bytes.

use std::fmt::{Display, Write};

pub mod group;
pub mod master;
pub mod media;
pub mod variant;

pub use master::master;
pub use media::{iframes, media};

/// Version of every playlist written here: EXT-X-MAP outside I-frame playlists needs 6
/// (RFC 8216, clause 7), and one title shows one version.
pub const VERSION: u32 = 6;

/// Name of a picture rendition's media playlist. The three kinds have prefixes of their own so
/// that no rendition's name can collide with another's playlist or with the entry playlists.
pub fn video_playlist(rendition: &str) -> String {
    format!("video-{rendition}.m3u8")
}

/// Name of a picture rendition's I-frame playlist.
pub fn iframe_playlist(rendition: &str) -> String {
    format!("iframe-{rendition}.m3u8")
}

/// Name of a sound rendition's media playlist.
pub fn audio_playlist(rendition: &str) -> String {
    format!("audio-{rendition}.m3u8")
}

/// An attribute list (RFC 8216, clause 4.2) under construction.
pub(crate) struct Attributes(String);

impl Attributes {
    pub(crate) fn of(tag: &str) -> Self {
        Self(format!("#{tag}:"))
    }

    pub(crate) fn plain(mut self, name: &str, value: impl Display) -> Self {
        if !self.0.ends_with(':') {
            self.0.push(',');
        }
        write!(self.0, "{name}={value}").expect("writing to a string cannot fail");
        self
    }

    /// A quoted string can hold neither quotes nor line ends; a title of a source may.
    pub(crate) fn quoted(self, name: &str, value: &str) -> Self {
        let clean: String =
            value.chars().filter(|c| !c.is_control()).map(|c| if c == '"' { '\'' } else { c }).collect();
        self.plain(name, format_args!("\"{clean}\""))
    }

    pub(crate) fn end(mut self) -> String {
        self.0.push('\n');
        self.0
    }
}
