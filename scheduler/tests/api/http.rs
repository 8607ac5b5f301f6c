//! Requests that a proper client refuses to send, and problems as they come back.

use std::net::SocketAddr;

use framemill_schemas::api::Problem;
use reqwest::Response;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::farm::PATIENCE;

/// Checks that an answer is a problem of this kind; returns it.
pub async fn problem(response: Response, status: u16, kind: &str) -> Problem {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: Problem = response.json().await.unwrap();
    assert_eq!((problem.kind.as_str(), problem.status), (format!("urn:framemill:problem:{kind}").as_str(), status));
    assert!(!problem.title.is_empty() && !problem.detail.is_empty());
    problem
}

/// Sends bytes as they are; returns everything that comes back until the connection ends.
pub async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    // A server that closes early may reset what is still on its way: that is an end as well.
    let exchange = async {
        stream.write_all(request).await?;
        stream.read_to_end(&mut answer).await
    };
    let _ = tokio::time::timeout(PATIENCE, exchange).await.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}
