//! A gate before a listener: ffmpeg cannot be told who may call it, so it waits on loopback, and what comes to the
//! channel's own address is let through where it comes from an address that may.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use framemill_schemas::{
    failure::Failure,
    live::{LiveSource, LiveSourceKind},
};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    time::MissedTickBehavior,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    address::{not_bound, waited_at},
    udp::KERNEL_BYTES,
};

/// Callers that are let through at once: a caller that lost its connection may call again before the old one is
/// given up.
const CALLERS_MAX: usize = 4;
/// How long a caller of datagrams may be silent before it is forgotten; SRT says something each second.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// Largest datagram that is taken: IP allows no more.
const DATAGRAM_BYTES_MAX: usize = 65_536;
/// How long ffmpeg may take until it listens.
const LISTENS: Duration = Duration::from_secs(10);
/// Pause between two tries to reach it.
const AGAIN: Duration = Duration::from_millis(50);

/// A gate that stands until it is dropped.
pub(super) struct Gate {
    /// Where ffmpeg is to listen.
    pub behind: SocketAddr,
    _standing: AbortOnDropHandle<()>,
}

/// Who may come through.
#[derive(Clone, Debug)]
pub(super) struct From(Arc<Vec<IpAddr>>);

impl From {
    /// Those that a source names; anybody where it names none.
    pub fn of(source: &LiveSource) -> Self {
        Self(Arc::new(source.from.iter().filter_map(|address| address.parse().ok()).collect()))
    }

    /// Whether anybody may.
    pub fn is_anybody(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this one may. A socket of both protocols sees IPv4 as part of IPv6.
    pub fn lets_through(&self, address: IpAddr) -> bool {
        self.is_anybody() || self.0.contains(&address.to_canonical())
    }
}

impl Gate {
    /// Puts a gate before a source that listens.
    ///
    /// Fails as `resource` (`source-not-bound`).
    pub async fn before(source: &LiveSource, from: From) -> Result<Self, Failure> {
        let at = waited_at(source)?;
        let not_bound = |error: io::Error| not_bound(source, &error);
        let (behind, standing) = if source.kind == LiveSourceKind::Srt {
            let outside = UdpSocket::bind(at).await.map_err(not_bound)?;
            // As much of it as the system gives.
            let _ = SockRef::from(&outside).set_recv_buffer_size(KERNEL_BYTES);
            let behind = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.and_then(|free| free.local_addr());
            let behind = behind.map_err(not_bound)?;
            (behind, tokio::spawn(datagrams(outside, behind, from)))
        } else {
            let outside = TcpListener::bind(at).await.map_err(not_bound)?;
            let behind = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.and_then(|free| free.local_addr());
            let behind = behind.map_err(not_bound)?;
            (behind, tokio::spawn(connections(outside, behind, from)))
        };
        Ok(Self { behind, _standing: AbortOnDropHandle::new(standing) })
    }
}

/// Lets connections through. ffmpeg takes one; the others wait until it is asked again, or give up.
async fn connections(outside: TcpListener, behind: SocketAddr, from: From) {
    let mut through = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = outside.accept(), if through.len() < CALLERS_MAX => match accepted {
                Ok((caller, address)) if from.lets_through(address.ip()) => {
                    through.spawn(connect(caller, behind));
                }
                Ok((_, address)) => refused(address),
                // Too many open files: others are closed first.
                Err(error) => {
                    tracing::warn!(%error, "a caller of a source could not be taken");
                    tokio::time::sleep(AGAIN).await;
                }
            },
            Some(_) = through.join_next() => {}
        }
    }
}

async fn connect(mut caller: TcpStream, behind: SocketAddr) {
    let since = Instant::now();
    let mut inner = loop {
        match TcpStream::connect(behind).await {
            Ok(inner) => break inner,
            Err(_) if since.elapsed() < LISTENS => tokio::time::sleep(AGAIN).await,
            Err(error) => {
                tracing::warn!(%error, "a caller of a source was let through, and nobody listens");
                return;
            }
        }
    };
    // Either end may hang up; the source is then opened again.
    let _ = tokio::io::copy_bidirectional(&mut caller, &mut inner).await;
}

/// A caller of datagrams: the socket that stands for it inside.
struct Caller {
    inside: Arc<UdpSocket>,
    last: Instant,
    _answers: AbortOnDropHandle<()>,
}

