//! The saboteur's judge is judged: faults are planted in a published title behind everybody's
//! back, and it must find each of them.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use framemill_loadtest::chaos::audit::output::{Expected, examine};
use framemill_storage::{Meta, S3Config, Secret, Store, embedded};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const FRAMES: u64 = 150;
const RATE: u64 = 25;

fn ffmpeg() -> PathBuf {
    std::env::var_os("FRAMEMILL_FFMPEG__FFMPEG").map_or_else(|| "ffmpeg".into(), PathBuf::from)
}

/// A title as an HLS packager writes it: two renditions and their sound.
fn title(folder: &Path) {
    let seconds = FRAMES / RATE;
    let made = Command::new(ffmpeg())
        .current_dir(folder)
        .args([
            "-nostdin",
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            &format!("testsrc2=size=128x96:rate={RATE}:duration={seconds}"),
        ])
        .args(["-f", "lavfi", "-i", &format!("sine=frequency=440:sample_rate=48000:duration={seconds}")])
        .args(["-map", "0:v", "-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-pix_fmt", "yuv420p", "-g", "50", "-sc_threshold", "0", "-c:a", "aac", "-f", "hls"])
        .args(["-hls_time", "2", "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4"])
        .args(["-hls_segment_filename", "%v-%d.m4s", "-hls_fmp4_init_filename", "init-%v.mp4"])
        .args(["-master_pl_name", "master.m3u8"])
        .args(["-var_stream_map", "v:0,agroup:s,name:a v:1,agroup:s,name:b a:0,agroup:s,name:s", "%v.m3u8"])
        .status()
        .unwrap();
    assert!(made.success());
}

struct Shop {
    store: Store,
    committed: BTreeMap<String, String>,
    _folder: tempfile::TempDir,
    stop: CancellationToken,
}

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = S3Config {
            endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
            access_key: Some(Secret::new("a")),
            secret_key: Some(Secret::new("b")),
            create_bucket: true,
            ..S3Config::default()
        };
        let (root, stop) = (folder.path().join("s3"), CancellationToken::new());
        std::fs::create_dir(&root).unwrap();
        let stopped = stop.clone();
        tokio::spawn(async move {
            embedded::serve(&root, listener, &Secret::new("a"), &Secret::new("b"), stopped).await.unwrap();
        });
        let store = Store::connect(&config).await.unwrap();
        let mut shop = Self { store, committed: BTreeMap::new(), _folder: folder, stop };
        let made = tempfile::tempdir().unwrap();
        title(made.path());
        for file in std::fs::read_dir(made.path()).unwrap() {
            let file = file.unwrap();
            let key = format!("vod/t/id/{}", file.file_name().to_string_lossy());
            shop.put(&key, std::fs::read(file.path()).unwrap()).await;
        }
        shop
    }

    /// Puts an object as a commit names it.
    async fn put(&mut self, key: &str, bytes: Vec<u8>) {
        let put = self.store.put_new(key, Bytes::from(bytes), &Meta::default()).await.unwrap();
        self.committed.insert(key.to_owned(), put.stored().digest.clone());
    }

    /// Puts other bytes where an object was; no commit knows.
    async fn replace(&self, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.store.get(key).await.unwrap().unwrap().body.to_vec();
        change(&mut bytes);
        self.store.delete(&[key.to_owned()]).await.unwrap();
        self.store.put_new(key, Bytes::from(bytes), &Meta::default()).await.unwrap();
    }

    async fn codes(&self, frames: u64) -> Vec<String> {
        let expected = Expected { frames, rate: RATE, committed: &self.committed };
        let findings = examine(&self.store, &ffmpeg(), "vod/t/id", expected).await.unwrap();
        let mut codes: Vec<_> = findings.into_iter().map(|finding| finding.code).collect();
        codes.dedup();
        codes
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn every_planted_fault_is_found() {
    let mut shop = Shop::open().await;
    assert_eq!(shop.codes(FRAMES).await, Vec::<String>::new());
    assert_eq!(shop.codes(FRAMES + 1).await, ["frame-count"]);

    // A segment whose bytes are others than those that were committed, and do not decode.
    let segment = "vod/t/id/a-1.m4s";
    shop.replace(segment, |bytes| {
        let end = bytes.len();
        bytes[end - 400..].fill(0xff);
    })
    .await;
    let codes = shop.codes(FRAMES).await;
    assert!(codes.contains(&"object-changed".to_owned()) && codes.contains(&"decode-failed".to_owned()), "{codes:?}");

    // The same, where whoever changed it changed the record too.
    let digest = shop.store.head(segment).await.unwrap().unwrap().0.digest;
    shop.committed.insert(segment.to_owned(), digest);
    assert_eq!(shop.codes(FRAMES).await, ["decode-failed"]);

    shop.store.delete(&[segment.to_owned()]).await.unwrap();
    assert_eq!(shop.codes(FRAMES).await, ["object-missing"]);

    // What an unfinished attempt left, and a playlist names all the same.
    let other = "vod/t/id/b-1.m4s";
    shop.committed.remove(other);
    assert_eq!(shop.codes(FRAMES).await, ["object-missing", "uncommitted"]);

    // A playlist that ends too early is whole in itself, and short.
    let playlist = "vod/t/id/b.m3u8";
    shop.replace(playlist, |bytes| {
        let text = String::from_utf8(std::mem::take(bytes)).unwrap();
        let at = text.rfind("#EXTINF").unwrap();
        *bytes = format!("{}#EXT-X-ENDLIST\n", &text[..at]).into_bytes();
    })
    .await;
    let codes = shop.codes(FRAMES).await;
    assert!(codes.contains(&"frame-count".to_owned()) && codes.contains(&"object-changed".to_owned()), "{codes:?}");
}
