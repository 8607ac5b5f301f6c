//! What an edge stands on: NATS, a store, a tenant with a key; and edges that run until they are dropped.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use framemill_edge::{EdgeConfig, EdgeParts, Fence, TlsConfig};
use framemill_queue::{NatsConfig, Queue};
use framemill_schemas::{
    delivery::{
        Address, Algorithm, Claims, EdgeRecord, PURGE_VERSION, Purge, PurgeCause, SIGNING_KEY_VERSION, SigningKey,
        TOKEN_KEY_VERSION, TokenKey, Yields,
    },
    ids::PurgeId,
    subject::{EDGES_BUCKET, PURGES_BUCKET, TOKEN_KEYS_BUCKET},
};
use framemill_storage::{Meta, S3Config, Secret, Store, embedded};
use framemill_telemetry::Shutdown;
use framemill_tokens::{Format, path_form, sign};
use ring::rand::SystemRandom;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Longest wait for anything.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// A playlist of a channel, and a segment.
pub const PLAYLIST: &str = "live/acme/news/video-720p.m3u8";
pub const SEGMENT: &str = "live/acme/news/t1-00c0ffee/720p/7.m4s";

/// NATS, a store, and a tenant `acme` with a key.
pub struct Farm {
    pub queue: Queue,
    pub store: Store,
    pub nats: Nats,
    pub s3: S3Config,
    key: SigningKey,
    data: tempfile::TempDir,
    stop: CancellationToken,
}

impl Drop for Farm {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A server that can be killed and comes back on its port, with what it had.
pub struct Nats {
    child: Child,
    config: PathBuf,
    pub port: u16,
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Nats {
    async fn start(data: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let config = data.join("nats.conf");
        let folder = data.join("nats");
        let text = format!("listen: 127.0.0.1:{port}\nmax_payload: 8MB\njetstream {{ store_dir: {folder:?} }}\n");
        std::fs::write(&config, text).unwrap();
        let child = run(&config);
        let nats = Self { child, config, port };
        eventually("NATS listens", async || TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
        nats
    }

    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    pub fn revive(&mut self) {
        self.child = run(&self.config);
    }
}

fn run(config: &Path) -> Child {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.framemill/tools/bin/nats-server");
    let named = std::env::var_os("FRAMEMILL_NATS__SERVER").map(PathBuf::from);
    let server = named.unwrap_or_else(|| if own.exists() { own } else { "nats-server".into() });
    let mut command = Command::new(server);
    command.arg("-c").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("nats-server runs; `./infra/setup` brings it")
}

/// Waits until something is there.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        loop {
            tick.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    timeout(WAIT_MAX, found).await.unwrap_or_else(|_| panic!("{what}: not within {} s", WAIT_MAX.as_secs()))
}

pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// What lets a viewer of `acme` in for a while.
pub fn claims(paths: &[&str]) -> Claims {
    Claims {
        tenant: "acme".parse().unwrap(),
        account: "ada".to_owned(),
        session: "s-1".to_owned(),
        paths: paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>().try_into().unwrap(),
        regions: Vec::new(),
        origins: Vec::new(),
        address: Address::Any,
        not_before_s: now_ms() / 1000 - 10,
        expires_s: now_ms() / 1000 + 300,
        sessions_max: 0,
        yields: Yields::Oldest,
    }
}

impl Farm {
    pub async fn start() -> Self {
        // What the binary does once; another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let data = tempfile::tempdir().unwrap();
        let nats = Nats::start(data.path()).await;
        let queue = connect(nats.port).await;
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (access, secret) = (Secret::new("access"), Secret::new("secret"));
        let (root, keys, stopped) = (data.path().join("s3"), (access.clone(), secret.clone()), stop.clone());
        tokio::spawn(async move { embedded::serve(&root, listener, &keys.0, &keys.1, stopped).await.unwrap() });
        let own = S3Config {
            endpoint: Some(format!("http://{address}")),
            access_key: Some(access.clone()),
            secret_key: Some(secret.clone()),
            create_bucket: true,
            ..S3Config::default()
        };
        let store = Store::connect(&own).await.unwrap();
        let (access, secret) = embedded::reader(&access, &secret);
        let s3 = S3Config { access_key: Some(access), secret_key: Some(secret), ..own };
        let key = SigningKey { v: SIGNING_KEY_VERSION, kid: "k1".to_owned(), signs: vec![7; 32] };
        let farm = Self { queue, store, nats, s3, key, data, stop };
        farm.add_key("k1", "acme", vec![7; 32]).await;
        farm
    }

