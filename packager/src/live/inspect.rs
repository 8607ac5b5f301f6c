//! Checks every number that is committed, in another process than the one that encoded it. One loop. What it
//! finds is told, nothing waits for it: when it falls behind, it passes numbers over and says how many.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use framemill_media::boxes::read_segment;
use framemill_schemas::{
    finding::Finding,
    live::{Commit, PLAYLIST_FINDINGS_MAX, RenditionSample, SegmentFinding, Timeline, TrackCommit, folder_of},
};
use framemill_storage::{Store, StoreError};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{
    check::{self, Starts},
    shards::{Channel, LiveParts},
};
use crate::check::code;

/// Numbers that may wait to be checked.
const WAITING_MAX: usize = 4;

/// A number to be checked.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What was committed.
    pub commit: Commit,
    /// The timeline it lies on.
    pub timeline: Arc<Timeline>,
}

/// What was found so far.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Numbers that were checked.
    pub checked: u64,
    /// Numbers that were passed over.
    pub skipped: u64,
    /// The last faults, newest first.
    pub last: VecDeque<SegmentFinding>,
    /// How far the sound of the last checked number lies from its place beside the picture, milliseconds.
    pub sound_offset_ms: Option<i64>,
    /// The last sample of each rendition that was decoded.
    pub samples: BTreeMap<String, RenditionSample>,
    /// Whether decoding samples falls behind.
    pub samples_late: bool,
}

impl Findings {
    fn add(&mut self, number: u64, findings: Vec<Finding>) {
        self.checked += 1;
        self.note(number, findings);
    }

    /// Keeps what was found of a number.
    pub fn note(&mut self, number: u64, findings: Vec<Finding>) {
        for finding in findings {
            self.last.truncate(PLAYLIST_FINDINGS_MAX - 1);
            self.last.push_front(SegmentFinding { number, finding });
        }
    }
}

/// The checking of one channel. It ends when this is dropped.
pub struct Inspector {
    samples: mpsc::Sender<Sample>,
    findings: Arc<Mutex<Findings>>,
    parts: LiveParts,
    _inspecting: AbortOnDropHandle<()>,
}

impl Inspector {
    /// Begins.
    pub fn new(parts: &LiveParts, channel: &Channel) -> Self {
        let (samples, coming) = mpsc::channel(WAITING_MAX);
        let findings = Arc::<Mutex<Findings>>::default();
        let run = run(parts.clone(), channel.folder(), coming, findings.clone());
        Self { samples, findings, parts: parts.clone(), _inspecting: AbortOnDropHandle::new(tokio::spawn(run)) }
    }

    /// Hands a number over, unless too many wait.
    pub fn offer(&self, sample: Sample) {
        if self.samples.try_send(sample).is_err() {
            self.parts.metrics.live_skipped();
            self.findings.lock().unwrap_or_else(PoisonError::into_inner).skipped += 1;
        }
    }

    /// Where it tells what it finds.
    pub fn findings(&self) -> Arc<Mutex<Findings>> {
        self.findings.clone()
    }
}

async fn run(parts: LiveParts, folder: String, mut samples: mpsc::Receiver<Sample>, findings: Arc<Mutex<Findings>>) {
    while let Some(sample) = samples.recv().await {
        let number = sample.commit.number;
        match inspect(&parts.store, &folder, &sample).await {
            Ok((found, sound_offset_ms)) => {
                parts.metrics.live_checked(&found);
                for finding in &found {
                    tracing::warn!(folder, number, ?finding, "a committed segment is not what it should be");
                }
                let mut findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
                findings.add(number, found);
                findings.sound_offset_ms = sound_offset_ms.or(findings.sound_offset_ms);
            }
            // The store's trouble is said by whoever puts playlists.
            Err(error) => {
                tracing::debug!(folder, number, %error, "a number could not be checked");
                parts.metrics.live_skipped();
                findings.lock().unwrap_or_else(PoisonError::into_inner).skipped += 1;
            }
        }
    }
}

/// What is wrong with a number, and how far its sound lies from its place beside the picture.
async fn inspect(store: &Store, folder: &str, sample: &Sample) -> Result<(Vec<Finding>, Option<i64>), StoreError> {
    let Sample { commit, timeline } = sample;
    let mut starts = Starts::default();
    let mut findings = Vec::new();
    for (rendition, track) in timeline.renditions().zip(commit.what.tracks()) {
        let key = format!("{folder}/{}", commit.object_key(&folder_of(timeline), rendition));
        let (found, start) = object(store, &key, rendition, track, sample).await?;
        findings.extend(found);
        starts.add(timeline.audio.iter().any(|rung| rung.name == rendition), start);
    }
    let offset_ms = starts.offset_ms(timeline, commit.number);
    findings.extend(offset_ms.and_then(|offset| check::offset(offset, commit.number)));
    Ok((findings, offset_ms))
}

/// What is wrong with an object, and when it starts by its own word, in ticks.
async fn object(
    store: &Store,
    key: &str,
    rendition: &str,
    track: &TrackCommit,
    sample: &Sample,
) -> Result<(Vec<Finding>, Option<u64>), StoreError> {
    let number = sample.commit.number;
    let at = || format!("{rendition}/{number}");
    let Some(object) = store.get(key).await? else {
        return Ok((vec![Finding::error(code::OBJECT_MISSING, at(), "nothing", "an object")], None));
    };
    if (object.stored.bytes, &object.stored.digest) != (track.bytes, &track.digest) {
        let words = |bytes: u64, digest: &str| format!("{bytes} bytes of digest {digest}");
        let (measured, expected) =
            (words(object.stored.bytes, &object.stored.digest), words(track.bytes, &track.digest));
        return Ok((vec![Finding::error(code::OBJECT_DIGEST, at(), measured, expected)], None));
    }
    Ok(match read_segment(&object.body) {
        Ok(facts) => (check::segment(&facts, &sample.timeline, number, rendition), Some(facts.start_ticks)),
        Err(error) => (vec![Finding::error(code::BOXES, at(), error, "a media segment")], None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_findings_are_kept_newest_first() {
        let mut findings = Findings::default();
        for number in 0..100 {
            findings.add(number, vec![Finding::error(code::BOXES, "360p", number, "a media segment")]);
        }
        assert_eq!((findings.checked, findings.last.len()), (100, PLAYLIST_FINDINGS_MAX));
        assert_eq!(findings.last.front().map(|found| found.number), Some(99));
    }
}
