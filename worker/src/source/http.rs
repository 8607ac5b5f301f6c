//! Sources on web servers: range requests, redirects by hand, every hop checked.

use std::{
    error::Error,
    io,
    ops::Range,
    sync::{Mutex, PoisonError},
};

use framemill_schemas::failure::{Class, Failure};
use reqwest::{Client, Response, Url, header, redirect};
use tokio::time::timeout;

use super::{
    answer::{self, Part},
    config::Limits,
    fault::{self, Trouble},
    guard::{self, Guard, NotPublic},
};

/// Most redirects followed for one request.
const REDIRECTS_MAX: usize = 5;

/// What all sources on web servers share: connections, and the rules.
#[derive(Clone, Debug)]
pub(super) struct Web {
    pub(super) client: Client,
    pub(super) guard: Guard,
    pub(super) limits: Limits,
}

impl Web {
    /// Sets the client up. Nothing is taken from the environment: a proxy would resolve names on
    /// its own, past the rules.
    pub fn new(guard: Guard, limits: Limits) -> Result<Self, reqwest::Error> {
        // Whoever was first in this process has chosen the same one: there is only ring.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .dns_resolver(guard.clone())
            .connect_timeout(limits.connect)
            .user_agent(concat!("framemill/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, guard, limits })
    }
}

/// One source on a web server.
#[derive(Debug)]
pub(super) struct HttpSource {
    web: Web,
    shown: String,
    /// The address as submitted.
    origin: Url,
    /// Where its redirects led the last time, so that they need not be walked for every read.
    place: Mutex<Url>,
}

impl HttpSource {
    pub fn new(web: Web, shown: String, address: &str) -> Result<Self, Failure> {
        let malformed = || {
            Failure::input("source-malformed", format!("{shown} is no address that can be asked"))
                .mend("write https://host/path")
        };
        let mut origin = Url::parse(address).map_err(|_| malformed())?;
        if !matches!(origin.scheme(), "http" | "https") || !origin.username().is_empty() || origin.password().is_some()
        {
            return Err(malformed());
        }
        origin.set_fragment(None);
        Ok(Self { web, place: Mutex::new(origin.clone()), origin, shown })
    }

    /// Asks for a range; `known` says that it was there before.
    pub async fn ask(&self, wanted: &Range<u64>, known: bool) -> Result<(Part, Response), Trouble> {
        let place = self.place();
        let found = self.walk(place.clone(), wanted, known).await;
        match found {
            // What a redirect led to may have expired while the submitted address has not.
            Err(trouble) if !trouble.again && place != self.origin => {
                self.walk(self.origin.clone(), wanted, known).await
            }
            found => found,
        }
    }

    async fn walk(&self, mut url: Url, wanted: &Range<u64>, known: bool) -> Result<(Part, Response), Trouble> {
        for _ in 0..=REDIRECTS_MAX {
            self.web.guard.check(&self.shown, &url).map_err(Trouble::last)?;
            let response = self.get(&url, wanted).await?;
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            match location {
                Some(location) if response.status().is_redirection() => {
                    url = guard::next_hop(&self.shown, &url, location).map_err(Trouble::last)?;
                }
                _ => {
                    let part = answer::judge(&self.shown, response.status(), response.headers(), wanted, known)?;
                    *self.place.lock().unwrap_or_else(PoisonError::into_inner) = url;
                    return Ok((part, response));
                }
            }
        }
        let reason = format!("{} redirects more than {REDIRECTS_MAX} times", self.shown);
        Err(Trouble::last(
            Failure::input("source-redirect", reason).mend("submit the address that it leads to in the end"),
        ))
    }

    async fn get(&self, url: &Url, wanted: &Range<u64>) -> Result<Response, Trouble> {
        let request = self
            .web
            .client
            .get(url.clone())
            .header(header::RANGE, format!("bytes={}-{}", wanted.start, wanted.end - 1))
            // A range of a compressed body would be of no use.
            .header(header::ACCEPT_ENCODING, "identity");
        match timeout(self.web.limits.connect + self.web.limits.silence, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.blame(url, &error)),
            Err(_) => Err(Trouble::passing(fault::stalled(&self.shown))),
        }
    }

    fn blame(&self, url: &Url, error: &reqwest::Error) -> Trouble {
        let shown = &self.shown;
        let host = url.host_str().unwrap_or_default();
        if find::<NotPublic>(error).is_some() {
            return Trouble::last(guard::refused(shown, url));
        }
        if let Some(rustls::Error::InvalidCertificate(fault)) = find(error) {
            return Trouble::last(
                Failure::input("source-certificate", format!("the certificate of {host} is not accepted: {fault}"))
                    .mend("renew the certificate, or submit another address"),
            );
        }
        if error.is_connect() || error.is_timeout() {
            return Trouble::passing(
                Failure::new(
                    Class::Transient,
                    "source-unreachable",
                    format!("{shown} cannot be reached: no connection to {host} ({})", innermost(error)),
                )
                .mend("check the address and the server"),
            );
        }
        Trouble::passing(fault::interrupted(shown, &innermost(error)))
    }

    fn place(&self) -> Url {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a body that broke off means: an end that came too early, or a lost connection.
pub(super) fn broken(shown: &str, error: &reqwest::Error, at: u64, bytes: u64) -> Trouble {
    let ended = find::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
        || find::<hyper::Error>(error).is_some_and(hyper::Error::is_incomplete_message);
    Trouble::passing(if ended {
        fault::truncated(shown, at, bytes)
    } else {
        fault::interrupted(shown, &innermost(error))
    })
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

/// What an error was made of. The source of an I/O error is not what it wraps, but what that wraps.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

pub(super) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|error| error.downcast_ref::<E>())
}

/// The first cause; the outer messages repeat the address.
fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}
