//! How much work is open: assets that were accepted and have not ended, and jobs that wait. Counted
//! as records change, so that asking costs nothing however many there are. Pure.

use std::collections::HashMap;

use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    ids::Tenant,
    job::JobState,
};

/// What is open now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Open assets of each tenant that has some.
    open: HashMap<Tenant, usize>,
    assets: usize,
    ready: usize,
}

impl Load {
    /// Open assets of the farm.
    pub fn assets(&self) -> usize {
        self.assets
    }

    /// Open assets of a tenant.
    pub fn assets_of(&self, tenant: &Tenant) -> usize {
        self.open.get(tenant).copied().unwrap_or_default()
    }

    /// Jobs that wait for somebody to claim them.
    pub fn ready(&self) -> usize {
        self.ready
    }

    /// Takes the change of one asset record: what it was, and what it is now.
    pub fn asset(&mut self, before: Option<&AssetRecord>, now: Option<&AssetRecord>) {
        let open = |asset: &&AssetRecord| asset.state == AssetState::Accepted;
        if let Some(asset) = before.filter(open)
            && let Some(count) = self.open.get_mut(&asset.tenant)
        {
            self.assets -= 1;
            *count -= 1;
            if *count == 0 {
                self.open.remove(&asset.tenant);
            }
        }
        if let Some(asset) = now.filter(open) {
            self.assets += 1;
            *self.open.entry(asset.tenant.clone()).or_default() += 1;
        }
    }

    /// Takes the change of one job record.
    pub fn job(&mut self, before: Option<JobState>, now: Option<JobState>) {
        self.ready += usize::from(now == Some(JobState::Ready));
        self.ready = self.ready.saturating_sub(usize::from(before == Some(JobState::Ready)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sample::asset;

    #[test]
    fn only_what_is_accepted_is_open() {
        let (open, ended) = (asset(AssetState::Accepted), asset(AssetState::Published));
        let tenant = &open.tenant;
        let mut load = Load::default();
        for (before, now, count) in [
            (None, Some(&open), 1),
            // The same state again: an event was ticked off.
            (Some(&open), Some(&open), 1),
            (None, Some(&open), 2),
            (Some(&open), Some(&ended), 1),
            (Some(&ended), None, 1),
            (Some(&open), None, 0),
        ] {
            load.asset(before, now);
            assert_eq!((load.assets(), load.assets_of(tenant)), (count, count));
        }
        assert_eq!(load, Load::default(), "nothing is kept of a tenant without open assets");
    }

    #[test]
    fn only_ready_jobs_wait() {
        use JobState::{Done, Ready, Running};
        let mut load = Load::default();
        for (before, now, count) in [
            (None, Some(Ready), 1),
            (None, Some(Ready), 2),
            (Some(Ready), Some(Running), 1),
            (Some(Running), Some(Ready), 2),
            (Some(Ready), Some(Ready), 2),
            (Some(Ready), None, 1),
            (Some(Running), Some(Done), 1),
        ] {
            load.job(before, now);
            assert_eq!(load.ready(), count, "{before:?} {now:?}");
        }
    }
}
