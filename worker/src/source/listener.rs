//! The loopback listener: one for a worker, one unguessable path for each open source. Answers
//! GET and HEAD with single byte ranges (RFC 9110, clause 14) and nothing else.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    ops::Range,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use framemill_schemas::failure::Failure;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};
use tokio_util::sync::CancellationToken;

use super::{
    cursor::{Cursor, RemoteSource},
    fault::Faults,
    file::{FileCursor, FileSource},
    range::{self, Wanted},
};

/// Most connections at once: every slot's ffmpeg and ffprobe has one or two.
const CONNECTIONS_MAX: usize = 512;
/// Longest time for a request's head to come.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Pieces read ahead of the connection.
const PIECES_AHEAD: usize = 2;

/// A source that has an address.
#[derive(Debug)]
pub(super) struct Served {
    pub content: Content,
    pub bytes: u64,
    pub faults: Arc<Faults>,
    /// Cancelled when its address is withdrawn.
    pub gone: CancellationToken,
}

/// Where its bytes come from.
#[derive(Debug)]
pub(super) enum Content {
    File(Arc<FileSource>),
    Remote(Arc<RemoteSource>),
}

/// Open sources by path.
#[derive(Debug, Default)]
pub(super) struct Registry(RwLock<HashMap<String, Arc<Served>>>);

impl Registry {
    pub fn put(&self, path: String, served: Arc<Served>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(path, served);
    }

    pub fn take(&self, path: &str) -> Option<Arc<Served>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(path)
    }

    fn get(&self, path: &str) -> Option<Arc<Served>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }
}

/// Answers until `stop`.
pub(super) async fn serve(listener: TcpListener, registry: Arc<Registry>, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let accept = async {
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection = connection(stream, Arc::clone(&registry), stop.clone());
                    tokio::spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: others will be closed.
                    tracing::warn!(%error, "a connection to the source listener was lost");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    };
    tokio::select! { () = accept => {}, () = stop.cancelled() => {} }
}

async fn connection(stream: TcpStream, registry: Arc<Registry>, stop: CancellationToken) {
    // Heads and small pieces are not held back for more to come.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let registry = Arc::clone(&registry);
        async move { Ok::<_, Infallible>(answer(&request, &registry).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // How a connection ends tells nothing: ffmpeg seeks by hanging up.
    tokio::select! { _ = serving => {}, () = stop.cancelled() => {} }
}

async fn answer(request: &Request<Incoming>, registry: &Registry) -> Response<Pieces> {
    let path = request.uri().path().trim_start_matches('/');
    let Some(served) = registry.get(path) else { return empty(StatusCode::NOT_FOUND) };
    let head_only = match *request.method() {
        Method::GET => false,
        Method::HEAD => true,
        _ => {
            let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
    };
    let asked = request.headers().get(header::RANGE).and_then(|value| value.to_str().ok());
    let (status, range) = match range::wanted(asked, served.bytes) {
        Wanted::Whole => (StatusCode::OK, 0..served.bytes),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => {
            let mut response = empty(StatusCode::RANGE_NOT_SATISFIABLE);
            let said = number(&format!("bytes */{}", served.bytes));
            response.headers_mut().insert(header::CONTENT_RANGE, said);
            return response;
        }
    };
    let pieces = if head_only { Pieces::none() } else { Pieces::start(&served, range.clone()).await };
    let Ok(pieces) = pieces else { return empty(StatusCode::BAD_GATEWAY) };
    let mut response = Response::new(pieces);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
    if status == StatusCode::PARTIAL_CONTENT {
        let said = number(&format!("bytes {}-{}/{}", range.start, range.end - 1, served.bytes));
        headers.insert(header::CONTENT_RANGE, said);
    }
    response
}

fn empty(status: StatusCode) -> Response<Pieces> {
    let mut response = Response::new(Pieces { first: None, rest: None, left: 0 });
    *response.status_mut() = status;
    response
}

fn number(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and punctuation fit a header")
}

/// A place in a source of either kind.
enum Reading {
    File(FileCursor),
    Remote(Cursor),
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::File(cursor) => cursor.next().await,
            Self::Remote(cursor) => cursor.next().await,
        }
    }
}

/// The body of an answer, read a little ahead of the connection.
struct Pieces {
    first: Option<Bytes>,
    rest: Option<mpsc::Receiver<Bytes>>,
    left: u64,
}

impl Pieces {
    fn none() -> Result<Self, Failure> {
        Ok(Self { first: None, rest: None, left: 0 })
    }

    /// Reads the first piece, so that a source that cannot be read is answered with an error and
    /// not with a body that breaks off; the others follow as they are taken.
    async fn start(served: &Arc<Served>, range: Range<u64>) -> Result<Self, Failure> {
        if let Some(failure) = served.faults.final_one() {
            return Err(failure);
        }
        let left = range.end - range.start;
        let mut reading = match &served.content {
            Content::File(file) => Reading::File(FileCursor::new(Arc::clone(file), range)),
            Content::Remote(remote) => Reading::Remote(Cursor::new(Arc::clone(remote), range)),
        };
        let first = reading.next().await?;
        let (sender, rest) = mpsc::channel(PIECES_AHEAD);
        let gone = served.gone.clone();
        tokio::spawn(async move {
            let pump = async {
                // A failure is recorded already; the body simply ends short.
                while let Ok(Some(piece)) = reading.next().await {
                    if sender.send(piece).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! { () = pump => {}, () = sender.closed() => {}, () = gone.cancelled() => {} }
        });
        Ok(Self { first, rest: Some(rest), left })
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match (self.first.take(), &mut self.rest) {
            (Some(piece), _) => Some(piece),
            (None, Some(rest)) => ready!(rest.poll_recv(context)),
            (None, None) => None,
        };
        Poll::Ready(match piece {
            Some(piece) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Some(Ok(Frame::data(piece)))
            }
            None if self.left > 0 => Some(Err(io::ErrorKind::UnexpectedEof.into())),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
