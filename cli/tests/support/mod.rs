//! The built binary, run as a user would, in a folder and an environment of its own.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod apart;
pub mod local_s3;
pub mod outside;
pub mod role;
pub mod separate;
pub mod up;
pub mod wrapper;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// A folder to run in.
pub struct Place {
    pub folder: tempfile::TempDir,
}

/// What came of a run.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The binary without any setting of the machine the test runs on, except where tools are.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_framemill"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FRAMEMILL_") {
                command.env_remove(name);
            }
        }
        for tool in ["FRAMEMILL_FFMPEG__FFMPEG", "FRAMEMILL_FFMPEG__FFPROBE"] {
            if let Some(path) = std::env::var_os(tool) {
                command.env(tool, path);
            }
        }
        if let Some(server) = nats_server() {
            command.env("FRAMEMILL_NATS__SERVER", server);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    pub fn run_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Ran {
        Ran::of(self.command(args).envs(environment.iter().copied()).output().unwrap())
    }
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails unless it ended with `code`, saying everything it said.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Fails unless stderr says `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} in stderr: {}", self.stderr);
        self
    }
}

/// The pinned server of this workspace, where there is one.
pub fn nats_server() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("FRAMEMILL_NATS__SERVER") {
        return Some(path.into());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.framemill/tools/bin/nats-server");
    path.canonicalize().ok()
}

/// The ffmpeg that makes clips.
pub fn ffmpeg() -> PathBuf {
    std::env::var_os("FRAMEMILL_FFMPEG__FFMPEG").map_or_else(|| "ffmpeg".into(), PathBuf::from)
}

/// The same, absolute: a child has no search path of ours.
pub fn real_ffmpeg() -> PathBuf {
    let named = ffmpeg();
    if named.is_absolute() {
        return named;
    }
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|folder| folder.join(&named)).find(|file| file.is_file()).unwrap()
}

/// Makes a clip with a picture and a tone.
pub fn clip(path: &Path, seconds: u32, size: &str) {
    let picture = format!("testsrc2=size={size}:rate=25:duration={seconds}");
    let tone = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
    let made = Command::new(ffmpeg())
        .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &tone])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50"])
        .args(["-c:a", "aac", "-ac", "2", "-f", "mp4"])
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
}

/// A ladder that a slow machine encodes quickly.
pub const SMALL_LADDER: &str = "
name: small
gop_s: 1
segment_s: 2
video:
  - { name: 180p, codec: h264, height: 180, bitrate_kbps: 300, maxrate_kbps: 360, preset: ultrafast }
  - { name: 90p, codec: h264, height: 90, bitrate_kbps: 100, maxrate_kbps: 120, preset: ultrafast }
audio:
  - { name: stereo, codec: aac, channels: 2, bitrate_kbps: 96 }
";

/// Waits until `condition` gives something.
#[track_caller]
pub fn wait<T>(what: &str, seconds: u64, condition: impl FnMut() -> Option<T>) -> T {
    wait_or(what, seconds, String::new, condition)
}

/// Waits until `condition` gives something; where it does not, fails with what `log` says.
#[track_caller]
pub fn wait_or<T>(what: &str, seconds: u64, log: impl Fn() -> String, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not after {seconds} s: {}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that is killed when a test ends, however it ends.
pub struct Running(pub Child);

impl Running {
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Command lines of processes in which `text` appears, this process left out.
pub fn processes_with(text: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == own || !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(text) {
            found.push(format!("{name}: {line}"));
        }
    }
    found
}

/// The status and body of a GET over plain HTTP.
pub fn get(address: &str, path: &str) -> Option<(u16, String)> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let body = answer.split_once("\r\n\r\n")?.1.to_owned();
    Some((status, body))
}
