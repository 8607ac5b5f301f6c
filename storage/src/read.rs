//! Reading objects, whole or as a stream.

use std::{fmt, ops::Range, pin::Pin};

use aws_sdk_s3::{operation::get_object::GetObjectOutput, primitives::ByteStream};
use bytes::{Bytes, BytesMut};
use framemill_schemas::object::StoredObject;
use futures_util::{Stream, StreamExt, stream};
use tokio::time::timeout;

use crate::{
    check,
    error::StoreError,
    fault::{self, Call},
    meta::{self, Meta},
    put::plain_etag,
    store::{Store, check_key},
};

/// Largest object that is put or read whole.
pub const OBJECT_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Highest offset that stores read as a number; an end beyond it is the object's end.
const OFFSET_MAX: u64 = i64::MAX as u64;

/// An object read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its bytes.
    pub body: Bytes,
    /// As it is stored; the digest is that of `body`, whatever is recorded.
    pub stored: StoredObject,
    /// What is recorded of it.
    pub meta: Meta,
}

/// An object, or a range of one, as it arrives.
pub struct ObjectStream {
    /// Size of the whole object.
    pub size: u64,
    /// Bytes that the stream yields.
    pub length: u64,
    /// Media type; empty where none is recorded.
    pub content_type: String,
    /// Cache-Control; empty where none is recorded.
    pub cache_control: String,
    /// Entity tag without quotes.
    pub etag: String,
    /// The bytes. Ends early only with an error.
    pub stream: Pin<Box<dyn Stream<Item = Result<Bytes, StoreError>> + Send>>,
}

impl fmt::Debug for ObjectStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStream")
            .field("size", &self.size)
            .field("length", &self.length)
            .field("etag", &self.etag)
            .finish_non_exhaustive()
    }
}

/// What a HEAD tells.
pub(crate) struct Head {
    pub stored: StoredObject,
    pub meta: Meta,
    pub put_id: String,
}

