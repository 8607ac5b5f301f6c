//! PUT and copy of objects.

use std::{fmt::Write as _, sync::Arc};

use s3s::{S3Request, S3Response, S3Result, dto::*, s3_error};

use super::{
    commit::{self, WriteConditions, Written},
    fault,
    folder::{Folder, Place},
    reading,
    record::{Facts, Headers},
    service::blocking,
    stage::{self, Announced, Staged},
};

/// PUT.
pub async fn put(folder: &Arc<Folder>, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
    let input = req.input;
    let place = folder.place(&input.bucket, &input.key)?;
    let body = input.body.ok_or_else(|| s3_error!(IncompleteBody, "a put needs a body"))?;
    let announced = Announced {
        md5: input.content_md5,
        checksums: [
            ("crc32", input.checksum_crc32),
            ("crc32c", input.checksum_crc32c),
            ("sha1", input.checksum_sha1),
            ("sha256", input.checksum_sha256),
            ("crc64nvme", input.checksum_crc64nvme),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect(),
        algorithm: input.checksum_algorithm.map(|algorithm| algorithm.as_str().to_owned()),
        trailers: req.trailing_headers,
    };
    let staged = stage::receive(folder, body, announced).await?;
    if input.content_length.is_some_and(|length| u64::try_from(length) != Ok(staged.bytes)) {
        return Err(s3_error!(IncompleteBody, "the body is shorter than was announced"));
    }
    let headers = Headers {
        content_type: input.content_type,
        cache_control: input.cache_control,
        content_encoding: input.content_encoding,
        content_disposition: input.content_disposition,
        content_language: input.content_language,
        storage_class: input.storage_class.map(|class| class.as_str().to_owned()),
        user: input.metadata.into_iter().flatten().collect(),
    };
    let etag = hex(&staged.md5);
    let facts = Facts { bytes: staged.bytes, etag: etag.clone(), headers, checksums: staged.checksums.clone() };
    let mut checksums = staged.checksums.clone();
    let when = WriteConditions { matching: input.if_match, none_matching: input.if_none_match };
    store(folder, staged, facts, place, when).await?;
    Ok(S3Response::new(PutObjectOutput {
        e_tag: Some(ETag::Strong(etag)),
        checksum_crc32: checksums.remove("crc32"),
        checksum_crc32c: checksums.remove("crc32c"),
        checksum_sha1: checksums.remove("sha1"),
        checksum_sha256: checksums.remove("sha256"),
        checksum_crc64nvme: checksums.remove("crc64nvme"),
        ..Default::default()
    }))
}

/// Copy: a read and a put.
pub async fn copy(folder: &Arc<Folder>, input: CopyObjectInput) -> S3Result<S3Response<CopyObjectOutput>> {
    let CopySource::Bucket { bucket, key, .. } = &input.copy_source else {
        return Err(s3_error!(NotImplemented, "only objects of buckets can be copied"));
    };
    let place = folder.place(&input.bucket, &input.key)?;
    let source = GetObjectInput {
        bucket: bucket.to_string(),
        key: key.to_string(),
        if_match: input.copy_source_if_match,
        if_none_match: input.copy_source_if_none_match,
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
        ..Default::default()
    };
    let source = reading::get(folder, source).await?.output;
    let replaces = input.metadata_directive.is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
    // As of a put: the source's has no part in it.
    let storage_class = input.storage_class.map(|class| class.as_str().to_owned());
    let headers = if replaces {
        Headers {
            content_type: input.content_type,
            cache_control: input.cache_control,
            content_encoding: input.content_encoding,
            content_disposition: input.content_disposition,
            content_language: input.content_language,
            storage_class,
            user: input.metadata.into_iter().flatten().collect(),
        }
    } else {
        Headers {
            content_type: source.content_type,
            cache_control: source.cache_control,
            content_encoding: source.content_encoding,
            content_disposition: source.content_disposition,
            content_language: source.content_language,
            storage_class,
            user: source.metadata.into_iter().flatten().collect(),
        }
    };
    let body = source.body.ok_or_else(|| s3_error!(InternalError, "the source has no body"))?;
    let staged = stage::receive(folder, body, Announced::default()).await?;
    let etag = hex(&staged.md5);
    let facts = Facts { bytes: staged.bytes, etag: etag.clone(), headers, ..Facts::default() };
    store(folder, staged, facts, place, WriteConditions::default()).await?;
    let result = CopyObjectResult {
        e_tag: Some(ETag::Strong(etag)),
        last_modified: Some(Timestamp::from(std::time::SystemTime::now())),
        ..Default::default()
    };
    Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(result), ..Default::default() }))
}

/// Gives a received body its name.
pub async fn store(
    folder: &Arc<Folder>,
    staged: Staged,
    facts: Facts,
    place: Place,
    when: WriteConditions,
) -> S3Result<()> {
    let folder = Arc::clone(folder);
    match blocking(move || commit::put(&folder, staged, &facts, &place, &when)).await? {
        Written::Done => Ok(()),
        Written::Unmet => Err(fault::unmet()),
        Written::Missing => Err(s3_error!(NoSuchKey, "there is no object to match")),
    }
}

/// Bytes as an entity tag shows them.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}
