//! An asset and a job for the tables of this crate.

use framemill_schemas::{
    asset::{ASSET_VERSION, AssetRecord, AssetState},
    ids::{AssetId, Tenant},
    job::{JobKind, JobRecord, JobState},
    lane::{Lane, Priority},
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
    }
}

pub(crate) fn job(state: JobState) -> JobRecord {
    let asset = asset(AssetState::Accepted);
    let spec = JobSpec::Probe(ProbeSpec { source: asset.source });
    let lane = Lane::Plain { kind: JobKind::Probe, priority: Priority::Standard };
    JobRecord { state, ..JobRecord::ready(asset.id, 1, "probe".to_owned(), asset.tenant, lane, spec, 1) }
}
