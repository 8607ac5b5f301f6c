//! A connection that can be broken: a TCP proxy between one process and NATS or the store. The
//! store's proxies also know where a request begins, so that they can answer in its place and
//! see which segments are put.
//!
//! Never here: when a connection breaks.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use super::{
    Link, Trouble,
    requests::{Head, Requests},
};

const BUFFER_BYTES: usize = 64 * 1024;
/// How the answer to a conditional put begins whose name is taken.
const EXISTS: &[u8] = b"HTTP/1.1 412";
/// How long the rest of a request is waited for before it is answered anyway.
const REST: Duration = Duration::from_secs(5);

/// One process's connections to one server.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens, on loopback.
    pub port: u16,
    trouble: watch::Sender<Option<Trouble>>,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    target: String,
    link: Link,
    /// Which start of the process it serves.
    start: AtomicU64,
    /// Segments that were put, each once for a start of the process.
    puts: Mutex<BTreeSet<Put>>,
    /// Those of them that were stored already.
    vain: Mutex<BTreeSet<Put>>,
}

impl Proxy {
    /// Listens on a free port and carries connections to `target` (`host:port`).
    pub async fn start(target: String, link: Link) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let shared =
            Arc::new(Shared { target, link, start: AtomicU64::new(0), puts: Mutex::default(), vain: Mutex::default() });
        let (trouble, watching) = watch::channel(None);
        let accepting = tokio::spawn(accept(listener, shared.clone(), watching));
        Ok(Self { port, trouble, shared, accepting })
    }

    /// Makes trouble, or ends it.
    pub fn set(&self, trouble: Option<Trouble>) {
        self.trouble.send_replace(trouble);
    }

    /// Whether there is trouble now.
    pub fn is_troubled(&self) -> bool {
        self.trouble.borrow().is_some()
    }

    /// What is put from now on is put by another start of the process.
    pub fn next_start(&self) {
        self.shared.start.fetch_add(1, Ordering::Relaxed);
    }

    /// Paths of the segments that were put, once for each start of the process that put them.
    pub fn puts(&self) -> Vec<String> {
        named(&self.shared.puts)
    }

    /// Paths of those that the store had already.
    pub fn vain_puts(&self) -> Vec<String> {
        named(&self.shared.vain)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

type Put = (u64, String);

fn named(puts: &Mutex<BTreeSet<Put>>) -> Vec<String> {
    let puts = puts.lock().unwrap_or_else(PoisonError::into_inner);
    puts.iter().map(|(_, path)| path.clone()).collect()
}

fn note(puts: &Mutex<BTreeSet<Put>>, put: &Put) {
    puts.lock().unwrap_or_else(PoisonError::into_inner).insert(put.clone());
}

impl Shared {
    /// A request as a put of a segment, where it is one.
    fn put(&self, head: &Head) -> Option<Put> {
        let path = head.path.split('?').next().unwrap_or_default();
        let is_put = head.method == "PUT" && path.ends_with(".m4s");
        is_put.then(|| (self.start.load(Ordering::Relaxed), path.to_owned()))
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, trouble: watch::Receiver<Option<Trouble>>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let (shared, trouble) = (shared.clone(), trouble.clone());
                // How a connection ends is its ends' business.
                tokio::spawn(async move { drop(carry(client, &shared, trouble).await) });
            }
            // Out of file handles, for the moment.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Carries one connection until an end closes it or trouble does.
async fn carry(client: TcpStream, shared: &Shared, mut trouble: watch::Receiver<Option<Trouble>>) -> io::Result<()> {
    wait_passable(&mut trouble).await?;
    client.set_nodelay(true)?;
    let server = TcpStream::connect(&shared.target).await?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut up, mut down) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    let mut requests = Requests::default();
    let mut carried = 0_usize;
    // The segment whose answer is awaited: a client asks one thing at a time.
    let mut asked = None;
    loop {
        let now = *trouble.borrow_and_update();
        let left = match now {
            Some(Trouble::Refuse) => return Ok(()),
            // What was on its way when the silence began never arrives.
            Some(Trouble::Stall) => return wait_passable(&mut trouble).await,
            Some(Trouble::Cut(most)) => (most as usize).saturating_sub(carried),
            Some(Trouble::Answer(_)) | None => usize::MAX,
        };
        if left == 0 {
            return Ok(());
        }
        tokio::select! {
            changed = trouble.changed() => {
                changed.map_err(io::Error::other)?;
                carried = 0;
            }
            count = from_client.read(&mut up) => {
                let count = count?.min(left);
                if count == 0 {
                    return Ok(());
                }
                if shared.link == Link::Store {
                    let begins = requests.is_between();
                    let heads = requests.feed(&up[..count]);
                    if let Some(Trouble::Answer(status)) = now.filter(|_| begins) {
                        let expects = heads.iter().any(|head| head.expects);
                        let rest = rest(&mut from_client, &mut requests, &mut up);
                        if !expects {
                            // A client that does not send it all is answered too.
                            let _ = timeout(REST, rest).await;
                        }
                        to_client.write_all(answer(status).as_bytes()).await?;
                        return to_client.shutdown().await;
                    }
                    if let Some(head) = heads.last() {
                        asked = shared.put(head);
                        asked.iter().for_each(|put| note(&shared.puts, put));
                    }
                }
                to_server.write_all(&up[..count]).await?;
                carried += count;
            }
            count = from_server.read(&mut down) => {
                let count = count?.min(left);
                if count == 0 {
                    return Ok(());
                }
                if let Some(put) = asked.as_ref().filter(|_| down[..count].starts_with(EXISTS)) {
                    note(&shared.vain, put);
                }
                to_client.write_all(&down[..count]).await?;
                carried += count;
            }
        }
    }
}

/// Waits while connections are refused (which ends this one) or stand still.
async fn wait_passable(trouble: &mut watch::Receiver<Option<Trouble>>) -> io::Result<()> {
    let before = *trouble.borrow_and_update();
    match before {
        Some(Trouble::Refuse) => Err(io::ErrorKind::ConnectionRefused.into()),
        Some(Trouble::Stall) => {
            trouble.changed().await.map_err(io::Error::other)?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
        _ => Ok(()),
    }
}

/// Reads a request to its end.
async fn rest(
    from_client: &mut tokio::net::tcp::OwnedReadHalf,
    requests: &mut Requests,
    buffer: &mut [u8],
) -> io::Result<()> {
    while !requests.is_between() {
        let count = from_client.read(buffer).await?;
        if count == 0 {
            break;
        }
        requests.feed(&buffer[..count]);
    }
    Ok(())
}

fn answer(status: u16) -> String {
    let (phrase, code, message) = match status {
        507 => ("Insufficient Storage", "InsufficientStorage", "no space is left"),
        503 => ("Service Unavailable", "SlowDown", "please reduce your request rate"),
        _ => ("Internal Server Error", "InternalError", "we encountered an internal error"),
    };
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    format!(
        "HTTP/1.1 {status} {phrase}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"PUT /b/1.m4s HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd";

    /// A server that answers every connection's bytes with the same.
    async fn echo() -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = client.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn connect(proxy: &Proxy) -> TcpStream {
        TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap()
    }

    async fn to_end(mut stream: TcpStream) -> String {
        let mut text = Vec::new();
        let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut text));
        // Reset or closed: an end is an end.
        let _ = read.await.expect("the proxy ends it");
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn each_trouble_is_what_it_says() {
        let proxy = Proxy::start(echo().await, Link::Store).await.unwrap();
        let mut open = connect(&proxy).await;
        open.write_all(REQUEST).await.unwrap();
        let mut back = vec![0; REQUEST.len()];
        open.read_exact(&mut back).await.unwrap();
        assert_eq!(back, REQUEST);
        assert_eq!(proxy.puts(), ["/b/1.m4s"]);

        // A request that begins is answered in the server's place, and is no put.
        proxy.set(Some(Trouble::Answer(503)));
        proxy.next_start();
        open.write_all(REQUEST).await.unwrap();
        let answered = to_end(open).await;
        assert!(answered.starts_with("HTTP/1.1 503 ") && answered.contains("<Code>SlowDown</Code>"), "{answered}");
        assert_eq!(proxy.puts().len(), 1);

        proxy.set(Some(Trouble::Refuse));
        assert_eq!(to_end(connect(&proxy).await).await, "");

        proxy.set(Some(Trouble::Cut(20)));
        let mut cut = connect(&proxy).await;
        cut.write_all(REQUEST).await.unwrap();
        assert!(to_end(cut).await.len() <= 20);

        // Stalled until it is over, and then broken.
        proxy.set(Some(Trouble::Stall));
        let mut stalled = connect(&proxy).await;
        stalled.write_all(REQUEST).await.unwrap();
        let mut byte = [0];
        assert!(timeout(Duration::from_millis(100), stalled.read(&mut byte)).await.is_err());
        proxy.set(None);
        assert_eq!(to_end(stalled).await, "");

        let mut again = connect(&proxy).await;
        again.write_all(REQUEST).await.unwrap();
        again.read_exact(&mut back).await.unwrap();
        assert_eq!(proxy.puts(), ["/b/1.m4s", "/b/1.m4s"], "another start of the process put it again");
    }
}
