//! Opening a source without decoding it: one ffmpeg that copies, for what is not read from a socket of
//! our own; and the question what a stream holds.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use framemill_schemas::{
    failure::{Class, Failure},
    live::SourceFormat,
    rate::Ratio,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    child::{self, Activity, COPIER_BYTES, Start},
    command, failures,
    probe::{self, Description},
    toolchain::Toolchain,
};

/// Bytes taken from a pipe at once.
const READ_BYTES: usize = 64 * 1024;
/// What ffmpeg says of a caller with another stream key.
const WRONG_KEY: &str = "Unexpected stream";
/// Chunks before which it has said so.
const EARLY_CHUNKS: u32 = 64;
/// Longest description of a stream that is read.
const DESCRIPTION_BYTES_MAX: usize = 1024 * 1024;
/// How long describing a stream may take without a sign of life.
const DESCRIBE_STALL: Duration = Duration::from_secs(15);

/// How a source is opened. Addresses may hold a secret: they are shown to nobody but ffmpeg.
#[derive(Clone, PartialEq, Eq)]
pub enum Opening {
    /// Packets of a transport stream, as they come.
    Packets {
        /// The address.
        url: String,
        /// Protocols that may be used.
        protocols: &'static str,
        /// What must not be shown, as it stands in the address.
        secret: Option<String>,
    },
    /// Pictures and sound of another protocol, put into packets.
    Streams {
        /// The address.
        url: String,
        /// Protocols that may be used.
        protocols: &'static str,
        /// Demuxers that may be used, the wanted one first.
        format: &'static str,
        /// Options of the input.
        options: Vec<String>,
        /// What must not be shown, as it stands in the address.
        secret: Option<String>,
    },
    /// A file, put into packets as fast as they are taken.
    File {
        /// Its address at the worker's own reader.
        url: String,
    },
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Packets { .. } => "packets",
            Self::Streams { .. } => "streams",
            Self::File { .. } => "file",
        })
    }
}

impl Opening {
    fn secret(&self) -> Option<&str> {
        match self {
            Self::Packets { secret, .. } | Self::Streams { secret, .. } => secret.as_deref(),
            Self::File { .. } => None,
        }
    }

    fn url(&self) -> &str {
        match self {
            Self::Packets { url, .. } | Self::Streams { url, .. } | Self::File { url } => url,
        }
    }
}

/// How long a source may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until somebody calls, where we wait for that.
    pub call: Option<Duration>,
    /// From then on.
    pub stall: Duration,
}

/// Reads a source until it ends, breaks, or `cancel`. An end of its own is no failure. Nothing of the
/// address is in what is returned.
///
/// Fails with the class and code of what ffmpeg says, as `transient` (`source-ended`, `ffmpeg-...`).
pub async fn ingest(
    tools: &Toolchain,
    opening: &Opening,
    bytes: mpsc::Sender<Bytes>,
    patience: Patience,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let span = tracing::info_span!("ffmpeg", purpose = "ingest", ?opening);
    let outcome = copy(tools, command::ingest(tools.ffmpeg(), opening), None, bytes, patience, cancel).instrument(span);
    outcome.await.map_err(|failure| {
        let failure = failures::redact(failure, opening.url());
        opening.secret().map_or(failure.clone(), |secret| failures::redact(failure, secret))
    })
}

/// Puts fragmented MP4 into packets, with timestamps as they are: its init first, then its fragments.
pub async fn repack(
    tools: &Toolchain,
    fragments: mpsc::Receiver<Bytes>,
    bytes: mpsc::Sender<Bytes>,
    stall: Duration,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let span = tracing::info_span!("ffmpeg", purpose = "repack");
    let patience = Patience { call: None, stall };
    copy(tools, command::repack(tools.ffmpeg()), Some(fragments), bytes, patience, cancel).instrument(span).await
}

