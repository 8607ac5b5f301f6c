//! A channel with real media becomes a title: copied, checked, packaged, and judged as a whole. Its past is
//! partly folded; it has a gap, filler, and a second timeline whose sound lies otherwise beside its pictures.
#![allow(clippy::unwrap_used)]

#[path = "support/farm.rs"]
mod farm;

use std::process::Command;

use bytes::Bytes;
use farm::Farm;
use framemill_media::{boxes::read_segment, live::keep};
use framemill_schemas::{
    finding::ReportState,
    ids::{ChannelId, JobId, Tenant},
    index::RenditionPart,
    job::{JobRecord, JobState},
    key::digest,
    ladder::{AudioCodec, AudioRung, VideoCodec},
    live::{
        COMMIT_VERSION, Commit, Committed, Cut, LiveClock, LiveSource, SourceFormat, Stretch, TIMELINES_VERSION,
        Timeline, Timelines, TrackCommit, channel_folder, commit_key, folded_folder, folder_of, frame_at_ms,
        init_key as live_init, record_key, segment_key as live_segment,
    },
    object::segment_key,
    rate::{Ratio, timescale_for},
    source::Source,
    spec::{
        AAC_FRAME_SAMPLES, ArchiveSpec, AudioRendition, AudioSpec, JobOutput, JobSpec, PackageSpec, RateControl,
        RungSpec, TranscodeSpec, ValidatePartSpec, ValidateWholeSpec, VideoRendition,
    },
    subject,
};
use uuid::Uuid;

const FOLDER: &str = "vod/default/0198c0de-0000-7000-8000-000000000000/g1-0a1b2c3d";
const FIRST: u64 = 900_000;
/// Numbers from here on are in the log; those before were folded.
const FLOOR: u64 = FIRST + 2;
const SEGMENT_FRAMES: u32 = 50;
/// A time whose sound does not begin with its pictures.
const START_MS: i64 = 1_795_000_000_040;

/// What an encoder made: init and fragments.
struct Made {
    init: Bytes,
    fragments: Vec<Bytes>,
}

fn made(encode: &str, fragments: &str) -> Made {
    let program = std::env::var_os("FRAMEMILL_FFMPEG__FFMPEG").unwrap_or_else(|| "ffmpeg".into());
    let output = Command::new(program)
        .args("-nostdin -v error -f lavfi -i".split(' '))
        .args(encode.split(' '))
        .args(fragments.split(' '))
        .args("-f mp4 pipe:1".split(' '))
        .output()
        .unwrap();
    let bytes = Bytes::from(output.stdout);
    let mut heads: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, kind)| kind == b"moof").map(|(at, _)| at - 4).collect();
    let init = bytes.slice(..heads[0]);
    // What follows the last fragment is no media.
    let end = bytes.windows(4).rposition(|kind| kind == b"mfra").map_or(bytes.len(), |at| at - 4);
    heads.push(end);
    Made { init, fragments: heads.windows(2).map(|pair| bytes.slice(pair[0]..pair[1])).collect() }
}

/// A timeline from a number on, some milliseconds later than its number says.
fn timeline(id: u32, first: u64, late_ms: i64) -> Timeline {
    let rate = Ratio::new(25, 1).unwrap();
    let first_frame = frame_at_ms(START_MS + late_ms, rate) + (first - FIRST) * u64::from(SEGMENT_FRAMES);
    let rate_control = RateControl::Average { bitrate_kbps: 400, maxrate_kbps: 800 };
    Timeline {
        id,
        random: format!("0000000{id}"),
        first,
        first_frame,
        edition: 1,
        source: 0,
        origin: LiveSource::parse("udp://239.0.0.1:5000", false).unwrap(),
        clock: LiveClock { rate, pts: 0, frame: first_frame },
        owner: None,
        format: SourceFormat {
            codec: "h264".to_owned(),
            pixels: "yuv420p".to_owned(),
            width: 160,
            height: 90,
            rate,
            interlaced: false,
            sound: None,
        },
        gop_frames: 25,
        segment_frames: SEGMENT_FRAMES,
        timescale: timescale_for(rate),
        threads: 1,
        codec: VideoCodec::H264,
        nvenc: None,
        rungs: vec![RungSpec {
            name: "90p".to_owned(),
            width: 160,
            height: 90,
            rate_control,
            preset: "ultrafast".to_owned(),
            nvenc: None,
        }],
        audio: vec![AudioRung { name: "stereo".to_owned(), codec: AudioCodec::Aac, channels: 2, bitrate_kbps: 96 }],
        made_ms: 0,
    }
}

/// A channel, as replicas leave it in the store and in the log.
struct Channel {
    tenant: Tenant,
    id: ChannelId,
    cut: Cut,
    /// Sound of each stretch, frame by frame.
    sound: Vec<Vec<Bytes>>,
    /// Pictures of each segment of the title.
    pictures: Vec<Bytes>,
}

