//! Farms whose GPUs are scripted: real NATS, store and ffmpeg, and everything around the silicon. What a
//! GPU would encode, the processor does in its place.

use std::collections::BTreeSet;

use framemill_queue::{NatsConfig, Queue};
use framemill_schemas::{
    ids::AssetId,
    job::{JobRecord, JobState},
    lane::{Lane, Priority},
    spec::JobSpec,
    subject,
};
use uuid::Uuid;

use crate::support::{
    Place, clip, get,
    separate::{Role, Separate, jobs},
    wait, wait_or,
};

/// Three rungs, for whatever encodes.
const LADDER: &str = "
name: gpu
gop_s: 1
segment_s: 2
video:
  - { name: 360p, codec: h264, height: 360, bitrate_kbps: 800, maxrate_kbps: 1000, preset: veryslow }
  - { name: 180p, codec: h264, height: 180, bitrate_kbps: 300, maxrate_kbps: 400, preset: veryslow }
  - { name: 90p, codec: h264, height: 90, bitrate_kbps: 100, maxrate_kbps: 120, preset: veryslow }
audio:
  - { name: stereo, codec: aac, channels: 2, bitrate_kbps: 96 }
";

struct Farm {
    place: Place,
    separate: Separate,
    scheduler: Role,
    worker: Role,
    _packager: Role,
}

impl Farm {
    /// A farm with one worker, whose GPUs `script` describes.
    fn start(script: &str, seconds: u32, settings: &[(&str, &str)]) -> Self {
        let place = Place::new();
        place.write("ladder.yaml", LADDER);
        place.write("gpus.yaml", script);
        clip(&place.path().join("clip.mp4"), seconds, "640x360");
        let mut separate = Separate::start(&place);
        let gpus = place.path().canonicalize().unwrap().join("gpus.yaml");
        separate.set("WORKER__GPU_SCRIPT", gpus.display().to_string());
        // The test's own processors are busy; that is not what is asked here.
        separate.set("WORKER__HEADROOM__CPU_PERCENT", "100");
        for (key, value) in settings {
            separate.set(key, *value);
        }
        let scheduler = separate.role(&place, "scheduler", "control", None);
        let packager = separate.role(&place, "packager", "pack", None);
        let worker = separate.role(&place, "worker", "gpu-1", None);
        Self { place, separate, scheduler, worker, _packager: packager }
    }

    fn url(&self) -> String {
        format!("http://{}", self.scheduler.api)
    }

    /// The worker's machine as an operator sees it, once it says something.
    fn node_shown(&self, says: &str) -> String {
        wait_or(
            "the node",
            60,
            || self.worker.said(),
            || {
                let ran = self.place.run(&["node", "show", "gpu-1", "--api", &self.url()]);
                ran.stdout.contains(says).then_some(ran.stdout)
            },
        )
    }

    fn submit(&self, priority: &str) -> String {
        let file = self.place.path().canonicalize().unwrap().join("clip.mp4").display().to_string();
        let args = ["submit", &file, "--ladder", "./ladder.yaml", "--priority", priority, "--api", &self.url()];
        self.place.run(&args).ends(0).stdout.trim().to_owned()
    }

    fn published(&self, id: &str) -> serde_json::Value {
        wait_or(
            "published",
            120,
            || self.worker.said(),
            || {
                let (_, body) = get(&self.scheduler.api, &format!("/v1/assets/{id}"))?;
                let asset: serde_json::Value = serde_json::from_str(&body).ok()?;
                assert_ne!(asset["state"], "failed", "{body}");
                (asset["state"] == "published").then_some(asset)
            },
        )
    }

    /// The farm's records, as any of its processes finds them.
    fn records(&self) -> Records {
        let url = self.separate.environment().iter().find(|(key, _)| key == "FRAMEMILL_NATS__URL").unwrap().1.clone();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let queue = runtime.block_on(Queue::connect(&NatsConfig { url, ..NatsConfig::default() })).unwrap();
        Records { runtime, queue }
    }
}

struct Records {
    runtime: tokio::runtime::Runtime,
    queue: Queue,
}

impl Records {
    /// A title's chunks.
    fn chunks(&self, asset: &str) -> Vec<JobRecord> {
        let asset: AssetId = asset.parse().unwrap();
        let records = self.runtime.block_on(self.queue.jobs().list(&subject::job_records_of(asset))).unwrap();
        let chunks = records.into_iter().map(|(_, job, _)| job);
        chunks.filter(|job| matches!(job.spec, JobSpec::Transcode(_))).collect()
    }

    fn submit(&self, job: &JobRecord) {
        self.runtime.block_on(async {
            let revision = self.queue.jobs().create(&key(job), job).await.unwrap();
            self.queue.dispatch(job, revision).await.unwrap();
        });
    }

    fn read(&self, job: &JobRecord) -> JobRecord {
        self.runtime.block_on(self.queue.jobs().get(&key(job))).unwrap().unwrap().0
    }
}

