//! Where NATS is.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The `[nats]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NatsConfig {
    /// One or more addresses, separated by commas: `nats://host:4222`, `tls://host:4222`.
    pub url: String,
    /// File with the credentials (a user JWT and its seed).
    pub credentials: Option<PathBuf>,
    /// Copies of every stream and bucket: 1 on one server, 3 on a cluster. Read when they are
    /// created.
    pub replicas: u8,
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self { url: "nats://127.0.0.1:4222".to_owned(), credentials: None, replicas: 1 }
    }
}

impl NatsConfig {
    /// The addresses without passwords, for messages.
    pub fn shown(&self) -> String {
        self.url.split(',').map(|url| mask(url.trim())).collect::<Vec<_>>().join(",")
    }
}

/// Who an address says we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// `nats://user:password@host`.
    User(String, String),
    /// `nats://token@host`.
    Token(String),
}

impl NatsConfig {
    /// The first identity that stands in an address: the client does not look for it itself.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.url.split(',').find_map(|url| {
            let rest = url.trim().split_once("://").map_or(url.trim(), |(_, rest)| rest);
            let (identity, _) = rest.rsplit_once('@')?;
            Some(match identity.split_once(':') {
                Some((user, password)) => Identity::User(user.to_owned(), password.to_owned()),
                None => Identity::Token(identity.to_owned()),
            })
        })
    }
}

/// Replaces what stands before the `@` of an address: a user and password, or a token.
fn mask(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let hidden = if host.len() == rest.len() { "" } else { "***@" };
    if scheme.is_empty() { format!("{hidden}{host}") } else { format!("{scheme}://{hidden}{host}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_who_we_are() {
        let user = |user: &str, password: &str| Some(Identity::User(user.to_owned(), password.to_owned()));
        for (url, identity) in [
            ("nats://127.0.0.1:4222", None),
            ("nats://u:p@ss@host:1", user("u", "p@ss")),
            ("nats://a:1, nats://u:p@b:2", user("u", "p")),
            ("token@host", Some(Identity::Token("token".to_owned()))),
        ] {
            let config = NatsConfig { url: url.to_owned(), ..NatsConfig::default() };
            assert_eq!(config.identity(), identity, "{url}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        for (url, shown) in [
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
            ("nats://user:p@ss@host:1,tls://b:2", "nats://***@host:1,tls://b:2"),
            ("token@host", "***@host"),
        ] {
            let config = NatsConfig { url: url.to_owned(), ..NatsConfig::default() };
            assert_eq!(config.shown(), shown);
        }
    }
}
