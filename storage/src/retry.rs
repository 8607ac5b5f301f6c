//! What the SDK's retry layer must also retry, so that it stays the only one.

use aws_sdk_s3::config::{
    interceptors::InterceptorContext,
    retry::{ClassifyRetry, RetryAction},
};

/// A conditional put that raced another one: AWS answers 409 and asks to send it again. Its error
/// codes are not among those that the SDK retries by itself.
#[derive(Debug)]
pub(crate) struct RetryConflicts;

impl ClassifyRetry for RetryConflicts {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        match context.response().map(|response| response.status().as_u16()) {
            // The only 409 of the operations used here that repeats is BucketAlreadyExists, and
            // creating a bucket again is harmless.
            Some(409) => RetryAction::transient_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "conditional put conflicts"
    }
}
