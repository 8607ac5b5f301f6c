//! Answers to what goes wrong.

use std::io;

use hyper::StatusCode;
use s3s::{S3Error, S3ErrorCode, s3_error};

/// Code of the answer when there is no room.
const FULL: &str = "InsufficientStorage";

/// The answer to a failed file operation.
pub fn io(error: io::Error) -> S3Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            tracing::warn!(%error, "the embedded store has no room");
            let mut answer = S3Error::with_message(
                S3ErrorCode::Custom(FULL.into()),
                "no space is left on the disk of the embedded store's folder",
            );
            answer.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
            answer
        }
        io::ErrorKind::NotFound => s3_error!(error, NoSuchKey, "there is no such object"),
        _ => {
            tracing::error!(%error, "embedded store");
            let message = format!("the embedded store cannot use its folder: {error}");
            let mut answer = S3Error::with_message(S3ErrorCode::InternalError, message);
            answer.set_source(Box::new(error));
            answer
        }
    }
}

/// The answer to a key that is not taken.
pub fn key(why: &'static str) -> S3Error {
    if why.contains("long") {
        S3Error::with_message(S3ErrorCode::KeyTooLongError, format!("the key is refused: {why}"))
    } else {
        S3Error::with_message(S3ErrorCode::InvalidArgument, format!("the key is refused: {why}"))
    }
}

/// The answer to a write whose condition does not hold.
pub fn unmet() -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_so() {
        // ENOSPC as the system reports it.
        let answer = io(io::Error::from_raw_os_error(28));
        assert_eq!(answer.status_code(), Some(StatusCode::INSUFFICIENT_STORAGE));
        assert_eq!(answer.code().as_str(), FULL);
        assert_eq!(io(io::Error::other("x")).code(), &S3ErrorCode::InternalError);
    }
}
