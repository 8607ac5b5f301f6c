//! A file, played round and round: a test channel. Every node plays it from the same clock, so that a
//! picture has the same timestamp wherever it is read: picture n of the file is shown at all times
//! that are n pictures after a whole number of rounds since the Unix epoch.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use framemill_media::live::{
    Picture, Span, TsItem, TsReader, distance,
    ingest::{Opening, Patience, describe, ingest as copy},
    shift,
};
use framemill_schemas::{
    failure::Failure,
    live::{LiveSource, WRAP_TICKS, frame_at_ms},
    rate::{Ratio, frames_to_ticks},
    source::Source,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Ingest;

/// How long the copy may take for its next bytes: it is held back by us, and never by anything else.
const STALL: Duration = Duration::from_secs(60);
const PATIENCE: Patience = Patience { call: None, stall: STALL };
/// Ticks of 90 kHz per second.
const TS_HZ: u32 = 90_000;
/// How much earlier than it is decoded a picture is handed out.
const AHEAD: Duration = Duration::from_millis(50);
/// Ticks before the present at which a round is entered in its middle: some entry lies in them.
const ENTER_TICKS: i64 = 6 * 90_000;
/// Bytes of the first pictures that are looked at to say what the file is like.
const SAMPLE_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(super) async fn open(ingest: &Ingest, source: &LiveSource, chunks: mpsc::Sender<Bytes>) -> Result<(), Failure> {
    let opened = ingest.reader.open(&Source::Path(source.uri.clone().into()), None).await?;
    let opening = Opening::File { url: opened.url().to_owned() };
    let round = measure(ingest, &opening).await?;
    let mut number = round.number_at(now_ms());
    loop {
        let (bytes, arriving) = mpsc::channel(4);
        let cancel = CancellationToken::new();
        let copying = copy(&ingest.tools, &opening, bytes, PATIENCE, &cancel);
        let playing = async {
            let played = play(&round, number, arriving, &chunks).await;
            cancel.cancel();
            played
        };
        let (copied, played) = tokio::join!(copying, playing);
        match (played, copied) {
            (Played::Unwanted, _) => return Ok(()),
            (Played::Whole, Ok(())) => number += 1,
            (Played::Whole, Err(failure)) => return Err(failure),
        }
    }
}

/// One round of the file.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Pictures.
    count: u64,
    rate: Ratio,
    /// When its first picture is shown, in its own ticks.
    first_pts: u64,
}

impl Round {
    /// The round that is being played at a time.
    fn number_at(&self, time_ms: i64) -> u64 {
        frame_at_ms(time_ms, self.rate) / self.count
    }

    /// When a round starts, in ticks since the Unix epoch.
    fn start(&self, number: u64) -> u64 {
        frames_to_ticks(number * self.count, self.rate, TS_HZ)
    }
}

/// Reads the file once, as fast as it can be copied.
async fn measure(ingest: &Ingest, opening: &Opening) -> Result<Round, Failure> {
    let (bytes, mut arriving) = mpsc::channel(4);
    let cancel = CancellationToken::new();
    let copying = copy(&ingest.tools, opening, bytes, PATIENCE, &cancel);
    let counting = async {
        let (mut reader, mut items) = (TsReader::default(), Vec::new());
        let mut found = Found::default();
        while let Some(chunk) = arriving.recv().await {
            reader.push(&chunk, &mut items);
            items.drain(..).for_each(|item| found.take(item));
        }
        found
    };
    let (copied, found) = tokio::join!(copying, counting);
    copied?;
    let nothing = || Failure::input("no-video", "the file holds no pictures that a channel could be made of");
    let (first, last) = found.first.zip(found.last).filter(|_| found.count > 1).ok_or_else(nothing)?;
    let pictures = (found.count, 0, distance(first, last));
    let format = describe(&ingest.tools, found.sample, pictures, &CancellationToken::new()).await?;
    Ok(Round { count: found.count, rate: format.rate, first_pts: first })
}

#[derive(Default)]
struct Found {
    count: u64,
    first: Option<u64>,
    last: Option<u64>,
    sample: Vec<Bytes>,
    sample_bytes: usize,
}

impl Found {
    fn take(&mut self, item: TsItem) {
        let bytes = match item {
            TsItem::Tables(tables) => tables,
            TsItem::Span(span) => {
                if let Some(picture) = span.picture {
                    self.count += 1;
                    let earlier = |known: u64| distance(picture.pts, known) > 0;
                    if self.first.is_none_or(earlier) {
                        self.first = Some(picture.pts);
                    }
                    if self.last.is_none_or(|known| !earlier(known)) {
                        self.last = Some(picture.pts);
                    }
                }
                span.bytes
            }
        };
        if self.sample_bytes < SAMPLE_BYTES_MAX {
            self.sample_bytes += bytes.len();
            self.sample.push(bytes);
        }
    }
}

/// How a round ended.
enum Played {
    /// At its end.
    Whole,
    /// Nobody takes it any more.
    Unwanted,
}

/// Hands out one round at its time.
async fn play(round: &Round, number: u64, mut arriving: mpsc::Receiver<Bytes>, chunks: &mpsc::Sender<Bytes>) -> Played {
    let start = round.start(number);
    // To where the file's own first picture is shown at the start of the round.
    let base = round.first_pts.wrapping_sub(start) % WRAP_TICKS;
    let (mut reader, mut items) = (TsReader::default(), Vec::new());
    let mut entered = false;
    while let Some(chunk) = arriving.recv().await {
        reader.push(&chunk, &mut items);
        for item in items.drain(..) {
            let bytes = match item {
                TsItem::Tables(tables) => tables,
                TsItem::Span(Span { bytes, picture }) => {
                    if let Some(picture) = picture {
                        let due = due(&picture, base, start);
                        let late = now_ms() - due;
                        entered |= picture.entry && late * i64::from(TS_HZ) / 1000 <= ENTER_TICKS;
                        if entered && late < 0 {
                            sleep_until(late).await;
                        }
                    }
                    if !entered {
                        continue;
                    }
                    bytes
                }
            };
            let mut moved = BytesMut::from(&bytes[..]);
            shift(&mut moved, base);
            if chunks.send(moved.freeze()).await.is_err() {
                return Played::Unwanted;
            }
        }
    }
    Played::Whole
}

/// When a picture is due, Unix milliseconds.
fn due(picture: &Picture, base: u64, start: u64) -> i64 {
    let shown = picture.dts.wrapping_sub(base) % WRAP_TICKS;
    let ticks = start.cast_signed() + distance(start % WRAP_TICKS, shown);
    ticks * 1000 / i64::from(TS_HZ)
}

async fn sleep_until(late_ms: i64) {
    let wait = Duration::from_millis(late_ms.unsigned_abs()).saturating_sub(AHEAD);
    tokio::time::sleep_until((Instant::now() + wait).into()).await;
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
