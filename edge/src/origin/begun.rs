//! An object of an origin from its beginning, while its bytes are still to come, or from where another origin broke off.

use bytes::Bytes;
use framemill_storage::StoreError;
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use reqwest::{StatusCode, header};

use super::{
    kept,
    source::{OBJECT_BYTES_MAX, PURGED_HEADER, Source, etag, get, read, says_no, text, whole},
};
use crate::cache::Object;

/// What an origin sent.
pub enum Sent {
    /// All of it.
    Whole(Object),
    /// Its beginning.
    Begun(Begun),
}

/// An object of known size whose bytes are still to come.
pub struct Begun {
    /// As it is kept, yet without its bytes.
    pub head: Object,
    /// How many there are.
    pub size: usize,
    /// Whether its entity tag says that two objects have the same bytes (RFC 9110, clause 8.8.1).
    pub resumable: bool,
    /// They.
    pub stream: Parts,
}

/// Bytes as they come; a fault in words without secrets.
pub type Parts = BoxStream<'static, Result<Bytes, String>>;

impl Source {
    /// The object under a key, as [`Self::fetch`] has it; media comes in parts where its size and its entity tag are told
    /// first.
    ///
    /// # Errors
    /// Why there is no answer, in words without secrets.
    pub async fn begin(&self, key: &str, place: u64) -> Result<Option<Sent>, String> {
        if kept::is_text(key) {
            return Ok(self.fetch(key, place).await?.map(Sent::Whole));
        }
        match self {
            Self::S3(store) => match store.get_stream(None, key, None).await {
                Ok(Some(found)) => {
                    let size = checked(found.size, framemill_storage::OBJECT_BYTES_MAX)?;
                    let head = kept::object(key, Bytes::new(), found.etag, &found.cache_control);
                    let resumable = !head.etag.is_empty();
                    Ok(Some(Sent::Begun(Begun { head, size, resumable, stream: told(found.stream) })))
                }
                Ok(None) | Err(StoreError::BadKey { .. }) => Ok(None),
                Err(error) => Err(error.to_string()),
            },
            Self::Http { url, client, secret } => {
                let Some(answer) = whole(get(client, url, key, secret.as_ref()), place).await? else { return Ok(None) };
                let (raw_etag, etag) = (text(&answer, header::ETAG), etag(&answer));
                let Some(size) = answer.content_length().filter(|_| !etag.is_empty()) else {
                    return read(key, answer).await.map(|object| Some(Sent::Whole(object)));
                };
                let size = checked(size, OBJECT_BYTES_MAX)?;
                let age_s = text(&answer, header::AGE).parse().unwrap_or(0);
                let kept = kept::object(key, Bytes::new(), etag, &text(&answer, header::CACHE_CONTROL));
                let head = Object { age_s, ..kept };
                let resumable = !raw_etag.starts_with("W/");
                Ok(Some(Sent::Begun(Begun { head, size, resumable, stream: parts(answer) })))
            }
        }
    }

    /// The bytes of an object from an offset on; `None` when there is none, or none with this entity tag and size.
    ///
    /// # Errors
    /// Why there is no answer, in words without secrets.
    pub async fn resume(
        &self,
        key: &str,
        place: u64,
        at: usize,
        head: &Object,
        size: usize,
    ) -> Result<Option<Parts>, String> {
        match self {
            Self::S3(store) => match store.get_stream(None, key, Some(at as u64..size as u64)).await {
                Ok(Some(found)) if found.size == size as u64 && found.etag == head.etag => Ok(Some(told(found.stream))),
                Ok(_) | Err(StoreError::BadKey { .. } | StoreError::Range { .. }) => Ok(None),
                Err(error) => Err(error.to_string()),
            },
            Self::Http { url, client, secret } => {
                let request = get(client, url, key, secret.as_ref())
                    .header(PURGED_HEADER, place)
                    .header(header::RANGE, format!("bytes={at}-"))
                    .header(header::IF_RANGE, format!("\"{}\"", head.etag));
                let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
                match answer.status() {
                    StatusCode::PARTIAL_CONTENT => {}
                    // All of it: another object, or a server that knows no ranges.
                    StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE => return Ok(None),
                    status if says_no(status) => return Ok(None),
                    status => return Err(format!("it answered {status}")),
                }
                let rest = format!("bytes {at}-{}/{size}", size - 1);
                let same = text(&answer, header::CONTENT_RANGE) == rest && etag(&answer) == head.etag;
                Ok(same.then(|| parts(answer)))
            }
        }
    }
}

/// The parts of a web server's answer.
fn parts(answer: reqwest::Response) -> Parts {
    stream::try_unfold(answer, |mut answer| async move {
        let part = answer.chunk().await.map_err(|error| error.without_url().to_string())?;
        Ok(part.map(|part| (part, answer)))
    })
    .boxed()
}

/// Those of a store's.
fn told(stream: impl Stream<Item = Result<Bytes, StoreError>> + Send + 'static) -> Parts {
    stream.map(|part| part.map_err(|error| error.to_string())).boxed()
}

/// A size that there is room for.
fn checked(size: u64, max: u64) -> Result<usize, String> {
    let fits = Some(size).filter(|size| *size <= max).and_then(|size| usize::try_from(size).ok());
    fits.ok_or_else(|| format!("the object is over {max} bytes"))
}
