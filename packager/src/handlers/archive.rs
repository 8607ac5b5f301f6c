//! Archive: segments of a channel, copied to their place in a title. Each is compared with its commit on the
//! way, gets the time and the sequence numbers that a title has, and is put once like any other. What was
//! encoded is not touched.

use std::collections::BTreeMap;

use bytes::Bytes;
use framemill_media::{boxes::SegmentFacts, live::keep};
use framemill_queue::runner::Attempt;
use framemill_schemas::{
    failure::{Class, Failure},
    index::{RenditionPart, SegmentIndex},
    key::digest,
    live::{Stretch, TrackCommit, init_key as live_init_key, segment_key as live_segment_key},
    object::{StoredObject, init_key, segment_key},
    source::Source,
    spec::{ArchiveSpec, AudioSpec, JobSpec, TranscodeSpec},
};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    archive::{
        log::{Log, not_kept},
        sound::SoundPlan,
    },
    handlers::{COPIES_AT_ONCE, Handlers, until_cancelled},
    objects::{SameRound, fetch, put},
};

/// What is copied, and what was committed of it.
struct Copying<'a> {
    spec: &'a ArchiveSpec,
    attempt: &'a Attempt,
    tracks: BTreeMap<u64, Vec<TrackCommit>>,
}

impl Handlers {
    pub(super) async fn archive(&self, spec: &ArchiveSpec, attempt: &Attempt) -> Result<Vec<RenditionPart>, Failure> {
        until_cancelled(&attempt.cancel, async {
            let (JobSpec::Transcode(TranscodeSpec { source, .. }) | JobSpec::Audio(AudioSpec { source, .. })) =
                &*spec.of
            else {
                return Err(misplanned("an archive job stands for a job that makes no segments"));
            };
            let Source::Channel { tenant, channel, .. } = source else {
                return Err(misplanned("an archive job has no channel"));
            };
            let log = Log { queue: &self.queue, store: &self.store, tenant, channel };
            let tracks = log.tracks(&spec.stretches).await?;
            let copying = Copying { spec, attempt, tracks };
            match &*spec.of {
                JobSpec::Audio(sound) => Ok(vec![self.copy_sound(&copying, sound).await?]),
                JobSpec::Transcode(chunk) => self.copy_pictures(&copying, chunk).await,
                _ => Err(misplanned("an archive job stands for a job that makes no segments")),
            }
        })
        .await
    }

    async fn copy_pictures(&self, copying: &Copying<'_>, chunk: &TranscodeSpec) -> Result<Vec<RenditionPart>, Failure> {
        let numbers = copying.spec.stretches.iter().flat_map(|stretch| stretch.numbers().map(move |n| (stretch, n)));
        let places: Vec<_> = chunk.segment_numbers().zip(numbers).collect();
        let groups = u64::from(chunk.segment_frames / chunk.gop_frames.max(1));
        let total = (places.len() * chunk.rungs.len()) as u64;
        let mut parts = Vec::with_capacity(chunk.rungs.len());
        let mut done = 0;
        for (rung, n) in chunk.rungs.iter().zip(0..) {
            let init = self.copy_init(copying, n, &rung.name, &chunk.folder).await?;
            let mut copies = Vec::with_capacity(places.len());
            for &(place, (stretch, number)) in &places {
                copies.push(async move {
                    let bytes = self.read(copying, n, &rung.name, stretch, number).await?;
                    let start = chunk.grid_ticks(place);
                    let sequence = sequence((place - 1) * groups + 1)?;
                    let key = live_segment_key(&stretch.folder, &rung.name, number);
                    let made = keep::pictures(&bytes, sequence, start).map_err(|error| broken(&key, &error))?;
                    self.put_segment(copying, segment_key(&chunk.folder, &rung.name, place), place, made).await
                });
            }
            let mut copies = stream::iter(copies).buffered(COPIES_AT_ONCE);
            let mut segments = Vec::with_capacity(places.len());
            while let Some(segment) = copies.try_next().await? {
                segments.push(segment);
                done += 1;
                copying.attempt.progress.send_replace((done, total));
            }
            parts.push(RenditionPart { rendition: rung.name.clone(), init, segments });
        }
        Ok(parts)
    }

    async fn copy_sound(&self, copying: &Copying<'_>, sound: &AudioSpec) -> Result<RenditionPart, Failure> {
        let init = self.copy_init(copying, 0, &sound.rendition, &sound.folder).await?;
        let plan = &SoundPlan::new(sound, &copying.spec.stretches);
        let total: u64 = copying.spec.stretches.iter().map(Stretch::segments).sum();
        let mut copies = Vec::new();
        for segment in (0..total).filter(|segment| !plan.slots(*segment).is_empty()) {
            copies.push(self.copy_sound_segment(copying, sound, plan, segment));
        }
        let mut copies = stream::iter(copies).buffered(COPIES_AT_ONCE);
        let mut segments = Vec::new();
        while let Some(segment) = copies.try_next().await? {
            segments.push(segment);
            copying.attempt.progress.send_replace((segments.len() as u64, total));
        }
        Ok(RenditionPart { rendition: sound.rendition.clone(), init, segments })
    }

