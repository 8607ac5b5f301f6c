//! An asset, a job and a channel for the tables of this crate.

use framemill_schemas::{
    asset::{ASSET_VERSION, AssetRecord, AssetState},
    ids::{AssetId, Tenant},
    job::{JobKind, JobRecord, JobState},
    lane::{Lane, Priority},
    live::{Access, CHANNEL_VERSION, ChannelRecord, ChannelState, Edition, LiveSource, Observability, Upkeep, Wanted},
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