fn key(job: &JobRecord) -> String {
    subject::job_record(job.asset, job.id)
}

#[test]
fn a_title_is_made_on_scripted_gpus_and_the_farm_says_that_they_are() {
    let farm = Farm::start("gpus: [{ model: L4 }]", 16, &[]);
    let shown = farm.node_shown("gpu 0: simulated L4");
    assert!(shown.contains("simulated h264_nvenc"), "{shown}");
    let id = farm.submit("standard");
    let asset = farm.published(&id);
    assert_eq!(asset["validation"]["state"], "passed", "{asset}");
    let chunks = farm.records().chunks(&id);
    assert!(chunks.len() > 1);
    let lanes: BTreeSet<String> = chunks.iter().map(|job| job.lane.to_string()).collect();
    assert!(lanes.iter().all(|lane| lane.starts_with("transcode.nvenc.h264.")), "{lanes:?}");
}

#[test]
fn a_gpu_that_opens_fewer_sessions_than_believed_fails_no_job() {
    let farm = Farm::start("gpus: [{ model: L4, sessions: 3 }]", 24, &[("WORKER__HEADROOM__START_GAP_MS", "100")]);
    let id = farm.submit("standard");
    farm.published(&id);
    let refused = farm.worker.said().matches("a GPU refused a session").count();
    assert!(refused > 0, "two chunks never met: {}", farm.worker.said());
    for job in farm.records().chunks(&id) {
        assert_eq!((job.state, job.spent, job.failures.len()), (JobState::Done, 0, 0), "{job:?}");
    }
}

#[test]
fn a_gpu_that_falls_off_the_bus_is_left_out_and_the_other_goes_on() {
    let script = "gpus: [{ model: L4, faults: [{ at_s: 1, xid: 79 }] }, { model: L4 }]";
    let farm = Farm::start(script, 16, &[]);
    let shown = farm.node_shown("gpu 0: it cannot be asked");
    assert!(shown.contains("No CUDA capable devices found") && shown.contains("gpu 1: simulated L4"), "{shown}");
    assert!(farm.worker.metric("framemill_machine_gpu_xids_total") >= 1.0);
    let id = farm.submit("standard");
    farm.published(&id);
    let chunks = farm.records().chunks(&id);
    assert!(chunks.iter().all(|job| job.lane.to_string().starts_with("transcode.nvenc.") && job.spent == 0));
}

#[test]
fn a_channel_takes_room_from_a_bulk_title_which_loses_nothing() {
    // Room for one job of three sessions, and for a tenth of the encoder: it takes its time.
    let tight = [("WORKER__HEADROOM__SESSIONS", "3"), ("WORKER__HEADROOM__ENCODER_PERCENT", "10")];
    let farm = Farm::start("gpus: [{ model: T4 }]", 96, &tight);
    let records = farm.records();
    let bulk = farm.submit("bulk");
    let stored = || farm.worker.metric("framemill_worker_segments_encoded_total");
    wait("a bulk chunk with a finished segment", 60, || (stored() >= 3.0).then_some(()));
    let running = |job: &JobRecord| job.state == JobState::Running;
    let victim = records.chunks(&bulk).into_iter().find(running).expect("a chunk runs");

    // A channel as the live jobs will be: the same work, elsewhere, and urgent beyond titles.
    let JobSpec::Transcode(mut spec) = victim.spec.clone() else { panic!("no chunk") };
    spec.folder = format!("{}-live", spec.folder);
    // It goes at the pace at which it is watched: eight seconds of it will do.
    spec.end_frame = spec.start_frame + 200;
    let Lane::Encode { engine, codec, size, .. } = victim.lane else { panic!("no encode") };
    let lane = Lane::Encode { engine, codec, size, priority: Priority::Live };
    let asset = AssetId::new(Uuid::new_v4());
    let live =
        JobRecord::ready(asset, 1, "live/1".to_owned(), victim.tenant.clone(), lane, JobSpec::Transcode(spec), 1);
    records.submit(&live);
    wait_or("the channel's claim", 30, || farm.worker.said(), || (records.read(&live).claimed_ms > 0).then_some(()));
    let said = farm.worker.said();
    assert!(said.contains("a job is asked to make room at its next boundary"), "{said}");
    farm.published(&bulk);
    // What was asked to stop went on where it had stopped: nothing was encoded twice, and it cost no try.
    let job = records.read(&victim);
    assert_eq!((job.state, job.spent), (JobState::Done, 0), "{job:?}");
    assert!(job.attempt >= 2, "it was never given back: {job:?}");
    assert_eq!(farm.worker.metric("framemill_worker_segments_repeated_total"), 0.0);
    assert!(farm.worker.metric("framemill_worker_segments_adopted_total") >= 3.0);
    assert!(jobs(&farm.scheduler.api, &bulk).iter().all(|job| job["state"] == "done"));
}
