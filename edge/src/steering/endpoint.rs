//! Where viewers reach an edge: a scheme, a host and a port, and nothing else. Pure.

use hyper::Uri;

/// An edge's address, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    base: String,
    host: String,
    port: u16,
    secure: bool,
}

impl Endpoint {
    /// Reads `http(s)://host[:port]`; `None` for anything else. With a path in it, addresses that begin with a slash would
    /// lead elsewhere.
    pub fn read(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let secure = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let host = authority.host();
        // It is written into playlists and manifests as it is.
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !url.contains('#');
        if host.is_empty() || !plain(authority.as_str()) || !is_bare {
            return None;
        }
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let scheme = if secure { "https" } else { "http" };
        Some(Self { base: format!("{scheme}://{authority}"), host: host.to_owned(), port, secure })
    }

    /// The whole of it.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Its host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether viewers of `own` may be sent here: never from TLS to none.
    pub const fn is_open_to(&self, own: &Self) -> bool {
        self.secure || !own.secure
    }

    /// Whether it differs from `own` in its host alone: all that a pathway's clone can replace.
    pub fn is_clone_of(&self, own: &Self) -> bool {
        (self.secure, self.port) == (own.secure, own.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_a_host_and_a_port() {
        for (url, base, host) in [
            ("https://edge-1.example", "https://edge-1.example", "edge-1.example"),
            ("https://edge-1.example/", "https://edge-1.example", "edge-1.example"),
            ("http://127.0.0.1:8090", "http://127.0.0.1:8090", "127.0.0.1"),
            ("http://[2001:db8::1]:80", "http://[2001:db8::1]:80", "[2001:db8::1]"),
        ] {
            let read = Endpoint::read(url).unwrap();
            assert_eq!((read.base(), read.host()), (base, host));
        }
        for bad in [
            "",
            "edge-1.example",
            "ftp://edge-1.example",
            "https://edge-1.example/cdn",
            "https://edge-1.example/?a=b",
            "https://edge-1.example/#a",
            "https://ada:secret@edge-1.example",
            "https://edge\"1.example",
            "https:///x",
        ] {
            assert_eq!(Endpoint::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn nobody_is_sent_from_tls_to_none_and_a_clone_has_another_host_alone() {
        let read = |url| Endpoint::read(url).unwrap();
        for (other, own, open, clone) in [
            ("https://b", "https://a", true, true),
            ("https://b:443", "https://a", true, true),
            ("https://b:8443", "https://a", true, false),
            ("https://b", "http://a", true, false),
            ("http://b", "https://a", false, false),
            ("http://b", "http://a", true, true),
        ] {
            let (other, own) = (read(other), read(own));
            assert_eq!((other.is_open_to(&own), other.is_clone_of(&own)), (open, clone), "{other:?} {own:?}");
        }
    }
}
