//! A door in front of a server. While it is shut, what was sent before is held and arrives when it opens
//! again, also when the sender has long gone: so a process looks that stood still in the middle of a request.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What a store answers when a condition does not hold (RFC 9110, clause 15.5.13).
const UNMET: &[u8] = b"HTTP/1.1 412";

pub struct Gate {
    pub address: SocketAddr,
    open: watch::Sender<bool>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    held: AtomicUsize,
    unmet: AtomicUsize,
}

impl Gate {
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, opened) = watch::channel(true);
        let counts = Arc::<Counts>::default();
        let counted = counts.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(server).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pump(from_client, to_server, opened.clone(), counted.clone()));
                tokio::spawn(pump(from_server, to_client, opened.clone(), counted.clone()));
            }
        });
        Self { address, open, counts }
    }

    pub fn shut(&self) {
        self.open.send_replace(false);
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Pieces so far that came while it was shut.
    pub fn held(&self) -> usize {
        self.counts.held.load(Ordering::SeqCst)
    }

    /// Answers so far that a condition did not hold.
    pub fn unmet(&self) -> usize {
        self.counts.unmet.load(Ordering::SeqCst)
    }
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut open: watch::Receiver<bool>,
    counts: Arc<Counts>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if !*open.borrow() {
            counts.held.fetch_add(1, Ordering::SeqCst);
        }
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
        if buffer[..read].windows(UNMET.len()).any(|bytes| bytes == UNMET) {
            counts.unmet.fetch_add(1, Ordering::SeqCst);
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            // The answer is still counted when nobody is there to hear it.
            let mut nobody = tokio::io::sink();
            nobody.write_all(&buffer[..read]).await.ok();
        }
    }
    to.shutdown().await.ok();
}
