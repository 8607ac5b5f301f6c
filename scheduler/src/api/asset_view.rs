//! An asset as it is shown: its record, and what its jobs say. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use framemill_schemas::{
    api::{
        AssetView, AudioView, Dropped, InputView, JobCounts, JobView, RenditionView, RepairView, StageView,
        ValidationView,
    },
    asset::{AssetRecord, AssetState, Shown},
    finding::{Report, ReportState},
    job::{JobKind, JobState},
    ladder::AudioCodec,
    lane::Lane,
    live::ArchiveView,
    object::{MASTER_PLAYLIST, MPD, asset_folder},
    probe::Probe,
    source::Source,
};

use crate::{
    plan::{Plan, plan},
    view::{JobSummary, SummaryOutput},
};

/// The unit of the probe.
const PROBE: &str = "probe";
/// The unit that checks the whole title; those of its parts have longer names.
const VALIDATE_WHOLE: &str = "validate/whole";

/// An asset and the latest round of each unit of its generation.
struct Facts<'a> {
    asset: &'a AssetRecord,
    /// Every job of the generation.
    jobs: Vec<&'a JobSummary>,
    latest: BTreeMap<&'a str, &'a JobSummary>,
    probe: Option<&'a Probe>,
    plan: Option<Plan>,
}

impl<'a> Facts<'a> {
    fn new(asset: &'a AssetRecord, jobs: &'a [Arc<JobSummary>]) -> Self {
        let jobs: Vec<&JobSummary> =
            jobs.iter().map(Arc::as_ref).filter(|job| job.generation == asset.generation.number).collect();
        let mut latest: BTreeMap<&str, &JobSummary> = BTreeMap::new();
        for job in &jobs {
            let entry = latest.entry(&job.unit).or_insert(job);
            if job.round > entry.round {
                *entry = job;
            }
        }
        let probe = latest.get(PROBE).and_then(|job| match &job.output {
            SummaryOutput::Probe(probe) => Some(probe.as_ref()),
            _ => None,
        });
        // An asset whose plan was refused says so in its failure.
        let plan = probe.and_then(|probe| plan(asset, probe).ok());
        Self { asset, jobs, latest, probe, plan }
    }

    /// Segments and bytes stored of a rendition.
    fn made(&self, rendition: &str) -> (u64, u64) {
        let parts = self.latest.values().flat_map(|job| &job.made).filter(|made| made.rendition == rendition);
        parts.fold((0, 0), |(segments, bytes), made| (segments + made.segments, bytes + made.bytes))
    }

    fn renditions(&self) -> Vec<RenditionView> {
        let planned = self.plan.iter().flat_map(|plan| &plan.video);
        planned
            .map(|rendition| {
                let (segments, bytes) = self.made(&rendition.name);
                RenditionView {
                    name: rendition.name.clone(),
                    codec: rendition.codec,
                    width: rendition.width,
                    height: rendition.height,
                    segments,
                    bytes,
                }
            })
            .collect()
    }

    fn audio(&self) -> Vec<AudioView> {
        let planned = self.plan.iter().flat_map(|plan| &plan.audio);
        planned
            .map(|rendition| {
                let (segments, bytes) = self.made(&rendition.name);
                AudioView {
                    name: rendition.name.clone(),
                    codec: AudioCodec::Aac,
                    channels: rendition.channels,
                    language: rendition.language.clone(),
                    segments,
                    bytes,
                }
            })
            .collect()
    }

    fn dropped(&self) -> Vec<Dropped> {
        self.plan.as_ref().map(|plan| plan.dropped.clone()).unwrap_or_default()
    }

