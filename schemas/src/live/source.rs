//! Where a channel comes from: an address, how it is opened, and which secret it needs. Pure.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::source::SOURCE_CHARS_MAX;

/// How a source is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LiveSourceKind {
    /// A file, played round and round: a test channel.
    File,
    /// MPEG-TS in UDP datagrams, unicast or multicast.
    Udp,
    /// MPEG-TS in RTP (RFC 2250), unicast or multicast.
    Rtp,
    /// MPEG-TS over SRT.
    Srt,
    /// RTMP.
    Rtmp,
    /// RTSP, over TCP.
    Rtsp,
    /// HLS.
    Hls,
}

impl LiveSourceKind {
    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Udp => "udp",
            Self::Rtp => "rtp",
            Self::Srt => "srt",
            Self::Rtmp => "rtmp",
            Self::Rtsp => "rtsp",
            Self::Hls => "hls",
        }
    }

    /// Whether whoever reads it sees the same timestamps. What starts them anew for each reader cannot be
    /// encoded twice alike.
    pub const fn shares_clock(self) -> bool {
        !matches!(self, Self::Rtmp | Self::Rtsp)
    }
}

/// A source of a channel as it is stored. Secrets are never part of it: only their name is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LiveSource {
    /// How it is read.
    pub kind: LiveSourceKind,
    /// Its address: `scheme://host:port/path`, or an absolute path.
    pub uri: String,
    /// Whether we wait to be called instead of calling.
    #[serde(default)]
    pub listen: bool,
    /// Name of its secret on the workers: an SRT passphrase, or an RTMP stream key.
    #[serde(default)]
    pub secret: Option<String>,
    /// Addresses it may come from; any where empty.
    #[serde(default)]
    pub from: Vec<String>,
    /// Under what agreement it is carried, for people.
    #[serde(default)]
    pub rights: Option<String>,
}

/// Why an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LiveSourceError {
    /// Neither a path nor a scheme that is taken.
    #[error("the scheme {0:?} is not taken; use srt, rtmp, udp, rtp, rtsp, http, https, or an absolute path")]
    Scheme(String),
    /// A user name, password, key or passphrase in the address.
    #[error("the address carries a secret; store it on the workers and name it in `secret`")]
    Secret,
    /// Options that ffmpeg would read.
    #[error("the address carries options; {0}")]
    Options(&'static str),
    /// No host or port.
    #[error("the address is incomplete; write {0}")]
    Incomplete(&'static str),
    /// A path that depends on where it is read.
    #[error("the path {0:?} is relative; write an absolute path")]
    Relative(String),
    /// Too long, or with characters that no address holds.
    #[error("the address is over {SOURCE_CHARS_MAX} characters, or holds spaces or control characters")]
    Malformed,
    /// A kind of source that only calls, or that is never called.
    #[error("{0} sources cannot wait to be called")]
    CannotListen(&'static str),
}

impl LiveSource {
    /// Reads an address as a user writes it.
    pub fn parse(text: &str, listen: bool) -> Result<Self, LiveSourceError> {
        if text.len() > SOURCE_CHARS_MAX || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(LiveSourceError::Malformed);
        }
        let source = match text.split_once("://") {
            None => path(text)?,
            Some((scheme, rest)) => address(&scheme.to_ascii_lowercase(), rest)?,
        };
        if listen && !matches!(source.kind, LiveSourceKind::Srt | LiveSourceKind::Rtmp) {
            return Err(LiveSourceError::CannotListen(source.kind.as_str()));
        }
        Ok(Self { listen, ..source })
    }

    /// Host and port; nothing for a file.
    pub fn host_port(&self) -> Option<(&str, u16)> {
        let (scheme, rest) = self.uri.split_once("://")?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, default_port(scheme)?),
        };
        Some((host.trim_start_matches('[').trim_end_matches(']'), port))
    }
}

const fn of(kind: LiveSourceKind, uri: String) -> LiveSource {
    LiveSource { kind, uri, listen: false, secret: None, from: Vec::new(), rights: None }
}

fn path(text: &str) -> Result<LiveSource, LiveSourceError> {
    if PathBuf::from(text).is_absolute() {
        Ok(of(LiveSourceKind::File, text.to_owned()))
    } else if text.is_empty() {
        Err(LiveSourceError::Incomplete("udp://host:port, srt://host:port, or an absolute path"))
    } else {
        Err(LiveSourceError::Relative(text.to_owned()))
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "rtmp" => Some(1935),
        "https" => Some(443),
        "http" => Some(80),
        "rtsp" => Some(554),
        _ => None,
    }
}

