//! Servers of an outside farm: NATS, and S3 by SeaweedFS or by `FRAMEMILL_TEST_S3__*`.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Running, get, wait};

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn tool(name: &str) -> PathBuf {
    let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.framemill/tools/bin").join(name);
    pinned.canonicalize().unwrap_or_else(|_| name.into())
}

/// A NATS server of its own.
pub struct Nats {
    pub url: String,
    _server: Running,
}

impl Nats {
    pub fn start(folder: &Path) -> Self {
        let port = free_port();
        let config = folder.join("nats.conf");
        let store = folder.join("nats");
        let text = format!(
            "listen: 127.0.0.1:{port}\nmax_payload: 8MB\njetstream {{ store_dir: {:?}, sync_interval: always }}\n",
            store.display().to_string()
        );
        std::fs::write(&config, text).unwrap();
        let server = super::nats_server().unwrap_or_else(|| "nats-server".into());
        let child = Command::new(server).arg("-c").arg(config).stderr(Stdio::null()).stdout(Stdio::null()).spawn();
        let server = Running(child.unwrap());
        wait("NATS", 20, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { url: format!("nats://127.0.0.1:{port}"), _server: server }
    }
}

/// An S3 store.
pub struct S3 {
    environment: Vec<(String, String)>,
    _server: Option<Running>,
}

const OUTSIDE: [&str; 5] = ["ENDPOINT", "REGION", "BUCKET", "ACCESS_KEY", "SECRET_KEY"];

impl S3 {
    /// The store of `FRAMEMILL_TEST_S3__*`, or a SeaweedFS of its own.
    pub fn start(folder: &Path) -> Self {
        let named =
            OUTSIDE.iter().filter_map(|key| Some((*key, std::env::var(format!("FRAMEMILL_TEST_S3__{key}")).ok()?)));
        let named: Vec<_> = named.map(|(key, value)| (format!("FRAMEMILL_S3__{key}"), value)).collect();
        if named.iter().any(|(key, _)| key.ends_with("ENDPOINT")) {
            return Self { environment: named, _server: None };
        }
        let data = folder.join("weed");
        std::fs::create_dir(&data).unwrap();
        let identities = folder.join("s3.json");
        std::fs::write(
            &identities,
            r#"{"identities":[{"name":"farm","credentials":[{"accessKey":"farm","secretKey":"farm-secret"}],
               "actions":["Admin","Read","Write","List","Tagging"]}]}"#,
        )
        .unwrap();
        let [master, volume, filer, s3] = [(); 4].map(|()| free_port());
        let grpc = [(); 4].map(|()| free_port());
        let child = Command::new(tool("weed"))
            .arg("server")
            .arg(format!("-dir={}", data.display()))
            .args([
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-filer",
                "-s3",
                "-volume.max=20",
                "-master.volumeSizeLimitMB=64",
            ])
            .arg("-master.telemetry=false")
            .args([format!("-master.port={master}"), format!("-master.port.grpc={}", grpc[0])])
            .args([format!("-volume.port={volume}"), format!("-volume.port.grpc={}", grpc[1])])
            .args([format!("-filer.port={filer}"), format!("-filer.port.grpc={}", grpc[2])])
            .args([format!("-s3.port={s3}"), format!("-s3.port.grpc={}", grpc[3])])
            .arg(format!("-s3.config={}", identities.display()))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("weed.log")).unwrap())
            .spawn();
        let server = Running(child.expect("SeaweedFS is installed by infra/setup --tests"));
        let address = format!("127.0.0.1:{s3}");
        let log = || std::fs::read_to_string(folder.join("weed.log")).unwrap_or_default();
        super::wait_or("SeaweedFS", 60, log, || get(&address, "/healthz").or_else(|| get(&address, "/status")));
        let environment = [
            ("ENDPOINT", format!("http://{address}")),
            ("BUCKET", "framemill".to_owned()),
            ("ACCESS_KEY", "farm".to_owned()),
            ("SECRET_KEY", "farm-secret".to_owned()),
            ("CREATE_BUCKET", "true".to_owned()),
        ];
        let environment = environment.map(|(key, value)| (format!("FRAMEMILL_S3__{key}"), value)).into();
        Self { environment, _server: Some(server) }
    }

    /// What a role must be told to use it.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }
}
