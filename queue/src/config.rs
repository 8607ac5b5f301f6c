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
