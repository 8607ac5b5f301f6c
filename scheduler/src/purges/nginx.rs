//! nginx with a purge module: it knows addresses and no tags, so it can forget single objects only.

use framemill_schemas::ids::Tenant;
use reqwest::{Client, Method, RequestBuilder, StatusCode};

use super::cache::{Batch, Cache, Verdict, judge_status};

pub(crate) struct Nginx {
    url: String,
    method: Method,
}

impl Nginx {
    pub fn new(url: &str, method: &str) -> Self {
        // Checked with the configuration.
        let method = method.parse().unwrap_or(Method::DELETE);
        Self { url: url.trim_end_matches('/').to_owned(), method }
    }
}

impl Cache for Nginx {
    fn entries(&self, tag: &str, _: &Tenant) -> Option<Vec<String>> {
        tag.strip_prefix("object:").map(|key| vec![key.to_owned()])
    }

    fn entries_max(&self) -> usize {
        1
    }

    fn request(&self, client: &Client, batch: &Batch, _: i64) -> RequestBuilder {
        let key = batch.entries.first().map(String::as_str).unwrap_or_default();
        client.request(self.method.clone(), format!("{}/{key}", self.url))
    }

    /// What was not there is forgotten; modules say that with 404, older ones with 412.
    fn judge(&self, status: StatusCode, _: &str) -> Verdict {
        match status.as_u16() {
            404 | 412 => Verdict::Done,
            _ => judge_status(status),
        }
    }
}