impl Store {
    /// Reads an object whole; `None` when there is none.
    ///
    /// # Errors
    /// An object over [`OBJECT_BYTES_MAX`], a body that breaks off, and what stores refuse.
    pub async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        check_key(key)?;
        let mut waits = self.waits();
        loop {
            match self.get_once(key).await {
                Err(error) => waits.out(error).await?,
                settled => return settled,
            }
        }
    }

    async fn get_once(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let call = self.call("GetObject", key);
        let Some(mut output) = self.begin(call, None).await? else { return Ok(None) };
        let meta = meta::from_headers(output.metadata(), output.content_type(), output.cache_control());
        let etag = plain_etag(output.e_tag());
        let length = length(&output);
        if length > OBJECT_BYTES_MAX {
            return Err(StoreError::TooLarge { key: key.to_owned(), bytes: length, max: OBJECT_BYTES_MAX });
        }
        let mut body = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
        let mut parts = self.bounded(key, length, std::mem::take(&mut output.body));
        let limits = &self.shared.limits;
        let deadline = limits.stall() + limits.attempt(length);
        let read = async {
            while let Some(part) = parts.next().await {
                body.extend_from_slice(&part?);
            }
            Ok(())
        };
        timeout(deadline, read).await.unwrap_or_else(|_| {
            Err(StoreError::Interrupted {
                key: key.to_owned(),
                got: 0,
                expected: length,
                cause: format!("not done after {} s", deadline.as_secs()),
            })
        })?;
        let body = body.freeze();
        let digest = blake3::hash(&body).to_hex().to_string();
        Ok(Some(Object { stored: StoredObject { key: key.to_owned(), bytes: length, digest, etag }, body, meta }))
    }

    /// What is stored under a name and what is recorded of it; the digest is the recorded one.
    ///
    /// # Errors
    /// What stores refuse.
    pub async fn head(&self, key: &str) -> Result<Option<(StoredObject, Meta)>, StoreError> {
        Ok(self.head_full(key).await?.map(|head| (head.stored, head.meta)))
    }

    /// Size and entity tag (without quotes) of an object in any bucket; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Source`] when it is closed to us, or another bucket is missing.
    pub async fn head_in(&self, bucket: &str, key: &str) -> Result<Option<(u64, String)>, StoreError> {
        let call = Call { bucket, ..self.call("HeadObject", key) };
        check_source(call)?;
        let mut waits = self.waits();
        loop {
            match self.head_source(call).await {
                Err(error) => waits.out(error).await?,
                settled => return settled,
            }
        }
    }

    async fn head_source(&self, call: Call<'_>) -> Result<Option<(u64, String)>, StoreError> {
        match self.client.head_object().bucket(call.bucket).key(call.key).send().await {
            Ok(output) => {
                let bytes = output.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
                Ok(Some((bytes, plain_etag(output.e_tag()))))
            }
            Err(error) if fault::status(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.blame_source(call, fault::explain(call, &error)).await),
        }
    }

    /// Streams an object, or a range of it, of this store's bucket or of another one; `None` when
    /// there is none. A range that reaches over the end is cut there.
    ///
    /// The stream fails when it stands still for longer than `limits.stall_ms` while it is waited
    /// for, and when it ends short of what was announced.
    ///
    /// # Errors
    /// [`StoreError::Range`] when the range starts behind the end; [`StoreError::Source`] when
    /// a bucket is given and the object is closed to us, or another bucket is missing.
    pub async fn get_stream(
        &self,
        bucket: Option<&str>,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<Option<ObjectStream>, StoreError> {
        let call = Call { bucket: bucket.unwrap_or(&self.shared.bucket), ..self.call("GetObject", key) };
        match bucket {
            Some(_) => check_source(call)?,
            None => check_key(key)?,
        }
        let mut waits = self.waits();
        let opened = loop {
            match self.begin(call, range.clone()).await {
                Err(error) if error.is_passing() => waits.out(error).await?,
                Err(error) if bucket.is_some() => return Err(self.blame_source(call, error).await),
                opened => break opened?,
            }
        };
        let Some(mut output) = opened else { return Ok(None) };
        let length = length(&output);
        Ok(Some(ObjectStream {
            size: output.content_range().and_then(total_of).unwrap_or(length),
            length,
            content_type: output.content_type().unwrap_or_default().to_owned(),
            cache_control: output.cache_control().unwrap_or_default().to_owned(),
            etag: plain_etag(output.e_tag()),
            stream: self.bounded(key, length, std::mem::take(&mut output.body)),
        }))
    }

    pub(crate) async fn head_full(&self, key: &str) -> Result<Option<Head>, StoreError> {
        check_key(key)?;
        let mut waits = self.waits();
        loop {
            match self.head_once(key).await {
                Err(error) => waits.out(error).await?,
                settled => return settled,
            }
        }
    }

    pub(crate) async fn head_once(&self, key: &str) -> Result<Option<Head>, StoreError> {
        match self.client.head_object().bucket(&self.shared.bucket).key(key).send().await {
            Ok(output) => {
                let meta = meta::from_headers(output.metadata(), output.content_type(), output.cache_control());
                let stored = StoredObject {
                    key: key.to_owned(),
                    bytes: output.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or(0),
                    digest: meta.digest.clone(),
                    etag: plain_etag(output.e_tag()),
                };
                Ok(Some(Head { stored, meta, put_id: meta::put_id(output.metadata()).to_owned() }))
            }
            Err(error) if fault::status(&error) == Some(404) => Ok(None),
            Err(error) => Err(fault::explain(self.call("HeadObject", key), &error)),
        }
    }

    async fn begin(&self, call: Call<'_>, range: Option<Range<u64>>) -> Result<Option<GetObjectOutput>, StoreError> {
        let start = range.as_ref().map_or(0, |range| range.start);
        if start > OFFSET_MAX || range.as_ref().is_some_and(Range::is_empty) {
            return Err(StoreError::Range { key: call.key.to_owned(), start });
        }
        let header = range.map(|range| match range.end {
            end if end > OFFSET_MAX => format!("bytes={start}-"),
            end => format!("bytes={start}-{}", end - 1),
        });
        match self.client.get_object().bucket(call.bucket).key(call.key).set_range(header).send().await {
            Ok(output) => Ok(Some(output)),
            Err(error) if fault::status(&error) == Some(416) => {
                Err(StoreError::Range { key: call.key.to_owned(), start })
            }
            Err(error)
                if fault::status(&error) == Some(404) && fault::code(&error).as_deref() != Some("NoSuchBucket") =>
            {
                Ok(None)
            }
            Err(error) => Err(fault::explain(call, &error)),
        }
    }

    /// A body whose every piece comes in time and whose length is as announced.
    fn bounded(
        &self,
        key: &str,
        expected: u64,
        body: ByteStream,
    ) -> Pin<Box<dyn Stream<Item = Result<Bytes, StoreError>> + Send>> {
        let stall = self.shared.limits.stall();
        let key = key.to_owned();
        let state = Some((body, 0_u64));
        Box::pin(stream::unfold(state, move |state| {
            let key = key.clone();
            async move {
                let (mut body, got) = state?;
                let broke = |cause: String| StoreError::Interrupted { key, got, expected, cause };
                match timeout(stall, body.next()).await {
                    Err(_) => Some((Err(broke(format!("nothing for {} s", stall.as_secs_f32()))), None)),
                    Ok(Some(Err(error))) => Some((Err(broke(fault::innermost(&error))), None)),
                    Ok(Some(Ok(bytes))) => {
                        let got = got + bytes.len() as u64;
                        Some((Ok(bytes), Some((body, got))))
                    }
                    Ok(None) if got != expected => Some((Err(broke("it ended".to_owned())), None)),
                    Ok(None) => None,
                }
            }
        }))
    }

    /// What no retry mends about a source is the source's fault, in whichever bucket it is.
    async fn blame_source(&self, call: Call<'_>, error: StoreError) -> StoreError {
        let source =
            |cause: String| StoreError::Source { bucket: call.bucket.to_owned(), key: call.key.to_owned(), cause };
        match error {
            // Our own bucket is gone: nothing works any more.
            StoreError::NoBucket { .. } if call.bucket != self.shared.bucket => {
                source("there is no such bucket".to_owned())
            }
            // A HEAD's refusal has no body and does not tell a closed object from wrong keys; our
            // own bucket does, and wrong keys are no source's fault.
            StoreError::NotAllowed { code, .. } => match check::reach(self).await {
                Ok(()) => source(code),
                Err(outage) => outage,
            },
            other => other,
        }
    }
}

fn check_source(call: Call<'_>) -> Result<(), StoreError> {
    let refused = |cause: &str| {
        Err(StoreError::Source { bucket: call.bucket.to_owned(), key: call.key.to_owned(), cause: cause.to_owned() })
    };
    if !s3s::path::check_bucket_name(call.bucket) {
        return refused("that is no bucket name");
    }
    match crate::key::refusal(call.key) {
        Some(why) => refused(why),
        None => Ok(()),
    }
}

fn length(output: &GetObjectOutput) -> u64 {
    output.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or(0)
}

/// Size of the whole object by a Content-Range (RFC 9110, clause 14.4).
fn total_of(content_range: &str) -> Option<u64> {
    content_range.rsplit_once('/')?.1.parse().ok()
}
