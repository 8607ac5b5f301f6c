//! What can go wrong, in the few kinds a caller can act on.

use framemill_schemas::wire::WireError;

/// Why the queue cannot be used. Each message says what, where and the mend.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// No server answers, or it lets nobody in.
    #[error("cannot reach NATS at {url}: {reason}; start it, or correct `nats.url` and `nats.credentials`")]
    Unreachable {
        /// Its address, without secrets.
        url: String,
        /// What the client said.
        reason: String,
    },
    /// The credentials file cannot be used.
    #[error("cannot read the NATS credentials at {path}: {reason}; correct `nats.credentials`")]
    Credentials {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// JetStream is off for this account.
    #[error("NATS at {url} has no JetStream ({reason}); start nats-server with `-js`, or enable it for this account")]
    NoJetStream {
        /// Its address, without secrets.
        url: String,
        /// What the server said.
        reason: String,
    },
    /// The server lacks features records rely on.
    #[error(
        "NATS at {url} is version {version} (JetStream API level {level}, {needed} is needed); use nats-server 2.12 or newer"
    )]
    TooOld {
        /// Its address, without secrets.
        url: String,
        /// Its version.
        version: String,
        /// Its API level.
        level: usize,
        /// The lowest that will do.
        needed: usize,
    },
    /// The server takes smaller messages than a record may be.
    #[error(
        "NATS at {url} takes messages of {bytes} bytes, records need {needed}; set `max_payload: 8MB` in its configuration"
    )]
    SmallPayload {
        /// Its address, without secrets.
        url: String,
        /// What it takes.
        bytes: usize,
        /// What is needed.
        needed: usize,
    },
    /// A stream or consumer exists with another configuration, or came back with one.
    #[error(
        "{what} has {field} {found}, not {wanted}; remove it with `nats {mend}` while nothing runs, or edit it to match"
    )]
    Differs {
        /// The stream or consumer.
        what: String,
        /// The setting.
        field: &'static str,
        /// What the server has.
        found: String,
        /// What was asked for.
        wanted: String,
        /// The command.
        mend: String,
    },
    /// A stream or consumer cannot be made.
    #[error("cannot set up {what}: {reason}")]
    Setup {
        /// The stream or consumer.
        what: String,
        /// What the server said.
        reason: String,
    },
    /// Passing: the server does not answer now.
    #[error("NATS does not answer: {0}")]
    Unavailable(String),
    /// A message that cannot be written or read.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// What came of reading or changing a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Created before, by somebody else.
    #[error("the record exists")]
    Exists,
    /// Changed since it was read, for certain.
    #[error("the record was changed by somebody else")]
    Fenced,
    /// The server does not answer. A change may or may not have been made, and may still be:
    /// the same change may be tried again without harm.
    #[error("NATS does not answer: {0}")]
    Unavailable(String),
    /// Bytes that are no such record, or a record too large.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl From<RecordError> for QueueError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Wire(error) => Self::Wire(error),
            other => Self::Unavailable(other.to_string()),
        }
    }
}
