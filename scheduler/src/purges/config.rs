//! Caches of others that are purged too, as an operator names them.

use framemill_storage::Secret;
use serde::{Deserialize, Serialize};

use super::{
    cache::Cache, cloudflare::Cloudflare, cloudfront::CloudFront, fastly::Fastly, nginx::Nginx, pace::Pace,
    send::Sender, varnish::Varnish, webhook::Webhook,
};

/// Longest time to connect.
const CONNECT_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(5);
/// Most caches of one kind.
const URLS_MAX: usize = 64;

/// Caches of others that are purged too.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PurgeConfig {
    /// Varnish, by its xkey module.
    pub varnish: VarnishConfig,
    /// nginx, by addresses.
    pub nginx: NginxConfig,
    /// Fastly, by surrogate keys.
    pub fastly: FastlyConfig,
    /// Cloudflare, by cache tags.
    pub cloudflare: CloudflareConfig,
    /// CloudFront, by paths.
    pub cloudfront: CloudFrontConfig,
    /// Anybody else.
    pub webhook: WebhookConfig,
}

/// Varnish.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VarnishConfig {
    /// One address for each.
    pub urls: Vec<String>,
    /// The header that its VCL takes tags from.
    pub header: String,
    /// Requests a second, at most.
    pub rate_per_s: u32,
}

impl Default for VarnishConfig {
    fn default() -> Self {
        Self { urls: Vec::new(), header: "xkey-purge".to_owned(), rate_per_s: 100 }
    }
}

/// nginx.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NginxConfig {
    /// One address for each; an object's path follows it.
    pub urls: Vec<String>,
    /// The method that it purges by.
    pub method: String,
    /// Requests a second, at most.
    pub rate_per_s: u32,
}

impl Default for NginxConfig {
    fn default() -> Self {
        Self { urls: Vec::new(), method: "PURGE".to_owned(), rate_per_s: 100 }
    }
}

/// Fastly.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FastlyConfig {
    /// Id of the service.
    pub service: Option<String>,
    /// What authorizes purges.
    pub api_key: Option<Secret>,
    /// Objects are marked as stale instead of removed, where nobody is refused them.
    pub soft: bool,
    /// Where its API is.
    pub url: String,
    /// Requests a second, at most.
    pub rate_per_s: u32,
}

impl Default for FastlyConfig {
    fn default() -> Self {
        let url = "https://api.fastly.com".to_owned();
        Self { service: None, api_key: None, soft: false, url, rate_per_s: 10 }
    }
}

/// Cloudflare.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloudflareConfig {
    /// Id of the zone.
    pub zone: Option<String>,
    /// What authorizes purges.
    pub api_token: Option<Secret>,
    /// Where its API is.
    pub url: String,
    /// Requests a second, at most.
    pub rate_per_s: u32,
}

impl Default for CloudflareConfig {
    fn default() -> Self {
        Self { zone: None, api_token: None, url: "https://api.cloudflare.com/client/v4".to_owned(), rate_per_s: 5 }
    }
}

/// CloudFront.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloudFrontConfig {
    /// Id of the distribution.
    pub distribution: Option<String>,
    /// Access key.
    pub access_key: Option<Secret>,
    /// Secret key.
    pub secret_key: Option<Secret>,
    /// Where its API is.
    pub url: String,
    /// Requests a second, at most.
    pub rate_per_s: u32,
}

impl Default for CloudFrontConfig {
    fn default() -> Self {
        let url = "https://cloudfront.amazonaws.com".to_owned();
        Self { distribution: None, access_key: None, secret_key: None, url, rate_per_s: 1 }
    }
}

/// Anybody else.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// One address for each.
    pub urls: Vec<String>,
    /// What bodies are signed with.
    pub secret: Option<Secret>,
    /// Requests a second, at most.
    pub rate_per_s: u32,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self { urls: Vec::new(), secret: None, rate_per_s: 10 }
    }
}

impl PurgeConfig {
    /// What is wrong with it: the key below this section, what, and the mend.
    pub fn fault(&self) -> Option<(String, String, &'static str)> {
        let fault = |key: &str, what: &str, mend| Some((key.to_owned(), what.to_owned(), mend));
        for (key, urls) in [
            ("varnish.urls", &self.varnish.urls),
            ("nginx.urls", &self.nginx.urls),
            ("webhook.urls", &self.webhook.urls),
        ] {
            if urls.len() > URLS_MAX || urls.iter().any(|url| !is_address(url)) {
                return fault(
                    key,
                    "no list of addresses",
                    "give up to 64 http:// or https:// addresses, with no query",
                );
            }
        }
        for (key, url) in [
            ("fastly.url", &self.fastly.url),
            ("cloudflare.url", &self.cloudflare.url),
            ("cloudfront.url", &self.cloudfront.url),
        ] {
            if !is_address(url) {
                return fault(key, "no address", "give an http:// or https:// address, or leave it out");
            }
        }
        for (key, rate) in [
            ("varnish.rate_per_s", self.varnish.rate_per_s),
            ("nginx.rate_per_s", self.nginx.rate_per_s),
            ("fastly.rate_per_s", self.fastly.rate_per_s),
            ("cloudflare.rate_per_s", self.cloudflare.rate_per_s),
            ("cloudfront.rate_per_s", self.cloudfront.rate_per_s),
            ("webhook.rate_per_s", self.webhook.rate_per_s),
        ] {
            if !(1..=10_000).contains(&rate) {
                return fault(key, "a rate that is out of range", "use 1 to 10000 requests a second");
            }
        }
        let (fastly, cloudflare, cloudfront) = (&self.fastly, &self.cloudflare, &self.cloudfront);
        if fastly.service.is_some() != fastly.api_key.is_some() {
            return fault("fastly", "half of what it takes", "give both service and api_key, or neither");
        }
        if cloudflare.zone.is_some() != cloudflare.api_token.is_some() {
            return fault("cloudflare", "half of what it takes", "give both zone and api_token, or neither");
        }
        let given =
            [cloudfront.distribution.is_some(), cloudfront.access_key.is_some(), cloudfront.secret_key.is_some()];
        if given.contains(&true) && given.contains(&false) {
            return fault(
                "cloudfront",
                "a part of what it takes",
                "give distribution, access_key and secret_key, or none",
            );
        }
        for (key, id) in [
            ("fastly.service", &fastly.service),
            ("cloudflare.zone", &cloudflare.zone),
            ("cloudfront.distribution", &cloudfront.distribution),
        ] {
            if id.as_ref().is_some_and(|id| !is_id(id)) {
                return fault(key, "an id with other characters than letters and digits", "copy it from its console");
            }
        }
        if !self.webhook.urls.is_empty() && self.webhook.secret.as_ref().is_none_or(Secret::is_empty) {
            return fault("webhook.secret", "nothing to sign with", "give a secret that the receiver knows too");
        }
        if self.varnish.header.parse::<reqwest::header::HeaderName>().is_err() {
            return fault(
                "varnish.header",
                "no name of a header",
                "use the one that its VCL reads, for example xkey-purge",
            );
        }
        if self.nginx.method.parse::<reqwest::Method>().is_err() {
            return fault("nginx.method", "no method", "use the one that nginx purges by, for example PURGE");
        }
        None
    }