/// Lets datagrams through, and what is answered to each caller back to it.
async fn datagrams(outside: UdpSocket, behind: SocketAddr, from: From) {
    let outside = Arc::new(outside);
    let mut callers: HashMap<SocketAddr, Caller> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut looks = tokio::time::interval(FORGOTTEN / 2);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (length, address) = tokio::select! {
            _ = looks.tick() => {
                callers.retain(|_, caller| caller.last.elapsed() < FORGOTTEN);
                continue;
            }
            received = outside.recv_from(&mut buffer) => match received {
                Ok(received) => received,
                // An answer that could not be delivered is told here.
                Err(_) => continue,
            },
        };
        if !callers.contains_key(&address) {
            if !from.lets_through(address.ip()) {
                refused(address);
                continue;
            }
            if callers.len() >= CALLERS_MAX {
                tracing::debug!(%address, "a caller of a source has to wait: too many call it");
                continue;
            }
            match admit(&outside, address, behind).await {
                Ok(caller) => _ = callers.insert(address, caller),
                Err(error) => {
                    tracing::warn!(%error, "a caller of a source could not be taken");
                    continue;
                }
            }
        }
        let caller = callers.get_mut(&address).expect("it is there since a moment ago");
        caller.last = Instant::now();
        // What ffmpeg does not take is lost, as it would be on the way.
        let _ = caller.inside.send(&buffer[..length]).await;
    }
}

async fn admit(outside: &Arc<UdpSocket>, address: SocketAddr, behind: SocketAddr) -> io::Result<Caller> {
    let inside = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    inside.connect(behind).await?;
    let (answers, outside) = (inside.clone(), outside.clone());
    let answering = tokio::spawn(async move {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            // Before it listens, the kernel says that nobody does.
            let Ok(length) = answers.recv(&mut buffer).await else {
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            let _ = outside.send_to(&buffer[..length], address).await;
        }
    });
    Ok(Caller { inside, last: Instant::now(), _answers: AbortOnDropHandle::new(answering) })
}

/// Said to whoever debugs: a stranger must not be able to fill a log.
fn refused(address: SocketAddr) {
    tracing::debug!(%address, "somebody called a source who may not");
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn source(uri: &str, from: &[&str]) -> LiveSource {
        let from = from.iter().map(|&address| address.to_owned()).collect();
        LiveSource { from, ..LiveSource::parse(uri, true).unwrap() }
    }

    async fn free_port() -> u16 {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        socket.local_addr().unwrap().port()
    }

    #[test]
    fn whoever_is_named_may_come() {
        let from = From::of(&source("srt://0.0.0.0:9000", &["192.0.2.7", "2001:db8::1"]));
        for (address, expected) in
            [("192.0.2.7", true), ("::ffff:192.0.2.7", true), ("2001:db8::1", true), ("192.0.2.8", false)]
        {
            assert_eq!(from.lets_through(address.parse().unwrap()), expected, "{address}");
        }
        assert!(From::of(&source("srt://0.0.0.0:9000", &[])).lets_through("203.0.113.9".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_connection_is_let_through_and_a_strangers_is_not() {
        for (from, expected) in [("127.0.0.1", &b"word"[..]), ("192.0.2.7", &b""[..])] {
            let port = free_port().await;
            let source = source(&format!("rtmp://127.0.0.1:{port}/live/x"), &[from]);
            let gate = Gate::before(&source, From::of(&source)).await.unwrap();
            let mut caller = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            // ffmpeg listens later than somebody calls.
            let inner = TcpListener::bind(gate.behind).await.unwrap();
            let _ = caller.write_all(b"word").await;
            let mut heard = Vec::new();
            if !expected.is_empty() {
                let (mut inside, _) = inner.accept().await.unwrap();
                caller.shutdown().await.unwrap();
                inside.read_to_end(&mut heard).await.unwrap();
            } else {
                // It is hung up on.
                let ended = tokio::time::timeout(LISTENS, caller.read_to_end(&mut heard)).await.unwrap();
                assert!(ended.is_err() || heard.is_empty());
            }
            assert_eq!(heard, expected, "{from}");
        }
    }

    #[tokio::test]
    async fn datagrams_and_their_answers_go_through() {
        let port = free_port().await;
        let source = source(&format!("srt://127.0.0.1:{port}"), &["127.0.0.1"]);
        let gate = Gate::before(&source, From::of(&source)).await.unwrap();
        let inside = UdpSocket::bind(gate.behind).await.unwrap();
        let caller = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        caller.connect(("127.0.0.1", port)).await.unwrap();
        caller.send(b"call").await.unwrap();
        let mut buffer = [0; 16];
        let (length, address) = inside.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"call");
        inside.send_to(b"answer", address).await.unwrap();
        let length = caller.recv(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"answer");
    }
}
