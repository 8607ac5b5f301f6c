//! When a purge is completed, and what is told of it. Pure.

use framemill_schemas::{
    delivery::{AdapterStatus, PURGE_VERSION, Purge, PurgeState, PurgeStatus},
    event::{Event, EventData},
    ids::NodeId,
};

use crate::view::{Edges, PurgeEntry};

/// What a decision about a purge follows from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    /// How far every edge is.
    pub edges: &'a Edges,
    /// Caches of others, by name.
    pub adapters: &'a [String],
    /// Now, Unix milliseconds.
    pub now_ms: i64,
    /// Whether it is written who is waited for though nothing else changes: not at every acknowledgement.
    pub refresh: bool,
}

/// Edges that have not acknowledged a place.
pub(crate) fn waiting(edges: &Edges, sequence: u64) -> Vec<NodeId> {
    edges.values().filter(|edge| edge.applied < sequence).map(|edge| edge.edge.clone()).collect()
}

/// Takes a purge.
/// Returns its status as it is to be written: begun, with `purge.requested` to be sent; completed, with
/// `purge.completed`; or with the edges that are still waited for.
/// Guards: nothing leaves completed, whatever edges come later: they read all purges before they serve.
pub(crate) fn next(entry: &PurgeEntry, facts: &Facts<'_>) -> Option<PurgeStatus> {
    let before = entry.status.as_ref().map(|(status, _)| status.as_ref());
    if before.is_some_and(|status| status.state == PurgeState::Completed) {
        return None;
    }
    let waiting = waiting(facts.edges, entry.sequence);
    let acknowledged = u32::try_from(facts.edges.len() - waiting.len()).unwrap_or(u32::MAX);
    let is_completed = waiting.is_empty();
    if let Some(before) = before
        && !is_completed
        && (!facts.refresh || (before.waiting == waiting && before.acknowledged == acknowledged))
    {
        return None;
    }
    let mut status = before.cloned().unwrap_or_else(|| begun(entry, facts));
    status.waiting = waiting;
    status.acknowledged = acknowledged;
    if is_completed {
        status.state = PurgeState::Completed;
        status.completed_ms = Some(facts.now_ms);
        let event = event(&entry.purge, "completed", "", None, facts.now_ms);
        status.unsent.push(event);
    }
    Some(status)
}

/// The first status of a purge, with `purge.requested` to be sent.
fn begun(entry: &PurgeEntry, facts: &Facts<'_>) -> PurgeStatus {
    let purge = &entry.purge;
    let adapter = |name: &String| AdapterStatus { name: name.clone(), ..AdapterStatus::default() };
    PurgeStatus {
        v: PURGE_VERSION,
        id: purge.id,
        tenant: purge.tenant.clone(),
        sequence: entry.sequence,
        state: PurgeState::Running,
        waiting: Vec::new(),
        acknowledged: 0,
        requested_ms: purge.requested_ms,
        completed_ms: None,
        adapters: facts.adapters.iter().map(adapter).collect(),
        unsent: vec![event(purge, "requested", "", None, facts.now_ms)],
    }
}

/// An event about a purge: each happens once to one purge, so decided twice it is one. `about` tells apart two of a
/// kind.
pub(crate) fn event(purge: &Purge, what: &str, about: &str, reason: Option<String>, now_ms: i64) -> Event {
    let kind = format!("purge.{what}");
    let data = EventData {
        purge_id: Some(purge.id),
        status: Some(what.to_owned()),
        output_uri: Some(purge.tags.join(" ")).filter(|tags| tags.len() <= TOLD_CHARS_MAX),
        reason,
        ..EventData::default()
    };
    Event::derive(&purge.id.to_string(), &format!("{kind}/{about}"), kind, &purge.tenant, now_ms, data)
}

