//! Which hosts may be asked for a source. An address in a submission is a stranger's wish: without
//! this, a worker would fetch from its own network, and from its cloud's metadata service, for
//! whoever asks.
//!
//! Names are judged by what they resolve to at the moment of connecting, and exactly those
//! addresses are connected to: a name cannot change its mind in between.

use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use framemill_schemas::failure::Failure;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

use super::{address::is_public, config::SourcesConfig};

/// The rules of one worker.
#[derive(Clone, Debug)]
pub(super) struct Guard(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    allow_private: bool,
    allow_hosts: Vec<String>,
}

/// A name of which no address may be asked. Carries no address: what a name means inside this
/// network is nobody's business.
#[derive(Debug)]
pub(super) struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not on a public address")
    }
}

impl Error for NotPublic {}

impl Guard {
    pub fn new(config: &SourcesConfig) -> Self {
        let allow_hosts = config.allow_hosts.iter().map(|host| plain(host)).collect();
        Self(Arc::new(Rules { allow_private: config.allow_private, allow_hosts }))
    }

    /// Checks an address before it is asked. Hosts that are names are checked once more when they
    /// are resolved.
    pub fn check(&self, shown: &str, url: &Url) -> Result<(), Failure> {
        let host = url.host_str().unwrap_or_default();
        // The URL parser has turned every spelling of an IPv4 address into four numbers.
        match plain(host).parse::<IpAddr>() {
            Ok(address) if !self.allows(host, address) => Err(refused(shown, url)),
            _ => Ok(()),
        }
    }

    fn allows(&self, host: &str, address: IpAddr) -> bool {
        self.0.allow_private || is_public(address) || self.0.allow_hosts.contains(&plain(host))
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let host = name.as_str();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            if found.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
            }
            let allowed: Vec<_> = found.into_iter().filter(|address| guard.allows(host, address.ip())).collect();
            if allowed.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether a source may be read from this address, which `host` stands for. For what is not fetched by us.
pub(crate) fn may_read_from(config: &SourcesConfig, host: &str, address: IpAddr) -> bool {
    Guard::new(config).allows(host, address)
}

/// Where a redirect leads, if it may be followed.
pub(super) fn next_hop(shown: &str, from: &Url, location: &str) -> Result<Url, Failure> {
    let refused = |why: &str| {
        Failure::input("source-redirect", format!("{shown} redirects to an address that is not followed: {why}"))
            .mend("submit the address that it leads to")
    };
    let to = from.join(location).map_err(|_| refused("it is no address"))?;
    match (from.scheme(), to.scheme()) {
        ("https", "https") | ("http", "http" | "https") => {}
        ("https", "http") => return Err(refused("it leaves https for http")),
        _ => return Err(refused("it is neither http nor https")),
    }
    if !to.username().is_empty() || to.password().is_some() {
        return Err(refused("it carries credentials"));
    }
    Ok(to)
}

/// The refusal of an address, for people. Of a redirect's target only the host is shown.
pub(super) fn refused(shown: &str, url: &Url) -> Failure {
    let host = url.host_str().unwrap_or_default();
    Failure::input("source-refused", format!("{shown} is refused: {host} is not on a public address")).mend(format!(
        "give an address on the public internet, or let the operator add {host:?} to sources.allow_hosts"
    ))
}

/// A host as it is compared: lower case, no brackets, no dot at the end.
fn plain(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow_private: bool, allow_hosts: &[&str]) -> Guard {
        let allow_hosts = allow_hosts.iter().map(|host| (*host).to_owned()).collect();
        Guard::new(&SourcesConfig { allow_private, allow_hosts, ..SourcesConfig::default() })
    }

    fn checked(guard: &Guard, url: &str) -> bool {
        guard.check("the source", &Url::parse(url).unwrap()).is_ok()
    }

    #[test]
    fn every_spelling_of_a_private_address_is_refused() {
        for url in [
            "http://127.0.0.1/x",
            "http://127.1/x",
            "http://2130706433/x",
            "http://0x7f000001/x",
            "http://0177.0.0.1/x",
            "http://[::1]/x",
            "http://[::ffff:127.0.0.1]/x",
            "http://[::ffff:7f00:1]/x",
            "http://169.254.169.254/latest/meta-data/",
            "http://0/x",
            "http://127.0.0.1./x",
        ] {
            assert!(!checked(&guard(false, &[]), url), "{url}");
            assert!(checked(&guard(true, &[]), url), "{url}");
        }
        assert!(checked(&guard(false, &[]), "http://8.8.8.8/x"));
        assert!(checked(&guard(false, &["[::1]", "10.0.0.7"]), "http://[::1]/x"));
        assert!(checked(&guard(false, &["[::1]", "10.0.0.7"]), "https://10.0.0.7:8443/x"));
        assert!(!checked(&guard(false, &["10.0.0.7"]), "http://10.0.0.8/x"));
    }

    #[tokio::test]
    async fn a_name_is_judged_by_its_addresses() {
        let resolve = |guard: Guard| async move { guard.resolve("localhost".parse().unwrap()).await.map(|_| ()) };
        let error = resolve(guard(false, &["other"])).await.unwrap_err();
        assert!(error.downcast_ref::<NotPublic>().is_some(), "{error}");
        resolve(guard(false, &["LocalHost."])).await.unwrap();
        resolve(guard(true, &[])).await.unwrap();
    }

    #[test]
    fn redirects_keep_to_the_web_and_to_https() {
        let hop = |from: &str, to| next_hop("the source", &Url::parse(from).unwrap(), to).map(|url| url.to_string());
        assert_eq!(hop("http://h/a/b", "c?d"), Ok("http://h/a/c?d".to_owned()));
        assert_eq!(hop("http://h/a", "https://k/"), Ok("https://k/".to_owned()));
        assert_eq!(hop("https://h/a", "//k/b"), Ok("https://k/b".to_owned()));
        for bad in ["http://h/a", "file:///etc/passwd", "ftp://h/", "https://u:p@h/", "https://u@h/", "https://["] {
            let failure = hop("https://h/a", bad).unwrap_err();
            assert_eq!(failure.code, "source-redirect", "{bad}");
            assert!(!failure.reason.contains("u:p"), "{}", failure.reason);
        }
    }
}
