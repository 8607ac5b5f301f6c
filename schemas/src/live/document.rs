//! A channel as a user writes it, and the checks on it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    field_error::{FieldError, read_strict},
    ids::{ChannelId, Tenant, is_name},
    ladder::Ladder,
    live::{Edition, LiveSource, LiveSourceKind, OnAir, SpanDocument},
    submission::LadderChoice,
};

/// Largest channel document.
pub const CHANNEL_BYTES_MAX: usize = 64 * 1024;
/// Most replicas of a channel.
pub const REDUNDANCY_MAX: u32 = 2;
/// Most sources of a channel: each backup is watched all the time.
const SOURCES_MAX: usize = 8;
/// Most addresses that a source may come from.
const FROM_MAX: usize = 16;
const SEGMENT_MS: std::ops::RangeInclusive<u32> = 1000..=12_000;
const WINDOW_S: std::ops::RangeInclusive<u32> = 12..=600;
const TIMESHIFT_S_MAX: u32 = 7 * 24 * 3600;
const RETURN_AFTER_S_MAX: u32 = 3600;

/// Body of `PUT /v1/channels/{id}`, and what a channel's file holds.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChannelDocument {
    /// Its name.
    pub channel_id: String,
    /// Whose it is; the key's tenant where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The best first; the others take over when it is lost.
    pub sources: Vec<SourceDocument>,
    /// A ladder's name, or a whole ladder.
    #[serde(default)]
    pub ladder: LadderChoice,
    /// Replicas on different nodes: 1 or 2.
    #[serde(default = "redundancy")]
    pub redundancy: u32,
    /// Length of a segment in seconds; the ladder's where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_s: Option<f64>,
    /// Length of the live playlists in seconds.
    #[serde(default = "window_s")]
    pub window_s: u32,
    /// How far back a viewer may go, in seconds.
    #[serde(default)]
    pub timeshift_s: u32,
    /// How long a better source must be there again before the channel returns to it, in seconds.
    #[serde(default = "return_after_s")]
    pub return_after_s: u32,
    /// When it is on air once it is started, at most 64 spans in order of time; always where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_air: Vec<SpanDocument>,
    /// Who may watch: for the edge.
    #[serde(default)]
    pub access: Access,
    /// When to raise an alarm.
    #[serde(default)]
    pub observability: Observability,
}

const fn redundancy() -> u32 {
    REDUNDANCY_MAX
}

const fn window_s() -> u32 {
    60
}

const fn return_after_s() -> u32 {
    30
}

/// A source of a channel as a user writes it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceDocument {
    /// `srt://`, `rtmp://`, `udp://`, `rtp://`, `rtsp://`, `https://...m3u8`, or a file that is played
    /// round and round.
    pub uri: String,
    /// Whether to wait to be called instead of calling: SRT and RTMP.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listen: bool,
    /// Name of its secret on the workers: an SRT passphrase, or an RTMP stream key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Addresses it may come from; any where left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    /// Under what agreement it is carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<String>,
}

/// Who may watch a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Access {
    /// Name of the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Countries (ISO 3166-1 alpha-2); everywhere where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
}

/// When to raise an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Observability {
    /// After how many seconds without a new segment.
    #[serde(default = "alert_after_segment_gap_s")]
    pub alert_after_segment_gap_s: u32,
}

impl Default for Observability {
    fn default() -> Self {
        Self { alert_after_segment_gap_s: alert_after_segment_gap_s() }
    }
}

const fn alert_after_segment_gap_s() -> u32 {
    12
}

/// A channel document that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedChannel {
    /// Its name.
    pub id: ChannelId,
    /// The tenant that was asked for.
    pub tenant: Option<Tenant>,
    /// What it is to be.
    pub edition: Edition,
    /// When it is to be on air: no part of what is encoded.
    pub on_air: OnAir,
}

impl CheckedChannel {
    /// Reads and checks a whole document; every fault comes in one answer. `find` looks a ladder up by name.
    pub fn from_value(
        value: serde_json::Value,
        find: impl Fn(&str) -> Option<Ladder>,
    ) -> Result<Self, Vec<FieldError>> {
        let document: ChannelDocument = read_strict(value)?;
        document.check(find)
    }
}

impl ChannelDocument {
    /// Parses a file as people keep it: YAML, or JSON, which is YAML. What it says is checked later.
    pub fn value_from_yaml(text: &str) -> Result<serde_json::Value, Vec<FieldError>> {
        if text.len() > CHANNEL_BYTES_MAX {
            let detail = format!("the document has {} bytes", text.len());
            return Err(vec![FieldError::new("", detail, format!("keep it under {CHANNEL_BYTES_MAX}"))]);
        }
        serde_saphyr::from_str(text)
            .map_err(|error| vec![FieldError::new("", error.to_string(), "write valid YAML, or JSON")])
    }

