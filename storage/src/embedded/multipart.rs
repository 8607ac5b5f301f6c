//! Multipart uploads, for tools that bring large sources into the store. Framemill itself puts
//! whole objects.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use s3s::{
    S3Request, S3Response, S3Result,
    crypto::{Checksum as _, Md5},
    dto::*,
    s3_error,
};
use serde::{Deserialize, Serialize};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use super::{
    commit::WriteConditions,
    folder::Folder,
    record::{Facts, Headers},
    service::blocking,
    stage::{self, Announced},
    writing,
};

/// Highest part number (the limit of S3).
const PARTS_MAX: i32 = 10_000;
/// Bytes read from a part at once.
const READ_BYTES: usize = 256 * 1024;

/// What an upload was started with.
#[derive(Serialize, Deserialize)]
struct Upload {
    bucket: String,
    key: String,
    headers: Headers,
}

/// Starts an upload.
pub async fn create(
    folder: &Arc<Folder>,
    input: CreateMultipartUploadInput,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    folder.place(&input.bucket, &input.key)?;
    let id = Uuid::new_v4().simple().to_string();
    let headers = Headers {
        content_type: input.content_type,
        cache_control: input.cache_control,
        content_encoding: input.content_encoding,
        content_disposition: input.content_disposition,
        content_language: input.content_language,
        storage_class: input.storage_class.map(|class| class.as_str().to_owned()),
        user: input.metadata.into_iter().flatten().collect(),
    };
    let upload = Upload { bucket: input.bucket.clone(), key: input.key.clone(), headers };
    let path = folder.uploads().join(&id);
    blocking(move || {
        fs::create_dir(&path)?;
        fs::write(path.join("upload"), serde_json::to_vec(&upload)?)
    })
    .await?;
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(id),
        ..Default::default()
    }))
}

/// Receives a part. Its file carries its MD5 in its name.
pub async fn upload(folder: &Arc<Folder>, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
    let input = req.input;
    let (path, _) = find(folder, &input.upload_id, &input.bucket, &input.key).await?;
    let number = input.part_number;
    if !(1..=PARTS_MAX).contains(&number) {
        return Err(s3_error!(InvalidArgument, "parts are numbered 1 to {PARTS_MAX}"));
    }
    let body = input.body.ok_or_else(|| s3_error!(IncompleteBody, "a part needs a body"))?;
    let announced = Announced {
        md5: input.content_md5,
        algorithm: input.checksum_algorithm.map(|algorithm| algorithm.as_str().to_owned()),
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
        trailers: req.trailing_headers,
    };
    let staged = stage::receive(folder, body, announced).await?;
    let etag = writing::hex(&staged.md5);
    let mut checksums = staged.checksums.clone();
    let part = path.join(part_name(number, &etag));
    blocking(move || {
        File::open(staged.path())?.sync_data()?;
        fs::rename(staged.path(), part)?;
        staged.taken();
        Ok(())
    })
    .await?;
    Ok(S3Response::new(UploadPartOutput {
        e_tag: Some(ETag::Strong(etag)),
        checksum_crc32: checksums.remove("crc32"),
        checksum_crc32c: checksums.remove("crc32c"),
        checksum_sha1: checksums.remove("sha1"),
        checksum_sha256: checksums.remove("sha256"),
        checksum_crc64nvme: checksums.remove("crc64nvme"),
        ..Default::default()
    }))
}

/// Makes an object of the parts.
pub async fn complete(
    folder: &Arc<Folder>,
    input: CompleteMultipartUploadInput,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let (path, upload) = find(folder, &input.upload_id, &input.bucket, &input.key).await?;
    let place = folder.place(&input.bucket, &input.key)?;
    let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let (files, etag) = assemble(&path, &parts)?;
    let body = stream::iter(files)
        .map(|path| {
            File::open(path).map(|file| ReaderStream::with_capacity(tokio::fs::File::from_std(file), READ_BYTES))
        })
        .try_flatten();
    let staged = stage::receive(folder, StreamingBlob::wrap(body), Announced::default()).await?;
    let facts = Facts { bytes: staged.bytes, etag: etag.clone(), headers: upload.headers, ..Facts::default() };
    let when = WriteConditions { matching: input.if_match, none_matching: input.if_none_match };
    writing::store(folder, staged, facts, place, when).await?;
    blocking(move || fs::remove_dir_all(path)).await?;
    Ok(S3Response::new(CompleteMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        e_tag: Some(ETag::Strong(etag)),
        ..Default::default()
    }))
}

/// Drops an upload.
pub async fn abort(
    folder: &Arc<Folder>,
    input: AbortMultipartUploadInput,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let (path, _) = find(folder, &input.upload_id, &input.bucket, &input.key).await?;
    blocking(move || fs::remove_dir_all(path)).await?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}

/// An upload's folder and what it was started with.
async fn find(folder: &Arc<Folder>, id: &str, bucket: &str, key: &str) -> S3Result<(PathBuf, Upload)> {
    let missing = || s3_error!(NoSuchUpload, "there is no such upload");
    // An id is also the name of a folder: nothing but an id gets near a path.
    let id = Uuid::try_parse(id).map_err(|_| missing())?;
    let path = folder.uploads().join(id.simple().to_string());
    let file = path.join("upload");
    let read = blocking(move || match fs::read(file) {
        Ok(bytes) => Ok(Some(serde_json::from_slice::<Upload>(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    });
    match read.await? {
        Some(upload) if upload.bucket == bucket && upload.key == key => Ok((path, upload)),
        _ => Err(missing()),
    }
}

fn part_name(number: i32, etag: &str) -> String {
    format!("{number}-{etag}")
}

/// Files of the parts in order, and the object's entity tag: the MD5 of the parts' MD5s and their
/// number, as S3 does it.
fn assemble(path: &Path, parts: &[CompletedPart]) -> S3Result<(Vec<PathBuf>, String)> {
    if parts.is_empty() {
        return Err(s3_error!(MalformedXML, "an object needs at least one part"));
    }
    let mut md5 = Md5::new();
    let mut files = Vec::with_capacity(parts.len());
    let mut last = 0;
    for part in parts {
        let number = part.part_number.unwrap_or(0);
        if number <= last {
            return Err(s3_error!(InvalidPartOrder, "parts are listed in rising order"));
        }
        last = number;
        let etag = part.e_tag.as_ref().map_or("", ETag::value);
        let bytes = unhex(etag).ok_or_else(|| s3_error!(InvalidPart, "part {number} has no entity tag of ours"))?;
        let file = path.join(part_name(number, &writing::hex(&bytes)));
        if !file.is_file() {
            return Err(s3_error!(InvalidPart, "part {number} was not uploaded like this"));
        }
        md5.update(&bytes);
        files.push(file);
    }
    Ok((files, format!("{}-{}", writing::hex(&md5.finalize()), parts.len())))
}

/// Bytes of an MD5 in hexadecimal.
fn unhex(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..32).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}
