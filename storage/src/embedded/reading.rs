//! GET and HEAD of objects.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    ops::Range,
    sync::Arc,
    time::SystemTime,
};

use hyper::header::{ETAG, HeaderMap, HeaderValue};
use s3s::{S3Error, S3ErrorCode, S3Response, S3Result, dto::*, s3_error};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::{
    conditions::{self, ReadConditions, Reading},
    fault,
    folder::{Folder, Place},
    record::{self, Facts},
    service::blocking,
};

/// Bytes read from a file at once.
const READ_BYTES: usize = 256 * 1024;

/// An object's file. Whatever is put under its name meanwhile, this stays what it was.
struct Opened {
    file: File,
    facts: Facts,
    modified: SystemTime,
}

/// GET.
pub async fn get(folder: &Arc<Folder>, input: GetObjectInput) -> S3Result<S3Response<GetObjectOutput>> {
    let opened = open(folder.place(&input.bucket, &input.key)?).await?;
    let conditions = ReadConditions {
        matching: input.if_match.as_ref(),
        none_matching: input.if_none_match.as_ref(),
        modified_since: input.if_modified_since.as_ref(),
        unmodified_since: input.if_unmodified_since.as_ref(),
    };
    decide(&conditions, &opened)?;
    let Opened { mut file, facts, modified } = opened;
    let (range, content_range) = ranged(input.range, facts.bytes)?;
    file.seek(SeekFrom::Start(range.start)).map_err(fault::io)?;
    let length = range.end - range.start;
    let whole = length == facts.bytes;
    let body = ReaderStream::with_capacity(tokio::fs::File::from_std(file).take(length), READ_BYTES);
    let mut checksums = facts.checksums;
    if !whole || input.checksum_mode.is_none() {
        checksums.clear();
    }
    Ok(S3Response::new(GetObjectOutput {
        body: Some(StreamingBlob::wrap(body)),
        content_length: i64::try_from(length).ok(),
        content_range,
        accept_ranges: Some("bytes".to_owned()),
        last_modified: Some(Timestamp::from(modified)),
        e_tag: Some(ETag::Strong(facts.etag)),
        content_type: facts.headers.content_type,
        cache_control: facts.headers.cache_control,
        content_encoding: facts.headers.content_encoding,
        content_disposition: facts.headers.content_disposition,
        content_language: facts.headers.content_language,
        storage_class: facts.headers.storage_class.map(StorageClass::from),
        metadata: Some(facts.headers.user.into_iter().collect()),
        checksum_crc32: checksums.remove("crc32"),
        checksum_crc32c: checksums.remove("crc32c"),
        checksum_sha1: checksums.remove("sha1"),
        checksum_sha256: checksums.remove("sha256"),
        checksum_crc64nvme: checksums.remove("crc64nvme"),
        ..Default::default()
    }))
}

/// HEAD.
pub async fn head(folder: &Arc<Folder>, input: HeadObjectInput) -> S3Result<S3Response<HeadObjectOutput>> {
    let opened = open(folder.place(&input.bucket, &input.key)?).await?;
    let conditions = ReadConditions {
        matching: input.if_match.as_ref(),
        none_matching: input.if_none_match.as_ref(),
        modified_since: input.if_modified_since.as_ref(),
        unmodified_since: input.if_unmodified_since.as_ref(),
    };
    decide(&conditions, &opened)?;
    let Opened { facts, modified, .. } = opened;
    Ok(S3Response::new(HeadObjectOutput {
        content_length: i64::try_from(facts.bytes).ok(),
        accept_ranges: Some("bytes".to_owned()),
        last_modified: Some(Timestamp::from(modified)),
        e_tag: Some(ETag::Strong(facts.etag)),
        content_type: facts.headers.content_type,
        cache_control: facts.headers.cache_control,
        content_encoding: facts.headers.content_encoding,
        content_disposition: facts.headers.content_disposition,
        content_language: facts.headers.content_language,
        storage_class: facts.headers.storage_class.map(StorageClass::from),
        metadata: Some(facts.headers.user.into_iter().collect()),
        ..Default::default()
    }))
}

async fn open(place: Place) -> S3Result<Opened> {
    blocking(move || {
        let mut file = File::open(place.path()).map_err(|error| match error.kind() {
            io::ErrorKind::NotADirectory => io::Error::from(io::ErrorKind::NotFound),
            _ => error,
        })?;
        let facts = record::read(&mut file)?;
        let modified = file.metadata()?.modified()?;
        Ok(Opened { file, facts, modified })
    })
    .await
}

fn decide(conditions: &ReadConditions<'_>, opened: &Opened) -> S3Result<()> {
    match conditions::read(conditions, &opened.facts.etag, opened.modified) {
        Reading::Send => Ok(()),
        Reading::Unmet => Err(fault::unmet()),
        Reading::NotModified => {
            let mut answer = S3Error::new(S3ErrorCode::NotModified);
            let mut headers = HeaderMap::new();
            // A cache that revalidates wants the tag again (RFC 9110, clause 15.4.5).
            if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", opened.facts.etag)) {
                headers.insert(ETAG, etag);
            }
            answer.set_headers(headers);
            Err(answer)
        }
    }
}

/// Bytes to send, and the Content-Range that says so.
fn ranged(range: Option<s3s::dto::Range>, bytes: u64) -> S3Result<(Range<u64>, Option<String>)> {
    let Some(range) = range else { return Ok((0..bytes, None)) };
    let range =
        range.check(bytes).map_err(|error| s3_error!(error, InvalidRange, "the object has only {bytes} bytes"))?;
    let header = format!("bytes {}-{}/{bytes}", range.start, range.end - 1);
    Ok((range, Some(header)))
}
