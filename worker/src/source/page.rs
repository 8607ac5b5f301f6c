//! Whole small things from a web server: a channel's playlists and segments. The same rules as for a
//! title's source, on every redirect.

use bytes::{Bytes, BytesMut};
use framemill_schemas::failure::{Class, Failure};
use reqwest::{Url, header};
use tokio::time::timeout;

use super::{
    guard::{self, NotPublic},
    http::{self, Web},
};

/// Most redirects followed for one request.
const REDIRECTS_MAX: usize = 5;

/// Something that was fetched.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Its bytes.
    pub body: Bytes,
    /// Where it was in the end: what it names is relative to that.
    pub url: Url,
}

/// Fetches what is at `url`, at most `bytes_max` of it. `shown` stands for it in what is said.
pub(super) async fn fetch(web: &Web, shown: &str, url: &Url, bytes_max: usize) -> Result<Page, Failure> {
    let mut url = url.clone();
    for _ in 0..=REDIRECTS_MAX {
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
            return Err(guard::refused(shown, &url));
        }
        web.guard.check(shown, &url)?;
        let asked = web.client.get(url.clone()).header(header::ACCEPT_ENCODING, "identity").send();
        let response = timeout(web.limits.connect + web.limits.silence, asked)
            .await
            .map_err(|_| passing(shown, "does not answer"))?
            .map_err(|error| match http::find::<NotPublic>(&error) {
                Some(_) => guard::refused(shown, &url),
                None => passing(shown, "cannot be reached"),
            })?;
        let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        match location {
            Some(location) if response.status().is_redirection() => {
                url = guard::next_hop(shown, &url, location)?;
            }
            _ if response.status().is_success() => {
                let body = read(shown, response, bytes_max, web.limits.silence).await?;
                return Ok(Page { body, url });
            }
            _ => return Err(passing(shown, &format!("answers with status {}", response.status().as_u16()))),
        }
    }
    Err(Failure::input("source-redirect", format!("{shown} redirects more than {REDIRECTS_MAX} times"))
        .mend("give the address that it leads to in the end"))
}

async fn read(
    shown: &str,
    mut response: reqwest::Response,
    bytes_max: usize,
    silence: std::time::Duration,
) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    loop {
        let chunk = timeout(silence, response.chunk()).await;
        let chunk = chunk.map_err(|_| passing(shown, "stopped in the middle"))?;
        match chunk.map_err(|_| passing(shown, "broke off in the middle"))? {
            None => return Ok(body.freeze()),
            Some(chunk) if body.len() + chunk.len() > bytes_max => {
                return Err(Failure::input("source-too-large", format!("{shown} is larger than {bytes_max} bytes")));
            }
            Some(chunk) => body.extend_from_slice(&chunk),
        }
    }
}

fn passing(shown: &str, what: &str) -> Failure {
    Failure::new(Class::Transient, "source-unavailable", format!("{shown} {what}"))
}
