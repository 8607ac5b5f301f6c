//! A proxy before the server that can break, and that can lose an answer: the change goes
//! through, and the connection breaks before anybody learns of it. It can also hold back what
//! the server says, as a busy server does.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use framemill_queue::{NatsConfig, Queue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Clone)]
pub struct Proxy {
    pub port: u16,
    armed: Arc<AtomicBool>,
    lost: Arc<AtomicUsize>,
    broken: Arc<watch::Sender<bool>>,
    held: Arc<watch::Sender<bool>>,
}

impl Proxy {
    pub async fn before(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy =
            Self { port, armed: Arc::default(), lost: Arc::default(), broken: Arc::default(), held: Arc::default() };
        let me = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *me.broken.borrow() {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)).await else { continue };
                let (me, mut broken) = (me.clone(), me.broken.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        () = me.relay(client, server) => {}
                        _ = broken.wait_for(|broken| *broken) => {}
                    }
                });
            }
        });
        proxy
    }

    /// Breaks every connection, and lets none through until it is mended.
    pub fn set_broken(&self, broken: bool) {
        self.broken.send_replace(broken);
    }

    /// Holds back what the server says, or lets it through again.
    pub fn set_held(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Loses the answer to the next change of a record.
    pub fn lose_next_answer(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Answers lost so far.
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }

    pub async fn connect(&self) -> Queue {
        let url = format!("nats://127.0.0.1:{}", self.port);
        Queue::connect(&NatsConfig { url, ..NatsConfig::default() }).await.unwrap()
    }

    async fn relay(&self, client: TcpStream, server: TcpStream) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let cut = Arc::new(AtomicBool::new(false));
        let (cutting, me) = (cut.clone(), self.clone());
        let up = async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
                let change = buffer[..count].windows(9).any(|window| window == b"HPUB $KV.");
                if change && me.armed.swap(false, Ordering::SeqCst) {
                    cutting.store(true, Ordering::SeqCst);
                }
                if to_server.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
        };
        let mut held = self.held.subscribe();
        let down = async {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                // The sender lives as long as this proxy.
                let _ = held.wait_for(|held| !held).await;
                if cut.load(Ordering::SeqCst) {
                    self.lost.fetch_add(1, Ordering::SeqCst);
                    break;
                }
                if to_client.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = up => {}
            () = down => {}
        }
    }
}
