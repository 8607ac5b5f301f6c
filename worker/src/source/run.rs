//! One request to where a source is, read forward.

use std::ops::Range;

use bytes::Bytes;
use framemill_schemas::failure::{Class, Failure};
use framemill_storage::ObjectStream;
use futures_util::StreamExt;
use reqwest::Response;
use tokio::time::timeout;

use super::{
    answer::Part,
    config::Limits,
    fault::{self, Trouble},
    http::{self, HttpSource},
    object::{self, ObjectSource},
};

/// Where a source is that is not a file.
#[derive(Debug)]
pub(super) enum Remote {
    /// A web server.
    Http(Box<HttpSource>),
    /// The store.
    Object(ObjectSource),
}

/// The rest of an answer.
pub(super) struct Run {
    body: Body,
    /// Bytes that came and were not taken.
    rest: Bytes,
    /// Where the next byte belongs.
    pub at: u64,
    /// Where the answer ends.
    pub end: u64,
}

enum Body {
    Http(Box<Response>),
    Object(ObjectStream),
}

impl Remote {
    /// Why a block that did not come in time did not. A store that keeps a patient reader waiting
    /// is away, which is no fault of the job.
    pub fn stalled(&self, shown: &str) -> Failure {
        match self {
            Self::Http(_) => fault::stalled(shown),
            Self::Object(_) => {
                let reason = format!("the store stopped sending {shown}");
                Failure::new(Class::Transient, "store-unreachable", reason)
            }
        }
    }

    /// Starts to read a range; `known` says that it was there before.
    pub async fn run(&self, wanted: &Range<u64>, known: bool) -> Result<(Part, Run), Trouble> {
        let (part, body) = match self {
            Self::Http(source) => {
                let (part, response) = source.ask(wanted, known).await?;
                (part, Body::Http(Box::new(response)))
            }
            Self::Object(source) => {
                let (part, stream) = source.ask(wanted).await?;
                (part, Body::Object(stream))
            }
        };
        let run = Run { body, rest: Bytes::new(), at: part.start, end: part.end };
        Ok((part, run))
    }
}

impl Run {
    /// The next bytes, at most `most`; `None` at the end of the answer. `bytes` is the size of the
    /// whole source, for the error.
    pub async fn next(
        &mut self,
        shown: &str,
        bytes: u64,
        most: usize,
        limits: &Limits,
    ) -> Result<Option<Bytes>, Trouble> {
        if self.at == self.end {
            return Ok(None);
        }
        while self.rest.is_empty() {
            self.rest = self.receive(shown, bytes, limits).await?;
        }
        // A body longer than its announcement is cut: the announcement was checked.
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let taken = self.rest.split_to(self.rest.len().min(most).min(left));
        self.at += taken.len() as u64;
        Ok(Some(taken))
    }

    async fn receive(&mut self, shown: &str, bytes: u64, limits: &Limits) -> Result<Bytes, Trouble> {
        let short = |at| Trouble::passing(fault::truncated(shown, at, bytes));
        match &mut self.body {
            Body::Http(response) => match timeout(limits.silence, response.chunk()).await {
                Err(_) => Err(Trouble::passing(fault::stalled(shown))),
                Ok(Err(error)) => Err(http::broken(shown, &error, self.at, bytes)),
                Ok(Ok(None)) => Err(short(self.at)),
                Ok(Ok(Some(chunk))) => Ok(chunk),
            },
            // The store bounds the silence itself.
            Body::Object(object) => match object.stream.next().await {
                None => Err(short(self.at)),
                Some(Err(error)) => Err(object::blame(shown, &error)),
                Some(Ok(chunk)) => Ok(chunk),
            },
        }
    }
}
