//! What viewers read, over plain HTTP, so that a player can be put before a trial: a tiny origin that hands
//! out a channel's objects from the store, past all faults.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

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

/// An origin that is up.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Its address (`http://host:port`).
    pub address: String,
    segments: Arc<AtomicU64>,
}

impl Origin {
    /// How many segments it has handed out.
    pub fn segments(&self) -> u64 {
        self.segments.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Shelf {
    store: Store,
    segments: Arc<AtomicU64>,
}

/// Serves on a free port of loopback until `stop`.
pub async fn serve(store: Store, stop: CancellationToken) -> Result<Origin> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("viewers find no free port")?;
    let address = format!("http://{}", listener.local_addr()?);
    let segments = Arc::new(AtomicU64::new(0));
    let shelf = Shelf { store, segments: segments.clone() };
    let app = Router::new().fallback(hand_out).with_state(shelf);
    tokio::spawn(async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "viewers are not served any more");
        }
    });
    Ok(Origin { address, segments })
}

async fn hand_out(State(shelf): State<Shelf>, uri: Uri) -> Response {
    let key = uri.path().trim_start_matches('/');
    if !key.starts_with(PREFIX) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match shelf.store.get(key).await {
        Ok(Some(object)) => {
            shelf.segments.fetch_add(u64::from(key.ends_with(".m4s")), Ordering::Relaxed);
            let kind = object.meta.content_type.clone();
            let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store".to_owned())];
            (headers, object.body).into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