    /// When the last segment was committed; `None` while one is missing.
    fn last_segment_ms(&self) -> Option<i64> {
        let parts = &self.plan.as_ref()?.parts;
        let ends = parts.keys().map(|unit| {
            self.latest.get(unit.as_str()).filter(|job| job.state == JobState::Done).map(|job| job.ended_ms)
        });
        ends.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    fn stages(&self) -> Vec<StageView> {
        let stage = |kind: JobKind| {
            let of_kind = || self.jobs.iter().filter(move |job| job.kind == kind);
            // Chunks and sound are known from the plan a moment before their jobs are created.
            let planned = self.plan.iter().flat_map(|plan| plan.parts.values());
            let planned = planned.filter(|part| part.spec.kind() == kind).count();
            StageView {
                kind,
                total: count(of_kind().count().max(planned)),
                done: count(of_kind().filter(|job| job.state.is_terminal()).count()),
                running: count(of_kind().filter(|job| job.state == JobState::Running).count()),
            }
        };
        JobKind::ALL.into_iter().map(stage).collect()
    }

    fn counts(&self) -> JobCounts {
        let number = |wanted: fn(&JobSummary) -> bool| count(self.jobs.iter().filter(|job| wanted(job)).count());
        JobCounts {
            total: number(|_| true),
            retried: number(|job| job.attempt > 1),
            failed: number(|job| matches!(job.state, JobState::Failed | JobState::Dead)),
        }
    }

    /// The verdict over the whole; of a title that was given up before it, the verdict on the part
    /// it was given up for.
    fn report(&self) -> Option<&'a Report> {
        let of = |job: &'a JobSummary| match &job.output {
            SummaryOutput::Validation(report) => Some(report),
            _ => None,
        };
        if let Some(report) = self.latest.get(VALIDATE_WHOLE).and_then(|job| of(job)) {
            return Some(report);
        }
        if self.asset.state != AssetState::Failed {
            return None;
        }
        self.latest.values().filter_map(|job| of(job)).find(|report| report.state == ReportState::Failed)
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What is shown of an asset, from its jobs; `None` before its whole was validated.
pub fn shown(asset: &AssetRecord, jobs: &[Arc<JobSummary>]) -> Option<Shown> {
    let Told { input, renditions, audio, dropped, stages, jobs, last_segment_ms, report } =
        Told::of(&Facts::new(asset, jobs));
    let (input, report) = (input?, report?);
    Some(Shown { input, renditions, audio, dropped, stages, jobs, last_segment_ms, report })
}

/// What is shown of an asset whose jobs were folded.
fn folded(asset: &AssetRecord) -> Option<&Shown> {
    asset.shown.as_deref().filter(|_| asset.state == AssetState::Published)
}

/// What is told of an asset besides its record.
struct Told {
    input: Option<InputView>,
    renditions: Vec<RenditionView>,
    audio: Vec<AudioView>,
    dropped: Vec<Dropped>,
    stages: Vec<StageView>,
    jobs: JobCounts,
    last_segment_ms: Option<i64>,
    report: Option<Report>,
}

impl Told {
    fn of(facts: &Facts<'_>) -> Self {
        Self {
            input: facts.probe.map(input_view),
            renditions: facts.renditions(),
            audio: facts.audio(),
            dropped: facts.dropped(),
            stages: facts.stages(),
            jobs: facts.counts(),
            last_segment_ms: facts.last_segment_ms(),
            report: facts.report().cloned(),
        }
    }

