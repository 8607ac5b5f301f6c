//! An HTTP server for one body, with ranges.

use std::sync::Arc;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// Serves until dropped.
pub struct Server {
    pub url: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves `body`.
pub async fn serve(body: Vec<u8>) -> Server {
    serve_until(body, usize::MAX).await
}

/// Serves `body`, and breaks the connection at byte `end` of it.
pub async fn serve_until(body: Vec<u8>, end: usize) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // An address without a suffix, as the worker's is: formats are told by content.
    let url = format!("http://{}/source", listener.local_addr().unwrap());
    let body = Arc::new(body);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let body = Arc::clone(&body);
            // A reader that seeks closes the connection: an error here is no fault.
            tokio::spawn(async move { answer(stream, &body, end).await.ok() });
        }
    });
    Server { url, task }
}

async fn answer(stream: TcpStream, body: &[u8], end: usize) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut from = None;
        let mut first = true;
        loop {
            let mut line = String::new();
            if (&mut stream).take(8192).read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() && !first {
                break;
            }
            first = false;
            if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                from = range.split('-').next().and_then(|start| start.parse::<usize>().ok());
            }
        }
        let start = from.unwrap_or(0).min(body.len());
        let rest = &body[start..];
        let head = match from {
            Some(from) if from >= body.len() => {
                format!(
                    "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{}\r\nContent-Length: 0\r\n\r\n",
                    body.len()
                )
            }
            Some(_) => format!(
                "HTTP/1.1 206 Partial Content\r\nAccept-Ranges: bytes\r\nContent-Range: bytes {start}-{}/{}\r\nContent-Length: {}\r\n\r\n",
                body.len() - 1,
                body.len(),
                rest.len()
            ),
            None => format!("HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nContent-Length: {}\r\n\r\n", rest.len()),
        };
        stream.write_all(head.as_bytes()).await?;
        if body.len() > end {
            return stream.write_all(&rest[..end.saturating_sub(start)]).await;
        }
        stream.write_all(rest).await?;
    }
}
