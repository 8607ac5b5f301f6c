//! An asset for the tables of this module.

use framemill_schemas::{
    asset::{ASSET_VERSION, AssetRecord, AssetState},
    ids::{AssetId, Tenant},
    lane::Priority,
    source::Source,
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
        failure: None,
        published: None,
        collected: 0,
        unsent: Vec::new(),
        trace: TraceContext::default(),
        submitted_ms: 1,
        ended_ms: if state == AssetState::Accepted { 0 } else { 2 },
    }
}
