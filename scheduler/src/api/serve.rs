//! The listener: accepts connections within bounds, gives each a deadline for its requests, and
//! lets what runs finish at a shutdown.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, net::TcpStream, sync::Semaphore};
use tokio_util::sync::CancellationToken;

use super::{ApiState, guard::Peer, router};

/// Most connections at once. Each may wait idle for [`HEADER_TIME_MAX`], so whoever opens them and
/// sends nothing holds them no longer than that.
const CONNECTIONS_MAX: usize = 2048;
/// Longest a connection may take to send the head of its next request.
const HEADER_TIME_MAX: Duration = Duration::from_secs(20);
/// Most bytes of a request's head.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Longest a shutdown waits for what runs.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(7);
/// Pause after the system refused a connection (no file descriptors left): it would refuse the
/// next one at once.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Serves the API until `shutdown`, then finishes the requests that run. Keys are required unless
/// `listener` is on loopback.
pub async fn serve(mut state: ApiState, listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
    let address = listener.local_addr()?;
    state.keyless = address.ip().to_canonical().is_loopback();
    state.drain = shutdown.clone();
    let router = router(state);
    tracing::info!(%address, "the API listens");

    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = GracefulShutdown::new();
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
        let connection = connections.watch(connect(stream, peer, router.clone()));
        tokio::spawn(async move {
            // Clients that go away or send no HTTP are no events of ours.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    if tokio::time::timeout(DRAIN_TIME_MAX, connections.shutdown()).await.is_err() {
        tracing::warn!("requests were still running at the end of the shutdown");
    }
    Ok(())
}

/// One connection; every request on it knows its other end.
fn connect(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
) -> http1::Connection<
    TokioIo<TcpStream>,
    impl hyper::service::HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send>,
> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        hyper::service::Service::call(&TowerToHyperService::new(router.clone()), request)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
}
