//! Answers that take longer than a request may: they begin at once, say with line ends that they
//! go on, and end with the document. White space before a JSON document means nothing.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::task::JoinHandle;

use super::problem::{ApiError, Kind};

/// What is ready within this time is answered as usual, with a status that says how it went.
const AT_ONCE: Duration = Duration::from_secs(10);
/// Line ends come this often: middle boxes close what is silent.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Runs `work` to its end, whether somebody still waits for the answer or not. Where it fails
/// after the answer was begun, the body breaks off instead of ending.
pub async fn slow_answer<T, E>(work: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<Response, ApiError>
where
    T: Serialize + Send + 'static,
    E: Into<ApiError> + std::fmt::Display + Send + 'static,
{
    let mut task = tokio::spawn(work);
    if let Ok(ended) = tokio::time::timeout(AT_ONCE, &mut task).await {
        return Ok(axum::Json(joined(ended)?.map_err(Into::into)?).into_response());
    }
    let pieces = stream::unfold(Some(task), |task| async move {
        let mut task: JoinHandle<Result<T, E>> = task?;
        match tokio::time::timeout(SIGN_OF_LIFE, &mut task).await {
            Err(_) => Some((Ok(Bytes::from_static(b"\n")), Some(task))),
            Ok(Ok(Ok(done))) => Some((serde_json::to_vec(&done).map(Bytes::from).map_err(std::io::Error::other), None)),
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "an answer that was begun breaks off");
                Some((Err(std::io::Error::other(error.to_string())), None))
            }
            Ok(Err(panic)) => Some((Err(std::io::Error::other(panic)), None)),
        }
    });
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], Body::from_stream(pieces.boxed())).into_response())
}

/// A panic of the task is one of the request.
fn joined<T>(ended: Result<T, tokio::task::JoinError>) -> Result<T, ApiError> {
    ended.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => ApiError::new(Kind::Unavailable, "the server is shutting down; ask again"),
    })
}
