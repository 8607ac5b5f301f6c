//! Receiving a body into a file of its own, where nobody sees it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::StreamExt;
use s3s::{
    S3Result, TrailingHeaders,
    checksum::ChecksumHasher,
    crypto::{Checksum as _, Md5},
    dto::{Checksum, StreamingBlob},
    s3_error,
};
use tokio::io::AsyncWriteExt;

use super::{fault, folder::Folder};

/// Longest silence in a body.
const STALL_MAX: Duration = Duration::from_secs(60);
/// Largest body: the limit of S3 for an object.
const BODY_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024 * 1024;

/// A received body. The file is removed unless it is taken.
#[derive(Debug)]
pub struct Staged {
    path: PathBuf,
    taken: bool,
    /// Its size.
    pub bytes: u64,
    /// Its MD5.
    pub md5: [u8; 16],
    /// Checksums that were announced, and were right.
    pub checksums: BTreeMap<String, String>,
}

impl Staged {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It was moved to its place.
    pub fn taken(mut self) {
        self.taken = true;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.taken
            && let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "received body not removed");
        }
    }
}

/// Checksums that come with a body.
#[derive(Debug, Default)]
pub struct Announced {
    /// Content-MD5, base64.
    pub md5: Option<String>,
    /// `x-amz-checksum-*`, by algorithm.
    pub checksums: BTreeMap<&'static str, String>,
    /// The algorithm whose checksum follows as a trailer.
    pub algorithm: Option<String>,
    /// The trailers, there when the body was read.
    pub trailers: Option<TrailingHeaders>,
}

const ALGORITHMS: [&str; 5] = ["crc32", "crc32c", "sha1", "sha256", "crc64nvme"];

/// Reads a body to its end and checks it against what was announced.
pub async fn receive(folder: &Folder, mut body: StreamingBlob, announced: Announced) -> S3Result<Staged> {
    let path = folder.incoming();
    let mut file = tokio::fs::File::create_new(&path).await.map_err(fault::io)?;
    let mut staged = Staged { path, taken: false, bytes: 0, md5: [0; 16], checksums: BTreeMap::new() };
    let mut md5 = Md5::new();
    let mut hasher = hasher(&announced);
    loop {
        let part = tokio::time::timeout(STALL_MAX, body.next())
            .await
            .map_err(|_| s3_error!(RequestTimeout, "the body stood still for {} s", STALL_MAX.as_secs()))?;
        let Some(part) = part else { break };
        let part = part.map_err(|error| match error.downcast::<s3s::S3Error>() {
            Ok(known) => *known,
            Err(error) => s3_error!(IncompleteBody, "the body broke off: {error}"),
        })?;
        staged.bytes += part.len() as u64;
        if staged.bytes > BODY_BYTES_MAX {
            return Err(s3_error!(EntityTooLarge, "a body has at most {BODY_BYTES_MAX} bytes"));
        }
        md5.update(&part);
        hasher.update(&part);
        file.write_all(&part).await.map_err(fault::io)?;
    }
    file.flush().await.map_err(fault::io)?;
    staged.md5 = md5.finalize();
    if let Some(expected) = &announced.md5
        && *expected != base64(&staged.md5)
    {
        return Err(s3_error!(BadDigest, "the body does not have the Content-MD5 that came with it"));
    }
    staged.checksums = verified(announced, hasher.finalize())?;
    Ok(staged)
}

fn hasher(announced: &Announced) -> ChecksumHasher {
    let algorithm = announced.algorithm.as_deref().unwrap_or_default().to_ascii_lowercase();
    let wanted = |name: &str| algorithm == name || announced.checksums.contains_key(name);
    ChecksumHasher {
        crc32: wanted("crc32").then(Default::default),
        crc32c: wanted("crc32c").then(Default::default),
        sha1: wanted("sha1").then(Default::default),
        sha256: wanted("sha256").then(Default::default),
        crc64nvme: wanted("crc64nvme").then(Default::default),
    }
}

fn verified(announced: Announced, measured: Checksum) -> S3Result<BTreeMap<String, String>> {
    let trailers = announced.trailers.and_then(|trailers| trailers.take());
    let mut checksums = BTreeMap::new();
    let measured = [
        measured.checksum_crc32,
        measured.checksum_crc32c,
        measured.checksum_sha1,
        measured.checksum_sha256,
        measured.checksum_crc64nvme,
    ];
    for (name, measured) in ALGORITHMS.into_iter().zip(measured) {
        let trailer = trailers.as_ref().and_then(|trailers| trailers.get(format!("x-amz-checksum-{name}")));
        let trailer = trailer.and_then(|value| value.to_str().ok()).map(str::to_owned);
        match (trailer.or_else(|| announced.checksums.get(name).cloned()), measured) {
            (Some(expected), Some(measured)) if expected == measured => {
                checksums.insert(name.to_owned(), measured);
            }
            (Some(_), _) => return Err(s3_error!(BadDigest, "the body does not have the {name} that came with it")),
            (None, _) => {}
        }
    }
    Ok(checksums)
}

/// Base64 with padding (RFC 4648, clause 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |word, at| word << 8 | group.get(at).copied().map_or(0, u32::from));
        for at in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_the_rfc() {
        for (plain, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xef]), "/+8=");
    }
}
