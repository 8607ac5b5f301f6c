//! An ffmpeg that misbehaves: a script in front of the real one. Whatever it does is found out in
//! bounded time and memory, has its class, and leaves no process behind.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use framemill_media::{FfmpegConfig, Toolchain};
use framemill_schemas::{
    failure::{Class, Failure},
    ladder::VideoCodec,
    spec::TranscodeSpec,
};
use support::{Output, make, plan, probe, toolchains, transcode};

/// Longest wait for anything here; what hangs is to be stopped after a second.
const BOUND: Duration = Duration::from_secs(60);

/// An ffmpeg that answers questions as the real one does and encodes as `misbehaves` says, with
/// the real one in `$real` and what it was given in `$@`.
struct Wrapper {
    folder: tempfile::TempDir,
    tools: Toolchain,
}

async fn wrapper(misbehaves: &str) -> Wrapper {
    let folder = tempfile::tempdir().unwrap();
    let real = std::env::var_os("FRAMEMILL_FFMPEG__FFMPEG").map_or_else(|| on_path("ffmpeg"), PathBuf::from);
    let path = folder.path().join("ffmpeg");
    let script = format!(
        "#!/bin/bash\nPATH=/usr/local/bin:/usr/bin:/bin\nreal={:?}\ncd {:?}\n\
         case \"$*\" in *pipe:100*) ;; *) exec \"$real\" \"$@\" ;; esac\n{misbehaves}\n",
        real.display().to_string(),
        folder.path().display().to_string()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = FfmpegConfig {
        ffmpeg: Some(path),
        ffprobe: std::env::var_os("FRAMEMILL_FFMPEG__FFPROBE").map(PathBuf::from),
        stall_s: 1,
        ..FfmpegConfig::default()
    };
    let tools = Toolchain::find(&config).await.unwrap();
    Wrapper { folder, tools }
}

fn on_path(tool: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|path| path.exists()).unwrap()
}

impl Wrapper {
    /// Encodes two seconds with it.
    async fn encode(&self) -> Result<Vec<Output>, Failure> {
        let source = self.folder.path().join("source");
        make("-f lavfi -i testsrc2=s=96x64:r=25:d=2 -c:v libx264 -preset ultrafast -g 25 -f mp4", &source);
        let (server, found) = probe(&toolchains().await[0], std::fs::read(source).unwrap()).await;
        let spec: TranscodeSpec = plan(&found.unwrap(), VideoCodec::H264, 25, &[(96, 64), (48, 32)]);
        tokio::time::timeout(BOUND, transcode(&self.tools, &spec, &server.url)).await.expect("an end within bounds")
    }

    /// The process that wrote its number into a file here is dead, or will be at once.
    async fn is_gone(&self, name: &str) {
        let pid = std::fs::read_to_string(self.folder.path().join(name)).unwrap();
        is_gone(pid.trim()).await;
    }

    /// Peak memory of this process, in bytes.
    fn peak() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

/// Waits until a process has ended, whether or not it was waited for.
async fn is_gone(pid: &str) {
    let began = Instant::now();
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            return;
        }
        assert!(began.elapsed() < BOUND, "{pid} is still there: {stat}");
        tokio::task::yield_now().await;
    }
}

fn segments(outputs: &[Output]) -> Vec<usize> {
    outputs.iter().map(|output| output.segments.len()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_is_stopped_with_all_it_started() {
    for hangs in [
        // From the start, deaf to requests, with a stray that left its group.
        "trap '' TERM; setsid sleep 1000 & echo $! > stray; echo $$ > self; while :; do sleep 1000; done",
        // In the middle, behind the back of a script that waits for it.
        "\"$real\" \"$@\" 100> >(head -c 3000 >&100; setsid sleep 1000 & echo $! > stray; sleep 1000) & \
         echo $! > self; wait; wait; sleep 1000",
    ] {
        let wrapper = wrapper(hangs).await;
        let failure = wrapper.encode().await.unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (Class::Transient, "ffmpeg-stalled"), "{failure:?}");
        wrapper.is_gone("self").await;
        wrapper.is_gone("stray").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_words_neither_blocks_nor_fills_memory() {
    // Beside its work.
    let talks = wrapper("{ echo cause; yes 'a line of a flood' | head -c 20000000; } >&2; exec \"$real\" \"$@\"").await;
    let before = Wrapper::peak();
    assert_eq!(segments(&talks.encode().await.unwrap()), [1, 1]);
    assert!(Wrapper::peak() - before < 64_000_000, "{before} {}", Wrapper::peak());
    // Instead of it, for ever.
    let floods = wrapper("echo cause >&2; echo $$ > self; exec yes 'a line of a flood' >&2").await;
    let failure = floods.encode().await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (Class::Transient, "ffmpeg-flood"), "{failure:?}");
    let evidence = failure.evidence.unwrap();
    assert!(evidence.len() < 8000 && evidence.contains("a line of a flood"), "{}", evidence.len());
    floods.is_gone("self").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_output_is_no_success_whatever_the_exit_code_says() {
    for short in [
        // Nothing at all, a part of it, and all of one rendition only.
        "exit 0",
        "\"$real\" \"$@\" 100> >(head -c 3000 >&100) 101> >(head -c 3000 >&101); wait; exit 0",
        "\"$real\" \"$@\" 101> >(head -c 3000 >&101; cat > /dev/null); wait; exit 0",
    ] {
        let failure = wrapper(short).await.encode().await.unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (Class::Transient, "ffmpeg-short"), "{short}: {failure:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grandchild_delays_nothing_and_stays_nowhere() {
    for leaves in [
        // In its group, out of it with the pipes open, and out of it without.
        "sleep 1000 & echo $! > stray; exec \"$real\" \"$@\"",
        "setsid sleep 1000 & echo $! > stray; exec \"$real\" \"$@\"",
        "setsid sleep 1000 < /dev/null > /dev/null 2>&1 100>&- 101>&- & echo $! > stray; exec \"$real\" \"$@\"",
    ] {
        let wrapper = wrapper(leaves).await;
        assert_eq!(segments(&wrapper.encode().await.unwrap()), [1, 1], "{leaves}");
        wrapper.is_gone("stray").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_left_behind_goes_when_the_next_one_starts() {
    // A mark of a process of this machine that does not exist (any more).
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap().display().to_string();
    let namespace: String = namespace.chars().filter(char::is_ascii_digit).collect();
    let mut stray = Command::new("sleep")
        .arg("1000")
        .env("FRAMEMILL_CHILD", format!("{namespace}/{}/1/7", i32::MAX))
        .spawn()
        .unwrap();
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    toolchains().await;
    is_gone(&stray.id().to_string()).await;
    // Whoever killed it may have waited for it too.
    let _ = stray.wait();
    assert_eq!(other.try_wait().unwrap(), None, "a process without a mark is nobody's stray");
    other.kill().unwrap();
    other.wait().unwrap();
}
