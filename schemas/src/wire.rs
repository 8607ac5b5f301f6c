//! How records and messages are written: MessagePack maps with field names, so that an old
//! reader skips fields it does not know and a new one fills in fields that are missing.

use serde::{Serialize, de::DeserializeOwned};

/// Largest record or message; NATS is configured to take a little more.
pub const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why bytes could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A value that does not fit the format.
    #[error("cannot encode the record")]
    Encode(#[from] rmp_serde::encode::Error),
    /// Bytes that are not such a record.
    #[error("cannot decode the record")]
    Decode(#[from] rmp_serde::decode::Error),
    /// A record over [`RECORD_BYTES_MAX`].
    #[error("the record has {bytes} bytes, more than {RECORD_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// Writes a record.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, WireError> {
    let bytes = rmp_serde::to_vec_named(value)?;
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(WireError::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes)
}

/// Reads a record.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    Ok(rmp_serde::from_slice(bytes)?)
}
