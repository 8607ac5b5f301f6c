//! A proxy that breaks connections on demand.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What happens to answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// They stop after this many bytes, and the connection stays open.
    StallAfter(usize),
    /// The connection is closed after this many bytes.
    CloseAfter(usize),
    /// The connections of this many answers are closed before the first byte.
    Swallow(usize),
}

pub struct Proxy {
    pub address: SocketAddr,
    fault: Arc<Mutex<Fault>>,
    cut: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let fault = Arc::new(Mutex::new(Fault::None));
        let shared = Arc::clone(&fault);
        let cut = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (fault, cut) = (Arc::clone(&shared), Arc::clone(&counted));
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(target).await {
                        carry(client, server, &fault, &cut).await;
                    }
                });
            }
        });
        Self { address, fault, cut }
    }

    /// Answers that were cut short so far.
    pub fn cut(&self) -> usize {
        self.cut.load(Ordering::Relaxed)
    }

    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }
}

async fn carry(client: TcpStream, server: TcpStream, fault: &Mutex<Fault>, cut: &AtomicUsize) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = vec![0; 16 * 1024];
    let mut sent = 0;
    while let Ok(got @ 1..) = from_server.read(&mut buffer).await {
        let passes = {
            let mut fault = fault.lock().unwrap();
            match &mut *fault {
                Fault::None => got,
                Fault::Swallow(0) => {
                    *fault = Fault::None;
                    got
                }
                Fault::Swallow(left) => {
                    *left -= 1;
                    break;
                }
                Fault::StallAfter(most) | Fault::CloseAfter(most) => got.min(most.saturating_sub(sent)),
            }
        };
        sent += passes;
        if to_client.write_all(&buffer[..passes]).await.is_err() {
            break;
        }
        if passes < got {
            cut.fetch_add(1, Ordering::Relaxed);
            if matches!(*fault.lock().unwrap(), Fault::StallAfter(_)) {
                std::future::pending::<()>().await;
            }
            break;
        }
    }
    requests.abort();
}
