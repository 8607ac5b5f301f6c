//! From cut pieces to stored objects. Names are fixed by the plan and the first writer wins; who
//! is told "exists" reads back and records what is stored.
//!
//! The store's handle is a patient one: a put that meets an outage waits for its end, with its
//! segment in memory, and the encoder behind it waits in its pipe. Nothing here tries again.

use std::{collections::BTreeMap, ops::RangeInclusive};

use bytes::Bytes;
use framemill_media::{
    boxes::{SegmentFacts, read_segment},
    encode::{Cut, CutSegment, Piece},
};
use framemill_schemas::{
    failure::{Class, Failure},
    index::{RenditionPart, SegmentIndex},
    job::JobRecord,
    key::digest,
    object::{CACHE_IMMUTABLE, StoredObject, content_type, init_key, segment_key},
    spec::JobOutput,
};
use framemill_storage::{Meta, Put, Store};
use futures_util::{Stream, StreamExt, stream, stream::FuturesUnordered};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    held::{Held, Share},
    metrics::{Metrics, Origin},
};

/// Bytes of segments held in memory by all uploads of a worker, in KiB.
pub(crate) const HELD_KIB_MAX: u32 = 48 * 1024;
/// Uploads of one job at once.
const UPLOADS_AT_ONCE: usize = 6;
/// Look-ups of one job at once, when it resumes: each reads a whole segment.
const LOOKUPS_AT_ONCE: usize = 4;

/// Where a job's objects go.
pub(crate) struct Target {
    job_key: String,
    round: u32,
    attempt: u32,
    folder: String,
    tags: Vec<String>,
    renditions: Vec<String>,
    numbers: RangeInclusive<u64>,
    media: Media,
}

/// What a job's segments hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// Pictures: their keyframes are listed.
    Video,
    /// Sound: every frame is one, and none is listed.
    Audio,
}

impl Target {
    pub(crate) fn new(
        job: &JobRecord,
        media: Media,
        folder: &str,
        renditions: Vec<String>,
        numbers: RangeInclusive<u64>,
    ) -> Self {
        Self {
            job_key: job.key.clone(),
            round: job.round,
            attempt: job.attempt,
            folder: folder.to_owned(),
            tags: vec![format!("tenant:{}", job.tenant), format!("asset:{}", job.asset)],
            renditions,
            numbers,
            media,
        }
    }

    fn meta(&self, key: &str) -> Meta {
        Meta {
            content_type: content_type(key).to_owned(),
            cache_control: CACHE_IMMUTABLE.to_owned(),
            tags: self.tags.clone(),
            job_key: Some(self.job_key.clone()),
            round: self.round,
            ..Meta::default()
        }
    }
}

/// What is known to be stored of a job, rendition by rendition.
pub(crate) struct Collected {
    inits: Vec<Option<StoredObject>>,
    segments: Vec<BTreeMap<u64, SegmentIndex>>,
    numbers: RangeInclusive<u64>,
}

impl Collected {
    pub(crate) fn new(target: &Target) -> Self {
        let count = target.renditions.len();
        Self { inits: vec![None; count], segments: vec![BTreeMap::new(); count], numbers: target.numbers.clone() }
    }

    /// The first segment some rendition lacks; the first of all where an init is missing.
    pub(crate) fn first_missing(&self) -> Option<u64> {
        if self.inits.iter().any(Option::is_none) {
            return Some(*self.numbers.start());
        }
        self.numbers.clone().find(|number| self.segments.iter().any(|segments| !segments.contains_key(number)))
    }

    /// The job's output, once nothing is missing.
    pub(crate) fn finish(self, target: &Target) -> Result<JobOutput, Failure> {
        if let Some(number) = self.first_missing() {
            let reason = format!("segment {number} of {} was never cut", target.folder);
            return Err(Failure::new(Class::Bug, "segment-missing", reason));
        }
        let parts = self.inits.into_iter().zip(self.segments).zip(&target.renditions);
        let parts = parts.filter_map(|((init, segments), rendition)| {
            Some(RenditionPart {
                rendition: rendition.clone(),
                init: init?,
                segments: segments.into_values().collect(),
            })
        });
        Ok(JobOutput::Parts(parts.collect()))
    }
}

/// Puts pieces into the store.
pub(crate) struct Uploader {
    store: Store,
    held: Held,
}

/// One piece that is stored.
enum StoredPiece {
    Init(usize, StoredObject),
    Segment(usize, SegmentIndex, Origin),
}

impl Uploader {
    pub(crate) fn new(store: Store, held: Held) -> Self {
        Self { store, held }
    }

