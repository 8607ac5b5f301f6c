//! What a failed request means.

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::error::StoreError;

/// What was asked of whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub endpoint: &'a str,
    pub bucket: &'a str,
    pub operation: &'static str,
    /// Key or prefix.
    pub key: &'a str,
}

/// Status of the answer, where there was one.
pub(crate) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// Whether a condition of a put was not met. A store may also say that the object whose tag was
/// to match is gone.
pub(crate) fn is_unmet<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    match status(error) {
        Some(412) => true,
        Some(404) => code(error).as_deref() == Some("NoSuchKey"),
        _ => false,
    }
}

/// The store's error code.
pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    error.as_service_error().and_then(|service| service.code()).map(str::to_owned)
}

/// Longest text of a store that is repeated to users.
const MESSAGE_CHARS_MAX: usize = 300;

/// Turns the SDK's error into ours.
pub(crate) fn explain<E>(call: Call<'_>, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let endpoint = call.endpoint.to_owned();
    let Some(status) = status(error) else {
        return StoreError::Unreachable { endpoint, cause: clip(&innermost(error)) };
    };
    let Some(service) = error.as_service_error() else {
        let cause = clip(&format!("{status}, {}", innermost(error)));
        // What stands in front of a store that is away says so in words of its own.
        if status >= 500 {
            let (operation, key) = (call.operation, call.key.to_owned());
            return StoreError::Refused {
                endpoint,
                operation,
                key,
                status,
                code: "no code".to_owned(),
                message: cause,
            };
        }
        // It answered and the answer could not be read: half an answer, or no S3 at all.
        return StoreError::NotAStore { endpoint, cause };
    };
    let code = service.code().unwrap_or_default().to_owned();
    let message = clip(service.message().unwrap_or_default());
    let bucket = call.bucket.to_owned();
    match (status, code.as_str()) {
        (_, "NoSuchBucket") => StoreError::NoBucket { endpoint, bucket },
        (507, _)
        | (_, "XMinioStorageFull" | "InsufficientStorage" | "QuotaExceeded" | "XMinioAdminBucketQuotaExceeded") => {
            StoreError::Full { endpoint, message: if message.is_empty() { code } else { message } }
        }
        (
            _,
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "NotSignedUp"
            | "InvalidToken"
            | "ExpiredToken"
            | "AuthorizationHeaderMalformed",
        ) => StoreError::WrongKeys { endpoint, code },
        // A HEAD has no body and so no code.
        (403, _) => StoreError::NotAllowed {
            endpoint,
            bucket,
            operation: call.operation,
            code: if code.is_empty() { "403".to_owned() } else { code },
        },
        (409, _) => StoreError::Contended { key: call.key.to_owned() },
        _ => StoreError::Refused {
            endpoint,
            operation: call.operation,
            key: call.key.to_owned(),
            status,
            code: if code.is_empty() { "no code".to_owned() } else { code },
            message,
        },
    }
}

/// The last cause of an error: "connection refused" and not "dispatch failure".
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect()
}