    /// Checks every field.
    pub fn check(self, find: impl Fn(&str) -> Option<Ladder>) -> Result<CheckedChannel, Vec<FieldError>> {
        let mut errors = Vec::new();
        let id = named(&mut errors, "/channel_id", &self.channel_id);
        let tenant = self.tenant.as_ref().and_then(|tenant| named(&mut errors, "/tenant", tenant));
        let sources = sources(&mut errors, &self.sources);
        let ladder = self.ladder.find(find, &mut errors);
        let segment_ms = self.segment_s.map(|seconds| (seconds * 1000.0).round().clamp(0.0, 1e9) as u32);
        let segment_ms = segment_ms.or(ladder.as_ref().map(|ladder| ladder.segment_s)).unwrap_or_default();
        if let Some(ladder) = &ladder {
            check_ladder(&mut errors, ladder);
            check_range(&mut errors, "/segment_s", segment_ms, SEGMENT_MS, "milliseconds");
        }
        check_range(&mut errors, "/redundancy", self.redundancy, 1..=REDUNDANCY_MAX, "replicas");
        check_range(&mut errors, "/window_s", self.window_s, WINDOW_S, "seconds");
        check_range(&mut errors, "/timeshift_s", self.timeshift_s, 0..=TIMESHIFT_S_MAX, "seconds");
        check_range(&mut errors, "/return_after_s", self.return_after_s, 0..=RETURN_AFTER_S_MAX, "seconds");
        let alert = self.observability.alert_after_segment_gap_s;
        check_range(&mut errors, "/observability/alert_after_segment_gap_s", alert, 1..=3600, "seconds");
        let on_air = OnAir::check(&self.on_air, segment_ms, &mut errors);
        for (index, region) in self.access.regions.iter().enumerate() {
            if region.len() != 2 || !region.bytes().all(|byte| byte.is_ascii_uppercase()) {
                errors.push(FieldError::new(
                    format!("/access/regions/{index}"),
                    format!("{region:?} is no country"),
                    "use two capital letters (ISO 3166-1), for example \"SE\"",
                ));
            }
        }
        match (id, ladder) {
            (Some(id), Some(ladder)) if errors.is_empty() => Ok(CheckedChannel {
                id,
                tenant,
                on_air,
                edition: Edition {
                    number: 0,
                    sources,
                    ladder,
                    redundancy: self.redundancy,
                    segment_ms,
                    window_s: self.window_s,
                    timeshift_s: self.timeshift_s,
                    return_after_s: self.return_after_s,
                    access: self.access,
                    observability: self.observability,
                },
            }),
            _ => Err(errors),
        }
    }
}

fn named<T: std::str::FromStr<Err: std::fmt::Display>>(
    errors: &mut Vec<FieldError>,
    pointer: &str,
    text: &str,
) -> Option<T> {
    let mut refuse = |error: T::Err| errors.push(FieldError::new(pointer, error.to_string(), "correct the name"));
    text.parse().map_err(&mut refuse).ok()
}

fn check_range(
    errors: &mut Vec<FieldError>,
    pointer: &str,
    value: u32,
    range: std::ops::RangeInclusive<u32>,
    unit: &str,
) {
    if !range.contains(&value) {
        let mend = format!("use {} to {}", range.start(), range.end());
        errors.push(FieldError::new(pointer, format!("{value} {unit}"), mend));
    }
}

/// One replica commits a number for all renditions at once, and is claimed by the one codec it encodes.
fn check_ladder(errors: &mut Vec<FieldError>, ladder: &Ladder) {
    let codecs: BTreeSet<_> = ladder.video.iter().map(|rung| rung.codec).collect();
    if codecs.len() > 1 {
        let names: Vec<_> = codecs.iter().map(|codec| codec.as_str()).collect();
        errors.push(FieldError::new(
            "/ladder",
            format!("it has rungs of {}", names.join(" and ")),
            "give channels a ladder of one codec",
        ));
    }
}

fn sources(errors: &mut Vec<FieldError>, documents: &[SourceDocument]) -> Vec<LiveSource> {
    if documents.is_empty() || documents.len() > SOURCES_MAX {
        let detail = format!("{} sources", documents.len());
        errors.push(FieldError::new("/sources", detail, format!("list 1 to {SOURCES_MAX}")));
    }
    let mut sources: Vec<LiveSource> = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let at = format!("/sources/{index}");
        match document.check(&at, errors) {
            Some(source) if sources.iter().any(|other| other.uri == source.uri) => errors.push(FieldError::new(
                format!("{at}/uri"),
                "it is listed before",
                "give each source its own address",
            )),
            Some(source) => sources.push(source),
            None => {}
        }
    }
    sources
}

