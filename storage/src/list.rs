//! Listing what is stored.

use aws_sdk_s3::types::Object;

use crate::{error::StoreError, fault, put::plain_etag, store::Store};

/// Most objects of one listing: a title of a day with ten renditions has a quarter of it.
pub const LIST_KEYS_MAX: usize = 1_000_000;

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// Entity tag without quotes.
    pub etag: String,
    /// When it was put by the store's clock, Unix milliseconds; `None` where the store does not say.
    pub modified_ms: Option<i64>,
}

impl Listed {
    fn of(object: &Object) -> Self {
        Self {
            key: object.key().unwrap_or_default().to_owned(),
            bytes: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
            etag: plain_etag(object.e_tag()),
            modified_ms: object.last_modified().and_then(|at| at.to_millis().ok()),
        }
    }
}

impl Store {
    /// All objects whose key starts with `prefix`, in the order of their keys.
    ///
    /// # Errors
    /// [`StoreError::TooMany`] over [`LIST_KEYS_MAX`], and what stores refuse.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut listed = Vec::new();
        let mut token = None;
        loop {
            let page = self
                .client
                .list_objects_v2()
                .bucket(&self.shared.bucket)
                .prefix(prefix)
                .set_continuation_token(token.clone())
                .send()
                .await
                .map_err(|error| fault::explain(self.call("ListObjectsV2", prefix), &error))?;
            listed.extend(page.contents().iter().map(Listed::of));
            if listed.len() > LIST_KEYS_MAX {
                return Err(StoreError::TooMany { prefix: prefix.to_owned(), max: LIST_KEYS_MAX });
            }
            match page.next_continuation_token() {
                // A page without objects that points to another one could go on for ever.
                Some(next) if token.as_deref() != Some(next) && !page.contents().is_empty() => {
                    token = Some(next.to_owned());
                }
                _ => break,
            }
        }
        Ok(listed)
    }

    /// One page of the objects whose key starts with `prefix` and sorts behind `after`, in the
    /// order of their keys; empty at the end. For walks over more than fits into one list.
    ///
    /// # Errors
    /// What stores refuse.
    pub async fn list_page(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        let page = self
            .client
            .list_objects_v2()
            .bucket(&self.shared.bucket)
            .prefix(prefix)
            .set_start_after(after.map(str::to_owned))
            .send()
            .await
            .map_err(|error| fault::explain(self.call("ListObjectsV2", prefix), &error))?;
        Ok(page.contents().iter().map(Listed::of).collect())
    }
}