impl Channel {
    fn key(&self, rendition: &str, stretch: usize, number: u64) -> String {
        live_segment(&self.cut.stretches[stretch].folder, rendition, number)
    }

    fn source(&self) -> Source {
        let (tenant, channel) = (self.tenant.clone(), self.id.clone());
        Source::Channel { tenant, channel, first: FIRST, last: FIRST + 9 }
    }
}

async fn on_air(farm: &Farm) -> Channel {
    let picture = made(
        "testsrc2=s=160x90:r=25:d=22 -c:v libx264 -preset ultrafast -g 25 -bf 0 -sc_threshold 0 -pix_fmt yuv420p \
         -video_track_timescale 90000",
        "-movflags +cmaf+frag_keyframe+empty_moov+default_base_moof",
    );
    let tone = made(
        "sine=f=440:r=48000:d=30 -c:a aac -ac 2 -b:a 96k",
        "-movflags +cmaf+empty_moov+default_base_moof -frag_duration 1000000",
    );
    // The last one ends with a frame that is not whole.
    let whole = &tone.fragments[..tone.fragments.len() - 1];
    let mut frames = whole.iter().flat_map(|fragment| keep::sound_frames(fragment).unwrap()).skip(4);
    let (tenant, id): (Tenant, ChannelId) = (Tenant::default_tenant(), "news".parse().unwrap());
    let folder = channel_folder(&tenant, &id);
    // The second begins 120 ms later than it should: its sound has another phase.
    let timelines = [timeline(1, FIRST, 0), timeline(2, FIRST + 8, 120)];
    let inits = [&picture.init, &tone.init].map(|init| digest(init)[..16].to_owned());
    for timeline in &timelines {
        let below = format!("{folder}/{}", folder_of(timeline));
        for (name, init, bytes) in [("90p", &inits[0], &picture.init), ("stereo", &inits[1], &tone.init)] {
            farm.put(&live_init(&below, name, init), bytes.clone()).await;
        }
    }
    let (by, node) = (JobId::new(Uuid::from_u128(1)), "node-1".parse().unwrap());
    let mut groups = picture.fragments.chunks_exact(2);
    let (mut commits, mut stretches): (Vec<Commit>, Vec<Stretch>) = (Vec::new(), Vec::new());
    let (mut sound, mut pictures): (Vec<Vec<Bytes>>, Vec<Bytes>) = (Vec::new(), Vec::new());
    for (number, letter) in (FIRST..).zip("ssss-ssfss".chars()) {
        let timeline = timelines.iter().rfind(|timeline| timeline.first <= number).unwrap();
        let below = format!("{folder}/{}", folder_of(timeline));
        let mut tracks = Vec::new();
        if letter == 's' {
            let group = Bytes::from(groups.next().unwrap().concat());
            let (group, _) = keep::pictures(&group, number as u32, timeline.picture_ticks(number).start).unwrap();
            let places = timeline.sound_frames(number);
            let held: Vec<Bytes> = frames.by_ref().take((places.end - places.start) as usize).collect();
            let (tones, _) = keep::sound(number as u32, places.start * AAC_FRAME_SAMPLES, &held).unwrap();
            for (name, init, bytes) in [("90p", &inits[0], &group), ("stereo", &inits[1], &tones)] {
                let stored = farm.put(&live_segment(&below, name, number), bytes.clone()).await;
                tracks.push(TrackCommit { init: init.clone(), bytes: stored.bytes, digest: stored.digest, by });
            }
            pictures.push(group);
            match stretches.last_mut() {
                Some(stretch) if stretch.last + 1 == number && stretch.timeline == timeline.id => stretch.last = number,
                _ => {
                    let first_frame = timeline.frames_of(number).start;
                    let folder = below.clone();
                    stretches.push(Stretch { timeline: timeline.id, folder, first: number, last: number, first_frame });
                    sound.push(Vec::new());
                }
            }
            sound.last_mut().unwrap().extend(held);
        }
        let node: framemill_schemas::ids::NodeId = Clone::clone(&node);
        let what = match letter {
            's' => Committed::Segment { by, node, tracks, flaws: Vec::new() },
            'f' => Committed::Filler { by, node, tracks },
            _ => Committed::Gap { why: "nobody made it in time".to_owned() },
        };
        commits.push(Commit { v: COMMIT_VERSION, timeline: timeline.id, number, what, at_ms: 0 });
    }
    store_log(farm, &tenant, &id, &timelines, &commits).await;
    let first = &timelines[0];
    let cut = Cut {
        rate: first.clock.rate,
        gop_frames: first.gop_frames,
        segment_frames: first.segment_frames,
        timescale: first.timescale,
        codec: first.codec,
        rungs: first.rungs.clone(),
        audio: first.audio.clone(),
        inits: inits.to_vec(),
        stretches,
        left_out: Vec::new(),
        bytes: 0,
        from_ms: 0,
        to_ms: 0,
    };
    Channel { tenant, id, cut, sound, pictures }
}

