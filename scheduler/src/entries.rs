//! Entry manifests: the two small mutable objects of an asset, copies of what its record says is
//! published. They are put right where they differ.

use std::{
    collections::HashSet,
    sync::{MutexGuard, PoisonError},
};

use framemill_schemas::{
    asset::{AssetRecord, AssetState, Published},
    ids::AssetId,
    object::{self, Generation, MASTER_PLAYLIST, MPD, StoredObject, asset_folder, content_type},
};
use framemill_storage::Meta;

use crate::{
    act::{ActError, Actor},
    clock::now_ms,
    purges,
    view::AssetEntry,
};

/// A published asset.
fn published(asset: &AssetRecord) -> Option<&Published> {
    asset.published.as_ref().filter(|_| asset.state == AssetState::Published)
}

impl Actor {
    /// Puts the entry manifests of an asset right, unless this process has seen that they are.
    pub(crate) async fn mend_entries(&self, entry: &AssetEntry) -> Result<(), ActError> {
        let Some(published) = published(&entry.record) else { return Ok(()) };
        let known = (entry.record.id, published.generation.clone());
        if self.entries_right().contains(&known) {
            return Ok(());
        }
        self.look_at_entries(&entry.record).await?;
        // After they are right: what is forgotten before may be fetched again as it was.
        self.ask_for_purge(&entry.record).await?;
        self.entries_right().insert(known);
        Ok(())
    }

    /// Has a removed title taken down: refused everywhere, at once. Its objects are deleted later.
    pub(crate) async fn take_down(&self, asset: &AssetRecord) -> Result<(), ActError> {
        match asset.state {
            AssetState::Doomed => self.ask_for_purge(asset).await,
            _ => Ok(()),
        }
    }

    async fn ask_for_purge(&self, asset: &AssetRecord) -> Result<(), ActError> {
        match purges::of_asset(asset, now_ms()) {
            Some(purge) => Ok(purges::ensure(&self.queue, &self.view, &purge).await?),
            None => Ok(()),
        }
    }

    /// Looks at the entry manifests, whatever was seen before.
    pub(crate) async fn look_at_entries(&self, asset: &AssetRecord) -> Result<(), ActError> {
        let Some(published) = published(asset) else { return Ok(()) };
        let folder = asset_folder(&asset.tenant, asset.id);
        for (name, from) in [(MPD, &published.mpd), (MASTER_PLAYLIST, &published.master)] {
            self.mend_entry(&format!("{folder}/{name}"), from, &published.generation, asset).await?;
        }
        Ok(())
    }

    /// Looks at the object first and at the record after it. Whoever wrote the object had seen its
    /// record, so a record read now is no older: what it says is right, whatever number the object
    /// carries (a restored record may well go back), and the put is refused if somebody writes
    /// another in between.
    async fn mend_entry(
        &self,
        key: &str,
        from: &StoredObject,
        generation: &Generation,
        asset: &AssetRecord,
    ) -> Result<(), ActError> {
        let there = self.store.head(key).await?;
        if there.as_ref().is_some_and(|(_, meta)| meta.digest == from.digest) {
            return Ok(());
        }
        let Some((now, _)) = self.queue.assets().get(&asset.id.to_string()).await? else { return Ok(()) };
        if published(&now).is_none_or(|published| published.generation != *generation) {
            // A newer decision, which the view brings.
            return Ok(());
        }
        let source = self.store.get(&from.key).await?.filter(|source| source.stored.digest == from.digest);
        let Some(source) = source else {
            tracing::error!(key = %from.key, "published manifest is missing or damaged");
            return Ok(());
        };
        let meta = Meta {
            content_type: content_type(key).to_owned(),
            cache_control: object::CACHE_ENTRY.to_owned(),
            tags: vec![format!("tenant:{}", asset.tenant), format!("asset:{}", asset.id)],
            revision: Some(u64::from(generation.number)),
            ..Meta::default()
        };
        // Losing either race means that somebody wrote the same or a newer decision.
        match there {
            None => drop(self.store.put_new(key, source.body, &meta).await?),
            Some((old, before)) => {
                drop(self.store.put_match(key, source.body, &meta, &old.etag).await?);
                // Another generation's is asked for from the record; this one was changed behind the farm's back.
                if before.revision.is_none_or(|number| number == u64::from(generation.number)) {
                    let purge = purges::of_mended(asset, key, &old.etag, now_ms());
                    purges::ensure(&self.queue, &self.view, &purge).await?;
                }
            }
        }
        Ok(())
    }

    /// Forgets what was seen, so that a list of it does not grow for ever.
    pub(crate) fn forget_entries(&self) {
        self.entries_right().clear();
    }

    fn entries_right(&self) -> MutexGuard<'_, HashSet<(AssetId, Generation)>> {
        // A set of plain values: a panic elsewhere cannot have left it half-changed.
        self.entries_right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
