//! An asset and a job for the tables of this crate.

use framemill_schemas::{
    asset::{ASSET_VERSION, AssetRecord, AssetState},
    ids::{AssetId, JobId, Tenant},
    job::{JOB_VERSION, JobKind, JobRecord, JobState},
    key::job_key,
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
    JobRecord {
        v: JOB_VERSION,
        id: JobId::derive(asset.id, 1, "probe", 0),
        key: job_key(&spec, 0),
        asset: asset.id,
        generation: 1,
        unit: "probe".to_owned(),
        round: 0,
        tenant: asset.tenant,
        lane: Lane::Plain { kind: JobKind::Probe, priority: Priority::Standard },
        spec,
        state,
        attempt: 0,
        spent: 0,
        holder: None,
        failures: Vec::new(),
        output: None,
        unsent: Vec::new(),
        trace: TraceContext::default(),
        ready_ms: 1,
        claimed_ms: 0,
        ended_ms: 0,
        avoid: None,
    }
}