/// Longest list of tags that an event tells; longer ones are looked up by the purge's id.
const TOLD_CHARS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use framemill_schemas::delivery::{EDGE_VERSION, EdgeRecord, PurgeCause, PurgeId};

    use super::*;

    fn edges(applied: &[u64]) -> Edges {
        let edge = |(index, applied): (usize, &u64)| {
            let edge: NodeId = format!("edge-{index}").parse().unwrap();
            let record = EdgeRecord {
                v: EDGE_VERSION,
                edge: edge.clone(),
                url: String::new(),
                zone: None,
                started_ms: 1,
                applied: *applied,
                applied_ms: 1,
            };
            (edge, record)
        };
        applied.iter().enumerate().map(edge).collect()
    }

    fn entry(sequence: u64, status: Option<PurgeStatus>) -> PurgeEntry {
        let purge = Purge {
            v: PURGE_VERSION,
            id: PurgeId::derive("test"),
            tenant: "acme".parse().unwrap(),
            tags: vec!["channel:acme/news".to_owned()],
            refuse: false,
            cause: PurgeCause::Request,
            requested_ms: 5,
        };
        PurgeEntry { purge: Arc::new(purge), sequence, status: status.map(|status| (Arc::new(status), 9)) }
    }

    fn kinds(status: &PurgeStatus) -> Vec<&str> {
        status.unsent.iter().map(|event| event.kind.as_str()).collect()
    }

    #[test]
    fn a_purge_is_completed_once_every_edge_is_there() {
        let adapters = ["fastly/x".to_owned()];
        for (applied, waits, acknowledged) in
            [(&[][..], 0, 0), (&[7], 0, 1), (&[8, 9], 0, 2), (&[6], 1, 0), (&[7, 6, 8], 1, 2), (&[0, 0, 0], 3, 0)]
        {
            let edges = edges(applied);
            let facts = Facts { edges: &edges, adapters: &adapters, now_ms: 10, refresh: false };
            let status = next(&entry(7, None), &facts).unwrap();
            assert_eq!((status.waiting.len(), status.acknowledged), (waits, acknowledged), "{applied:?}");
            assert_eq!(status.adapters.len(), 1);
            let done = waits == 0;
            assert_eq!(status.state == PurgeState::Completed, done, "{applied:?}");
            assert_eq!(status.completed_ms, done.then_some(10));
            let expected = if done { vec!["purge.requested", "purge.completed"] } else { vec!["purge.requested"] };
            assert_eq!(kinds(&status), expected);
        }
    }

    #[test]
    fn it_is_written_when_it_changes_and_not_at_every_acknowledgement() {
        let (none, one, all) = (edges(&[6, 6]), edges(&[7, 6]), edges(&[7, 7]));
        let at = |edges, refresh| Facts { edges, adapters: &[], now_ms: 10, refresh };
        let begun = next(&entry(7, None), &at(&none, false)).unwrap();
        let running = entry(7, Some(PurgeStatus { unsent: Vec::new(), ..begun.clone() }));
        assert_eq!(next(&running, &at(&none, true)), None, "nothing changed");
        assert_eq!(next(&running, &at(&one, false)), None, "not at once");
        let refreshed = next(&running, &at(&one, true)).unwrap();
        assert_eq!((refreshed.waiting.len(), refreshed.acknowledged, refreshed.unsent.len()), (1, 1, 0));
        let completed = next(&running, &at(&all, false)).unwrap();
        assert_eq!((completed.state, kinds(&completed)), (PurgeState::Completed, vec!["purge.completed"]));
        // A new edge that has applied nothing yet takes nothing back.
        let completed = entry(7, Some(completed));
        assert_eq!(next(&completed, &at(&edges(&[7, 7, 0]), true)), None);
    }

    #[test]
    fn decided_twice_it_is_one_event() {
        let edges = edges(&[7]);
        let ids = |now_ms| {
            let facts = Facts { edges: &edges, adapters: &[], now_ms, refresh: false };
            next(&entry(7, None), &facts).unwrap().unsent.iter().map(|event| event.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(10), ids(11));
        assert_ne!(ids(10)[0], ids(10)[1]);
    }
}