fn address(scheme: &str, rest: &str) -> Result<LiveSource, LiveSourceError> {
    let (kind, shape) = match scheme {
        "file" => return path(rest),
        "udp" => (LiveSourceKind::Udp, "udp://host:port, with the group for multicast"),
        "rtp" => (LiveSourceKind::Rtp, "rtp://host:port, with the group for multicast"),
        "srt" => (LiveSourceKind::Srt, "srt://host:port"),
        "rtmp" => (LiveSourceKind::Rtmp, "rtmp://host/application/stream"),
        "rtsp" => (LiveSourceKind::Rtsp, "rtsp://host/path"),
        "http" | "https" => (LiveSourceKind::Hls, "https://host/path.m3u8"),
        _ => return Err(LiveSourceError::Scheme(scheme.to_owned())),
    };
    let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') && !authority.starts_with('@') {
        return Err(LiveSourceError::Secret);
    }
    // `udp://@group:port` is how some tools write a group.
    let authority = authority.trim_start_matches('@');
    if let Some((_, query)) = after.split_once('?')
        && kind != LiveSourceKind::Hls
    {
        let secret = ["passphrase=", "key=", "password=", "token="].iter().any(|word| query.contains(word));
        let options = "leave out everything from the question mark on";
        return Err(if secret { LiveSourceError::Secret } else { LiveSourceError::Options(options) });
    }
    let source = of(kind, format!("{scheme}://{authority}{after}"));
    let complete = source.host_port().is_some_and(|(host, port)| !host.is_empty() && port > 0);
    let path = after.trim_start_matches('/');
    let complete = match kind {
        LiveSourceKind::Hls | LiveSourceKind::Rtmp => complete && !path.is_empty(),
        _ => complete,
    };
    if complete { Ok(source) } else { Err(LiveSourceError::Incomplete(shape)) }
}

impl fmt::Display for LiveSource {
    /// For people and logs: the query of an address is left out, since signed addresses carry their
    /// signature there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.uri.split_once('?') {
            Some((address, _)) => write!(f, "{address}?..."),
            None => f.write_str(&self.uri),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        use LiveSourceKind::*;
        for (text, kind, host) in [
            ("/srv/loop.ts", File, None),
            ("file:///srv/loop.ts", File, None),
            ("udp://239.1.1.1:5000", Udp, Some(("239.1.1.1", 5000))),
            ("udp://@239.1.1.1:5000", Udp, Some(("239.1.1.1", 5000))),
            ("rtp://[ff02::1]:5004", Rtp, Some(("ff02::1", 5004))),
            ("SRT://news.example:9000", Srt, Some(("news.example", 9000))),
            ("rtmp://ingest.example/live/news", Rtmp, Some(("ingest.example", 1935))),
            ("rtsp://cam.example/1", Rtsp, Some(("cam.example", 554))),
            ("https://a.example/x.m3u8?sig=1", Hls, Some(("a.example", 443))),
        ] {
            let source = LiveSource::parse(text, false).expect(text);
            assert_eq!((source.kind, source.host_port()), (kind, host), "{text}");
        }
        assert_eq!(LiveSource::parse("https://a/x?sig=1", false).expect("hls").to_string(), "https://a/x?...");
    }

    #[test]
    fn secrets_options_and_what_is_unknown_are_refused() {
        use LiveSourceError as E;
        for (text, listen, error) in [
            ("srt://h:1?passphrase=abcdefghij", false, E::Secret),
            ("rtmp://user:pass@h/app/x", false, E::Secret),
            ("udp://h:1?localaddr=10.0.0.1", false, E::Options("leave out everything from the question mark on")),
            ("gopher://h:1", false, E::Scheme("gopher".to_owned())),
            ("rtmps://h/a/b", false, E::Scheme("rtmps".to_owned())),
            ("concat:a|b", false, E::Relative("concat:a|b".to_owned())),
            ("srt://h", false, E::Incomplete("srt://host:port")),
            ("srt://:9000", false, E::Incomplete("srt://host:port")),
            ("rtmp://h", false, E::Incomplete("rtmp://host/application/stream")),
            ("loop.ts", false, E::Relative("loop.ts".to_owned())),
            ("udp://h:1 -f lavfi", false, E::Malformed),
            ("udp://h:1", true, E::CannotListen("udp")),
        ] {
            assert_eq!(LiveSource::parse(text, listen), Err(error), "{text}");
        }
    }
}
