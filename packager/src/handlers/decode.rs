//! One rendition's part: fetched object by object, checked against index and plan, and decoded
//! strictly on the way. Memory holds a few segments, however long the part is.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use framemill_media::{
    boxes::{InitFacts, read_init, read_segment},
    decode::{DecodeFault, Media, decode_strict},
};
use framemill_queue::runner::Attempt;
use framemill_schemas::{
    failure::Failure,
    finding::Finding,
    index::{RenditionPart, SegmentIndex},
    object::StoredObject,
    spec::TranscodeSpec,
};
use tokio::sync::mpsc;

use crate::{
    check::{Findings, code, expected::ExpectedSegment, rendition, segment},
    handlers::{Handlers, until_cancelled},
    objects::fetch,
};

/// Segments that wait for the decoder.
const WAITING_MAX: usize = 1;

/// What one rendition's part must be.
pub(super) struct Plan<'a> {
    /// Pictures or sound.
    pub media: Media,
    /// Its segments.
    pub expected: Vec<ExpectedSegment>,
    /// What its init must say.
    pub init: InitFacts,
    /// Where pictures come from; `None` for sound.
    pub chunk: Option<&'a TranscodeSpec>,
}

/// How far all renditions of a part are.
pub(super) struct Progress<'a> {
    pub attempt: &'a Attempt,
    pub done: AtomicU64,
    pub total: u64,
}

impl Progress<'_> {
    fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        // A second look at a rendition counts no further.
        self.attempt.progress.send_replace((done.min(self.total), self.total));
    }
}

impl Handlers {
    /// Checks everything about one rendition's part by itself. What only the decoder objects to is
    /// looked at again: a decoder that was disturbed condemns a good part, which is then encoded
    /// again for nothing, while what is broken stays so, and a disturbed decoder cannot pass it.
    pub(super) async fn check_rendition(
        &self,
        part: &RenditionPart,
        plan: &Plan<'_>,
        progress: &Progress<'_>,
    ) -> Result<Findings, Failure> {
        let found = self.look(part, plan, progress).await?;
        if !found.has_any_of(&[code::DECODE, code::DECODED_FRAMES]) {
            return Ok(found);
        }
        tracing::warn!(rendition = part.rendition, "a decoder objects to a part; it is decoded once more");
        self.look(part, plan, progress).await
    }

    async fn look(&self, part: &RenditionPart, plan: &Plan<'_>, progress: &Progress<'_>) -> Result<Findings, Failure> {
        let mut findings = Findings::default();
        segment::numbers(&part.segments, &plan.expected, &part.rendition, &mut findings);
        let first = plan.expected.first().map_or(1, |segment| segment.number);
        rendition::follows(&part.segments, first, &part.rendition, &mut findings);
        let (decoder, bytes) = mpsc::channel(WAITING_MAX);
        let cancel = &progress.attempt.cancel;
        let (fed, decoded) = tokio::join!(
            self.feed(part, plan, decoder, &mut findings, progress),
            decode_strict(&self.tools, plan.media, bytes, cancel)
        );
        // Trouble of ours comes first: what the decoder says of a stream that broke off means nothing.
        let whole = fed?;
        let expected: u64 = plan.expected.iter().map(|segment| segment.samples).sum();
        match decoded {
            Err(DecodeFault::Failure(failure)) => return Err(failure),
            _ if !whole => {}
            Ok(decoded) => {
                self.metrics.decoded(plan.media, decoded.frames);
                findings.equal(code::DECODED_FRAMES, &part.rendition, decoded.frames, expected);
            }
            Err(DecodeFault::Stream { evidence }) => {
                findings.error(code::DECODE, &part.rendition, evidence.trim(), "a stream without a fault");
            }
        }
        Ok(findings)
    }

    /// Fetches and checks the init and each segment and hands them to the decoder; whether it got
    /// all of them. After a fault of an object the rest is still checked, but not decoded: one
    /// hole would be reported many times over.
    async fn feed(
        &self,
        part: &RenditionPart,
        plan: &Plan<'_>,
        decoder: mpsc::Sender<Bytes>,
        findings: &mut Findings,
        progress: &Progress<'_>,
    ) -> Result<bool, Failure> {
        let cancel = &progress.attempt.cancel;
        let mut decoder = Some(decoder);
        let init = until_cancelled(cancel, fetch(&self.store, &part.init)).await?;
        let checked = init.and_then(|bytes| check_init(&bytes, &part.init, plan, findings).map(|()| bytes));
        pass_on(checked, &mut decoder, findings).await;
        let mut sequence = None;
        for (n, index) in part.segments.iter().enumerate() {
            let bytes = until_cancelled(cancel, fetch(&self.store, &index.object)).await?;
            let at = format!("{}/{}", part.rendition, index.number);
            if let Some(expected) = plan.expected.get(n) {
                segment::plan(index, expected, &at, findings);
            }
            let checked = bytes
                .and_then(|bytes| check_segment(&bytes, index, plan, &at, &mut sequence, findings).map(|()| bytes));
            pass_on(checked, &mut decoder, findings).await;
            self.metrics.checked();
            progress.step();
        }
        Ok(decoder.is_some())
    }
}

/// Hands bytes to the decoder, or closes it at the first fault.
async fn pass_on(bytes: Result<Bytes, Finding>, decoder: &mut Option<mpsc::Sender<Bytes>>, findings: &mut Findings) {
    match bytes {
        Ok(bytes) => {
            if let Some(open) = decoder.as_ref() {
                // A decoder that is gone has its reason, which the caller hears from it.
                let _ = open.send(bytes).await;
            }
        }
        Err(finding) => {
            findings.push(finding);
            *decoder = None;
        }
    }
}

fn check_init(bytes: &[u8], object: &StoredObject, plan: &Plan<'_>, findings: &mut Findings) -> Result<(), Finding> {
    let facts = read_init(bytes)
        .map_err(|error| Finding::error(code::BOXES, &object.key, error, "an initialisation segment"))?;
    segment::init(&facts, &plan.init, &object.key, findings);
    Ok(())
}

fn check_segment(
    bytes: &[u8],
    index: &SegmentIndex,
    plan: &Plan<'_>,
    at: &str,
    sequence: &mut Option<u32>,
    findings: &mut Findings,
) -> Result<(), Finding> {
    let mut facts = read_segment(bytes).map_err(|error| Finding::error(code::BOXES, at, error, "a media segment"))?;
    if plan.media == Media::Audio {
        // Every frame of sound is a keyframe; none is listed.
        facts.keyframes.clear();
    }
    segment::boxes(&facts, index, at, findings);
    segment::sequence(facts.sequence, *sequence, at, findings);
    *sequence = Some(facts.sequence);
    if let Some(chunk) = plan.chunk {
        segment::keyframes(index, chunk, at, findings);
    }
    Ok(())
}
