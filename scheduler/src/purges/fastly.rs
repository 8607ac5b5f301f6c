//! Fastly: batches of surrogate keys (`POST /service/{id}/purge`).

use framemill_schemas::ids::Tenant;
use framemill_storage::Secret;
use reqwest::{Client, RequestBuilder};

use super::cache::{Batch, Cache};

/// Keys of one request, as Fastly bounds them.
const KEYS_MAX: usize = 256;

pub(crate) struct Fastly {
    url: String,
    key: Secret,
    soft: bool,
}

impl Fastly {
    pub fn new(url: &str, service: &str, key: Secret, soft: bool) -> Self {
        Self { url: format!("{}/service/{service}/purge", url.trim_end_matches('/')), key, soft }
    }
}

impl Cache for Fastly {
    fn entries(&self, tag: &str, _: &Tenant) -> Option<Vec<String>> {
        Some(vec![tag.to_owned()])
    }

    fn entries_max(&self) -> usize {
        KEYS_MAX
    }

    fn request(&self, client: &Client, batch: &Batch, _: i64) -> RequestBuilder {
        let body = serde_json::json!({ "surrogate_keys": batch.entries });
        let request = client.post(&self.url).header("fastly-key", self.key.expose()).json(&body);
        // What viewers are refused must not be served stale either.
        if self.soft && !batch.refuse { request.header("fastly-soft-purge", "1") } else { request }
    }
}
