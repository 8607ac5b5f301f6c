//! No ffmpeg survives its worker, even one that is killed without a word.
//!
//! The worker is this test program itself, started again with an environment variable that makes
//! its one other test encode from an address until it is killed.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use framemill_schemas::ladder::VideoCodec;
use support::{make, plan, probe, toolchains, transcode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const WORKER: &str = "FRAMEMILL_TEST_ORPHAN_SOURCE";

/// Not a test of its own: what the killed worker runs.
#[tokio::test]
async fn worker() {
    let Some(path) = std::env::var_os(WORKER) else { return };
    let tools = toolchains().await.remove(0);
    let body = std::fs::read(path).unwrap();
    let (_server, found) = probe(&tools, body.clone()).await;
    let spec = plan(&found.unwrap(), VideoCodec::H264, 25, &[(96, 64)]);
    // A source that stops in the middle and never ends.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/stuck", listener.local_addr().unwrap());
    let serve = async {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 2048];
            let _ = stream.read(&mut request).await.unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nAccept-Ranges: none\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&body[..body.len() * 2 / 3]).await.unwrap();
            open.push(stream);
        }
    };
    tokio::select! {
        _ = transcode(&tools, &spec, &url) => {}
        () = serve => {}
    }
}

/// The ffmpeg a process started: the one with the stuck source on its command line.
fn ffmpeg_of(worker: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{worker}/task/{worker}/children")).unwrap_or_default();
    let threads = std::fs::read_dir(format!("/proc/{worker}/task")).ok()?;
    let all = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let pids = all.chain([children]).flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    pids.filter(|pid| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains("/stuck"))
    })
    .find_map(|pid| pid.parse().ok())
}

fn is_running(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = condition() {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect(what)
}

struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(source: &Path, path: &std::ffi::OsStr) -> Worker {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["worker", "--exact", "--nocapture"])
        .env(WORKER, source)
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Worker(child)
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_a_worker_leaves_no_ffmpeg_behind() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    make(
        "-f lavfi -i testsrc2=s=96x64:r=25:d=20 -c:v libx264 -preset ultrafast -g 25 -movflags +faststart -f mp4",
        &source,
    );
    let usual = std::env::var_os("PATH").unwrap();
    // Without setpriv nothing but broken connections ends it.
    let bare = folder.path().join("bin");
    std::fs::create_dir(&bare).unwrap();
    for tool in ["ffmpeg", "ffprobe"] {
        let found = std::env::split_paths(&usual).map(|folder| folder.join(tool)).find(|path| path.exists()).unwrap();
        std::os::unix::fs::symlink(found, bare.join(tool)).unwrap();
    }
    for path in [usual, bare.into_os_string()] {
        let mut worker = start(&source, &path);
        let id = worker.0.id();
        let ffmpeg = until("ffmpeg starts", || ffmpeg_of(id)).await;
        assert!(is_running(ffmpeg));
        worker.0.kill().unwrap();
        worker.0.wait().unwrap();
        until("ffmpeg ends", || (!is_running(ffmpeg)).then_some(())).await;
    }
}