async fn copy(
    tools: &Toolchain,
    args: Vec<std::ffi::OsString>,
    input: Option<mpsc::Receiver<Bytes>>,
    bytes: mpsc::Sender<Bytes>,
    patience: Patience,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let start = Start {
        program: tools.ffmpeg(),
        setpriv: tools.setpriv(),
        cgroups: tools.cgroups(),
        nice: None,
        args,
        outputs: 1,
        stdin: input.is_some(),
        address_space: Some(COPIER_BYTES),
    };
    let mut child = child::start(start).await?;
    let stdin = child.stdin.take();
    let said = child.said();
    let mut pipe = child.outputs.pop().expect("one was asked for");
    let stdout = child.stdout.take().expect("it was just started");
    let activity = Activity::default();
    let work = async {
        let read = async {
            let mut buffer = BytesMut::with_capacity(READ_BYTES);
            let mut early = EARLY_CHUNKS;
            let mut waiting = patience.call.map(|call| (call, activity.hold()));
            loop {
                buffer.reserve(READ_BYTES);
                let read = match waiting.take() {
                    None => pipe.read_buf(&mut buffer).await,
                    Some((call, _hold)) => {
                        tokio::time::timeout(call, pipe.read_buf(&mut buffer)).await.map_err(|_| {
                            let reason = format!("nobody has called for {} s", call.as_secs());
                            Failure::new(Class::Transient, "source-silent", reason)
                                .mend("look at whoever is to call, and at the way here")
                        })?
                    }
                };
                let count = read.map_err(|error| {
                    Failure::new(Class::Transient, "ffmpeg-lost", format!("ffmpeg's output cannot be read: {error}"))
                })?;
                if count == 0 {
                    return Ok(());
                }
                activity.beat();
                // It warns of another key than the one it was told, and takes what comes all the same.
                early = early.saturating_sub(1);
                if early > 0 && said.contains(WRONG_KEY) {
                    return Err(Failure::input("source-wrong-key", "whoever calls does not know the stream key")
                        .mend("give the encoder that calls the key that is stored on the workers"));
                }
                let hold = activity.hold();
                let sent = bytes.send(buffer.split().freeze()).await;
                drop(hold);
                if sent.is_err() {
                    return Err(Failure::new(Class::Transient, "cancelled", "nobody takes the stream any more"));
                }
            }
        };
        let fed = async {
            if let (Some(mut stdin), Some(mut input)) = (stdin, input) {
                loop {
                    let waiting = activity.hold();
                    let Some(chunk) = input.recv().await else { return };
                    drop(waiting);
                    // One that gave up closes its end: why is in its stderr.
                    if stdin.write_all(&chunk).await.is_err() {
                        return;
                    }
                }
            }
        };
        // The report says nothing that the bytes do not; unread, it would fill its pipe.
        let (read, (), _) = tokio::join!(read, fed, child::lines(stdout, |_| true));
        read
    };
    let ((), exit) = child.supervise(work, &activity, patience.stall, cancel).await?;
    if exit.status.success() { Ok(()) } else { Err(failures::of_exit(exit.status, &exit.stderr)) }
}

/// What a stream is like, from its first packets: tables first, then at least one entry. `pictures`: how
/// many of them there are, and the first and last time one is shown, in ticks of 90 kHz.
pub async fn describe(
    tools: &Toolchain,
    packets: Vec<Bytes>,
    pictures: (u64, i64, i64),
    cancel: &CancellationToken,
) -> Result<SourceFormat, Failure> {
    let start = Start {
        program: tools.ffprobe(),
        setpriv: tools.setpriv(),
        cgroups: tools.cgroups(),
        nice: None,
        args: command::describe_stream(),
        outputs: 0,
        stdin: true,
        address_space: Some(COPIER_BYTES),
    };
    let mut child = child::start(start).await?;
    let (mut stdin, mut stdout) = (child.stdin.take().expect("asked for"), child.stdout.take().expect("just started"));
    let activity = Activity::default();
    let work = async {
        let feed = async {
            for bytes in packets {
                // One that knows enough closes its end.
                if stdin.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            drop(stdin);
        };
        let answer = async {
            let mut text = Vec::new();
            let read = (&mut stdout).take(DESCRIPTION_BYTES_MAX as u64).read_to_end(&mut text).await;
            read.map(|_| text)
        };
        let ((), answer) = tokio::join!(feed, answer);
        answer.map_err(|error| Failure::new(Class::Transient, "ffmpeg-lost", error.to_string()))
    };
    let (answer, exit) = child.supervise(work, &activity, DESCRIBE_STALL, cancel).await?;
    let description: Option<Description> = serde_json::from_slice(&answer).ok();
    match description {
        Some(description) if exit.status.success() => probe::live_format(&description, pictures, TICK),
        _ => Err(failures::of_exit(exit.status, &exit.stderr)),
    }
}

/// Seconds per tick of a transport stream's timestamps.
const TICK: Ratio = Ratio { num: 1, den: 90_000 };
