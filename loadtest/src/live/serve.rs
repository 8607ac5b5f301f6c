//! What viewers read, over plain HTTP, so that a player can be put before a trial: a tiny origin that hands
//! out a channel's objects from the store, past all faults.

use anyhow::{Context, Result};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use framemill_storage::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The only things that are handed out.
const PREFIX: &str = "live/";

/// Serves on a free port of loopback until `stop`; returns its address (`http://host:port`).
pub async fn serve(store: Store, stop: CancellationToken) -> Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("viewers find no free port")?;
    let address = format!("http://{}", listener.local_addr()?);
    let app = Router::new().fallback(hand_out).with_state(store);
    tokio::spawn(async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "viewers are not served any more");
        }
    });
    Ok(address)
}

async fn hand_out(State(store): State<Store>, uri: Uri) -> Response {
    let key = uri.path().trim_start_matches('/');
    if !key.starts_with(PREFIX) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match store.get(key).await {
        Ok(Some(object)) => {
            let kind = object.meta.content_type.clone();
            let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store".to_owned())];
            (headers, object.body).into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
