//! Validate a part: every object one transcode or sound job made.

use framemill_media::{
    boxes::{InitFacts, TrackKind},
    decode::Media,
};
use framemill_queue::runner::Attempt;
use framemill_schemas::{
    failure::{Class, Failure},
    finding::Report,
    index::{RenditionPart, SegmentIndex},
    job::JobRecord,
    ladder::{AudioCodec, VideoCodec},
    spec::{AUDIO_RATE, AudioSpec, JobSpec, RungSpec, TranscodeSpec, ValidatePartSpec},
};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    check::{Findings, code, expected, rendition},
    handlers::{
        Handlers,
        decode::{Plan, Progress},
        until_cancelled,
    },
    parts::{done, parts_of},
};

/// Renditions of one part decoded at once: each holds a few segments and an ffmpeg.
const RENDITIONS_AT_ONCE: usize = 2;

impl Handlers {
    pub(super) async fn validate_part(&self, spec: &ValidatePartSpec, attempt: &Attempt) -> Result<Report, Failure> {
        let job = until_cancelled(&attempt.cancel, done(&self.queue, attempt.job.asset, spec.part)).await?;
        if job.key != spec.part_key {
            let reason = format!("job {} ({}) is no longer the one to be checked", job.id, job.unit);
            return Err(Failure::new(Class::Bug, "part-changed", reason));
        }
        let parts = parts_of(&job)?;
        let total = parts.iter().map(|part| part.segments.len() as u64).sum();
        let progress = Progress { attempt, done: 0.into(), total };
        // Copied: judged like what it stands for.
        match job.spec.encoding() {
            JobSpec::Transcode(chunk) => self.validate_chunk(chunk, parts, &progress).await,
            JobSpec::Audio(sound) => self.validate_sound(sound, parts, &progress).await,
            _ => Err(not_media(&job)),
        }
    }

    async fn validate_chunk(
        &self,
        chunk: &TranscodeSpec,
        parts: &[RenditionPart],
        progress: &Progress<'_>,
    ) -> Result<Report, Failure> {
        let mut findings = Findings::default();
        let mut checks = Vec::new();
        for rung in &chunk.rungs {
            match parts.iter().find(|part| part.rendition == rung.name) {
                Some(part) => checks.push((part, picture_plan(chunk, rung))),
                None => findings.error(code::NUMBERING, &rung.name, "no part", "segments"),
            }
        }
        let mut runs = Vec::with_capacity(checks.len());
        for (part, plan) in &checks {
            runs.push(self.check_rendition(part, plan, progress));
        }
        let found: Vec<Findings> = stream::iter(runs).buffered(RENDITIONS_AT_ONCE).try_collect().await?;
        found.into_iter().for_each(|found| findings.join(found));
        let renditions: Vec<(&str, &[SegmentIndex])> =
            checks.iter().map(|(part, _)| (part.rendition.as_str(), part.segments.as_slice())).collect();
        rendition::keyframes_align(&renditions, &mut findings);
        Ok(findings.into_report(chunk.end_frame - chunk.start_frame, code::list(code::OF_VIDEO_PART)))
    }

    async fn validate_sound(
        &self,
        sound: &AudioSpec,
        parts: &[RenditionPart],
        progress: &Progress<'_>,
    ) -> Result<Report, Failure> {
        let mut findings = Findings::default();
        let checks = code::list(code::OF_AUDIO_PART);
        let Some(part) = parts.iter().find(|part| part.rendition == sound.rendition) else {
            findings.error(code::AUDIO_PRESENT, &sound.rendition, "no part", "sound as long as the picture");
            return Ok(findings.into_report(sound.grid.frames, checks));
        };
        let picture_ticks = sound.grid.duration_ticks(AUDIO_RATE);
        rendition::audio_length(&part.segments, picture_ticks, &part.rendition, &mut findings);
        if !part.segments.is_empty() {
            findings.join(self.check_rendition(part, &sound_plan(sound, part), progress).await?);
        }
        Ok(findings.into_report(sound.grid.frames, checks))
    }
}

fn picture_plan<'a>(chunk: &'a TranscodeSpec, rung: &RungSpec) -> Plan<'a> {
    let tag = match chunk.codec {
        VideoCodec::H264 => "avc1",
        VideoCodec::Hevc => "hvc1",
        VideoCodec::Av1 => "av01",
    };
    Plan {
        media: Media::Video,
        expected: expected::of_chunk(chunk),
        init: InitFacts {
            timescale: chunk.timescale,
            codecs: tag.to_owned(),
            kind: TrackKind::Video { width: rung.width, height: rung.height },
        },
        chunk: Some(chunk),
    }
}

fn sound_plan(sound: &AudioSpec, part: &RenditionPart) -> Plan<'static> {
    let AudioCodec::Aac = sound.codec;
    let frames = part.segments.iter().map(|segment| segment.samples).sum();
    Plan {
        media: Media::Audio,
        // How long it is was judged against the picture; here each segment is judged against that.
        expected: expected::of_sound(sound, frames),
        init: InitFacts {
            timescale: AUDIO_RATE,
            codecs: "mp4a".to_owned(),
            kind: TrackKind::Audio { rate: AUDIO_RATE, channels: u32::from(sound.channels) },
        },
        chunk: None,
    }
}

fn not_media(job: &JobRecord) -> Failure {
    Failure::new(Class::Bug, "part-output", format!("job {} ({}) makes no segments", job.id, job.unit))
}
