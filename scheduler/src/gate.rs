//! The gate before submissions: a farm that has more open work than it can keep in view refuses
//! the next one, with a date to come back, instead of growing until something breaks.
//!
//! What is open is counted from the view, which lags behind the records by milliseconds, so what
//! this process let in and does not see yet is counted beside it: alone, a scheduler never goes
//! over a bound. Side by side, each may go over by what the others let in within that lag.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use framemill_schemas::ids::{AssetId, Tenant};
use serde::{Deserialize, Serialize};

use crate::view::View;

/// How long an admitted asset that was never seen is counted: one that came and went within the
/// lag of the view must not take its place for ever.
const UNSEEN_MAX: Duration = Duration::from_secs(60);

/// How long a submission waits for a scheduler that is still reading the records.
const CURRENT_MAX: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(10);

/// How much open work is taken; `[scheduler.limits]` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most open assets of the farm.
    pub open_assets: usize,
    /// Most open assets of one tenant.
    pub tenant_open_assets: usize,
    /// Most jobs that may wait when another asset is taken.
    pub ready_jobs: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { open_assets: 10_000, tenant_open_assets: 10_000, ready_jobs: 200_000 }
    }
}

/// Which bound is reached, as the sentence the client gets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The farm's.
    #[error(
        "the farm has {0} titles in the making, as many as it takes; submit again when some have ended, or raise \
         scheduler.limits.open_assets"
    )]
    Farm(usize),
    /// A tenant's.
    #[error(
        "the tenant {0} has {1} titles in the making, as many as are taken of one tenant; submit again when some have \
         ended, or raise scheduler.limits.tenant_open_assets"
    )]
    Tenant(Tenant, usize),
    /// Of the queue.
    #[error(
        "{0} jobs wait for a worker, as many as may; submit again later, add workers, or raise \
         scheduler.limits.ready_jobs"
    )]
    Jobs(usize),
}

/// One gate for each scheduler; clones share it.
#[derive(Clone)]
pub struct Gate {
    limits: Limits,
    view: View,
    admitted: Arc<Mutex<Vec<Admitted>>>,
}

/// An asset that was let in and is not seen yet.
#[derive(Debug)]
struct Admitted {
    id: AssetId,
    tenant: Tenant,
    at: Instant,
}

/// Leave to create one asset. Dropped, the place is free again, unless the asset was created.
pub struct Ticket {
    gate: Gate,
    id: AssetId,
    used: bool,
}

impl Gate {
    /// A gate that has let nobody in.
    pub fn new(limits: Limits, view: View) -> Self {
        Self { limits, view, admitted: Arc::default() }
    }

    /// Waits until every record has been seen: before that, anything would be let in. False when
    /// that takes too long.
    pub async fn ready(&self) -> bool {
        let current = async {
            while !self.view.is_current() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(CURRENT_MAX, current).await.is_ok()
    }

    /// Lets an asset in, or says which bound is reached.
    pub fn admit(&self, id: AssetId, tenant: &Tenant) -> Result<Ticket, Full> {
        let mut admitted = self.admitted();
        admitted.retain(|one| one.at.elapsed() < UNSEEN_MAX && self.view.asset(one.id).is_none());
        let load = self.view.load(tenant);
        let unseen = Counted {
            assets: admitted.len(),
            tenant: admitted.iter().filter(|one| one.tenant == *tenant).count(),
            ready: 0,
        };
        decide(&self.limits, tenant, load.plus(unseen))?;
        admitted.push(Admitted { id, tenant: tenant.clone(), at: Instant::now() });
        Ok(Ticket { gate: self.clone(), id, used: false })
    }

    fn admitted(&self) -> MutexGuard<'_, Vec<Admitted>> {
        // A list of plain values: a panic elsewhere cannot have left it half-changed.
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The asset is stored: from now on the view tells of it.
    pub fn used(mut self) {
        self.used = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.used {
            self.gate.admitted().retain(|one| one.id != self.id);
        }
    }
}

/// What is open, as far as one submission is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Open assets of the farm.
    pub assets: usize,
    /// Open assets of the tenant that asks.
    pub tenant: usize,
    /// Jobs that wait.
    pub ready: usize,
}

impl Counted {
    fn plus(self, other: Self) -> Self {
        Self { assets: self.assets + other.assets, tenant: self.tenant + other.tenant, ready: self.ready + other.ready }
    }
}

/// Whether one more asset of `tenant` is taken. The tenant's own bound comes first: it is the one
/// that the tenant can do something about.
fn decide(limits: &Limits, tenant: &Tenant, open: Counted) -> Result<(), Full> {
    if open.tenant >= limits.tenant_open_assets {
        return Err(Full::Tenant(tenant.clone(), open.tenant));
    }
    if open.assets >= limits.open_assets {
        return Err(Full::Farm(open.assets));
    }
    if open.ready >= limits.ready_jobs {
        return Err(Full::Jobs(open.ready));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use framemill_queue::Change;
    use framemill_schemas::asset::{AssetRecord, AssetState};
    use uuid::Uuid;

    use super::*;
    use crate::ops::sample::asset;

    fn id(n: u128) -> AssetId {
        AssetId::new(Uuid::from_u128(n))
    }

    fn put(view: &View, asset: AssetRecord) {
        view.put_asset(Change::Put { key: asset.id.to_string(), value: Box::new(asset), revision: 1 });
    }

    #[test]
    fn each_bound_is_kept_and_named() {
        let limits = Limits { open_assets: 5, tenant_open_assets: 3, ready_jobs: 100 };
        let tenant = Tenant::default_tenant();
        for ((assets, of_tenant, ready), full) in [
            ((0, 0, 0), None),
            ((4, 2, 99), None),
            ((5, 2, 0), Some(Full::Farm(5))),
            ((4, 3, 0), Some(Full::Tenant(tenant.clone(), 3))),
            ((5, 3, 100), Some(Full::Tenant(tenant.clone(), 3))),
            ((4, 2, 100), Some(Full::Jobs(100))),
        ] {
            let open = Counted { assets, tenant: of_tenant, ready };
            assert_eq!(decide(&limits, &tenant, open).err(), full, "{open:?}");
        }
    }

    #[test]
    fn what_is_not_seen_yet_counts_once() {
        let view = View::default();
        let tenant = Tenant::default_tenant();
        let gate = Gate::new(Limits { open_assets: 2, ..Limits::default() }, view.clone());
        let first = gate.admit(id(1), &tenant).unwrap();
        let second = gate.admit(id(2), &tenant).unwrap();
        assert!(gate.admit(id(3), &tenant).is_err(), "two are let in, though the view shows none");
        // One was not created after all.
        drop(second);
        first.used();
        let third = gate.admit(id(3), &tenant).unwrap();
        assert!(gate.admit(id(4), &tenant).is_err());
        third.used();
        // The view catches up: the same two.
        for n in [1, 3] {
            put(&view, AssetRecord { id: id(n), ..asset(AssetState::Accepted) });
        }
        assert!(gate.admit(id(4), &tenant).is_err());
        put(&view, AssetRecord { id: id(3), ..asset(AssetState::Published) });
        assert!(gate.admit(id(4), &tenant).is_ok());
    }
}
