//! Varnish with its xkey module: one request names many tags (vmod_xkey of varnish-modules).

use framemill_schemas::ids::Tenant;
use reqwest::{Client, Method, RequestBuilder};

use super::cache::{Batch, Cache};

/// Varnish takes headers of 8 KiB (`http_req_hdr_len`).
const CHARS_MAX: usize = 7000;

pub(crate) struct Varnish {
    url: String,
    header: String,
}

impl Varnish {
    pub fn new(url: &str, header: &str) -> Self {
        Self { url: url.to_owned(), header: header.to_owned() }
    }
}

impl Cache for Varnish {
    fn entries(&self, tag: &str, _: &Tenant) -> Option<Vec<String>> {
        Some(vec![tag.to_owned()])
    }

    fn entries_max(&self) -> usize {
        256
    }

    fn chars_max(&self) -> usize {
        CHARS_MAX
    }

    fn request(&self, client: &Client, batch: &Batch, _: i64) -> RequestBuilder {
        let method = Method::from_bytes(b"PURGE").expect("a method is a word");
        client.request(method, &self.url).header(&self.header, batch.entries.join(" "))
    }
}
