//! The handle everything else is reached through.

use std::{collections::HashMap, sync::Arc};

use async_nats::jetstream::stream::Stream;
use framemill_schemas::{asset::AssetRecord, job::JobRecord, subject};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    link::Link,
    records::{Bucket, Records},
};

/// A connection to a farm's NATS, checked and set up. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    pub(crate) link: Link,
    pub(crate) hints: Stream<()>,
    pub(crate) events: Stream<()>,
    buckets: Arc<HashMap<&'static str, Bucket>>,
    assets: Records<AssetRecord>,
    jobs: Records<JobRecord>,
}

impl Queue {
    pub(crate) fn new(
        link: Link,
        hints: Stream<()>,
        events: Stream<()>,
        buckets: HashMap<&'static str, Bucket>,
    ) -> Self {
        let assets = Records::new(link.clone(), buckets[subject::ASSETS_BUCKET].clone());
        let jobs = Records::new(link.clone(), buckets[subject::JOBS_BUCKET].clone());
        Self { hints, events, assets, jobs, buckets: Arc::new(buckets), link }
    }

    /// Asset records, by asset id.
    pub fn assets(&self) -> &Records<AssetRecord> {
        &self.assets
    }

    /// Job records, by `subject::job_record`.
    pub fn jobs(&self) -> &Records<JobRecord> {
        &self.jobs
    }

    /// Records of one of the farm's buckets: [`subject::KEYS_BUCKET`],
    /// [`subject::IDEMPOTENCY_BUCKET`] or [`subject::LEASES_BUCKET`].
    ///
    /// # Panics
    ///
    /// For a bucket the farm does not have: a slip of the pen, not a condition of a farm.
    pub fn records<T: Serialize + DeserializeOwned>(&self, bucket: &'static str) -> Records<T> {
        let bucket = self.buckets.get(bucket).expect("the bucket is one of the farm's, by its constant").clone();
        Records::new(self.link.clone(), bucket)
    }

    /// The connection itself: to count what goes over it, and to compare with going without this
    /// crate.
    pub fn client(&self) -> &async_nats::Client {
        &self.link.client
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        self.link.now().up
    }

    /// How often the connection came back. Whoever judges others by what it hears starts anew
    /// when this changes.
    pub fn reconnects(&self) -> u64 {
        self.link.now().connects.saturating_sub(1)
    }

    /// Which connection there is now; `None` while there is none.
    pub fn connection(&self) -> Option<u64> {
        let now = self.link.now();
        now.up.then_some(now.connects)
    }

    /// Whether the server answers now. What it had for us before, it has sent by then.
    pub async fn answers(&self) -> bool {
        self.link.settle().await.is_ok()
    }

    /// Waits until the connection is lost or comes back once more.
    pub async fn connection_changed(&self) {
        let mut state = self.link.state.clone();
        let seen = *state.borrow_and_update();
        let _ = state.wait_for(|state| *state != seen).await;
    }
}