impl SourceDocument {
    fn check(&self, at: &str, errors: &mut Vec<FieldError>) -> Option<LiveSource> {
        let before = errors.len();
        let source = LiveSource::parse(&self.uri, self.listen)
            .map_err(|error| {
                errors.push(FieldError::new(format!("{at}/uri"), error.to_string(), "give an address that is taken"));
            })
            .ok();
        if let Some(secret) = &self.secret {
            let pointer = format!("{at}/secret");
            let takes = source.as_ref().is_none_or(|s| matches!(s.kind, LiveSourceKind::Srt | LiveSourceKind::Rtmp));
            if !is_name(secret) {
                let detail = "it is not the name of a secret; never send the secret itself";
                errors.push(FieldError::new(pointer, detail, "name a file in the workers' folder of secrets"));
            } else if !takes {
                errors.push(FieldError::new(pointer, "only SRT and RTMP sources have one", "leave it out"));
            }
        }
        if self.from.len() > FROM_MAX {
            let detail = format!("{} addresses", self.from.len());
            errors.push(FieldError::new(format!("{at}/from"), detail, format!("list up to {FROM_MAX}")));
        }
        for (index, address) in self.from.iter().enumerate().take(FROM_MAX) {
            if address.parse::<std::net::IpAddr>().is_err() {
                let pointer = format!("{at}/from/{index}");
                errors.push(FieldError::new(pointer, format!("{address:?} is no IP address"), "write 192.0.2.7"));
            }
        }
        let (from, rights) = (self.from.clone(), self.rights.clone());
        let source = source?;
        (errors.len() == before).then_some(LiveSource { secret: self.secret.clone(), from, rights, ..source })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ladder(codec: &str) -> Option<Ladder> {
        let text = format!(
            "{{name: l, gop_s: 2, segment_s: 4, video: [{{name: v, codec: h264, height: 360, quality: 23}},\
             {{name: w, codec: {codec}, height: 180, quality: 23}}]}}"
        );
        Ladder::from_yaml(&text).ok()
    }

    fn check(value: serde_json::Value) -> Result<CheckedChannel, Vec<String>> {
        let checked = CheckedChannel::from_value(value, |name| ladder(if name == "mixed" { "av1" } else { "h264" }));
        checked.map_err(|errors| errors.into_iter().map(|error| error.pointer).collect())
    }

    #[test]
    fn a_channel_needs_a_name_and_a_source_and_the_rest_is_usual() {
        let channel = check(json!({ "channel_id": "news", "sources": [{ "uri": "udp://239.0.0.1:5000" }] }));
        let channel = channel.expect("enough");
        let edition = channel.edition;
        assert_eq!((channel.id.as_str(), channel.tenant), ("news", None));
        assert_eq!((edition.redundancy, edition.segment_ms, edition.window_s), (2, 4000, 60));
        assert_eq!(edition.observability.alert_after_segment_gap_s, 12);
    }

    #[test]
    fn every_fault_comes_in_one_answer() {
        let pointers = check(json!({
            "channel_id": "News",
            "sources": [
                { "uri": "srt://h:1?passphrase=x", "secret": "Bad Name" },
                { "uri": "udp://h:1", "secret": "fine", "from": ["h"] },
                { "uri": "udp://h:1" }, { "uri": "udp://h:1" },
            ],
            "ladder": "mixed", "redundancy": 3, "segment_s": 0.5, "window_s": 1, "timeshift_s": 9_999_999,
            "return_after_s": 9999, "on_air": [{}, { "from": "18:00" }], "access": { "regions": ["no"] },
            "observability": { "alert_after_segment_gap_s": 0 },
        }));
        assert_eq!(
            pointers.expect_err("many"),
            [
                "/channel_id",
                "/sources/0/uri",
                "/sources/0/secret",
                "/sources/1/secret",
                "/sources/1/from/0",
                "/sources/3/uri",
                "/ladder",
                "/segment_s",
                "/redundancy",
                "/window_s",
                "/timeshift_s",
                "/return_after_s",
                "/observability/alert_after_segment_gap_s",
                "/on_air/0",
                "/on_air/1/from",
                "/access/regions/0",
            ]
        );
        let unknown = check(json!({ "channel_id": "a", "sources": [{ "uri": "udp://h:1", "key": 1 }], "x": 1 }));
        assert_eq!(unknown.expect_err("unknown"), ["/sources/0/key", "/x"]);
    }
}
