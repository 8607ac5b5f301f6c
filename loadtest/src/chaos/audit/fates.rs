//! What became of each title that was accepted, and whether the faults explain it. Pure.

use std::collections::BTreeMap;

use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    failure::Class,
    finding::Finding,
    ids::AssetId,
};
use serde::Serialize;

/// How many titles came to which end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fates {
    /// Titles whose submission was answered with their id.
    pub accepted: u64,
    /// Of these, submitted a second time under the same key.
    pub submitted_twice: u64,
    /// Published.
    pub published: u64,
    /// Failed, by the failure's code.
    pub failed: BTreeMap<String, u64>,
    /// Without a record, or without an end.
    pub lost: u64,
}

/// Kinds of faults (or how they begin) that explain a failure's code; the first fitting row counts.
const EXPLAINED: [(&str, &[&str]); 9] = [
    ("holder-lost", &["kill worker", "kill packager", "stop worker", "stop packager", "network nats", "kill nats"]),
    ("ffmpeg-killed", &["kill ffmpeg"]),
    ("ffmpeg-crashed", &["ffmpeg crash"]),
    ("ffmpeg-stalled", &["ffmpeg hang", "stop ffmpeg"]),
    ("source-breaks-encoder", &["ffmpeg crash", "kill ffmpeg"]),
    ("source-truncated", &["ffmpeg short"]),
    ("source-short", &["ffmpeg short"]),
    ("object-taken", &["kill worker", "stop worker", "network store"]),
    ("store-", &["store ", "network store"]),
];

/// Counts the ends; `kinds` says how often each kind of fault struck.
pub fn judge(
    accepted: &[AssetId],
    assets: &BTreeMap<AssetId, AssetRecord>,
    kinds: &BTreeMap<String, u64>,
) -> (Fates, Vec<Finding>) {
    let mut fates = Fates { accepted: accepted.len() as u64, ..Fates::default() };
    let mut findings = Vec::new();
    for id in accepted {
        let Some(asset) = assets.get(id) else {
            fates.lost += 1;
            findings.push(Finding::error(
                "asset-lost",
                id.to_string(),
                "no record",
                "published, or failed with a class",
            ));
            continue;
        };
        match asset.state {
            AssetState::Published => fates.published += 1,
            AssetState::Failed => {
                let (code, class, reason) = asset.failure.as_ref().map_or(("none", None, "no failure"), |failure| {
                    (failure.code.as_str(), Some(failure.class), failure.reason.as_str())
                });
                *fates.failed.entry(code.to_owned()).or_default() += 1;
                if class == Some(Class::Bug) || !is_explained(code, kinds) {
                    let class = class.map_or("no class", Class::as_str);
                    let said = format!("failed as {class}/{code}: {reason}");
                    findings.push(Finding::error(
                        "asset-failed",
                        id.to_string(),
                        said,
                        "published, or a failure that the faults explain",
                    ));
                }
            }
            state => {
                fates.lost += 1;
                let said = format!("{} when everything else was at rest", state.as_str());
                findings.push(Finding::error("asset-stuck", id.to_string(), said, "published, or failed with a class"));
            }
        }
    }
    (fates, findings)
}

fn is_explained(code: &str, kinds: &BTreeMap<String, u64>) -> bool {
    let row = EXPLAINED.iter().find(|(begins, _)| code.starts_with(begins));
    row.is_some_and(|(_, by)| kinds.keys().any(|kind| by.iter().any(|begins| kind.starts_with(begins))))
}

#[cfg(test)]
mod tests {
    use framemill_schemas::{
        asset::ASSET_VERSION, failure::Failure, ids::Tenant, ladder::Ladder, lane::Priority, object::Generation,
        source::Source, trace::TraceContext,
    };
    use uuid::Uuid;

    use super::*;

    fn asset(number: u128, state: &str, failure: Option<Failure>) -> AssetRecord {
        let ladder = serde_json::json!({
            "name": "l", "gop_s": 1, "segment_s": 2,
            "video": [{"name": "v", "codec": "h264", "height": 64, "bitrate_kbps": 100, "maxrate_kbps": 120}],
        });
        let record = serde_json::json!({
            "v": ASSET_VERSION, "id": AssetId::new(Uuid::from_u128(number)), "tenant": Tenant::default_tenant(),
            "source": Source::Path("/a".into()), "ladder": Ladder::from_value(ladder).unwrap(),
            "priority": Priority::Standard, "state": state,
            "generation": Generation { number: 1, random: "0".repeat(8) }, "slots": 1, "failure": failure,
            "trace": TraceContext::default(), "submitted_ms": 1,
        });
        serde_json::from_value(record).unwrap()
    }

    fn codes(state: &str, failure: Option<Failure>, kinds: &[&str]) -> Vec<String> {
        let record = asset(1, state, failure);
        let kinds = kinds.iter().map(|kind| ((*kind).to_owned(), 1)).collect();
        let (_, findings) = judge(&[record.id], &BTreeMap::from([(record.id, record)]), &kinds);
        findings.into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn only_what_the_faults_explain_may_fail() {
        let lost = || Some(Failure::new(Class::Transient, "holder-lost", "x"));
        assert_eq!(codes("published", None, &[]), Vec::<String>::new());
        assert_eq!(codes("failed", lost(), &["kill worker"]), Vec::<String>::new());
        assert_eq!(codes("failed", lost(), &["store full"]), ["asset-failed"]);
        assert_eq!(
            codes("failed", Some(Failure::new(Class::Resource, "store-full", "x")), &["store full"]),
            Vec::<String>::new()
        );
        assert_eq!(
            codes("failed", Some(Failure::new(Class::Bug, "store-full", "x")), &["store full"]),
            ["asset-failed"]
        );
        assert_eq!(codes("failed", Some(Failure::input("source-damaged", "x")), &["ffmpeg short"]), ["asset-failed"]);
        assert_eq!(codes("failed", None, &["kill worker"]), ["asset-failed"]);
        assert_eq!(codes("accepted", None, &["kill worker"]), ["asset-stuck"]);
    }

    #[test]
    fn an_accepted_title_without_a_record_is_lost() {
        let (fates, findings) = judge(&[AssetId::new(Uuid::from_u128(9))], &BTreeMap::new(), &BTreeMap::new());
        assert_eq!((fates.lost, findings[0].code.as_str()), (1, "asset-lost"));
    }
}
