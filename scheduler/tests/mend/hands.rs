//! Workers and packagers without media: they claim and commit as real ones do, and put objects by
//! the same rules.

use bytes::Bytes;
use framemill_queue::{Queue, RecordError, transition};
use framemill_schemas::{
    failure::Failure,
    finding::{Finding, Report, ReportState},
    holder::Holder,
    ids::AssetId,
    index::{GenerationIndex, RenditionPart, SegmentIndex},
    job::{JobRecord, JobState},
    object::{
        CACHE_IMMUTABLE, MASTER_PLAYLIST, MPD, REPORT, StoredObject, entry_mpd, entry_playlist, init_key, segment_key,
    },
    probe::{AudioTrack, Probe, RateSource, Seek, SeekPoint, VideoTrack},
    rate::{FrameGrid, Ratio},
    spec::{JobOutput, JobSpec, PackageOutput, PackageSpec},
    subject,
};
use framemill_storage::{Meta, Put, Store};
use uuid::Uuid;

/// Frames of the title.
const FRAMES: u64 = 2_000;

pub struct Hands {
    queue: Queue,
    store: Store,
    holder: Holder,
}

impl Hands {
    pub fn new(queue: Queue, store: Store) -> Self {
        let holder = Holder { node: "hand".parse().unwrap(), process: Uuid::new_v4(), nonce: Uuid::new_v4() };
        Self { queue, store, holder }
    }

    /// Runs every job of an asset that is ready.
    pub async fn work(&self, id: AssetId) {
        for (key, job, revision) in self.queue.jobs().list(&subject::job_records_of(id)).await.unwrap() {
            if job.state == JobState::Ready {
                self.run(&key, job, revision).await;
            }
        }
    }

    async fn run(&self, key: &str, job: JobRecord, revision: u64) {
        let Some((job, revision)) = self.claim(key, job, revision).await else { return };
        let outcome = self.output(&job).await;
        self.end(key, job, revision, outcome).await;
    }

