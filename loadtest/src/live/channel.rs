//! The channel that is put on air: small enough for two replicas of it on two cores.

use serde_json::{Value, json};

/// Its name.
pub const CHANNEL: &str = "trial";
/// Length of its segments, milliseconds, where pictures come at a whole number a second.
pub const SEGMENT_MS: u64 = 2000;

/// A channel's document.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its source.
    pub uri: &'a str,
    /// Replicas.
    pub redundancy: u32,
    /// Heights of its rungs.
    pub heights: &'a [u32],
    /// Their rates as a share of what is usual here.
    pub kbps_percent: u32,
}

impl<'a> Asked<'a> {
    /// The channel of most trials.
    pub const fn pair(uri: &'a str) -> Self {
        Self { name: CHANNEL, uri, redundancy: 2, heights: &[144, 72], kbps_percent: 100 }
    }

    /// As it is put to the farm.
    pub fn document(&self) -> Value {
        let rung = |height: &u32| {
            let kbps = height * height / 60 * self.kbps_percent / 100;
            json!({"name": format!("{height}p"), "codec": "h264", "height": height, "bitrate_kbps": kbps.max(120),
                   "maxrate_kbps": (kbps * 3 / 2).max(180), "preset": "ultrafast"})
        };
        json!({
            "channel_id": self.name,
            "sources": [{"uri": self.uri}],
            "ladder": {
                "name": "trial", "gop_s": 1, "segment_s": 2, "engine": "software",
                "video": self.heights.iter().map(rung).collect::<Vec<_>>(),
                "audio": [{"name": "stereo", "codec": "aac", "channels": 2, "bitrate_kbps": 64}],
            },
            "redundancy": self.redundancy,
            "window_s": 30,
        })
    }
}

#[cfg(test)]
mod tests {
    use framemill_schemas::live::ChannelDocument;

    use super::*;

    #[test]
    fn the_document_is_a_channel() {
        let document = Asked::pair("udp://239.255.1.1:5000").document();
        let channel: ChannelDocument = serde_json::from_value(document).unwrap();
        assert_eq!((channel.channel_id.as_str(), channel.redundancy, channel.sources.len()), (CHANNEL, 2, 1));
    }
}
