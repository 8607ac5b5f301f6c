//! An asset, a job and a channel for the tables of this crate.

use framemill_schemas::{
    asset::{ASSET_VERSION, AssetRecord, AssetState},
    ids::{AssetId, Tenant},
    job::{JobKind, JobRecord, JobState},
    ladder::VideoCodec,
    lane::{Lane, Priority},
    live::{
        Access, CHANNEL_VERSION, ChannelRecord, ChannelState, Edition, LiveClock, LiveSource, Observability, OnAir,
        SourceFormat, Timeline, Upkeep, Wanted,
    },
    rate::{Ratio, timescale_for},
    source::Source,
    spec::{JobSpec, ProbeSpec},
    submission::DEFAULT_LADDER,
    trace::TraceContext,
};
use uuid::Uuid;

pub(crate) fn asset(state: AssetState) -> AssetRecord {
    AssetRecord {
        v: ASSET_VERSION,
        id: AssetId::new(Uuid::from_u128(7)),
        tenant: Tenant::default_tenant(),
        source: Source::Http("https://example.net/a.mp4".to_owned()),
        ladder: crate::ladders::Ladders::load(None).unwrap().get(DEFAULT_LADDER).unwrap(),
        priority: Priority::Standard,
        state,
        generation: super::generation(1),
        slots: 1,
        hardware: Vec::new(),
        failure: None,
        published: None,
        collected: 0,
        unsent: Vec::new(),
        trace: TraceContext::default(),
        submitted_ms: 1,
        ended_ms: if state == AssetState::Accepted { 0 } else { 2 },
        repair: None,
        repaired_ms: 0,
        anew: 0,
        shown: None,
        cut: None,
    }
}

pub(crate) fn job(state: JobState) -> JobRecord {
    let asset = asset(AssetState::Accepted);
    let spec = JobSpec::Probe(ProbeSpec { source: asset.source });
    let lane = Lane::Plain { kind: JobKind::Probe, priority: Priority::Standard };
    JobRecord { state, ..JobRecord::ready(asset.id, 1, "probe".to_owned(), asset.tenant, lane, spec, 1) }
}

/// A channel of two replicas, none of which is placed yet.
pub(crate) fn channel(wanted: Wanted) -> ChannelRecord {
    let ladder = crate::ladders::Ladders::load(None).unwrap().get(DEFAULT_LADDER).unwrap();
    ChannelRecord {
        v: CHANNEL_VERSION,
        tenant: Tenant::default_tenant(),
        id: "news".parse().unwrap(),
        asset: AssetId::new(Uuid::from_u128(9)),
        edition: Edition {
            number: 1,
            sources: vec![LiveSource::parse("udp://239.0.0.1:5000", false).unwrap()],
            segment_ms: ladder.segment_s,
            ladder,
            redundancy: 2,
            window_s: 60,
            timeshift_s: 0,
            return_after_s: 30,
            access: Access::default(),
            observability: Observability::default(),
        },
        wanted,
        on_air: OnAir::default(),
        state: if wanted == Wanted::Running { ChannelState::Starting } else { ChannelState::Stopped },
        why: None,
        replicas: Vec::new(),
        placed: 0,
        shunned: Vec::new(),
        upkeep: Upkeep::default(),
        unsent: Vec::new(),
        trace: TraceContext::default(),
        made_ms: 1,
        since_ms: 1,
    }
}

/// A timeline of segments of a hundred frames, from a number on, counted from the epoch.
pub(crate) fn timeline(rate: Ratio, first: u64) -> Timeline {
    Timeline {
        id: 1,
        random: "00c0ffee".to_owned(),
        first,
        first_frame: first * 100,
        edition: 1,
        source: 0,
        origin: LiveSource::parse("udp://239.0.0.1:5000", false).unwrap(),
        clock: LiveClock { rate, pts: 0, frame: 0 },
        owner: None,
        format: SourceFormat {
            codec: "h264".to_owned(),
            pixels: "yuv420p".to_owned(),
            width: 1280,
            height: 720,
            rate,
            interlaced: false,
            sound: None,
        },
        gop_frames: 50,
        segment_frames: 100,
        timescale: timescale_for(rate),
        threads: 1,
        codec: VideoCodec::H264,
        nvenc: None,
        rungs: Vec::new(),
        audio: Vec::new(),
        made_ms: 1,
    }
}
