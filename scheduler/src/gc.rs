//! One look at everything that is stored, and at every record, for what has outlived its use; and
//! collecting it. The same pass shows and does: what a dry run lists is what would be deleted.

use std::collections::BTreeSet;

use framemill_queue::RecordError;
use framemill_schemas::{
    api::{Garbage, GarbageObject, GarbageRecord},
    asset::AssetRecord,
    ids::{AssetId, JobId},
    object::{Place, TITLES, place},
    subject,
};
use framemill_storage::Listed;

use crate::{
    clock::now_ms,
    loops::collect::{CollectError, Collector, is_settled, tick},
    ops,
    shred::shred,
    view::AssetEntry,
};

/// Most items of each kind in an answer.
const SHOWN_MAX: usize = 1000;
/// Most objects that one pass collects; the rest waits for the next.
const OBJECTS_MAX: usize = 100_000;
/// Assets without a record that are always believed; beyond it they must be fewer than those that
/// have one. A farm that was pointed at the wrong NATS would otherwise delete a library.
const STRANGERS_MAX: usize = 16;

/// What a pass does with what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Nothing.
    Dry,
    /// Deletes it.
    Collect,
}

/// What one look found.
#[derive(Default)]
struct Found {
    objects: Vec<GarbageObject>,
    strangers: Vec<GarbageObject>,
    stranger_assets: BTreeSet<AssetId>,
    jobs: Vec<(AssetId, JobId, &'static str)>,
    over: Vec<AssetId>,
    held_back: Vec<String>,
}

/// Looks at everything once.
pub async fn pass(collector: &Collector, pass: Pass) -> Result<Garbage, CollectError> {
    let mut found = Found::default();
    records(collector, &mut found);
    objects(collector, &mut found).await?;
    let known = collector.view.assets().len();
    let strangers = found.stranger_assets.len();
    if strangers > known.max(STRANGERS_MAX) && !found.strangers.is_empty() {
        found.held_back.push(format!(
            "{} objects of {strangers} assets without a record, where {known} have one: is this the NATS of this store?",
            found.strangers.len()
        ));
    } else {
        found.objects.append(&mut found.strangers);
    }
    let garbage = tell(&found, pass == Pass::Dry);
    if pass == Pass::Collect {
        collect(collector, &found).await?;
    }
    Ok(garbage)
}

/// Records whose time is over, by the view.
fn records(collector: &Collector, found: &mut Found) {
    let Collector { view, retention, .. } = collector;
    let now_ms = now_ms();
    for entry in view.assets() {
        let asset = &entry.record;
        if retention.is_over(asset, now_ms) {
            found.over.push(asset.id);
            continue;
        }
        let jobs = view.jobs_of(asset.id);
        found.jobs.extend(retention.jobs(asset, &jobs, now_ms).into_iter().map(|(job, why)| (asset.id, job.id, why)));
    }
    let strays = view.strays();
    // A channel's jobs are its controller's to forget.
    let channels = view.channel_assets();
    let old = strays.iter().filter(|job| !channels.contains(&job.asset) && retention.is_stray(job, now_ms));
    found.jobs.extend(old.map(|job| (job.asset, job.id, "there is no such asset")));
}

/// Walks over all titles in the store, in the order of their keys, one asset at a time.
async fn objects(collector: &Collector, found: &mut Found) -> Result<(), CollectError> {
    let mut after: Option<String> = None;
    let mut held: Vec<(Place, Listed)> = Vec::new();
    loop {
        let page = collector.store.list_page(TITLES, after.as_deref()).await?;
        let Some(last) = page.last() else { break };
        // A store that does not know "start after" would show its first page for ever.
        if after.as_ref().is_some_and(|after| last.key <= *after) {
            found.held_back.push("everything behind the first objects: the store's listing does not go on".to_owned());
            break;
        }
        after = Some(last.key.clone());
        for object in page {
            // What this farm did not name is not its garbage.
            let Some(place) = place(&object.key) else { continue };
            if held.first().is_some_and(|(first, _)| first.asset != place.asset) {
                judge(collector, std::mem::take(&mut held), found).await?;
            }
            held.push((place, object));
        }
        if found.objects.len() + found.strangers.len() >= OBJECTS_MAX {
            found.held_back.push(format!("everything behind the first {OBJECTS_MAX} objects, until the next pass"));
            return Ok(());
        }
    }
    judge(collector, held, found).await
}

/// Judges the objects of one asset by its record, read after they were listed.
async fn judge(collector: &Collector, listed: Vec<(Place, Listed)>, found: &mut Found) -> Result<(), CollectError> {
    let Some((Place { asset: id, .. }, _)) = listed.first() else { return Ok(()) };
    let now_ms = now_ms();
    let id = *id;
    let entry = match collector.queue.assets().get(&id.to_string()).await {
        Ok(entry) => entry.map(|(record, revision)| AssetEntry { record, revision }),
        // A record of a newer format, or a broken one: its objects are its own business.
        Err(RecordError::Wire(error)) => {
            found.held_back.push(format!("the objects of {id}, whose record cannot be read: {error}"));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let settled = entry.as_ref().is_some_and(|entry| is_settled(&collector.view, entry, now_ms));
    let record: Option<&AssetRecord> = entry.as_ref().map(|entry| &entry.record);
    let garbage = collector.retention.objects(record, &listed, settled, now_ms);
    if record.is_some() {
        found.objects.extend(garbage);
    } else {
        // Counted whether its objects are old enough or not.
        found.stranger_assets.insert(id);
        found.strangers.extend(garbage);
    }
    Ok(())
}

async fn collect(collector: &Collector, found: &Found) -> Result<(), CollectError> {
    let Collector { queue, store, view, .. } = collector;
    shred(queue, store, &found.objects).await?;
    for id in &found.over {
        // Whoever was faster removed or retried it.
        if let Err(error) = ops::remove(queue, *id, |_| true).await {
            tracing::warn!(asset = %id, %error, "asset is removed later");
        }
    }
    let mut folded: Option<(AssetId, bool)> = None;
    for (asset, job, _) in &found.jobs {
        if folded.is_none_or(|(id, _)| id != *asset) {
            folded = Some((*asset, may_forget(collector, *asset).await?));
        }
        if folded.is_some_and(|(_, may)| may) {
            forget(collector, *asset, *job).await?;
        }
    }
    // What is doomed has more than objects.
    for entry in view.assets() {
        tick(collector, &entry).await?;
    }
    Ok(())
}

/// Whether the jobs of an asset may be forgotten: where it is published, its index must be there,
/// by the record and the store as they are now.
async fn may_forget(collector: &Collector, id: AssetId) -> Result<bool, CollectError> {
    let Some((asset, _)) = collector.queue.assets().get(&id.to_string()).await? else { return Ok(true) };
    let Some(published) = &asset.published else { return Ok(true) };
    let Some(index) = &published.index else { return Ok(false) };
    let there = collector.store.head(&index.key).await?;
    Ok(there.is_some_and(|(stored, _)| (stored.bytes, &stored.etag) == (index.bytes, &index.etag)))
}

/// Deletes the record of a job that is at its end and has told so.
async fn forget(collector: &Collector, asset: AssetId, job: JobId) -> Result<(), CollectError> {
    let key = subject::job_record(asset, job);
    let Some((record, revision)) = collector.queue.jobs().get(&key).await? else { return Ok(()) };
    if !record.state.is_terminal() || !record.unsent.is_empty() {
        return Ok(());
    }
    match collector.queue.jobs().delete(&key, revision).await {
        Ok(()) | Err(RecordError::Fenced) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn tell(found: &Found, dry_run: bool) -> Garbage {
    let over = found.over.iter().map(|id| (*id, None, "it came to nothing long ago"));
    let records = found.jobs.iter().map(|(asset, job, why)| (*asset, Some(*job), *why)).chain(over);
    let records: Vec<_> = records.map(|(asset, job, why)| GarbageRecord { asset, job, why: why.to_owned() }).collect();
    Garbage {
        dry_run,
        objects: found.objects.iter().take(SHOWN_MAX).cloned().collect(),
        objects_total: found.objects.len() as u64,
        bytes_total: found.objects.iter().map(|object| object.bytes).sum(),
        records_total: records.len() as u64,
        records: records.into_iter().take(SHOWN_MAX).collect(),
        held_back: found.held_back.clone(),
    }
}
