//! The listener: accepts connections within bounds, gives each a deadline for its requests, and lets what runs finish
//! at a shutdown.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{Crowd, Edge};

/// Longest a connection may take to send the head of its next request: an idle player comes back within a segment.
const HEADER_TIME_MAX: Duration = Duration::from_secs(30);
/// Most bytes of a request's head.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// Longest a connection may take to agree on TLS.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Requests at once on one connection of HTTP/2.
const STREAMS_MAX: u32 = 64;
/// How often an idle connection of HTTP/2 is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Longest a shutdown waits for what runs.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(7);
/// Pause after the system refused a connection (no file descriptors left): it would refuse the next one at once.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Serves viewers until `shutdown`, then finishes the requests that run.
pub async fn serve(
    edge: Arc<Edge>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    connections_max: usize,
    crowd: Arc<Crowd>,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
    let connections = Arc::new(GracefulShutdown::new());
    let builder = Arc::new(builder());
    loop {
        // A place first: what cannot be served waits in the system's queue, which has its bound.
        let place = places.clone().acquire_owned();
        let Some(place) = shutdown.run_until_cancelled(place).await else { break };
        let place = place.expect("the semaphore is never closed");
        let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await else { break };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was refused by the system");
                tokio::time::sleep(REFUSED_PAUSE).await;
                continue;
            }
        };
        // All viewers of a proxy come from its address.
        let member = if edge.proxies.believes(peer.ip()) { None } else { Some(crowd.join(peer.ip())) };
        if matches!(member, Some(None)) {
            tracing::debug!("a connection was closed: its address has as many as it may");
            edge.metrics.turned_away();
            continue;
        }
        let (edge, builder, tls) = (Arc::clone(&edge), Arc::clone(&builder), tls.clone());
        let watcher = connections.watcher();
        tokio::spawn(async move {
            let _held = (place, member, edge.gauge.connected());
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection keeps its delay");
            }
            match tls {
                // Whoever says nothing at all holds its place no longer than one who is slow.
                None if !matches!(timeout(HEADER_TIME_MAX, stream.readable()).await, Ok(Ok(()))) => {}
                None => connect(&builder, stream, peer, edge, watcher).await,
                Some(tls) => match timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
                    Ok(Ok(stream)) => connect(&builder, stream, peer, edge, watcher).await,
                    Ok(Err(error)) => tracing::debug!(%error, "no TLS was agreed on"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                },
            }
        });
    }
    let Some(connections) = Arc::into_inner(connections) else { return };
    if timeout(DRAIN_TIME_MAX, connections.shutdown()).await.is_err() {
        tracing::warn!("viewers' requests were still running at the end of the shutdown");
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .pipeline_flush(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX));
    builder
}

/// One connection, to its end.
async fn connect<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    builder: &auto::Builder<TokioExecutor>,
    stream: S,
    peer: SocketAddr,
    edge: Arc<Edge>,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let service = service_fn(move |request: Request<Incoming>| Arc::clone(&edge).answer(request, peer.ip()));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    // Clients that go away or send no HTTP are no events of ours.
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(error, "a connection ended early");
    }
}
