//! SeaweedFS: a real store, started for the test and killed at its end.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use framemill_storage::{Checksums, S3Config, Store};

use crate::{
    local::{ACCESS, SECRET, config, free_ports, wait_until},
    suite,
};

struct Weed {
    child: Child,
    config: S3Config,
    _folder: tempfile::TempDir,
}

impl Weed {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = format!(
            r#"{{"identities":[{{"name":"test","credentials":[{{"accessKey":"{ACCESS}","secretKey":"{SECRET}"}}],
            "actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
        );
        std::fs::write(folder.path().join("s3.json"), keys).unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let [master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc] = free_ports();
        // The shell kills it when this process ends, however it does: the pipe closes.
        let mut command = Command::new("sh");
        command
            .args(["-c", r#""$@" & weed=$!; cat >/dev/null; kill -9 $weed; wait"#, "sh"])
            .arg(weed())
            .args(["server", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"])
            .args(["-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=50"])
            .args(["-s3.config=s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"])
            .args([format!("-master.port={master}"), format!("-master.port.grpc={master_grpc}")])
            .args([format!("-volume.port={volume}"), format!("-volume.port.grpc={volume_grpc}")])
            .args([format!("-filer.port={filer}"), format!("-filer.port.grpc={filer_grpc}")])
            .args([format!("-s3.port={s3}"), format!("-s3.port.grpc={s3_grpc}")])
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let config = config(([127, 0, 0, 1], s3).into());
        let weed = Self { child, config, _folder: folder };
        wait_until("SeaweedFS takes puts", Duration::from_secs(60), async || {
            Store::connect(&weed.config).await.is_ok()
        })
        .await;
        weed
    }
}

impl Drop for Weed {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The pinned one, else the one in PATH.
fn weed() -> PathBuf {
    let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.framemill/tools/bin/weed");
    if pinned.is_file() {
        return pinned;
    }
    let found = Command::new("weed").arg("version").stdout(Stdio::null()).status();
    assert!(found.is_ok(), "SeaweedFS is missing: run ./infra/setup");
    PathBuf::from("weed")
}

#[tokio::test(flavor = "multi_thread")]
async fn seaweedfs_passes_the_suite() {
    let weed = Weed::start().await;
    suite::run(&weed.config).await;
    let always = S3Config { checksums: Checksums::Always, ..weed.config.clone() };
    Store::connect(&always).await.unwrap();
}
