//! Conditional puts: of all who put one name, one is told that it did.

use aws_sdk_s3::{primitives::ByteStream, types::StorageClass};
use bytes::Bytes;
use framemill_schemas::object::{self, StoredObject};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    error::StoreError,
    fault,
    meta::{self, Meta},
    read::{Head, OBJECT_BYTES_MAX},
    store::{Store, check_key},
};

/// How a put ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// The name was free, and these are the bytes that now have it.
    Created(StoredObject),
    /// Somebody was first: this is what is stored, read back.
    Exists {
        /// The object that is there.
        stored: StoredObject,
        /// What is recorded of it.
        meta: Meta,
    },
}

impl Put {
    /// What is stored, whoever put it.
    pub fn stored(&self) -> &StoredObject {
        match self {
            Self::Created(stored) | Self::Exists { stored, .. } => stored,
        }
    }
}

/// What must hold for a put to take place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Condition<'a> {
    /// The name is free.
    Absent,
    /// The object has this entity tag.
    Tag(&'a str),
}

/// Times that "exists" is read back as "absent" before giving up: each means that somebody
/// deleted the object in between.
const RACES_MAX: usize = 4;

impl Store {
    /// Puts an object under a name that must be free.
    ///
    /// When the answer to an attempt was lost and a later attempt is told "exists", the object
    /// read back is recognised as this call's own, and the put counts as done. So is one from
    /// before an outage that a patient handle waited out.
    ///
    /// # Errors
    /// A refused key or metadata, and what stores refuse. After an error the object may be there.
    pub async fn put_new(&self, key: &str, body: Bytes, meta: &Meta) -> Result<Put, StoreError> {
        let writing = Writing::new(key, &body, meta)?;
        let span = tracing::info_span!("upload", key, bytes = body.len());
        async {
            let mut waits = self.waits();
            loop {
                match self.race(&writing, &body).await {
                    Err(error) => waits.out(error).await?,
                    settled => return settled,
                }
            }
        }
        .instrument(span)
        .await
    }

    /// A put for a free name, until somebody has it.
    async fn race(&self, writing: &Writing<'_>, body: &Bytes) -> Result<Put, StoreError> {
        for _ in 0..RACES_MAX {
            if let Some(etag) = self.put_if(writing, body.clone(), Condition::Absent).await? {
                return Ok(Put::Created(writing.stored(etag)));
            }
            match self.head_once(writing.key).await? {
                Some(head) if writing.is_own(&head) => return Ok(Put::Created(head.stored)),
                Some(head) => return Ok(Put::Exists { stored: head.stored, meta: head.meta }),
                None => {}
            }
        }
        Err(StoreError::Contended { key: writing.key.to_owned() })
    }

    /// Replaces the object that has the entity tag `etag`; `None` when it is another by now, or
    /// gone.
    ///
    /// # Errors
    /// As [`Store::put_new`].
    pub async fn put_match(
        &self,
        key: &str,
        body: Bytes,
        meta: &Meta,
        etag: &str,
    ) -> Result<Option<StoredObject>, StoreError> {
        let writing = Writing::new(key, &body, meta)?;
        let span = tracing::info_span!("upload", key, bytes = body.len());
        async {
            let mut waits = self.waits();
            loop {
                match self.replace(&writing, &body, etag).await {
                    Err(error) => waits.out(error).await?,
                    settled => return settled,
                }
            }
        }
        .instrument(span)
        .await
    }

    async fn replace(
        &self,
        writing: &Writing<'_>,
        body: &Bytes,
        etag: &str,
    ) -> Result<Option<StoredObject>, StoreError> {
        if let Some(etag) = self.put_if(writing, body.clone(), Condition::Tag(etag)).await? {
            return Ok(Some(writing.stored(etag)));
        }
        let head = self.head_once(writing.key).await?;
        Ok(head.filter(|head| writing.is_own(head)).map(|head| head.stored))
    }

    /// One put; the new entity tag, or `None` when the condition does not hold.
    pub(crate) async fn put_if(
        &self,
        writing: &Writing<'_>,
        body: Bytes,
        condition: Condition<'_>,
    ) -> Result<Option<String>, StoreError> {
        let request = self
            .client
            .put_object()
            .bucket(&self.shared.bucket)
            .key(writing.key)
            .set_metadata(Some(writing.headers.clone()))
            .content_type(&writing.content_type)
            .set_cache_control(writing.cache_control.clone());
        let request = match condition {
            Condition::Absent => request.if_none_match("*"),
            Condition::Tag(etag) => request.if_match(format!("\"{etag}\"")),
        };
        let class = writing.class.or_else(|| self.shared.classes.of(writing.key));
        let request = request.set_storage_class(class.map(StorageClass::from));
        let settings = crate::client::sized(&self.shared.limits, writing.bytes);
        match request.body(ByteStream::from(body)).customize().config_override(settings).send().await {
            Ok(output) => Ok(Some(plain_etag(output.e_tag()))),
            Err(error) if fault::is_unmet(&error) => Ok(None),
            Err(error) => Err(fault::explain(self.call("PutObject", writing.key), &error)),
        }
    }
}

/// A put as it is sent.
pub(crate) struct Writing<'a> {
    key: &'a str,
    bytes: u64,
    digest: String,
    put_id: String,
    headers: std::collections::HashMap<String, String>,
    content_type: String,
    cache_control: Option<String>,
    class: Option<&'a str>,
}

impl<'a> Writing<'a> {
    pub(crate) fn new(key: &'a str, body: &Bytes, meta: &Meta) -> Result<Self, StoreError> {
        check_key(key)?;
        let bytes = body.len() as u64;
        if bytes > OBJECT_BYTES_MAX {
            return Err(StoreError::TooLarge { key: key.to_owned(), bytes, max: OBJECT_BYTES_MAX });
        }
        let digest = blake3::hash(body).to_hex().to_string();
        let put_id = Uuid::new_v4().simple().to_string();
        let headers = meta::to_headers(key, meta, &digest, &put_id)?;
        let content_type =
            if meta.content_type.is_empty() { object::content_type(key).to_owned() } else { meta.content_type.clone() };
        let cache_control = Some(meta.cache_control.clone()).filter(|value| !value.is_empty());
        Ok(Self { key, bytes, digest, put_id, headers, content_type, cache_control, class: None })
    }

    /// The same with a storage class that its key would not have.
    pub(crate) fn of_class(self, class: &'a str) -> Self {
        Self { class: Some(class), ..self }
    }

    /// Whether what is stored was put by this very call.
    pub(crate) fn is_own(&self, head: &Head) -> bool {
        head.put_id == self.put_id
    }

    fn stored(&self, etag: String) -> StoredObject {
        StoredObject { key: self.key.to_owned(), bytes: self.bytes, digest: self.digest.clone(), etag }
    }
}

/// An entity tag without its quotes.
pub(crate) fn plain_etag(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}