    /// Gives a tenant a key.
    pub async fn add_key(&self, kid: &str, tenant: &str, secret: Vec<u8>) {
        let scope = vec![format!("/live/{tenant}/"), format!("/vod/{tenant}/")];
        let key = TokenKey {
            v: TOKEN_KEY_VERSION,
            kid: kid.to_owned(),
            tenant: tenant.parse().unwrap(),
            algorithm: Algorithm::Hs256,
            scope: scope.try_into().unwrap(),
            verifies: secret,
            created_ms: now_ms(),
            retired_ms: None,
        };
        self.queue.records::<TokenKey>(TOKEN_KEYS_BUCKET).create(kid, &key).await.unwrap();
    }

    pub fn token(&self, claims: &Claims) -> String {
        signed(&self.key, claims)
    }

    /// One that was issued then, Unix seconds.
    pub fn issued(&self, claims: &Claims, issued_s: i64) -> String {
        signed_at(&self.key, claims, issued_s)
    }

    /// What signs this farm's tokens.
    pub fn key(&self) -> SigningKey {
        self.key.clone()
    }

    /// One that names the key, and was signed with another.
    pub fn forged(&self, claims: &Claims) -> String {
        signed(&SigningKey { signs: vec![8; 32], ..self.key.clone() }, claims)
    }

    /// Puts an object as the farm does.
    pub async fn put(&self, key: &str, body: impl AsRef<[u8]>) {
        let cache_control = match key.rsplit_once('.').unwrap().1 {
            "m4s" | "mp4" => "public, max-age=31536000, immutable",
            _ => "public, max-age=1",
        };
        let meta = Meta { cache_control: cache_control.to_owned(), ..Meta::default() };
        self.store.delete(&[key.to_owned()]).await.unwrap();
        self.store.put_new(key, Bytes::copy_from_slice(body.as_ref()), &meta).await.unwrap();
    }

    pub async fn purge(&self, tags: &[&str], refuse: bool) -> u64 {
        let purge = Purge {
            v: PURGE_VERSION,
            id: PurgeId::new(uuid::Uuid::new_v4()),
            tenant: "acme".parse().unwrap(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            refuse,
            cause: PurgeCause::Request,
            requested_ms: now_ms(),
        };
        self.queue.records::<Purge>(PURGES_BUCKET).create(&purge.id.to_string(), &purge).await.unwrap()
    }

    /// An edge in front of the store.
    pub async fn edge(&self, name: &str) -> Edge {
        self.edge_with(name, EdgeConfig::default(), self.nats.port).await
    }

    /// Why an edge with such a configuration does not start.
    pub async fn refused(&self, config: EdgeConfig) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let running = framemill_edge::run(self.parts("edge-1", config, self.nats.port, listener).await);
        timeout(WAIT_MAX, running).await.unwrap().unwrap_err().to_string()
    }

    async fn parts(&self, name: &str, config: EdgeConfig, nats_port: u16, listener: TcpListener) -> EdgeParts {
        let queue = connect(nats_port).await;
        EdgeParts {
            config: EdgeConfig { memory_mb: 32, ..config },
            name: name.parse().unwrap(),
            s3: self.s3.clone(),
            fence: Fence::new(queue.clone()),
            queue,
            listener,
            shutdown: Shutdown::new(),
        }
    }

    pub async fn edge_with(&self, name: &str, config: EdgeConfig, nats_port: u16) -> Edge {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.edge_on(name, config, nats_port, listener).await
    }