    fn folded(shown: &Shown) -> Self {
        let Shown { input, renditions, audio, dropped, stages, jobs, last_segment_ms, report } = shown.clone();
        let (input, report) = (Some(input), Some(report));
        Self { input, renditions, audio, dropped, stages, jobs, last_segment_ms, report }
    }
}

/// How long a job may wait before it is asked whether anybody could run it: whoever could may just
/// have started.
const WAITS_MS: i64 = 5000;

/// Why one of the jobs finds nobody to run it. `unserved` tells of a lane why nobody serves it.
pub fn waits(jobs: &[Arc<JobSummary>], now_ms: i64, unserved: impl Fn(Lane) -> Option<String>) -> Option<String> {
    let waiting = jobs.iter().filter(|job| job.state == JobState::Ready && job.ready_ms + WAITS_MS < now_ms);
    let lanes: BTreeSet<Lane> = waiting.map(|job| job.lane).collect();
    lanes.into_iter().find_map(unserved)
}

/// Shows an asset, but not whether anybody runs what is left of it: see [`waits`].
pub fn asset_view(asset: &AssetRecord, jobs: &[Arc<JobSummary>]) -> AssetView {
    // Once they are folded, its jobs may be going one by one.
    let told = folded(asset).map_or_else(|| Told::of(&Facts::new(asset, jobs)), Told::folded);
    let published = asset.state == AssetState::Published;
    let entry = |name: &str| published.then(|| format!("{}/{name}", asset_folder(&asset.tenant, asset.id)));
    AssetView {
        id: asset.id,
        tenant: asset.tenant.clone(),
        source: asset.source.to_string(),
        ladder: asset.ladder.name.clone(),
        priority: asset.priority,
        state: asset.state,
        generation: asset.generation.clone(),
        submitted_ms: asset.submitted_ms,
        ended_ms: some_ms(asset.ended_ms),
        last_segment_ms: told.last_segment_ms,
        failure: asset.failure.clone(),
        input: told.input,
        renditions: told.renditions,
        audio: told.audio,
        dropped: told.dropped,
        stages: told.stages,
        waiting: None,
        jobs: told.jobs,
        validation: told.report.map(|report| ValidationView { state: report.state, findings: report.findings }),
        hls: entry(MASTER_PLAYLIST),
        dash: entry(MPD),
        repair: asset.repair.as_ref().map(|repair| RepairView {
            generation: repair.generation.clone(),
            encoded: repair.damaged.clone(),
            since_ms: repair.since_ms,
            failure: repair.failure.clone(),
        }),
        trace: asset.trace.id().map(str::to_owned),
        archive: archive_view(asset),
    }
}

/// What it keeps of a channel.
fn archive_view(asset: &AssetRecord) -> Option<ArchiveView> {
    let (Some(cut), Source::Channel { tenant, channel, first, last }) = (&asset.cut, &asset.source) else {
        return None;
    };
    Some(ArchiveView {
        channel_id: channel.clone(),
        tenant: tenant.clone(),
        first: *first,
        last: *last,
        from_ms: cut.from_ms,
        to_ms: cut.to_ms,
        segments: cut.segments(),
        left_out_segments: cut.left_out.iter().map(|left_out| left_out.segments).sum(),
        left_out: cut.left_out.clone(),
    })
}

/// What validation says of an asset; `None` before it has said anything.
pub fn report(asset: &AssetRecord, jobs: &[Arc<JobSummary>]) -> Option<Report> {
    let folded = folded(asset).map(|shown| shown.report.clone());
    folded.or_else(|| Facts::new(asset, jobs).report().cloned())
}

fn input_view(probe: &Probe) -> InputView {
    let grid = probe.video.grid;
    InputView {
        format: probe.format.clone(),
        codec: probe.video.codec.clone(),
        width: probe.video.width,
        height: probe.video.height,
        rate: grid.rate,
        frames: grid.frames,
        duration_ms: grid.duration_ms(),
    }
}

/// Shows a job.
pub fn job_view(job: &JobSummary) -> JobView {
    JobView {
        id: job.id,
        asset_id: job.asset,
        tenant: job.tenant.clone(),
        kind: job.kind,
        unit: job.unit.clone(),
        lane: job.lane.to_string(),
        state: job.state,
        attempt: job.attempt,
        node: job.holder.as_ref().map(|holder| holder.node.clone()),
        failures: job.failures.clone(),
        ready_ms: job.ready_ms,
        claimed_ms: some_ms(job.claimed_ms),
        ended_ms: some_ms(job.ended_ms),
    }
}

/// Jobs of a generation at their end, and in all.
pub fn stage_sums(jobs: &[Arc<JobSummary>], generation: u32) -> (usize, usize) {
    let of = || jobs.iter().filter(|job| job.generation == generation);
    (of().filter(|job| job.state.is_terminal()).count(), of().count())
}

/// Records write 0 for "not yet".
fn some_ms(ms: i64) -> Option<i64> {
    (ms != 0).then_some(ms)
}

#[cfg(test)]
#[path = "asset_view_tests.rs"]
mod tests;
