//! TLS on a real edge, and connections that one address has too many of.

use std::{io::Read, net::TcpStream};

use framemill_edge::{EdgeConfig, TlsConfig};
use reqwest::{Certificate, Client, Version};

use crate::support::{Edge, Farm, PLAYLIST, claims, eventually, make_certificate};

/// One that trusts the certificate that is there now, and keeps no connection.
fn client(tls: &TlsConfig) -> reqwest::ClientBuilder {
    let pem = std::fs::read(&tls.certificate).unwrap();
    Client::builder().tls_certs_only([Certificate::from_pem(&pem).unwrap()]).pool_max_idle_per_host(0)
}

async fn tls_edge(farm: &Farm, tls: &TlsConfig) -> Edge {
    farm.edge_with("edge-1", EdgeConfig { tls: Some(tls.clone()), ..EdgeConfig::default() }, farm.nats.port).await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_http_are_spoken_and_a_renewed_certificate_is_shown() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U\n").await;
    let tls = make_certificate(farm.path());
    let edge = tls_edge(&farm, &tls).await;
    let token = farm.token(&claims(&["/live/acme/news/"]));
    let path = edge.url(&format!("/t/{token}/{PLAYLIST}"));
    for (client, version) in [(client(&tls), Version::HTTP_2), (client(&tls).http1_only(), Version::HTTP_11)] {
        let answer = client.build().unwrap().get(&path).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        assert_eq!(answer.text().await.unwrap(), "#EXTM3U\n");
    }
    // A cookie for pages of other sites, since the connection is safe.
    let query =
        client(&tls).build().unwrap().get(edge.url(&format!("/{PLAYLIST}?token={token}"))).send().await.unwrap();
    assert!(query.headers()["set-cookie"].to_str().unwrap().ends_with("; Secure; SameSite=None; Partitioned"));

    // One file written and the other not yet: the old pair is shown on.
    let (still, old) = (client(&tls).build().unwrap(), client(&tls).build().unwrap());
    std::fs::write(&tls.key, "half").unwrap();
    assert_eq!(still.get(&path).send().await.unwrap().status(), 200);
    make_certificate(farm.path());
    let new = client(&tls).build().unwrap();
    eventually("the new certificate is shown", async || new.get(&path).send().await.ok()).await;
    // One that has no session with the edge to take up again.
    assert!(old.get(&path).send().await.is_err(), "the old one is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_certificate_are_named() {
    let farm = Farm::start().await;
    let tls = make_certificate(farm.path());
    let other = tempfile::tempdir().unwrap();
    let foreign = make_certificate(other.path());
    for (tls, said) in [
        (TlsConfig { key: foreign.key.clone(), ..tls.clone() }, "key.pem"),
        (TlsConfig { certificate: tls.key.clone(), ..tls.clone() }, "there is no certificate in it"),
        (TlsConfig { certificate: farm.path().join("none.pem"), ..tls.clone() }, "none.pem"),
    ] {
        let error = farm.refused(EdgeConfig { tls: Some(tls), ..EdgeConfig::default() }).await;
        assert!(error.starts_with("edge.tls: ") && error.contains(said), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_get_the_places_of_all() {
    let farm = Farm::start().await;
    farm.put(PLAYLIST, "#EXTM3U\n").await;
    let config = EdgeConfig { connections_per_address: 4, ..EdgeConfig::default() };
    let edge = farm.edge_with("edge-1", config, farm.nats.port).await;
    let held: Vec<_> = (0..8).map(|_| TcpStream::connect(edge.address).unwrap()).collect();
    // Some are open and say nothing; the rest were closed at once.
    let closed = held.into_iter().filter(|stream| {
        stream.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
        !matches!((&mut &*stream).read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    });
    assert!((4..8).contains(&closed.count()));
    // They have their places back.
    let path = format!("/t/{}/{PLAYLIST}", farm.token(&claims(&["/live/acme/news/"])));
    let asked = reqwest::Client::new();
    eventually("it is served", async || asked.get(edge.url(&path)).send().await.ok()).await;
}