    /// Looks for what an earlier attempt at the same job stored. A first attempt of a first round
    /// cannot find anything, and does not look.
    pub(crate) async fn adopt(
        &self,
        target: &Target,
        collected: &mut Collected,
        metrics: &Metrics,
    ) -> Result<(), Failure> {
        if target.attempt <= 1 {
            return Ok(());
        }
        let names = (0..target.renditions.len())
            .flat_map(|rendition| target.numbers.clone().map(move |number| (rendition, Some(number))))
            .chain((0..target.renditions.len()).map(|rendition| (rendition, None)));
        let lookups = stream::iter(names.map(|(rendition, number)| self.find(target, rendition, number)));
        let mut found = lookups.buffer_unordered(LOOKUPS_AT_ONCE);
        while let Some(piece) = found.next().await {
            if let Some(piece) = piece? {
                collected.add(piece, metrics);
            }
        }
        Ok(())
    }

    async fn find(
        &self,
        target: &Target,
        rendition: usize,
        number: Option<u64>,
    ) -> Result<Option<StoredPiece>, Failure> {
        let key = key_of(target, rendition, number);
        let Some(object) = self.store.get(&key).await.map_err(|error| error.to_failure())? else { return Ok(None) };
        // All chunks of a rendition share its init, and one of them put it: whose it is says nothing.
        // Segments of this job are only ever put behind it.
        let Some(number) = number else { return Ok(Some(StoredPiece::Init(rendition, object.stored))) };
        if object.meta.job_key.as_ref() != Some(&target.job_key) {
            return Ok(None);
        }
        // What cannot be read, or is not what was put, counts as missing and is put anew.
        if digest(&object.body) != object.meta.digest {
            return Ok(None);
        }
        let Ok(facts) = read_segment(&object.body) else { return Ok(None) };
        let index = read_index(number, target.media, facts, object.stored);
        Ok(Some(StoredPiece::Segment(rendition, index, Origin::Adopted)))
    }

    /// Takes pieces as they are cut until the cutter is done; closes the channel, and so stops
    /// the cutter, when one cannot be stored or the attempt is called off: a put may wait for the
    /// store for long.
    pub(crate) async fn upload(
        &self,
        target: &Target,
        arriving: mpsc::Receiver<Cut>,
        collected: &mut Collected,
        metrics: &Metrics,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let mut uploads = FuturesUnordered::new();
        let mut admitted = std::pin::pin!(admitted(&self.held, arriving));
        let mut open = true;
        while open || !uploads.is_empty() {
            tokio::select! {
                () = cancel.cancelled() => return Err(called_off()),
                piece = admitted.next(), if open && uploads.len() < UPLOADS_AT_ONCE => match piece {
                    // Before its segments: none of an encoder build whose init differs may be stored,
                    // since a later attempt would adopt it.
                    Some((cut @ Cut { piece: Piece::Init(_), .. }, held)) => {
                        let put = cancel.run_until_cancelled(self.put(target, cut, held).in_current_span()).await;
                        collected.add(put.ok_or_else(called_off)??, metrics);
                    }
                    Some((cut, held)) => uploads.push(self.put(target, cut, held).in_current_span()),
                    None => open = false,
                },
                Some(stored) = uploads.next(), if !uploads.is_empty() => collected.add(stored?, metrics),
            }
        }
        Ok(())
    }

    async fn put(&self, target: &Target, cut: Cut, _held: Share<'_>) -> Result<StoredPiece, Failure> {
        fail::fail_point!("put/before", |_| std::process::abort());
        let stored = match cut.piece {
            Piece::Init(bytes) => self.put_init(target, cut.rendition, bytes).await,
            Piece::Segment(segment) => self.put_segment(target, cut.rendition, segment).await,
        };
        fail::fail_point!("put/stored", |_| std::process::abort());
        stored
    }

    /// One rendition, one init: a chunk whose init differs was made by another encoder build.
    async fn put_init(&self, target: &Target, rendition: usize, bytes: Bytes) -> Result<StoredPiece, Failure> {
        let key = key_of(target, rendition, None);
        let own = digest(&bytes);
        let put = self.store.put_new(&key, bytes, &target.meta(&key)).await.map_err(|error| error.to_failure())?;
        let stored = match put {
            Put::Created(stored) => stored,
            Put::Exists { stored, meta } if meta.digest == own => StoredObject { digest: own, ..stored },
            Put::Exists { .. } => {
                let reason = format!("{key} was written by another encoder build than this node's");
                return Err(Failure::new(Class::Resource, "init-differs", reason)
                    .mend("run one ffmpeg build on all nodes that serve this lane"));
            }
        };
        Ok(StoredPiece::Init(rendition, stored))
    }

