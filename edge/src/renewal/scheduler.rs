//! Asks a scheduler for the next token of a session. Any of them will do.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use framemill_schemas::delivery::{LIFETIME_S_MIN, RenewRequest, TokenIssued};
use reqwest::{StatusCode, header};

use super::chains::Ask;
use crate::origin::Breaker;

/// Longest time to connect, and until the whole answer is there.
const CONNECT_MAX: Duration = Duration::from_secs(2);
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Largest answer: a token in four forms, and paths.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Connections that are kept to one scheduler.
const IDLE_MAX: usize = 8;
/// A token that lives shorter is renewed for as long; others for as long as the scheduler says.
const LIFE_S_SHORT: i64 = 300;

/// The schedulers.
pub struct Schedulers {
    all: Vec<Scheduler>,
    client: reqwest::Client,
}

struct Scheduler {
    /// Where it renews tokens.
    url: String,
    breaker: Mutex<Breaker>,
}

/// What a scheduler said.
pub enum Said {
    /// The next token.
    Token(String),
    /// There is none: its session is revoked, its account may not watch any more, or it cannot be renewed.
    Refused,
    /// Nothing that helps: none answers, or with no token.
    Nothing,
}

impl Schedulers {
    /// Takes the addresses of their APIs, the nearest first.
    ///
    /// # Errors
    /// What is wrong with one.
    pub fn open(addresses: &[String]) -> Result<Self, String> {
        let open = |address: &String| {
            let address = address.trim_end_matches('/');
            if !address.starts_with("http://") && !address.starts_with("https://") {
                return Err("one is no http:// or https:// address".to_owned());
            }
            if address.contains(['@', '?', '#']) {
                return Err("an address must not hold a user, a password or a query".to_owned());
            }
            Ok(Scheduler { url: format!("{address}/v1/tokens/renew"), breaker: Mutex::default() })
        };
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .timeout(ANSWER_MAX)
            .pool_max_idle_per_host(IDLE_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| format!("no client: {error}"))?;
        Ok(Self { all: addresses.iter().map(open).collect::<Result<_, _>>()?, client })
    }

    /// Asks one after the other until one has an answer. Those that failed lately are passed over.
    pub async fn renew(&self, ask: &Ask, now_ms: impl Fn() -> i64) -> Said {
        let ttl_s = u32::try_from(ask.times.life_s).ok().filter(|_| ask.times.life_s < LIFE_S_SHORT);
        let ttl_s = ttl_s.map(|life_s| life_s.max(LIFETIME_S_MIN));
        let request = RenewRequest { token: ask.token.clone(), ttl_s };
        for scheduler in &self.all {
            let began_ms = now_ms();
            if !scheduler.breaker().admits(began_ms) {
                continue;
            }
            match self.ask(&scheduler.url, &request).await {
                Ok(said) => {
                    scheduler.breaker().answered(now_ms().saturating_sub(began_ms));
                    return said;
                }
                Err(error) => {
                    let alone = scheduler.breaker().failed(now_ms());
                    tracing::debug!(url = scheduler.url, error, "a scheduler renews no token");
                    if alone {
                        tracing::warn!(url = scheduler.url, "a scheduler that renews no tokens is left alone");
                    }
                }
            }
        }
        Said::Nothing
    }

    async fn ask(&self, url: &str, request: &RenewRequest) -> Result<Said, String> {
        let sent = self.client.post(url).json(request).send().await;
        let mut answer = sent.map_err(|error| error.without_url().to_string())?;
        match answer.status() {
            status if status.is_success() => {}
            // What it says of this token; another scheduler would say the same.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::UNPROCESSABLE_ENTITY => {
                return Ok(Said::Refused);
            }
            // It is well, and cannot renew this one: its tenant has no key that fits. Others it can.
            status if status.is_client_error() && !is_for_later(status) => return Ok(Said::Nothing),
            status => return Err(format!("it answered {status}")),
        }
        let is_json = |kind: &header::HeaderValue| kind.as_bytes().starts_with(b"application/json");
        if !answer.headers().get(header::CONTENT_TYPE).is_some_and(is_json) {
            return Err("its answer is no document: this is no scheduler's API".to_owned());
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| error.without_url().to_string())? {
            if body.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(format!("its answer is over {ANSWER_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&part);
        }
        // Where reading broke, and never what was read: it holds a token.
        let issued: TokenIssued = serde_json::from_slice(&body).map_err(|error| {
            format!("its answer is no issued token (line {}, column {})", error.line(), error.column())
        })?;
        Ok(Said::Token(issued.token))
    }
}

/// Whether a refusal is about the moment, and not about what was asked.
fn is_for_later(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

impl Scheduler {
    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduler_has_a_plain_address() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        for (address, good) in [
            ("http://127.0.0.1:8080", true),
            ("https://farm.example/api/", true),
            ("farm.example", false),
            ("https://user:secret@farm.example", false),
            ("https://farm.example/?key=1", false),
        ] {
            assert_eq!(Schedulers::open(&[address.to_owned()]).is_ok(), good, "{address}");
        }
    }
}