    /// Makes a segment of the title, counted from 0, of the frames that stand in it.
    async fn copy_sound_segment(
        &self,
        copying: &Copying<'_>,
        sound: &AudioSpec,
        plan: &SoundPlan,
        segment: u64,
    ) -> Result<SegmentIndex, Failure> {
        let mut frames = Vec::new();
        for take in plan.takes(segment) {
            let stretch = &copying.spec.stretches[take.stretch];
            let bytes = self.read(copying, 0, &sound.rendition, stretch, take.number).await?;
            let key = live_segment_key(&stretch.folder, &sound.rendition, take.number);
            let held = keep::sound_frames(&bytes).map_err(|error| broken(&key, &error))?;
            for frame in take.frames {
                let short = || broken(&key, &format_args!("it has {} frames, and not frame {frame}", held.len()));
                frames.push(held.get(frame).cloned().ok_or_else(short)?);
            }
        }
        let place = segment + 1;
        let key = segment_key(&sound.folder, &sound.rendition, place);
        let made = keep::sound(sequence(place)?, plan.start_ticks(plan.slots(segment).start), &frames);
        let (bytes, mut facts) = made.map_err(|error| broken(&key, &error))?;
        // Every frame of sound is a keyframe; none is listed.
        facts.keyframes.clear();
        self.put_segment(copying, key, place, (bytes, facts)).await
    }

    /// Copies the init of the `n`th rendition of the job.
    async fn copy_init(
        &self,
        copying: &Copying<'_>,
        n: usize,
        rendition: &str,
        folder: &str,
    ) -> Result<StoredObject, Failure> {
        let spec = copying.spec;
        let (Some(init), Some(stretch)) = (spec.inits.get(n), spec.stretches.first()) else {
            return Err(misplanned("an archive job has fewer inits than renditions, or no stretch"));
        };
        let key = live_init_key(&stretch.folder, rendition, init);
        let found = self.store.get(&key).await.map_err(|error| error.to_failure())?;
        let bytes = found.ok_or_else(|| not_kept(&key))?.body;
        if !digest(&bytes).starts_with(init.as_str()) {
            return Err(changed(&key));
        }
        put(&self.store, &copying.attempt.job, &init_key(folder, rendition), bytes, SameRound::IsTheSame).await
    }

    /// Reads a number of the `n`th rendition of the job, as it was committed.
    async fn read(
        &self,
        copying: &Copying<'_>,
        n: usize,
        rendition: &str,
        stretch: &Stretch,
        number: u64,
    ) -> Result<Bytes, Failure> {
        let key = live_segment_key(&stretch.folder, rendition, number);
        let place = copying.spec.track as usize + n;
        let track = copying.tracks.get(&number).and_then(|tracks| tracks.get(place)).ok_or_else(|| not_kept(&key))?;
        if copying.spec.inits.get(n) != Some(&track.init) {
            return Err(misplanned(&format!("{key} has another init than the title")));
        }
        let object = StoredObject { key, bytes: track.bytes, digest: track.digest.clone(), etag: String::new() };
        match fetch(&self.store, &object).await? {
            Ok(bytes) => Ok(bytes),
            Err(finding) if finding.code == crate::check::code::OBJECT_MISSING => Err(not_kept(&object.key)),
            Err(_) => Err(changed(&object.key)),
        }
    }

    async fn put_segment(
        &self,
        copying: &Copying<'_>,
        key: String,
        number: u64,
        (bytes, facts): (Bytes, SegmentFacts),
    ) -> Result<SegmentIndex, Failure> {
        let object = put(&self.store, &copying.attempt.job, &key, bytes, SameRound::IsTheSame).await?;
        Ok(SegmentIndex {
            number,
            start_ticks: facts.start_ticks,
            duration_ticks: facts.duration_ticks,
            samples: facts.samples,
            keyframes: facts.keyframes,
            object,
        })
    }
}

fn sequence(number: u64) -> Result<u32, Failure> {
    u32::try_from(number).map_err(|_| misplanned("too many segments"))
}

fn misplanned(what: &str) -> Failure {
    Failure::new(Class::Bug, "archive-spec", what)
}

/// An object that is not what was committed: no retry mends it.
fn changed(key: &str) -> Failure {
    Failure::input("segment-changed", format!("{key} is not what was committed"))
        .mend("keep the parts before and behind it as titles of their own")
}

fn broken(key: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::input("segment-broken", format!("{key} cannot be read: {error}"))
        .mend("keep the parts before and behind it as titles of their own")
}
