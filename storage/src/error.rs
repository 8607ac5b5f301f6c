//! What can go wrong with a store, each with its mend.

use framemill_schemas::failure::{Class, Failure};

/// Why something could not be stored or read. No variant holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A setting that cannot work.
    #[error("{setting} {why}")]
    Config {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it, and the mend.
        why: String,
    },
    /// No connection, or no answer in time.
    #[error("the store at {endpoint} does not answer ({cause}); check s3.endpoint and that the store runs")]
    Unreachable {
        /// Where it should be.
        endpoint: String,
        /// Timeout, refused connection, unknown host, ...
        cause: String,
    },
    /// It answers, and is no S3 store.
    #[error("what answers at {endpoint} is no S3 store ({cause}); check s3.endpoint")]
    NotAStore {
        /// Where it should be.
        endpoint: String,
        /// What it said.
        cause: String,
    },
    /// Unknown access key or wrong signature.
    #[error("the store at {endpoint} refuses the keys ({code}); check s3.access_key and s3.secret_key")]
    WrongKeys {
        /// The store.
        endpoint: String,
        /// Its error code.
        code: String,
    },
    /// The keys are right and may not do this.
    #[error(
        "the store at {endpoint} does not allow {operation} in bucket {bucket} ({code}); give the access key \
         the rights to list, read, write and delete there"
    )]
    NotAllowed {
        /// The store.
        endpoint: String,
        /// The bucket.
        bucket: String,
        /// What was asked for.
        operation: &'static str,
        /// Its error code.
        code: String,
    },
    /// The bucket is missing.
    #[error("the store at {endpoint} has no bucket {bucket}; create it, or set s3.create_bucket = true")]
    NoBucket {
        /// The store.
        endpoint: String,
        /// The bucket.
        bucket: String,
    },
    /// Two writers can both be told that they were first.
    #[error(
        "the store at {endpoint} has no conditional put ({evidence}); Framemill needs If-None-Match and If-Match \
         on PutObject: use a newer release, or another store"
    )]
    NoConditionalPut {
        /// The store.
        endpoint: String,
        /// What the trial showed.
        evidence: String,
    },
    /// No room left.
    #[error("the store at {endpoint} is full ({message}); make room, or give it more")]
    Full {
        /// The store.
        endpoint: String,
        /// Its words.
        message: String,
    },
    /// A key that is not taken.
    #[error("the object key {key:?} is refused: {why}")]
    BadKey {
        /// The key, cut to a readable length.
        key: String,
        /// Why.
        why: String,
    },
    /// Metadata that no header can carry.
    #[error("the metadata of {key} is refused: {why}")]
    BadMeta {
        /// The key.
        key: String,
        /// Why.
        why: String,
    },
    /// An object over a limit.
    #[error("{key} has {bytes} bytes, more than {max}")]
    TooLarge {
        /// The key.
        key: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// A listing over a limit.
    #[error("there are more than {max} objects below {prefix}")]
    TooMany {
        /// Where.
        prefix: String,
        /// The limit.
        max: usize,
    },
    /// A range that starts behind the end.
    #[error("{key} ends before byte {start}")]
    Range {
        /// The key.
        key: String,
        /// First byte asked for.
        start: u64,
    },
    /// A body that broke off or stood still.
    #[error("reading {key} broke off after {got} of {expected} bytes ({cause})")]
    Interrupted {
        /// The key.
        key: String,
        /// Bytes that came.
        got: u64,
        /// Bytes that were announced.
        expected: u64,
        /// What happened.
        cause: String,
    },
    /// Others kept changing the object while it was put.
    #[error("{key} kept changing while it was being put")]
    Contended {
        /// The key.
        key: String,
    },
    /// A source that cannot be read, however often it is tried.
    #[error("the source s3://{bucket}/{key} cannot be read ({cause}); check its name and the rights of the access key")]
    Source {
        /// Its bucket.
        bucket: String,
        /// Its key.
        key: String,
        /// Why.
        cause: String,
    },
    /// Everything else a store may say.
    #[error("the store at {endpoint} refused {operation} of {key}: {code} ({status}) {message}")]
    Refused {
        /// The store.
        endpoint: String,
        /// What was asked for.
        operation: &'static str,
        /// The key or prefix.
        key: String,
        /// HTTP status.
        status: u16,
        /// Its error code.
        code: String,
        /// Its words.
        message: String,
    },
}

impl StoreError {
    /// The error as a job's failure.
    ///
    /// What passes is transient; what this node was given wrongly (keys, bucket, address) or what
    /// has run out is resource: another node may do better. Only a source that cannot be read is
    /// the input's fault. A key or metadata that we built and that is refused is a bug.
    pub fn to_failure(&self) -> Failure {
        let (class, code) = match self {
            Self::Unreachable { .. } => (Class::Transient, "store-unreachable"),
            Self::Interrupted { .. } => (Class::Transient, "store-interrupted"),
            Self::Contended { .. } => (Class::Transient, "store-contended"),
            Self::Refused { status, .. } if *status >= 500 || *status == 429 => (Class::Transient, "store-error"),
            Self::Refused { .. } => (Class::Resource, "store-refused"),
            Self::Full { .. } => (Class::Resource, "store-full"),
            Self::WrongKeys { .. } => (Class::Resource, "store-keys"),
            Self::NotAllowed { .. } => (Class::Resource, "store-not-allowed"),
            Self::NoBucket { .. } => (Class::Resource, "store-no-bucket"),
            Self::Config { .. } | Self::NotAStore { .. } => (Class::Resource, "store-config"),
            Self::NoConditionalPut { .. } => (Class::Resource, "store-no-conditional-put"),
            Self::Source { .. } => (Class::Input, "source-unreadable"),
            Self::BadKey { .. } => (Class::Bug, "store-bad-key"),
            Self::BadMeta { .. } => (Class::Bug, "store-bad-metadata"),
            Self::TooLarge { .. } => (Class::Bug, "store-too-large"),
            Self::TooMany { .. } => (Class::Bug, "store-too-many"),
            Self::Range { .. } => (Class::Bug, "store-range"),
        };
        Failure::new(class, code, self.to_string())
    }

    /// Whether it may pass without anybody changing a setting: worth waiting for. A store that
    /// answered in its own words before and now does not is one whose answers break off.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NotAStore { .. } | Self::Full { .. } | Self::Interrupted { .. } => true,
            // 501 is a store that lacks something.
            Self::Refused { status, .. } => (*status >= 500 && *status != 501) || *status == 429,
            _ => false,
        }
    }

    /// Whether the store as a whole is of no use right now: a node that sees it stops claiming.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::NotAStore { .. }
            | Self::WrongKeys { .. }
            | Self::NotAllowed { .. }
            | Self::NoBucket { .. }
            | Self::Full { .. } => true,
            Self::Refused { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }
}
