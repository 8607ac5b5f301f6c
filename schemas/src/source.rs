//! Where a title comes from.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::ids::{ChannelId, Tenant};

/// Longest source address.
pub const SOURCE_CHARS_MAX: usize = 4096;

/// A source as it is stored: an absolute path, an object, or an address. Credentials are never
/// part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A file on every worker's machine; absolute.
    Path(PathBuf),
    /// An `http://` or `https://` address.
    Http(String),
    /// An object of the farm's store.
    S3 {
        /// Its bucket.
        bucket: String,
        /// Its key.
        key: String,
    },
    /// Numbers of a channel: nobody submits it, and nothing of it is encoded again.
    Channel {
        /// Whose it is.
        tenant: Tenant,
        /// The channel.
        channel: ChannelId,
        /// The first number.
        first: u64,
        /// The last number.
        last: u64,
    },
}

/// Why an address was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Neither a path nor a scheme that is taken.
    #[error("the scheme {0:?} is not taken; use http://, https://, s3://bucket/key, or an absolute path")]
    Scheme(String),
    /// A user name or password in the address.
    #[error("the address carries credentials; use a presigned address, or s3://")]
    Credentials,
    /// No host, bucket or key.
    #[error("the address is incomplete; write https://host/path or s3://bucket/key")]
    Incomplete,
    /// A path that depends on where it is read.
    #[error("the path {0:?} is relative; write an absolute path")]
    Relative(String),
    /// Too long, or with control characters.
    #[error("the address is over {SOURCE_CHARS_MAX} characters or holds control characters")]
    Malformed,
}

impl Source {
    /// Reads an address as a user writes it. A path stays a path: whether it may be read is
    /// decided by the role that is asked to.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        if text.len() > SOURCE_CHARS_MAX || text.chars().any(char::is_control) {
            return Err(SourceError::Malformed);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Self::parse_path(text);
        };
        match scheme.to_ascii_lowercase().as_str() {
            scheme @ ("http" | "https") => {
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                if authority.contains('@') {
                    return Err(SourceError::Credentials);
                }
                if authority.is_empty() {
                    return Err(SourceError::Incomplete);
                }
                Ok(Self::Http(format!("{scheme}://{rest}")))
            }
            "s3" => match rest.split_once('/') {
                Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                    Ok(Self::S3 { bucket: bucket.to_owned(), key: key.to_owned() })
                }
                _ => Err(SourceError::Incomplete),
            },
            "file" => Self::parse_path(rest),
            _ => Err(SourceError::Scheme(scheme.to_owned())),
        }
    }

    fn parse_path(text: &str) -> Result<Self, SourceError> {
        if text.is_empty() {
            return Err(SourceError::Incomplete);
        }
        let path = PathBuf::from(text);
        if path.is_absolute() { Ok(Self::Path(path)) } else { Err(SourceError::Relative(text.to_owned())) }
    }
}

impl fmt::Display for Source {
    /// For people and logs: the query of an address is left out, since presigned addresses carry
    /// their signature there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Http(url) => match url.split_once('?') {
                Some((address, _)) => write!(f, "{address}?..."),
                None => f.write_str(url),
            },
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
            Self::Channel { channel, first, last, .. } => write!(f, "channel:{channel}/{first}-{last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        assert_eq!(Source::parse("/a/b.mp4"), Ok(Source::Path("/a/b.mp4".into())));
        assert_eq!(Source::parse("file:///a/b.mp4"), Ok(Source::Path("/a/b.mp4".into())));
        assert_eq!(Source::parse("HTTP://h/x"), Ok(Source::Http("http://h/x".into())));
        assert_eq!(Source::parse("s3://b/k/l"), Ok(Source::S3 { bucket: "b".into(), key: "k/l".into() }));
        for bad in [
            "",
            "b.mp4",
            "ftp://h/x",
            "concat:/a|/b",
            "http://",
            "http:///x",
            "https://u:p@h/x",
            "s3://b",
            "s3://b/",
            "/a\nb",
        ] {
            assert!(Source::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_of_a_channel_are_shown_and_never_submitted() {
        let (tenant, channel) = ("demo".parse().expect("good"), "news".parse().expect("good"));
        let shown = Source::Channel { tenant, channel, first: 7, last: 9 }.to_string();
        assert_eq!(shown, "channel:news/7-9");
        assert!(Source::parse(&shown).is_err());
        assert!(Source::parse("channel://news/7-9").is_err());
    }

    #[test]
    fn a_signature_is_not_shown() {
        let source = Source::parse("https://h/x?X-Amz-Signature=secret").expect("good");
        assert_eq!(source.to_string(), "https://h/x?...");
    }
}
