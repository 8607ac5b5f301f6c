//! The packager as it runs: jobs from a real NATS server, objects in a real store, media cut from
//! a real ffmpeg. First a good title all the way, then one fault after another in its objects.
#![allow(clippy::unwrap_used)]

#[path = "support/farm.rs"]
mod farm;
mod support;

use farm::{Farm, source};
use framemill_packager::check::code;
use framemill_schemas::{
    finding::{Report, ReportState},
    index::RenditionPart,
    job::{JobRecord, JobState},
    ladder::{AudioCodec, VideoCodec},
    object::{CACHE_IMMUTABLE, REPORT},
    probe::Probe,
    rate::timescale_for,
    source::Source,
    spec::{
        AudioRendition, AudioSpec, JobOutput, JobSpec, PackageOutput, PackageSpec, RateControl, RungSpec,
        TranscodeSpec, ValidatePartSpec, ValidateWholeSpec, VideoRendition,
    },
};
use support::FOLDER;

const GOP_FRAMES: u32 = 25;
const SEGMENT_FRAMES: u32 = 50;
/// Where the second chunk starts.
const SECOND_CHUNK: u64 = 50;

/// A title whose parts are stored and recorded.
struct Stored {
    probe: Probe,
    chunks: Vec<JobRecord>,
    sound: JobRecord,
}

fn rung(name: &str, width: u32, height: u32) -> RungSpec {
    let rate_control = RateControl::Average { bitrate_kbps: 400, maxrate_kbps: 800 };
    RungSpec { name: name.to_owned(), width, height, rate_control, preset: "ultrafast".to_owned(), nvenc: None }
}

fn chunk(probe: &Probe, start_frame: u64, end_frame: u64) -> TranscodeSpec {
    TranscodeSpec {
        source: Source::parse("s3://sources/film.mp4").unwrap(),
        identity: probe.identity.clone(),
        folder: FOLDER.to_owned(),
        stream: probe.video.stream,
        grid: probe.video.grid,
        start_frame,
        end_frame,
        seek: Vec::new(),
        deinterlace: false,
        gop_frames: GOP_FRAMES,
        segment_frames: SEGMENT_FRAMES,
        timescale: timescale_for(probe.video.grid.rate),
        threads: 1,
        nvenc: None,
        codec: VideoCodec::H264,
        rungs: vec![rung("180p", 320, 180), rung("90p", 160, 90)],
    }
}

fn sound(probe: &Probe) -> AudioSpec {
    AudioSpec {
        source: Source::parse("s3://sources/film.mp4").unwrap(),
        identity: probe.identity.clone(),
        folder: FOLDER.to_owned(),
        rendition: "stereo".to_owned(),
        stream: probe.audio[0].stream,
        grid: probe.video.grid,
        segment_frames: SEGMENT_FRAMES,
        codec: AudioCodec::Aac,
        channels: 2,
        bitrate_kbps: 96,
        lead_ticks: 0,
    }
}

async fn stored(farm: &Farm) -> Stored {
    let folder = tempfile::tempdir().unwrap();
    let (url, bytes) = source(folder.path()).await;
    let probe = farm.probe(&url, bytes).await;
    let frames = probe.video.grid.frames;
    assert_eq!(frames, 110);
    let mut chunks = Vec::new();
    for (n, range) in [(0, SECOND_CHUNK), (SECOND_CHUNK, frames)].into_iter().enumerate() {
        let spec = JobSpec::Transcode(chunk(&probe, range.0, range.1));
        let cuts = farm.encode(&spec, &url).await;
        let parts = farm.store_cuts(FOLDER, &["180p".to_owned(), "90p".to_owned()], cuts).await;
        chunks.push(farm.made(&format!("transcode/h264/{n:04}"), spec, JobOutput::Parts(parts)).await);
    }
    let spec = JobSpec::Audio(sound(&probe));
    let cuts = farm.encode(&spec, &url).await;
    let parts = farm.store_cuts(FOLDER, &["stereo".to_owned()], cuts).await;
    let sound = farm.made("audio/stereo", spec, JobOutput::Parts(parts)).await;
    Stored { probe, chunks, sound }
}

