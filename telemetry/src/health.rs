//! The listener for machines: `/healthz`, `/readyz`, `/metrics`. Separate from the public one.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics;

/// What a role needs and whether it is there, asked anew for each `/readyz`.
pub type Ready = Arc<dyn Fn() -> Vec<(&'static str, bool)> + Send + Sync>;

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    checks: BTreeMap<&'static str, bool>,
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, ready: Ready, stop: CancellationToken) {
    let served = axum::serve(listener, routes(ready)).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the health listener ended");
    }
}

/// The three routes, for a role that has a listener already.
pub fn routes(ready: Ready) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(ready)
}

async fn readyz(State(ready): State<Ready>) -> Response {
    let checks: BTreeMap<_, _> = ready().into_iter().collect();
    let ready = checks.values().all(|good| *good);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, checks })).into_response()
}

async fn metrics_text() -> Response {
    match metrics::text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write the metrics: {error}\n")).into_response()
        }
    }
}
