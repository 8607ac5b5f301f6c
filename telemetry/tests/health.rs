//! The health listener over a real socket.
#![allow(clippy::unwrap_used)]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use framemill_telemetry::{health, meter};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn health_readiness_and_metrics_are_served_until_the_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connected = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&connected);
    let stop = CancellationToken::new();
    let ready: health::Ready = Arc::new(move || vec![("nats", asked.load(Ordering::SeqCst)), ("store", true)]);
    let served = tokio::spawn(health::serve(listener, ready, stop.clone()));

    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    let not_ready = get(address, "/readyz").await;
    assert!(not_ready.starts_with("HTTP/1.1 503"), "{not_ready}");
    assert!(not_ready.ends_with(r#"{"ready":false,"checks":{"nats":false,"store":true}}"#), "{not_ready}");
    connected.store(true, Ordering::SeqCst);
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));

    meter("test").u64_counter("framemill_test_things_total").build().add(3, &[]);
    let text = get(address, "/metrics").await;
    assert!(text.contains("text/plain; version=0.0.4"), "{text}");
    let line = text.lines().find(|line| line.starts_with("framemill_test_things_total")).unwrap();
    assert!(line.ends_with(" 3"), "{line}");

    stop.cancel();
    tokio::time::timeout(std::time::Duration::from_secs(5), served).await.unwrap().unwrap();
}
