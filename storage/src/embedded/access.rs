//! Who may use the embedded store: one pair of keys may do everything, and one that follows from it reads.

use s3s::{
    S3Result,
    access::{S3Access, S3AccessContext},
    s3_error,
};

use crate::secret::Secret;

/// What whoever only reads may do.
const READING: [&str; 5] = ["GetObject", "HeadObject", "HeadBucket", "ListObjects", "ListObjectsV2"];
/// What the reader's secret is derived for (BLAKE3's `derive_key` context).
const READER: &str = "framemill 2026-11-29 embedded store, secret key of the reader";

/// Takes the keys of an embedded store; returns the access key and the secret key of one who may only read there: an
/// edge. Nothing leads back from them.
pub fn reader(access_key: &Secret, secret_key: &Secret) -> (Secret, Secret) {
    let secret = blake3::derive_key(READER, secret_key.expose().as_bytes());
    (
        Secret::new(format!("{}-reader", access_key.expose())),
        Secret::new(blake3::Hash::from_bytes(secret).to_hex().to_string()),
    )
}

/// Lets the one key do everything, any other known one read, and nobody else anything.
pub(super) struct Access {
    all: Secret,
}

impl Access {
    pub(super) fn new(access_key: &Secret) -> Self {
        Self { all: access_key.clone() }
    }
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = context.s3_op().name();
        match context.credentials() {
            Some(credentials) if credentials.access_key == self.all.expose() => Ok(()),
            Some(_) if READING.contains(&operation) => Ok(()),
            Some(_) => Err(s3_error!(AccessDenied, "this key only reads")),
            None => Err(s3_error!(AccessDenied, "a signature is required")),
        }
    }
}
