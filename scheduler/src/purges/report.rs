//! A purge as it is shown, and whether what it names is gone.

use std::collections::HashSet;

use framemill_schemas::delivery::{AdapterState, PurgeReport, PurgeState, PurgeView, tags_of};
use framemill_storage::{Store, StoreError};

use super::{prefix_of, waiting};
use crate::view::{Edges, PurgeEntry, View};

/// Kinds of caches that know addresses and no tags.
const BY_ADDRESS: [&str; 2] = ["nginx/", "cloudfront/"];
/// Objects that a report names.
const EXAMPLES_MAX: usize = 10;

/// The purge as it is shown. Who is waited for is as the edges say now; that it is completed is what is written.
pub(crate) fn shown(entry: &PurgeEntry, edges: &Edges) -> PurgeView {
    let purge = &entry.purge;
    let status = entry.status.as_ref().map(|(status, _)| status);
    let state = status.map_or(PurgeState::Running, |status| status.state);
    let (waiting, acknowledged) = match (status, state) {
        // Whoever came later has read it before it served.
        (Some(status), PurgeState::Completed) => (Vec::new(), status.acknowledged),
        _ => {
            let waiting = waiting(edges, entry.sequence);
            let acknowledged = u32::try_from(edges.len() - waiting.len()).unwrap_or(u32::MAX);
            (waiting, acknowledged)
        }
    };
    PurgeView {
        id: purge.id,
        tenant: purge.tenant.clone(),
        tags: purge.tags.clone(),
        refuse: purge.refuse,
        cause: purge.cause.clone(),
        sequence: entry.sequence,
        state,
        waiting,
        acknowledged,
        adapters: status.map(|status| status.adapters.clone()).unwrap_or_default(),
        requested_ms: purge.requested_ms,
        completed_ms: status.and_then(|status| status.completed_ms),
    }
}

/// Looks whether what a purge names is gone from everywhere. The store is looked at first: what is said of the edges
/// is newer than that.
pub(crate) async fn report(store: &Store, view: &View, entry: PurgeEntry) -> Result<PurgeReport, StoreError> {
    let (objects_left, examples) = left(store, &entry).await?;
    let purge = shown(&view.purge(entry.purge.id).unwrap_or(entry), &view.edges());
    let confirmed = purge.adapters.iter().all(|adapter| adapter.state == AdapterState::Completed);
    let gone = objects_left == 0 && confirmed && purge.state == PurgeState::Completed;
    let names = purge.adapters.iter().map(|adapter| adapter.name.clone());
    let by_address = names.filter(|name| BY_ADDRESS.iter().any(|kind| name.starts_with(kind))).collect();
    Ok(PurgeReport { purge, gone, objects_left, examples, by_address })
}

/// Objects in the store that have one of a purge's tags, and the first of them.
async fn left(store: &Store, entry: &PurgeEntry) -> Result<(u64, Vec<String>), StoreError> {
    let tags: HashSet<&str> = entry.purge.tags.iter().map(String::as_str).collect();
    let (mut count, mut examples) = (0, Vec::new());
    for prefix in prefixes(&entry.purge.tags, &entry.purge.tenant) {
        let mut after: Option<String> = None;
        loop {
            let page = store.list_page(&prefix, after.as_deref()).await?;
            let Some(last) = page.last().map(|object| object.key.clone()) else { break };
            for object in page {
                if tags_of(&object.key).iter().any(|tag| tags.contains(tag.as_str())) {
                    count += 1;
                    if examples.len() < EXAMPLES_MAX {
                        examples.push(object.key);
                    }
                }
            }
            after = Some(last);
        }
    }
    Ok((count, examples))
}

/// What has to be listed for tags: each object is met once.
fn prefixes(tags: &[String], tenant: &framemill_schemas::ids::Tenant) -> Vec<String> {
    let mut all: Vec<String> = tags.iter().flat_map(|tag| prefix_of(tag, tenant)).collect();
    all.sort();
    // What lies below another prefix comes right behind it.
    all.dedup_by(|next, before| next.starts_with(before.as_str()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_listed_twice() {
        let tags = ["timeline:a/news/t1-00c0ffee", "channel:a/news", "object:live/a/news/master.m3u8", "channel:a/old"];
        let tags: Vec<String> = tags.map(str::to_owned).to_vec();
        assert_eq!(prefixes(&tags, &"a".parse().unwrap()), ["live/a/news/", "live/a/old/"]);
    }
}
