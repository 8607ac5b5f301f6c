//! What a cache of somebody else looks like to us: how a tag is said to it, what a request is made of, and what its
//! answer means. Each is one file; none of them sends anything.

use framemill_schemas::{delivery::PurgeId, ids::Tenant};
use reqwest::{Client, RequestBuilder, StatusCode};

/// What one request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// What is to be forgotten, as the cache says it.
    pub entries: Vec<String>,
    /// The purges that asked for it.
    pub purges: Vec<PurgeId>,
    /// Whether they are takedowns.
    pub refuse: bool,
    /// What tells it from every other request; the same at each attempt.
    pub name: String,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is forgotten.
    Done,
    /// It may be taken later.
    Again,
    /// It is never taken.
    Refused,
}

/// A cache of somebody else.
pub(crate) trait Cache: Send + Sync {
    /// How a tag of a tenant is said; `None` where it cannot be.
    fn entries(&self, tag: &str, tenant: &Tenant) -> Option<Vec<String>>;

    /// Most entries of one request.
    fn entries_max(&self) -> usize;

    /// Most characters of all entries of one request, with one between each.
    fn chars_max(&self) -> usize {
        usize::MAX
    }

    /// Whether several purges may share a request.
    fn merges(&self) -> bool {
        true
    }

    /// The request of a batch. `now_ms`: for signatures.
    fn request(&self, client: &Client, batch: &Batch, now_ms: i64) -> RequestBuilder;

    /// What an answer means.
    fn judge(&self, status: StatusCode, _body: &str) -> Verdict {
        judge_status(status)
    }
}

/// What a status alone means: a server's fault passes, and so does too much at once.
pub(crate) fn judge_status(status: StatusCode) -> Verdict {
    match status.as_u16() {
        200..=299 => Verdict::Done,
        408 | 425 | 429 | 500..=599 => Verdict::Again,
        _ => Verdict::Refused,
    }
}
