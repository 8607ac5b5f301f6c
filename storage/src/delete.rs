//! Deleting objects.

use std::sync::atomic::Ordering;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    error::StoreError,
    fault,
    store::{Store, check_key},
};

/// Most keys of one request (the limit of S3).
const BATCH_KEYS_MAX: usize = 1000;
/// Requests under way at once where a store only deletes one by one.
const SINGLE_DELETES_AT_ONCE: usize = 8;

impl Store {
    /// Deletes objects; those that are not there are no error.
    ///
    /// # Errors
    /// A refused key (before anything is deleted), and what stores refuse. After an error some may
    /// be gone.
    pub async fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        for key in keys {
            check_key(key)?;
        }
        for batch in keys.chunks(BATCH_KEYS_MAX) {
            if self.shared.delete_singly.load(Ordering::Relaxed) || !self.delete_batch(batch).await? {
                self.delete_each(batch).await?;
            }
        }
        Ok(())
    }

    /// Deletes a batch with one request; `false` when the store has no such request.
    async fn delete_batch(&self, keys: &[String]) -> Result<bool, StoreError> {
        let objects = keys
            .iter()
            .map(|key| ObjectIdentifier::builder().key(key).build().expect("a key is all it needs"))
            .collect();
        let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build().expect("it has objects");
        let first = keys.first().map_or("", String::as_str);
        match self.client.delete_objects().bucket(&self.shared.bucket).delete(delete).send().await {
            Ok(output) => match output.errors().iter().find(|error| error.code() != Some("NoSuchKey")) {
                None => Ok(true),
                Some(error) => Err(StoreError::Refused {
                    endpoint: self.shared.endpoint.clone(),
                    operation: "DeleteObjects",
                    key: error.key().unwrap_or(first).to_owned(),
                    status: 200,
                    code: error.code().unwrap_or("no code").to_owned(),
                    message: error.message().unwrap_or_default().to_owned(),
                }),
            },
            // Not implemented, or refused for its form: some stores want an MD5 that others refuse.
            Err(error) if matches!(fault::status(&error), Some(400 | 405 | 501)) => {
                self.shared.delete_singly.store(true, Ordering::Relaxed);
                tracing::info!(endpoint = self.shared.endpoint, "store deletes one by one");
                Ok(false)
            }
            Err(error) => Err(fault::explain(self.call("DeleteObjects", first), &error)),
        }
    }

    async fn delete_each(&self, keys: &[String]) -> Result<(), StoreError> {
        // Owned keys: a closure over borrowed ones gives a future that cannot be proven sendable.
        stream::iter(keys.iter().cloned().map(|key| self.delete_one(key)))
            .buffer_unordered(SINGLE_DELETES_AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    async fn delete_one(&self, key: String) -> Result<(), StoreError> {
        match self.client.delete_object().bucket(&self.shared.bucket).key(&key).send().await {
            Ok(_) => Ok(()),
            Err(error) if fault::code(&error).as_deref() == Some("NoSuchKey") => Ok(()),
            Err(error) => Err(fault::explain(self.call("DeleteObject", &key), &error)),
        }
    }
}
