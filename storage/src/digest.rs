//! Digests of what is stored, without holding it.

use futures_util::StreamExt;

use crate::{error::StoreError, store::Store};

impl Store {
    /// The blake3 of an object's bytes, hexadecimal, read as a stream; `None` when there is no such
    /// object.
    ///
    /// # Errors
    /// As [`Store::get_stream`]; a body that breaks off.
    pub async fn digest(&self, key: &str) -> Result<Option<String>, StoreError> {
        let Some(mut object) = self.get_stream(None, key, None).await? else { return Ok(None) };
        let mut hasher = blake3::Hasher::new();
        while let Some(bytes) = object.stream.next().await {
            hasher.update(&bytes?);
        }
        Ok(Some(hasher.finalize().to_hex().to_string()))
    }
}
