//! One run of an encoder: fed from a source's tape, from the entry before its first number on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use framemill_media::{
    encode::Via,
    live::{LiveInput, LiveOutput, LivePiece, LiveRun, Reel, Signal, Wanted, run},
    toolchain::Toolchain,
};
use framemill_schemas::{failure::Failure, live::Timeline};
use std::sync::Arc;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::source::Source;

/// Bytes handed to the encoder at once.
const FEED_BYTES: usize = 128 * 1024;
/// Such pieces that wait in between.
const FEED_WAITING: usize = 4;
/// Pieces of output that wait; beyond it the encoder waits in its pipe.
const PIECES_WAITING: usize = 8;
/// Findings that wait.
const SIGNALS_WAITING: usize = 32;
/// Numbers that sound may come before its pictures.
pub(super) const SOUND_AHEAD: u64 = 2;
/// How long an encoder may be silent though it is fed without a pause.
const STALL: Duration = Duration::from_secs(15);

/// A run that was started.
pub(super) struct Run {
    /// What it encodes.
    pub timeline: Arc<Timeline>,
    /// Its first number.
    pub first: u64,
    /// When it was started.
    pub began: Instant,
    /// Its pieces.
    pub pieces: mpsc::Receiver<LivePiece>,
    /// What its filters see.
    pub signals: mpsc::Receiver<Signal>,
    /// What is wanted of its sound.
    pub wanted: watch::Sender<Wanted>,
    cancel: CancellationToken,
    task: JoinHandle<Result<(), Failure>>,
}

/// What a run is started with.
pub(super) struct Begin {
    pub tools: Toolchain,
    pub timeline: Arc<Timeline>,
    pub first: u64,
    pub via: Via,
    pub silence: Vec<Bytes>,
    pub source: Source,
    /// The tables, and where the tape is entered.
    pub entry: (Bytes, Reel),
}

impl Run {
    /// Starts one.
    pub fn begin(begin: Begin) -> Self {
        let Begin { tools, timeline, first, via, silence, source, entry } = begin;
        let (sender, pieces) = mpsc::channel(PIECES_WAITING);
        let (told, signals) = mpsc::channel(SIGNALS_WAITING);
        let (wanted, wants) = watch::channel(Wanted { now: 0, until: first + SOUND_AHEAD });
        let (packets, input) = mpsc::channel(FEED_WAITING);
        let cancel = CancellationToken::new();
        let task = tokio::spawn({
            let (timeline, cancel) = (timeline.clone(), cancel.clone());
            async move {
                let what = LiveRun { timeline: &timeline, first, via, silence: &silence, stall: STALL };
                let output = LiveOutput { pieces: sender, signals: told };
                let encoding = run(&tools, what, LiveInput::Stream(input), output, wants, &cancel);
                let (encoded, ()) = tokio::join!(encoding, feed(&source, entry, packets));
                encoded
            }
        });
        Self { timeline, first, began: Instant::now(), pieces, signals, wanted, cancel, task }
    }

    /// Ends it: nothing of it is wanted any more. Returns once it is dead, with why it ended where it did
    /// so by itself.
    pub async fn end(self) -> Option<Failure> {
        self.cancel.cancel();
        // Nobody takes its pieces: it must not wait for that.
        drop((self.pieces, self.signals));
        match self.task.await {
            Ok(Err(failure)) if failure.code != "cancelled" => Some(failure),
            Ok(_) => None,
            Err(error) => {
                tracing::error!(%error, "the run of an encoder broke off");
                None
            }
        }
    }
}

/// Hands on what the tape holds and what is added to it, until that is gone or nobody takes it.
async fn feed(source: &Source, entry: (Bytes, Reel), packets: mpsc::Sender<Bytes>) {
    let (tables, mut reel) = entry;
    let mut grown = source.grown();
    if packets.send(tables).await.is_err() {
        return;
    }
    loop {
        grown.borrow_and_update();
        let Some((spans, next)) = source.read(reel, FEED_BYTES) else { return };
        if spans.is_empty() {
            tokio::select! {
                changed = grown.changed() => if changed.is_err() { return },
                () = packets.closed() => return,
            }
            continue;
        }
        reel = next;
        for span in spans {
            if packets.send(span).await.is_err() {
                return;
            }
        }
    }
}
