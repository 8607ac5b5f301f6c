//! A web server that does to a reader whatever a test wants, byte by byte.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    /// First and last byte of its range.
    pub range: (u64, u64),
    /// How many came before it.
    pub before: usize,
}

/// An answer.
pub struct Reply {
    pub head: String,
    pub body: Vec<u8>,
    pub then: Then,
}

/// What happens after the body.
pub enum Then {
    /// The connection serves the next request.
    Keep,
    /// It is closed, whatever was announced.
    Close,
    /// Nothing more, for ever.
    Stand,
}

/// Stops when dropped.
pub struct Upstream {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    pub async fn start(behave: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (seen, behave) = (Arc::clone(&asked), Arc::new(behave));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&seen), Arc::clone(&behave)));
            }
        });
        Self { address, asked, accepting }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve<F: Fn(&Asked) -> Reply>(mut stream: TcpStream, seen: Arc<Mutex<Vec<Asked>>>, behave: Arc<F>) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
                continue;
            }
            return;
        };
        let head = String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
        let asked = {
            let mut seen = seen.lock().unwrap();
            let asked = Asked { before: seen.len(), ..parse(&head) };
            seen.push(asked.clone());
            asked
        };
        let reply = behave(&asked);
        let sent = stream.write_all(reply.head.as_bytes()).await.is_ok() && stream.write_all(&reply.body).await.is_ok();
        match reply.then {
            Then::Keep if sent => {}
            Then::Stand => return std::future::pending().await,
            Then::Keep | Then::Close => return,
        }
    }
}

fn parse(head: &str) -> Asked {
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let range = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned))
        .and_then(|range| {
            let (first, last) = range.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        });
    Asked { path, range: range.expect("the reader always asks for a closed range"), before: 0 }
}

/// An answer without a body.
pub fn status(line: &str, headers: &str) -> Reply {
    Reply { head: format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n{headers}\r\n"), body: Vec::new(), then: Then::Keep }
}

/// What a good server answers.
pub fn part(asked: &Asked, content: &[u8], etag: &str) -> Reply {
    let (first, last) = asked.range;
    let last = last.min(content.len() as u64 - 1);
    let body = content[first as usize..=last as usize].to_vec();
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {first}-{last}/{}\r\nETag: {etag}\r\n\r\n",
        body.len(),
        content.len(),
    );
    Reply { head, body, then: Then::Keep }
}

/// The same, of which only the first `bytes` come.
pub fn cut(asked: &Asked, content: &[u8], etag: &str, bytes: usize, then: Then) -> Reply {
    let mut reply = part(asked, content, etag);
    reply.body.truncate(bytes);
    Reply { then, ..reply }
}
