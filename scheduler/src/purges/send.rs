//! Sending to caches of others: paced, tried again within a bound, and with a receipt of what became of it.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use framemill_schemas::delivery::Receipt;
use reqwest::{Client, Response, header::RETRY_AFTER};

use super::{
    cache::{Batch, Cache, Verdict},
    pace::{Bucket, Pace},
};
use crate::{chain::chain, clock::now_ms};

/// Longest a request may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Characters of an answer that are kept.
const ANSWER_CHARS_MAX: usize = 200;

/// One cache of somebody else, and how it is asked.
pub(crate) struct Sender {
    name: String,
    cache: Box<dyn Cache>,
    client: Client,
    pace: Pace,
    bucket: Mutex<Bucket>,
}

/// What became of one attempt.
struct Attempt {
    verdict: Verdict,
    answer: String,
    retry_after: Option<Duration>,
}

impl Sender {
    pub fn new(name: String, cache: Box<dyn Cache>, client: Client, pace: Pace) -> Self {
        let bucket = Mutex::new(Bucket::new(pace.rate_per_s, Instant::now()));
        Self { name, cache, client, pace, bucket }
    }

    /// What it is: `<kind>/<where>`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is spoken to.
    pub fn cache(&self) -> &dyn Cache {
        self.cache.as_ref()
    }

    /// Sends a batch until it is taken, refused, or given up; `number` is its place in its round.
    pub async fn send(&self, number: u32, batch: &Batch) -> Receipt {
        let mut attempts = 0;
        loop {
            // Plain numbers: a panic elsewhere cannot have left them half-changed.
            let wait = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
            tokio::time::sleep(wait).await;
            attempts += 1;
            let Attempt { verdict, answer, retry_after } = self.attempt(batch).await;
            if verdict == Verdict::Again && attempts < self.pace.attempts {
                tracing::debug!(cache = self.name, answer, attempts, "a purge is sent again");
                tokio::time::sleep(self.pace.pause(attempts, retry_after)).await;
                continue;
            }
            let ok = verdict == Verdict::Done;
            if !ok {
                tracing::warn!(cache = self.name, answer, attempts, "a cache does not take a purge");
            }
            let entries = u32::try_from(batch.entries.len()).unwrap_or(u32::MAX);
            return Receipt { batch: number, entries, ok, answer, attempts, at_ms: now_ms() };
        }
    }

    async fn attempt(&self, batch: &Batch) -> Attempt {
        let request = self.cache.request(&self.client, batch, now_ms()).timeout(REQUEST_TIME_MAX);
        match request.send().await {
            Ok(response) => {
                let status = response.status();
                let retry_after =
                    response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                let body = body(response).await;
                let verdict = self.cache.judge(status, &body);
                Attempt {
                    verdict,
                    answer: shorten(status.as_u16(), &body),
                    retry_after: retry_after.map(Duration::from_secs),
                }
            }
            // Its address is the operator's, and may not be a reader's to know: the name says which it is.
            Err(error) => Attempt { verdict: Verdict::Again, answer: chain(&error.without_url()), retry_after: None },
        }
    }
}

/// The beginning of an answer's body, as text.
async fn body(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    bytes.truncate(ANSWER_BYTES_MAX);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An answer in few words, on one line.
fn shorten(status: u16, body: &str) -> String {
    let plain: String = body.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{status} {words}").trim_end().chars().take(ANSWER_CHARS_MAX).collect()
}

#[cfg(test)]
#[path = "send_tests.rs"]
mod tests;
