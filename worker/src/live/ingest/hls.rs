//! HLS: playlists and segments are fetched here, one after another, and never by ffmpeg: what a
//! playlist names is a stranger's wish. Segments that are transport streams are passed on as they are;
//! fragments of MP4 are put into packets.

use std::time::{Duration, Instant};

use bytes::Bytes;
use framemill_media::live::ingest::repack;
use framemill_schemas::{
    failure::{Class, Failure},
    live::LiveSource,
};
use reqwest::Url;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Ingest,
    playlist::{Listed, Piece, Read, read},
};

/// Largest playlist: a week of segments.
const PLAYLIST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest segment.
const SEGMENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Target durations after which a playlist that does not change is given up.
const STALE: u32 = 4;
/// How long the copy of fragments may be silent while it is fed.
const STALL: Duration = Duration::from_secs(30);

pub(super) async fn open(ingest: &Ingest, source: &LiveSource, chunks: mpsc::Sender<Bytes>) -> Result<(), Failure> {
    let mut follow = Follow::begin(ingest, source).await?;
    let Some(first) = follow.next().await? else { return Ok(()) };
    if first.init.is_none() {
        return follow.pass_on(Some(first), &chunks).await;
    }
    let (fragments, input) = mpsc::channel(2);
    let cancel = CancellationToken::new();
    let packing = repack(&ingest.tools, input, chunks, STALL, &cancel);
    let feeding = async {
        let fed = follow.pass_on(Some(first), &fragments).await;
        drop(fragments);
        fed
    };
    let (packed, fed) = tokio::join!(packing, feeding);
    fed.and(packed)
}

/// A media playlist that is being followed.
struct Follow<'a> {
    ingest: &'a Ingest,
    shown: String,
    playlist: Url,
    from: Option<u64>,
    waiting: std::collections::VecDeque<Piece>,
    target: Duration,
    ended: bool,
    /// When something new was listed last.
    fresh: Instant,
    /// The initialisation segment that was passed on last.
    init: Option<Url>,
}

impl<'a> Follow<'a> {
    async fn begin(ingest: &'a Ingest, source: &LiveSource) -> Result<Self, Failure> {
        let shown = source.to_string();
        let url = Url::parse(&source.uri)
            .map_err(|_| Failure::input("source-malformed", format!("{shown} is no address that can be asked")))?;
        let mut follow = Self {
            ingest,
            shown,
            playlist: url,
            from: None,
            waiting: std::collections::VecDeque::new(),
            target: Duration::from_secs(1),
            ended: false,
            fresh: Instant::now(),
            init: None,
        };
        follow.look().await?;
        Ok(follow)
    }

    /// Reads the playlist once; one that names variants is left for the best of them.
    async fn look(&mut self) -> Result<(), Failure> {
        const VARIANTS_DEEP: usize = 2;
        for _ in 0..=VARIANTS_DEEP {
            let page = self.ingest.reader.fetch(&self.shown, &self.playlist, PLAYLIST_BYTES_MAX).await?;
            match read(&self.shown, &page.url, &page.body, self.from)? {
                Read::Variant(url) => self.playlist = url,
                Read::Segments(listed) => {
                    self.take(listed);
                    return Ok(());
                }
            }
        }
        Err(Failure::input("source-not-hls", format!("{}: its playlists name nothing but playlists", self.shown)))
    }

    fn take(&mut self, listed: Listed) {
        if !listed.next.is_empty() {
            self.fresh = Instant::now();
        }
        self.target = Duration::from_secs(listed.target_s);
        self.from = Some(listed.end);
        self.ended = listed.ended;
        self.waiting.extend(listed.next);
    }

    /// The next segment, once it is listed; nothing at the end.
    async fn next(&mut self) -> Result<Option<Piece>, Failure> {
        loop {
            if let Some(piece) = self.waiting.pop_front() {
                return Ok(Some(piece));
            }
            if self.ended {
                return Ok(None);
            }
            if self.fresh.elapsed() > self.target * STALE {
                let reason = format!("{} lists nothing new for {} s", self.shown, self.fresh.elapsed().as_secs());
                return Err(Failure::new(Class::Transient, "source-stale", reason));
            }
            // Half of it after a look that brought nothing (RFC 8216, clause 6.3.4).
            tokio::time::sleep(self.target / 2).await;
            self.look().await?;
        }
    }

    /// Fetches segment after segment, until the end or until nobody takes them.
    async fn pass_on(&mut self, mut first: Option<Piece>, chunks: &mpsc::Sender<Bytes>) -> Result<(), Failure> {
        loop {
            let piece = match first.take() {
                Some(piece) => Some(piece),
                None => self.next().await?,
            };
            let Some(piece) = piece else { return Ok(()) };
            if let Some(init) = piece.init.as_ref().filter(|init| self.init.as_ref() != Some(*init)) {
                // Another one cannot follow in the same copy: the source is opened anew.
                if self.init.is_some() {
                    return Ok(());
                }
                self.init = Some(init.clone());
                let page = self.ingest.reader.fetch(&self.shown, init, SEGMENT_BYTES_MAX).await?;
                if chunks.send(page.body).await.is_err() {
                    return Ok(());
                }
            }
            let page = self.ingest.reader.fetch(&self.shown, &piece.url, SEGMENT_BYTES_MAX).await?;
            if chunks.send(page.body).await.is_err() {
                return Ok(());
            }
        }
    }
}