fn package(stored: &Stored) -> PackageSpec {
    let probe = &stored.probe;
    let parts: Vec<_> = stored.chunks.iter().map(|job| job.id).collect();
    let video = |name: &str, width, height| VideoRendition {
        name: name.to_owned(),
        codec: VideoCodec::H264,
        width,
        height,
        bitrate_kbps: Some(400),
        parts: parts.clone(),
    };
    PackageSpec {
        folder: FOLDER.to_owned(),
        grid: probe.video.grid,
        segment_frames: SEGMENT_FRAMES,
        gop_frames: GOP_FRAMES,
        timescale: timescale_for(probe.video.grid.rate),
        rate: probe.video.grid.rate,
        video: vec![video("180p", 320, 180), video("90p", 160, 90)],
        audio: vec![AudioRendition {
            name: "stereo".to_owned(),
            rung: "stereo".to_owned(),
            channels: 2,
            bitrate_kbps: 96,
            language: None,
            label: "Sound".to_owned(),
            default: true,
            part: stored.sound.id,
        }],
    }
}

fn check_of(part: &JobRecord) -> JobSpec {
    JobSpec::ValidatePart(ValidatePartSpec { part: part.id, part_key: part.key.clone() })
}

fn report(job: &JobRecord) -> &Report {
    match &job.output {
        Some(JobOutput::Validation(report)) => report,
        other => panic!("{other:?}, failures {:?}", job.failures),
    }
}

fn manifests(job: &JobRecord) -> &PackageOutput {
    match &job.output {
        Some(JobOutput::Package(package)) => package,
        other => panic!("{other:?}, failures {:?}", job.failures),
    }
}

fn passed(job: &JobRecord) {
    assert_eq!(report(job).findings, vec![]);
    assert_eq!(report(job).state, ReportState::Passed);
}

fn found(job: &JobRecord, code: &str) {
    let report = report(job);
    assert_eq!(report.state, ReportState::Failed);
    assert!(report.findings.iter().any(|finding| finding.code == code), "{code}: {:?}", report.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_title_is_packaged_and_validated() {
    let farm = Farm::start().await;
    let stored = stored(&farm).await;
    let mut validations = Vec::new();
    for part in stored.chunks.iter().chain([&stored.sound]) {
        let job = farm.run(&format!("validate/{}", part.unit), 0, check_of(part)).await;
        passed(&job);
        validations.push(job);
    }
    let spec = package(&stored);
    let first = farm.run("package", 0, JobSpec::Package(spec.clone())).await;
    let output = manifests(&first);
    // The same inputs once more: the same objects are found and adopted.
    let again = farm.run("package", 1, JobSpec::Package(spec.clone())).await;
    assert_eq!(manifests(&again), output);
    for object in [&output.master, &output.mpd, &output.entry_master, &output.entry_mpd] {
        let there = farm.store.get(&object.key).await.unwrap().unwrap();
        assert_eq!(there.stored, *object);
        assert_eq!(there.meta.cache_control, CACHE_IMMUTABLE);
        assert_eq!(there.meta.tags, ["tenant:default".to_owned(), format!("asset:{}", farm.asset)]);
        keep(&object.key, &there.body);
    }
    assert_eq!(output.playlists.len(), 5);
    for object in &output.playlists {
        keep(&object.key, &farm.store.get(&object.key).await.unwrap().unwrap().body);
    }

    let whole = JobSpec::ValidateWhole(ValidateWholeSpec {
        package: spec,
        package_job: first.id,
        parts: validations.iter().map(|job| job.id).collect(),
    });
    let job = farm.run("validate", 0, whole.clone()).await;
    // So short a clip is dearer than its average; that is said and does no harm.
    let report = report(&job);
    assert_eq!(report.state, ReportState::Passed);
    assert!(report.findings.iter().all(|finding| finding.code == code::BITRATE), "{:?}", report.findings);
    assert_eq!(report.frames, 110);
    assert!(report.checks.contains(&code::DECODE.to_owned()) && report.checks.contains(&code::BYTERANGE.to_owned()));
    let key = format!("{FOLDER}/{REPORT}");
    let there = farm.store.get(&key).await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Report>(&there.body).unwrap(), *report);

    // A manifest that changes afterwards fails the next validation, whose report replaces this one.
    farm.replace(&output.playlists[0].key, |body| body.truncate(40)).await;
    let job = farm.run("validate", 1, whole.clone()).await;
    found(&job, code::OBJECT_DIGEST);
    let there = farm.store.get(&key).await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Report>(&there.body).unwrap().state, ReportState::Failed);
}

/// Keeps real manifests for judges outside this crate, where a folder is named.
fn keep(key: &str, body: &[u8]) {
    if let Some(folder) = std::env::var_os("FRAMEMILL_KEEP_MANIFESTS") {
        let path = std::path::Path::new(&folder).join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, body).unwrap();
    }
}