async fn store_log(farm: &Farm, tenant: &Tenant, id: &ChannelId, timelines: &[Timeline], commits: &[Commit]) {
    let (folded, log): (Vec<&Commit>, Vec<&Commit>) = commits.iter().partition(|commit| commit.number < FLOOR);
    let index = serde_json::json!({
        "v": 1, "first": FIRST, "end": FLOOR, "before": null, "breaks": 0, "timelines": [timelines[0]],
        "commits": folded,
    });
    let key = format!("{}{FIRST}.json", folded_folder(&channel_folder(tenant, id)));
    farm.put(&key, serde_json::to_vec(&index).unwrap().into()).await;
    for commit in log {
        let records = farm.queue.records(subject::COMMITS_BUCKET);
        records.create(&commit_key(tenant, id, commit.number), commit).await.unwrap();
    }
    let record = Timelines { v: TIMELINES_VERSION, all: timelines.to_vec(), floor: FLOOR, ..Timelines::default() };
    farm.queue.records(subject::TIMELINES_BUCKET).create(&record_key(tenant, id), &record).await.unwrap();
}

/// The job that copies segments `from..to` of the title's pictures.
fn pictures_of(channel: &Channel, from: u64, to: u64) -> JobSpec {
    let (cut, source) = (&channel.cut, channel.source());
    let of = TranscodeSpec {
        identity: source.to_string(),
        source,
        folder: FOLDER.to_owned(),
        stream: 0,
        grid: cut.grid(),
        start_frame: from * u64::from(cut.segment_frames),
        end_frame: to * u64::from(cut.segment_frames),
        seek: Vec::new(),
        deinterlace: false,
        gop_frames: cut.gop_frames,
        segment_frames: cut.segment_frames,
        timescale: cut.timescale,
        threads: 1,
        nvenc: None,
        codec: cut.codec,
        rungs: cut.rungs.clone(),
    };
    let (stretches, inits) = (cut.slice(from, to), vec![cut.inits[0].clone()]);
    JobSpec::Archive(ArchiveSpec { stretches, inits, track: 0, of: Box::new(JobSpec::Transcode(of)) })
}

fn sound_of(channel: &Channel) -> JobSpec {
    let (cut, source) = (&channel.cut, channel.source());
    let of = AudioSpec {
        identity: source.to_string(),
        source,
        folder: FOLDER.to_owned(),
        rendition: "stereo".to_owned(),
        stream: 1,
        grid: cut.grid(),
        segment_frames: cut.segment_frames,
        codec: AudioCodec::Aac,
        channels: 2,
        bitrate_kbps: 96,
        lead_ticks: cut.lead_ticks(),
    };
    let (stretches, inits) = (cut.stretches.clone(), vec![cut.inits[1].clone()]);
    JobSpec::Archive(ArchiveSpec { stretches, inits, track: 1, of: Box::new(JobSpec::Audio(of)) })
}

fn part(job: &JobRecord) -> &RenditionPart {
    match &job.output {
        Some(JobOutput::Parts(parts)) if job.state == JobState::Done => &parts[0],
        _ => panic!("{} is {:?}: {:?}", job.unit, job.state, job.failures),
    }
}

fn check_of(job: &JobRecord) -> JobSpec {
    JobSpec::ValidatePart(ValidatePartSpec { part: job.id, part_key: job.key.clone() })
}

