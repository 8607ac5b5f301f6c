//! The store as the rest of Framemill sees it.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use aws_sdk_s3::Client;

use crate::{
    classes::Classes,
    config::{Limits, S3Config},
    error::StoreError,
    fault::Call,
    key,
    outage::Outages,
};

/// A store that was checked. Clones share connections.
#[derive(Clone)]
pub struct Store {
    pub(crate) client: Client,
    pub(crate) shared: Arc<Shared>,
    /// How long a call waits for the end of an outage; zero: it fails at once.
    pub(crate) patience: Duration,
}

pub(crate) struct Shared {
    pub endpoint: String,
    pub bucket: String,
    pub limits: Limits,
    pub classes: Classes,
    /// Set when the store turned out to have no batch deletion.
    pub delete_singly: AtomicBool,
    pub outages: Outages,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("endpoint", &self.shared.endpoint)
            .field("bucket", &self.shared.bucket)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Connects, and proves before anything depends on it that the bucket is there, that the keys
    /// may use it, and that of several conditional puts racing for one name exactly one wins.
    ///
    /// # Errors
    /// Each fault in one sentence with its mend.
    pub async fn connect(config: &S3Config) -> Result<Self, StoreError> {
        let store = Self::open(config)?;
        crate::check::check(&store, config.create_bucket).await?;
        Ok(store)
    }

    /// A store for one that only reads, and may not do more: nothing is proven, and nothing asked of it before the
    /// first object.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn open(config: &S3Config) -> Result<Self, StoreError> {
        config.check()?;
        Ok(Self {
            client: crate::client::build(config)?,
            shared: Arc::new(Shared {
                endpoint: config.endpoint_shown(),
                bucket: config.bucket.clone(),
                limits: config.limits,
                classes: config.classes.clone(),
                delete_singly: AtomicBool::new(false),
                outages: Outages::default(),
            }),
            patience: Duration::ZERO,
        })
    }

    /// The bucket of everything that is written.
    pub fn bucket(&self) -> &str {
        &self.shared.bucket
    }

    /// Where the store is, for people.
    pub fn endpoint(&self) -> &str {
        &self.shared.endpoint
    }

    pub(crate) fn call<'a>(&'a self, operation: &'static str, key: &'a str) -> Call<'a> {
        Call { endpoint: &self.shared.endpoint, bucket: &self.shared.bucket, operation, key }
    }
}

/// Refuses keys that could leave their place.
pub(crate) fn check_key(key: &str) -> Result<(), StoreError> {
    match key::refusal(key) {
        Some(why) => Err(StoreError::BadKey { key: key.chars().take(80).collect(), why: why.to_owned() }),
        None => Ok(()),
    }
}