/// Records a chunk as another job, so that its index can be changed.
async fn another(
    farm: &Farm,
    unit: &str,
    chunk: &JobRecord,
    change: impl FnOnce(&mut Vec<RenditionPart>),
) -> JobRecord {
    let Some(JobOutput::Parts(mut parts)) = chunk.output.clone() else { panic!("a chunk makes parts") };
    change(&mut parts);
    farm.made(unit, chunk.spec.clone(), JobOutput::Parts(parts)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_objects_are_found() {
    let farm = Farm::start().await;
    let stored = stored(&farm).await;
    let chunk = &stored.chunks[1];
    let parts = |job: &JobRecord| match job.output.clone() {
        Some(JobOutput::Parts(parts)) => parts,
        _ => panic!("a chunk makes parts"),
    };
    let segment = parts(chunk)[0].segments[0].object.clone();

    // Another encoder's fault: garbage in the middle of a picture, recorded as it is stored.
    let garbage =
        farm.replace(&segment.key, |body| body.iter_mut().rev().take(3000).for_each(|byte| *byte ^= 0x5a)).await;
    let job = farm.run("validate/changed", 0, check_of(chunk)).await;
    found(&job, code::OBJECT_DIGEST);
    let recorded = another(&farm, "transcode/garbage", chunk, |parts| parts[0].segments[0].object = garbage).await;
    let job = farm.run("validate/garbage", 0, check_of(&recorded)).await;
    found(&job, code::DECODE);

    // Boxes that break off.
    let short = farm.replace(&segment.key, |body| body.truncate(500)).await;
    let recorded = another(&farm, "transcode/short", chunk, |parts| parts[0].segments[0].object = short).await;
    found(&farm.run("validate/short", 0, check_of(&recorded)).await, code::BOXES);

    // An object that is gone.
    farm.store.delete(std::slice::from_ref(&segment.key)).await.unwrap();
    found(&farm.run("validate/gone", 0, check_of(chunk)).await, code::OBJECT_MISSING);

    // A plan with one frame more than was made.
    let JobSpec::Transcode(mut spec) = stored.chunks[0].spec.clone() else { panic!("a chunk is transcoded") };
    spec.end_frame += u64::from(SEGMENT_FRAMES);
    let longer =
        farm.made("transcode/longer", JobSpec::Transcode(spec), stored.chunks[0].output.clone().unwrap()).await;
    let job = farm.run("validate/longer", 0, check_of(&longer)).await;
    found(&job, code::DECODED_FRAMES);
    found(&job, code::NUMBERING);

    // Sound that ends early.
    let sound = another(&farm, "audio/short", &stored.sound, |parts| drop(parts[0].segments.pop())).await;
    found(&farm.run("validate/audio/short", 0, check_of(&sound)).await, code::AUDIO_LENGTH);

    // Not a fault of the title: a part that is not the one to be checked.
    let spec = ValidatePartSpec { part: chunk.id, part_key: "another".to_owned() };
    let job = farm.run("validate/other", 0, JobSpec::ValidatePart(spec)).await;
    assert_eq!(job.state, JobState::Failed);
    assert_eq!(job.failures.last().unwrap().code, "part-changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decoder_that_slips_once_condemns_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("ffmpeg");
    let real = std::env::var_os("FRAMEMILL_FFMPEG__FFMPEG").map_or_else(|| "ffmpeg".into(), std::path::PathBuf::from);
    // The first decode after `lie` was written does what it says; moving it is done by one only.
    let text = format!(
        "#!/bin/bash\nPATH={:?}\ncd {:?}\ncase \"$*\" in *pipe:0*)\n\
         if mv lie told 2> /dev/null; then . ./told; fi ;;\nesac\nexec {:?} \"$@\"\n",
        std::env::var("PATH").unwrap(),
        folder.path().display().to_string(),
        real.display().to_string()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let farm = Farm::start_with(Some(script)).await;
    let stored = stored(&farm).await;
    for (unit, lie) in
        [("validate/short", "cat > /dev/null; exit 0"), ("validate/error", "echo '[error] a slip' >&2; exit 1")]
    {
        std::fs::write(folder.path().join("lie"), lie).unwrap();
        passed(&farm.run(unit, 0, check_of(&stored.chunks[0])).await);
        assert!(!folder.path().join("lie").exists(), "nobody was lied to");
    }
}
