//! What a channel is made from here: pictures that show their own number, and a tone.
//!
//! A number is sixteen blocks, black or white, the lowest bit on the left. It counts round and round, which
//! is enough to see one that is missing or repeated.

use std::{net::Ipv4Addr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use framemill_schemas::rate::Ratio;
use tokio::{
    net::UdpSocket,
    process::{Child, Command},
};

use crate::rig::{MARK, Programs};

/// Blocks of a picture, one for each bit.
pub const BITS: u32 = 16;
/// Numbers before they begin again.
pub const NUMBERS: u64 = 1 << BITS;
/// How long a datagram that is sent to a group may be on its way back.
const BACK: Duration = Duration::from_millis(500);
/// Datagrams that are tried.
const TRIES: usize = 4;
/// Length of a file that is played round and round, seconds.
const LOOP_S: u64 = 20;

/// How a channel gets its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// An MPEG transport stream, sent once to a group of this machine.
    Udp,
    /// A file that each replica plays round and round.
    File,
}

impl Way {
    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::File => "file",
        }
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Signal {
    /// Pictures per second.
    pub rate: Ratio,
    /// The first timestamp, seconds.
    pub starts_s: u64,
    /// Size of the pictures; the width is a multiple of the blocks.
    pub size: (u32, u32),
}

impl Signal {
    /// Twenty-five pictures per second, from nought on.
    pub const PLAIN: Self = Self { rate: Ratio { num: 25, den: 1 }, starts_s: 0, size: (256, 144) };
}

/// A source that is being sent.
#[derive(Debug)]
pub struct Source {
    /// Its address, as a channel names it.
    pub uri: String,
    /// Numbers before its pictures begin again.
    pub numbers: u64,
    sender: Option<Child>,
}

impl Source {
    /// Begins to send, or makes the file in `folder`.
    pub async fn start(programs: &Programs, way: Way, signal: Signal, mark: &str, folder: &Path) -> Result<Self> {
        match way {
            Way::Udp => send(programs, signal, mark, folder).await,
            Way::File => file(programs, signal, folder).await,
        }
    }

    /// Whether it is still being sent.
    pub fn is_sent(&mut self) -> bool {
        self.sender.as_mut().is_none_or(|sender| matches!(sender.try_wait(), Ok(None)))
    }

    /// Ends it.
    pub async fn end(mut self) {
        if let Some(sender) = &mut self.sender {
            // It may have ended by itself.
            let _ = sender.kill().await;
        }
    }
}

/// Whether datagrams to a group come back to this machine.
pub async fn has_multicast() -> bool {
    looped_back(Ipv4Addr::new(239, 255, 77, 1)).await.unwrap_or(false)
}

async fn looped_back(group: Ipv4Addr) -> std::io::Result<bool> {
    let listens = UdpSocket::bind(("0.0.0.0", 0)).await?;
    listens.join_multicast_v4(group, Ipv4Addr::UNSPECIFIED)?;
    let port = listens.local_addr()?.port();
    let sends = UdpSocket::bind(("0.0.0.0", 0)).await?;
    sends.set_multicast_ttl_v4(0)?;
    let mut word = [0; 4];
    for _ in 0..TRIES {
        sends.send_to(b"here", (group, port)).await?;
        if tokio::time::timeout(BACK, listens.recv(&mut word)).await.is_ok_and(|heard| heard.is_ok()) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn send(programs: &Programs, signal: Signal, mark: &str, folder: &Path) -> Result<Source> {
    // Each run has a group of its own, so that two of them on a machine do not mix.
    let [a, b, ..] = *uuid::Uuid::new_v4().as_bytes();
    let port = crate::machine::free_port()?;
    let address = format!("239.255.{a}.{b}:{port}");
    let offset = signal.starts_s.to_string();
    let log = std::fs::File::create(folder.join("source.log")).context("cannot write the log of the source")?;
    let mut command = match &programs.setpriv {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(&programs.ffmpeg);
            command
        }
        None => Command::new(&programs.ffmpeg),
    };
    let sender = command
        .args(["-nostdin", "-hide_banner", "-v", "warning", "-re", "-f", "lavfi", "-i", &pictures(signal)])
        .args(["-re", "-f", "lavfi", "-i", TONE])
        .args(encoders())
        .args(["-output_ts_offset", &offset, "-f", "mpegts", "-flush_packets", "1"])
        .arg(format!("udp://{address}?ttl=0&pkt_size=1316"))
        .env(MARK, format!("{mark}-source"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", programs.ffmpeg.display()))?;
    Ok(Source { uri: format!("udp://{address}"), numbers: NUMBERS, sender: Some(sender) })
}

async fn file(programs: &Programs, signal: Signal, folder: &Path) -> Result<Source> {
    let path = folder.join("numbers.mp4");
    let frames = LOOP_S * u64::from(signal.rate.num) / u64::from(signal.rate.den);
    let made = Command::new(&programs.ffmpeg)
        .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", &pictures(signal)])
        .args(["-f", "lavfi", "-i", TONE])
        .args(encoders())
        .args(["-frames:v", &frames.to_string(), "-shortest", "-f", "mp4"])
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot start {}", programs.ffmpeg.display()))?;
    ensure!(made.status.success(), "ffmpeg cannot make a source: {}", String::from_utf8_lossy(&made.stderr).trim());
    Ok(Source { uri: path.display().to_string(), numbers: frames, sender: None })
}

const TONE: &str = "sine=frequency=440:sample_rate=48000";

/// Drawn as one block per bit and made large afterwards: computing every pixel would take a core.
fn pictures(signal: Signal) -> String {
    let Signal { rate, size: (width, height), .. } = signal;
    let number = "if(mod(floor(N/pow(2\\,X))\\,2)\\,235\\,16)";
    format!(
        "color=black:s={BITS}x2:r={}/{},format=yuv420p,geq=lum='{number}':cb=128:cr=128,scale={width}:{height}:flags=neighbor",
        rate.num, rate.den
    )
}

/// Keyframes that lie nowhere near a boundary of segments, and pictures out of order, as cameras send them.
fn encoders() -> impl Iterator<Item = &'static str> {
    "-c:v libx264 -preset veryfast -qp 20 -g 37 -bf 2 -x264-params rc-lookahead=8:sync-lookahead=0:threads=1 \
     -pix_fmt yuv420p -c:a aac -b:a 96k -ac 2"
        .split_whitespace()
}
