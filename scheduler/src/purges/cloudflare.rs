//! Cloudflare: batches of cache tags (`POST /zones/{id}/purge_cache`).

use framemill_schemas::ids::Tenant;
use framemill_storage::Secret;
use reqwest::{Client, RequestBuilder, StatusCode};

use super::cache::{Batch, Cache, Verdict, judge_status};

/// Tags of one request, as Cloudflare bounds them.
const TAGS_MAX: usize = 100;

pub(crate) struct Cloudflare {
    url: String,
    token: Secret,
}

impl Cloudflare {
    pub fn new(url: &str, zone: &str, token: Secret) -> Self {
        Self { url: format!("{}/zones/{zone}/purge_cache", url.trim_end_matches('/')), token }
    }
}

impl Cache for Cloudflare {
    fn entries(&self, tag: &str, _: &Tenant) -> Option<Vec<String>> {
        Some(vec![tag.to_owned()])
    }

    fn entries_max(&self) -> usize {
        TAGS_MAX
    }

    fn request(&self, client: &Client, batch: &Batch, _: i64) -> RequestBuilder {
        let body = serde_json::json!({ "tags": batch.entries });
        client.post(&self.url).bearer_auth(self.token.expose()).json(&body)
    }

    /// It says in the body whether it did it.
    fn judge(&self, status: StatusCode, body: &str) -> Verdict {
        let success = serde_json::from_str::<serde_json::Value>(body).ok().and_then(|body| body["success"].as_bool());
        match (judge_status(status), success) {
            (Verdict::Done, Some(false)) => Verdict::Refused,
            (verdict, _) => verdict,
        }
    }
}