    async fn put_segment(
        &self,
        target: &Target,
        rendition: usize,
        segment: CutSegment,
    ) -> Result<StoredPiece, Failure> {
        let key = key_of(target, rendition, Some(segment.number));
        let meta = target.meta(&key);
        let put = self.store.put_new(&key, segment.bytes.clone(), &meta).await.map_err(|error| error.to_failure())?;
        let there = match put {
            Put::Created(object) => return Ok(encoded(rendition, segment, object)),
            Put::Exists { meta: there, stored } => (there, stored),
        };
        match there {
            // Another attempt at this very job was first: its bytes are the truth.
            (there, _) if there.job_key.as_ref() == Some(&target.job_key) => {
                match self.find(target, rendition, Some(segment.number)).await? {
                    Some(StoredPiece::Segment(_, index, _)) => {
                        Ok(StoredPiece::Segment(rendition, index, Origin::Repeated))
                    }
                    _ => Err(taken(&key, "and cannot be read back")),
                }
            }
            // A validation rejected the round that wrote it.
            (there, stored) if there.round < target.round => {
                let put = self.store.put_match(&key, segment.bytes.clone(), &meta, &stored.etag).await;
                let object = put.map_err(|error| error.to_failure())?;
                let object = object.ok_or_else(|| taken(&key, "while it was being replaced"))?;
                Ok(encoded(rendition, segment, object))
            }
            _ => Err(taken(&key, "by a job that is not this one")),
        }
    }
}

impl Collected {
    fn add(&mut self, piece: StoredPiece, metrics: &Metrics) {
        match piece {
            StoredPiece::Init(rendition, stored) => self.inits[rendition] = Some(stored),
            StoredPiece::Segment(rendition, index, origin) => {
                metrics.segment(origin, index.object.bytes);
                self.segments[rendition].insert(index.number, index);
            }
        }
    }
}

/// Pieces with the memory they may take. The next one is received only once the one before has
/// its allowance: of each job at most one piece waits for it here, and the cutter behind that.
fn admitted(held: &Held, arriving: mpsc::Receiver<Cut>) -> impl Stream<Item = (Cut, Share<'_>)> {
    stream::unfold(arriving, async |mut arriving| {
        let cut = arriving.recv().await?;
        let bytes = match &cut.piece {
            Piece::Init(bytes) => bytes.len(),
            Piece::Segment(segment) => segment.bytes.len(),
        };
        let share = held.take(bytes).await;
        Some(((cut, share), arriving))
    })
}

fn key_of(target: &Target, rendition: usize, number: Option<u64>) -> String {
    let rendition = &target.renditions[rendition];
    match number {
        None => init_key(&target.folder, rendition),
        Some(number) => segment_key(&target.folder, rendition, number),
    }
}

fn encoded(rendition: usize, segment: CutSegment, object: StoredObject) -> StoredPiece {
    let index = SegmentIndex {
        number: segment.number,
        start_ticks: segment.start_ticks,
        duration_ticks: segment.duration_ticks,
        samples: segment.samples,
        keyframes: segment.keyframes,
        object,
    };
    StoredPiece::Segment(rendition, index, Origin::Encoded)
}

/// The index of a stored segment, from its own boxes.
fn read_index(number: u64, media: Media, facts: SegmentFacts, object: StoredObject) -> SegmentIndex {
    SegmentIndex {
        number,
        start_ticks: facts.start_ticks,
        duration_ticks: facts.duration_ticks,
        samples: facts.samples,
        keyframes: if media == Media::Video { facts.keyframes } else { Vec::new() },
        object,
    }
}

pub(crate) fn called_off() -> Failure {
    Failure::new(Class::Transient, "cancelled", "the attempt was called off")
}

fn taken(key: &str, how: &str) -> Failure {
    Failure::new(Class::Transient, "object-taken", format!("{key} was written {how}"))
}

#[cfg(test)]
mod tests {
    use framemill_queue::runner::Gate;
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_piece_of_a_job_waits_for_memory_and_the_others_with_the_cutter() {
        let held = Held::new(10, Gate::default(), Metrics::new());
        let (pieces, arriving) = mpsc::channel(4);
        for _ in 0..4 {
            let piece = Piece::Init(Bytes::from(vec![0; 5 * 1024]));
            pieces.try_send(Cut { rendition: 0, piece }).unwrap();
        }
        let mut admitted = std::pin::pin!(admitted(&held, arriving));
        // Six of the ten: the second piece does not fit beside the first.
        let (_, first) = admitted.next().await.unwrap();
        for _ in 0..3 {
            assert!(admitted.next().now_or_never().is_none());
            assert_eq!(pieces.capacity(), 2, "the two others are not received");
        }
        drop(first);
        let (_, second) = admitted.next().await.unwrap();
        assert!(admitted.next().now_or_never().is_none());
        assert_eq!(pieces.capacity(), 3);
        drop((second, pieces));
        assert!(admitted.next().await.is_some());
        assert!(admitted.next().await.is_some());
        assert!(admitted.next().await.is_none());
    }
}