    /// Everybody who is purged too, in the order of their names.
    pub(crate) fn senders(&self, client: &reqwest::Client) -> Vec<Sender> {
        let mut all = Vec::new();
        let mut add = |kind: &str, place: &str, cache: Box<dyn Cache>, rate: u32| {
            let name = format!("{kind}/{place}");
            all.push(Sender::new(name, cache, client.clone(), Pace::of(rate)));
        };
        for url in &self.varnish.urls {
            add("varnish", host(url), Box::new(Varnish::new(url, &self.varnish.header)), self.varnish.rate_per_s);
        }
        for url in &self.nginx.urls {
            add("nginx", host(url), Box::new(Nginx::new(url, &self.nginx.method)), self.nginx.rate_per_s);
        }
        if let (Some(service), Some(key)) = (&self.fastly.service, &self.fastly.api_key) {
            let cache = Fastly::new(&self.fastly.url, service, key.clone(), self.fastly.soft);
            add("fastly", service, Box::new(cache), self.fastly.rate_per_s);
        }
        if let (Some(zone), Some(token)) = (&self.cloudflare.zone, &self.cloudflare.api_token) {
            let cache = Cloudflare::new(&self.cloudflare.url, zone, token.clone());
            add("cloudflare", zone, Box::new(cache), self.cloudflare.rate_per_s);
        }
        let front = &self.cloudfront;
        if let (Some(id), Some(access), Some(secret)) = (&front.distribution, &front.access_key, &front.secret_key) {
            let cache = CloudFront::new(&front.url, id, access.clone(), secret.clone());
            add("cloudfront", id, Box::new(cache), front.rate_per_s);
        }
        if let Some(secret) = &self.webhook.secret {
            for url in &self.webhook.urls {
                add("webhook", host(url), Box::new(Webhook::new(url, secret.clone())), self.webhook.rate_per_s);
            }
        }
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }
}

/// Everybody who is purged too; clones share them.
#[derive(Clone, Default)]
pub struct Caches {
    senders: std::sync::Arc<Vec<Sender>>,
    names: std::sync::Arc<Vec<String>>,
}

impl Caches {
    /// Those that are configured.
    ///
    /// # Errors
    /// No client can be made of this machine's certificates.
    pub fn new(config: &PurgeConfig) -> Result<Self, reqwest::Error> {
        // Whoever was first in this process has chosen the same one: there is only ring.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIME_MAX)
            .user_agent(concat!("framemill/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let senders = config.senders(&client);
        let names = senders.iter().map(|sender| sender.name().to_owned()).collect();
        Ok(Self { senders: std::sync::Arc::new(senders), names: std::sync::Arc::new(names) })
    }

    /// Their names.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// How each is asked.
    pub(crate) fn senders(&self) -> &[Sender] {
        &self.senders
    }
}

/// What tells one address from another, without its credentials.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.trim_end_matches('/')
}

fn is_address(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| {
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.fragment().is_none() && plain
    })
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named() {
        assert_eq!(PurgeConfig::default().fault(), None);
        for (text, key) in [
            (r#"{"varnish":{"urls":["varnish:6081"]}}"#, "varnish.urls"),
            (r#"{"nginx":{"urls":["http://user:word@h/"]}}"#, "nginx.urls"),
            (r#"{"nginx":{"method":"PUR GE"}}"#, "nginx.method"),
            (r#"{"varnish":{"header":"a b"}}"#, "varnish.header"),
            (r#"{"fastly":{"service":"SU1Z0isxPaozGVKXdv0eY"}}"#, "fastly"),
            (r#"{"fastly":{"service":"../x","api_key":"k"}}"#, "fastly.service"),
            (r#"{"cloudflare":{"api_token":"x"}}"#, "cloudflare"),
            (r#"{"cloudfront":{"distribution":"E1","access_key":"x"}}"#, "cloudfront"),
            (r#"{"webhook":{"urls":["https://h/x"]}}"#, "webhook.secret"),
            (r#"{"webhook":{"rate_per_s":0}}"#, "webhook.rate_per_s"),
        ] {
            let config: PurgeConfig = serde_json::from_str(text).unwrap();
            assert_eq!(config.fault().map(|(key, ..)| key).as_deref(), Some(key), "{text}");
        }
    }
}