#[track_caller]
fn passed(job: &JobRecord, frames: u64) {
    let Some(JobOutput::Validation(report)) = &job.output else { panic!("{:?}", job.failures) };
    assert_eq!((report.state, report.frames), (ReportState::Passed, frames), "{:?}", report.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_with_real_media_becomes_a_title_of_its_own() {
    let farm = Farm::start().await;
    let channel = on_air(&farm).await;
    let cut = &channel.cut;
    assert_eq!((cut.stretches.len(), cut.segments(), cut.grid().frames), (3, 8, 400));
    assert!(cut.lead_ticks() > 0, "a phase of its own");
    let chunks = [
        farm.run("archive/h264/0000", 0, pictures_of(&channel, 0, 3)).await,
        farm.run("archive/h264/0001", 0, pictures_of(&channel, 3, 8)).await,
    ];
    let sound = farm.run("archive/sound/stereo", 0, sound_of(&channel)).await;
    let mut checks = Vec::new();
    for (job, frames) in [(&chunks[0], 150), (&chunks[1], 250), (&sound, 400)] {
        part(job);
        let check = farm.run(&format!("validate/{}", job.unit), 0, check_of(job)).await;
        passed(&check, frames);
        checks.push(check);
    }

    // Nothing of a picture differs but where it stands.
    for (number, before) in (1_u64..).zip(&channel.pictures) {
        let stored = farm.store.get(&segment_key(FOLDER, "90p", number)).await.unwrap().unwrap();
        let facts = read_segment(&stored.body).unwrap();
        assert_eq!((facts.start_ticks, facts.samples), ((number - 1) * 180_000, 50));
        let (back, _) = keep::pictures(before, (number as u32 - 1) * 2 + 1, (number - 1) * 180_000).unwrap();
        assert_eq!(back, stored.body);
    }

    // Sound is the channel's frame by frame, but for the joints.
    let mut frames = Vec::new();
    for number in 1..=8 {
        let stored = farm.store.get(&segment_key(FOLDER, "stereo", number)).await.unwrap().unwrap();
        frames.extend(keep::sound_frames(&stored.body).unwrap());
    }
    assert_eq!(part(&sound).segments[0].start_ticks, cut.lead_ticks());
    let first = &channel.sound[0];
    assert_eq!(frames[..first.len() - 1], first[..first.len() - 1]);
    let all: usize = channel.sound.iter().map(Vec::len).sum();
    assert!(frames.len().abs_diff(all) <= 3, "{} of {all}", frames.len());
    for stretch in &channel.sound[1..] {
        let at = frames.iter().position(|frame| *frame == stretch[0]).unwrap();
        assert_eq!(frames[at..at + stretch.len() - 1], stretch[..stretch.len() - 1]);
    }

    let package = PackageSpec {
        folder: FOLDER.to_owned(),
        grid: cut.grid(),
        segment_frames: cut.segment_frames,
        gop_frames: cut.gop_frames,
        timescale: cut.timescale,
        rate: cut.rate,
        video: vec![VideoRendition {
            name: "90p".to_owned(),
            codec: cut.codec,
            width: 160,
            height: 90,
            bitrate_kbps: Some(400),
            parts: chunks.iter().map(|job| job.id).collect(),
        }],
        audio: vec![AudioRendition {
            name: "stereo".to_owned(),
            rung: "stereo".to_owned(),
            channels: 2,
            bitrate_kbps: 96,
            language: None,
            label: "Audio 1".to_owned(),
            default: true,
            part: sound.id,
        }],
    };
    let packaged = farm.run("package", 0, JobSpec::Package(package.clone())).await;
    assert_eq!(packaged.state, JobState::Done, "{:?}", packaged.failures);
    let parts = checks.iter().map(|job| job.id).collect();
    let whole = JobSpec::ValidateWhole(ValidateWholeSpec { package, package_job: packaged.id, parts });
    passed(&farm.run("validate/whole", 0, whole.clone()).await, 400);

    // The channel's segments leave the store; the title stays.
    let keys: Vec<String> = farm.store.list("live/").await.unwrap().into_iter().map(|object| object.key).collect();
    farm.store.delete(&keys).await.unwrap();
    passed(&farm.run("validate/again", 0, check_of(&chunks[1])).await, 250);
    passed(&farm.run("validate/whole", 1, whole).await, 400);
    // Whoever comes later is told, and nothing is tried again.
    let late = farm.run("archive/late", 0, pictures_of(&channel, 0, 3)).await;
    assert_eq!((late.state, late.failures[0].code.as_str(), late.attempt), (JobState::Failed, "span-not-kept", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_swept_or_changed_is_told() {
    let farm = Farm::start().await;
    let channel = on_air(&farm).await;
    let failed = async |unit: &str, spec: JobSpec| {
        let job = farm.run(unit, 0, spec).await;
        assert_eq!((job.state, job.attempt), (JobState::Failed, 1), "{:?}", job.failures);
        let failure = job.failures.last().unwrap().clone();
        assert!(failure.mend.is_some());
        failure.code
    };
    farm.store.delete(&[channel.key("90p", 0, FIRST)]).await.unwrap();
    assert_eq!(failed("archive/gone", pictures_of(&channel, 0, 3)).await, "span-not-kept");
    farm.replace(&channel.key("stereo", 2, FIRST + 9), |body| body[100] ^= 1).await;
    assert_eq!(failed("archive/sound/changed", sound_of(&channel)).await, "segment-changed");
    // A number that was never committed as this timeline's.
    let mut spec = pictures_of(&channel, 3, 8);
    if let JobSpec::Archive(spec) = &mut spec {
        spec.stretches[0].timeline = 7;
    }
    assert_eq!(failed("archive/other", spec).await, "span-not-kept");
}
