//! CloudFront: invalidations of paths, with a wildcard for what is more than one object. Requests are signed (SigV4).

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use framemill_schemas::ids::Tenant;
use framemill_storage::Secret;
use reqwest::{Client, RequestBuilder, StatusCode};

use super::{
    cache::{Batch, Cache, Verdict, judge_status},
    prefix_of,
};

/// Paths with a wildcard that CloudFront works on at a time.
const PATHS_MAX: usize = 15;
/// The API's version, which its paths and documents carry.
const VERSION: &str = "2020-05-31";
/// CloudFront is of no region; its requests are signed for this one.
const REGION: &str = "us-east-1";
/// Where the signer says credentials come from.
const PROVIDER: &str = "framemill";

pub(crate) struct CloudFront {
    url: String,
    access_key: Secret,
    secret_key: Secret,
}

impl CloudFront {
    pub fn new(url: &str, distribution: &str, access_key: Secret, secret_key: Secret) -> Self {
        let url = format!("{}/{VERSION}/distribution/{distribution}/invalidation", url.trim_end_matches('/'));
        Self { url, access_key, secret_key }
    }

    /// The headers that sign a body sent at a time.
    fn sign(&self, body: &str, now_ms: i64) -> Vec<(String, String)> {
        let (access, secret) = (self.access_key.expose(), self.secret_key.expose());
        let identity = Credentials::new(access, secret, None, None, PROVIDER).into();
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now_ms).unwrap_or_default());
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name("cloudfront")
            .time(time)
            .settings(SigningSettings::default())
            .build();
        let signed = params.ok().and_then(|params| {
            let headers = std::iter::once(("content-type", "application/xml"));
            let request = SignableRequest::new("POST", &self.url, headers, SignableBody::Bytes(body.as_bytes()));
            sign(request.ok()?, &params.into()).ok()
        });
        // Unsigned it is refused, and the answer says so.
        let Some(signed) = signed else { return Vec::new() };
        let (instructions, _) = signed.into_parts();
        instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

impl Cache for CloudFront {
    fn entries(&self, tag: &str, tenant: &Tenant) -> Option<Vec<String>> {
        let rest = if tag.starts_with("object:") { "" } else { "*" };
        Some(prefix_of(tag, tenant).into_iter().map(|prefix| format!("/{prefix}{rest}")).collect())
    }

    fn entries_max(&self) -> usize {
        PATHS_MAX
    }

    fn request(&self, client: &Client, batch: &Batch, now_ms: i64) -> RequestBuilder {
        // Names of objects hold nothing that would have to be escaped.
        let paths: String = batch.entries.iter().map(|path| format!("<Path>{path}</Path>")).collect();
        // Sent again under the same reference it is one invalidation.
        let reference =
            format!("{}-{}", batch.purges.first().map_or_else(String::new, ToString::to_string), batch.name);
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <InvalidationBatch xmlns=\"http://cloudfront.amazonaws.com/doc/{VERSION}/\">\
             <Paths><Quantity>{}</Quantity><Items>{paths}</Items></Paths>\
             <CallerReference>{reference}</CallerReference></InvalidationBatch>",
            batch.entries.len()
        );
        let mut request = client.post(&self.url).header("content-type", "application/xml");
        for (name, value) in self.sign(&body, now_ms) {
            request = request.header(name, value);
        }
        request.body(body)
    }

    /// Too many at once is an error of the request to it, though it passes.
    fn judge(&self, status: StatusCode, body: &str) -> Verdict {
        if body.contains("TooManyInvalidationsInProgress") { Verdict::Again } else { judge_status(status) }
    }
}
