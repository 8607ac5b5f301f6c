//! Anybody else: a signed request for each purge.
//!
//! The header `framemill-signature: t=<seconds>,v1=<hex>` holds HMAC-SHA256, with the shared secret, of the seconds, a
//! dot and the body. Whoever checks it refuses what is older than a few minutes, so nothing can be played back.

use framemill_schemas::ids::Tenant;
use framemill_storage::Secret;
use reqwest::{Client, RequestBuilder, header::CONTENT_TYPE};
use ring::hmac;

use super::cache::{Batch, Cache};

pub(crate) struct Webhook {
    url: String,
    secret: Secret,
}

impl Webhook {
    pub fn new(url: &str, secret: Secret) -> Self {
        Self { url: url.to_owned(), secret }
    }
}

impl Cache for Webhook {
    fn entries(&self, tag: &str, _: &Tenant) -> Option<Vec<String>> {
        Some(vec![tag.to_owned()])
    }

    fn entries_max(&self) -> usize {
        256
    }

    /// Each purge has its id, by which a receiver knows one that comes again.
    fn merges(&self) -> bool {
        false
    }

    fn request(&self, client: &Client, batch: &Batch, now_ms: i64) -> RequestBuilder {
        let purge = batch.purges.first();
        let body = serde_json::json!({ "purge": purge, "tags": batch.entries, "refuse": batch.refuse }).to_string();
        let signature = sign(&self.secret, now_ms / 1000, &body);
        client
            .post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .header("framemill-signature", signature)
            .body(body)
    }
}

/// The signature of a body sent at a second.
fn sign(secret: &Secret, now_s: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let tag = hmac::sign(&key, format!("{now_s}.{body}").as_bytes());
    let hex = tag.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    format!("t={now_s},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known from `printf '1700000000.{}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn bodies_are_signed_with_their_time() {
        let hex = "b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163";
        assert_eq!(sign(&Secret::from("secret"), 1_700_000_000, "{}"), format!("t=1700000000,v1={hex}"));
    }
}