    /// An edge that listens where it is told to.
    pub async fn edge_on(&self, name: &str, config: EdgeConfig, nats_port: u16, listener: TcpListener) -> Edge {
        let parts = self.parts(name, config, nats_port, listener).await;
        let address = parts.listener.local_addr().unwrap();
        let (queue, shutdown, is_tls) = (parts.queue.clone(), parts.shutdown.clone(), parts.config.tls.is_some());
        let running = tokio::spawn(async move { framemill_edge::run(parts).await.unwrap() });
        // Whoever looks at the certificate brings a client of its own.
        let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
        let edge = Edge { address, is_tls, queue, shutdown, running: Some(running), client };
        // It knows the key, and may serve.
        let token = self.token(&claims(&["/live/acme/"]));
        eventually("the edge serves", async || {
            let (status, _) = edge.get(&format!("/t/{token}/live/acme/none/master.m3u8")).await;
            matches!(status, 200 | 404 | 502).then_some(())
        })
        .await;
        edge
    }

    /// How far an edge says that it is.
    pub async fn applied(&self, name: &str) -> u64 {
        let found = self.queue.records::<EdgeRecord>(EDGES_BUCKET).get(name).await.unwrap();
        found.map_or(0, |(record, _)| record.applied)
    }

    pub fn path(&self) -> &Path {
        self.data.path()
    }
}

fn signed(key: &SigningKey, claims: &Claims) -> String {
    signed_at(key, claims, now_ms() / 1000 - 5)
}

fn signed_at(key: &SigningKey, claims: &Claims, issued_s: i64) -> String {
    let token = sign(Format::Compact, key, Algorithm::Hs256, claims, issued_s, &SystemRandom::new()).unwrap();
    path_form(&token).into_owned()
}

/// Makes a certificate for this machine in place of the one that is there.
pub fn make_certificate(folder: &Path) -> TlsConfig {
    let file = |name: &str| -> PathBuf { folder.join(name) };
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=edge", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(file("key.pem"))
        .arg("-out")
        .arg(file("certificate.pem"))
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    TlsConfig { certificate: file("certificate.pem"), key: file("key.pem") }
}

pub async fn connect(port: u16) -> Queue {
    let config = NatsConfig { url: format!("nats://127.0.0.1:{port}"), ..NatsConfig::default() };
    eventually("NATS answers", async || Queue::connect(&config).await.ok()).await
}

/// An edge of this process.
pub struct Edge {
    pub address: SocketAddr,
    is_tls: bool,
    pub queue: Queue,
    shutdown: Shutdown,
    running: Option<tokio::task::JoinHandle<()>>,
    client: reqwest::Client,
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.shutdown.stop.cancel();
        self.shutdown.drain.cancel();
    }
}

impl Edge {
    pub fn url(&self, path: &str) -> String {
        format!("http{}://{}{path}", if self.is_tls { "s" } else { "" }, self.address)
    }

    pub fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(self.url(path))
    }

    /// Status and body.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.request(path).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Waits until what was sent is in its cache: a viewer may have the last byte a moment before.
    pub async fn keeps(&self, path: &str) {
        eventually("it is kept", async || {
            let answer = self.request(path).send().await.unwrap();
            answer.headers()["cache-status"].to_str().unwrap().ends_with("; hit").then_some(())
        })
        .await;
    }

    /// Ends it as a signal does, and waits for that.
    pub async fn end(mut self) {
        self.shutdown.drain.cancel();
        self.shutdown.stop.cancel();
        timeout(WAIT_MAX, self.running.take().unwrap()).await.unwrap().unwrap();
    }
}

/// A relay of TCP connections that can be cut.
pub struct Relay {
    pub port: u16,
    cut: tokio::sync::watch::Sender<bool>,
}

impl Relay {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (cut, is_cut) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut is_cut = is_cut.clone();
                if *is_cut.borrow() {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_cut.wait_for(|cut| *cut) => {}
                    }
                });
            }
        });
        Self { port: own, cut }
    }

    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}