    pub async fn claim(&self, key: &str, job: JobRecord, revision: u64) -> Option<(JobRecord, u64)> {
        let claimed = transition::claim(job, self.holder.clone(), 2).ok()?;
        match self.queue.jobs().update(key, &claimed, revision).await {
            Ok(revision) => Some((claimed, revision)),
            Err(RecordError::Fenced) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Commits; events that are sent meanwhile change the record, but not its holder.
    pub async fn end(&self, key: &str, mut job: JobRecord, mut revision: u64, outcome: Result<JobOutput, Failure>) {
        loop {
            let ended = match outcome.clone() {
                Ok(output) => transition::commit(job, &self.holder, output, framemill_now()),
                Err(failure) => transition::fail(job, &self.holder, failure, framemill_now()),
            };
            let Ok(ended) = ended else { return };
            match self.queue.jobs().update(key, &ended, revision).await {
                Ok(_) => return,
                Err(RecordError::Fenced) => {
                    let Some(found) = self.queue.jobs().get(key).await.unwrap() else { return };
                    (job, revision) = found;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub async fn output(&self, job: &JobRecord) -> Result<JobOutput, Failure> {
        Ok(match &job.spec {
            JobSpec::Probe(_) => JobOutput::Probe(probe()),
            JobSpec::Transcode(spec) => {
                let mut parts = Vec::new();
                for rung in &spec.rungs {
                    parts.push(self.part(job, &spec.folder, &rung.name, spec.segment_numbers()).await);
                }
                JobOutput::Parts(parts)
            }
            JobSpec::Audio(spec) => {
                let numbers = 1..=spec.grid.frames.div_ceil(u64::from(spec.segment_frames));
                JobOutput::Parts(vec![self.part(job, &spec.folder, &spec.rendition, numbers).await])
            }
            JobSpec::Package(spec) => JobOutput::Package(self.package(job, spec).await),
            JobSpec::ValidatePart(spec) => JobOutput::Validation(self.validate(job.asset, spec.part).await),
            JobSpec::ValidateWhole(spec) => {
                let report = report(Vec::new());
                let body = serde_json::to_vec(&report).unwrap();
                self.put(job, &format!("{}/{REPORT}", spec.package.folder), body.into()).await;
                JobOutput::Validation(report)
            }
            JobSpec::Live(_) | JobSpec::Archive(_) => unreachable!("titles that are encoded have no such job"),
            JobSpec::Carry(spec) => {
                let index = self.store.get(&spec.index.key).await.unwrap().unwrap();
                let index: GenerationIndex = serde_json::from_slice(&index.body).unwrap();
                let unit = index.units.iter().find(|unit| unit.unit == spec.unit).unwrap();
                let folder = match &*spec.of {
                    JobSpec::Transcode(spec) => &spec.folder,
                    JobSpec::Audio(spec) => &spec.folder,
                    other => panic!("{other:?}"),
                };
                let mut parts = Vec::new();
                for part in &unit.parts {
                    let kept = index.inits.iter().find(|kept| kept.object.key == part.init.key).unwrap();
                    let hex = kept.hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
                    let init: Vec<u8> = hex.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
                    let init = self.put(job, &init_key(folder, &part.rendition), init.into()).await;
                    let mut segments = Vec::new();
                    for segment in &part.segments {
                        let to = segment_key(folder, &part.rendition, segment.number);
                        let object = self.carry(job, &segment.object, to).await?;
                        segments.push(SegmentIndex { object, ..segment.clone() });
                    }
                    parts.push(RenditionPart { rendition: part.rendition.clone(), init, segments });
                }
                JobOutput::Parts(parts)
            }
        })
    }

    async fn carry(&self, job: &JobRecord, from: &StoredObject, to: String) -> Result<StoredObject, Failure> {
        let found = self.store.get(&from.key).await.unwrap().filter(|found| found.stored.digest == from.digest);
        let lost = || Failure::new(framemill_schemas::failure::Class::Bug, "carry-damaged", from.key.clone());
        Ok(self.put(job, &to, found.ok_or_else(lost)?.body).await)
    }

    async fn part(
        &self,
        job: &JobRecord,
        folder: &str,
        rendition: &str,
        numbers: std::ops::RangeInclusive<u64>,
    ) -> RenditionPart {
        let init = self.put(job, &init_key(folder, rendition), format!("init of {rendition}").into()).await;
        let mut segments = Vec::new();
        for number in numbers {
            let body = format!("{rendition}, segment {number}, round {}", job.round);
            let object = self.put(job, &segment_key(folder, rendition, number), body.into()).await;
            let start_ticks = number - 1;
            segments.push(SegmentIndex {
                number,
                start_ticks,
                duration_ticks: 1,
                samples: 1,
                keyframes: Vec::new(),
                object,
            });
        }
        RenditionPart { rendition: rendition.to_owned(), init, segments }
    }

    /// Puts by the rules of workers: the first writer wins, older rounds are replaced.
    async fn put(&self, job: &JobRecord, key: &str, body: Bytes) -> StoredObject {
        let meta = Meta {
            cache_control: CACHE_IMMUTABLE.to_owned(),
            job_key: Some(job.key.clone()),
            round: job.round,
            ..Meta::default()
        };
        match self.store.put_new(key, body.clone(), &meta).await.unwrap() {
            Put::Created(stored) => stored,
            Put::Exists { stored, meta: there } if there.round < job.round && !key.ends_with("init.mp4") => {
                self.store.put_match(key, body, &meta, &stored.etag).await.unwrap().unwrap()
            }
            Put::Exists { stored, meta } => StoredObject { digest: meta.digest, ..stored },
        }
    }

    async fn package(&self, job: &JobRecord, spec: &PackageSpec) -> PackageOutput {
        let body = |name: &str| Bytes::from(format!("{name} of {}", spec.folder));
        let folder = &spec.folder;
        let master = self.put(job, &format!("{folder}/{MASTER_PLAYLIST}"), body("master")).await;
        let mpd = self.put(job, &format!("{folder}/{MPD}"), body("mpd")).await;
        let entry_master = self.put(job, &entry_playlist(folder), body("entry")).await;
        let entry_mpd = self.put(job, &entry_mpd(folder), body("entry mpd")).await;
        PackageOutput { master, mpd, playlists: Vec::new(), entry_master, entry_mpd }
    }

    /// Judges by digests alone.
    async fn validate(&self, asset: AssetId, part: framemill_schemas::ids::JobId) -> Report {
        let (part, _) = self.queue.jobs().get(&subject::job_record(asset, part)).await.unwrap().unwrap();
        let Some(JobOutput::Parts(parts)) = part.output else { panic!("no parts") };
        let mut findings = Vec::new();
        for object in parts.iter().flat_map(|part| part.segments.iter().map(|segment| &segment.object)) {
            let found = self.store.get(&object.key).await.unwrap();
            if found.is_none_or(|found| found.stored.digest != object.digest) {
                findings.push(Finding::error("object-digest", &object.key, "other bytes", "those"));
            }
        }
        report(findings)
    }
}

fn framemill_now() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

fn report(findings: Vec<Finding>) -> Report {
    Report { v: 1, state: ReportState::of(&findings), frames: FRAMES, checks: Vec::new(), findings }
}

fn probe() -> Probe {
    let grid = FrameGrid {
        rate: Ratio::new(25, 1).unwrap(),
        frames: FRAMES,
        origin_ticks: 0,
        time_base: Ratio::new(1, 12_800).unwrap(),
    };
    let seek = Seek::Points((0..FRAMES).step_by(50).map(|frame| SeekPoint { frame, seek_us: 0 }).collect());
    Probe {
        format: "mov".to_owned(),
        bytes: 1,
        identity: "identity".to_owned(),
        start_us: 0,
        video: VideoTrack {
            stream: 0,
            codec: "h264".to_owned(),
            pixels: "yuv420p".to_owned(),
            turned: false,
            width: 1280,
            height: 720,
            interlaced: false,
            grid,
            rate_source: RateSource::Base,
            seek,
        },
        audio: vec![AudioTrack {
            stream: 1,
            codec: "aac".to_owned(),
            channels: 2,
            language: None,
            title: None,
            default: true,
        }],
    }
}
