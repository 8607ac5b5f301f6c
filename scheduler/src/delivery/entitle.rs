//! Whether an account may watch something now: tenants in a tree, each of which has what it makes itself and what the
//! one above gives it. Pure.
//!
//! A tenant has its own folders, and of its packages what its parent has at that moment, in that region. So nothing is
//! granted that an ancestor lacks, whatever the records below it say.

use framemill_schemas::{
    delivery::{AccountDocument, Accounts, Package, Paths, Region, Standing, TenantDocument},
    field_error::FieldError,
    ids::Tenant,
};

/// A tenant on the way up the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// Which one.
    pub tenant: Tenant,
    /// What it is; one without a record has everything of its own, and nobody above.
    pub document: TenantDocument,
}

/// When and where somebody wants to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Unix milliseconds.
    pub now_ms: i64,
    /// Where, if anybody knows.
    pub place: Place,
}

/// Where somebody wants to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// There, as whoever asks says.
    In(Region),
    /// Nobody says.
    Unknown,
}

/// What is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Until when at most, Unix milliseconds; `None`: nothing ends.
    pub until_ms: Option<i64>,
}

/// Why it is not. The word of each stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// A tenant on the way up.
    #[error("the tenant {0} is suspended")]
    TenantSuspended(Tenant),
    /// The account has no record, and needs one.
    #[error("the account is not known")]
    AccountUnknown,
    /// The account.
    #[error("the account is suspended")]
    AccountSuspended,
    /// The account.
    #[error("the account's time is over")]
    AccountEnded,
    /// No package of the account holds it.
    #[error("no package of the account holds {0}")]
    Package(String),
    /// A package holds it that an ancestor does not have, or not any more.
    #[error("{path} is not among what {tenant} has")]
    Ancestor {
        /// What was asked for.
        path: String,
        /// Who lacks it.
        tenant: Tenant,
    },
    /// It may not be watched there.
    #[error("{0} may not be watched in this region")]
    Region(String),
    /// It may be watched in some regions, and nobody says where the viewer is.
    #[error("{0} may be watched in some regions only, and the request names none")]
    RegionMissing(String),
    /// Not yet.
    #[error("{0} may not be watched yet")]
    Early(String),
    /// Not any more.
    #[error("{0} may not be watched any more")]
    Late(String),
}

impl Denied {
    /// A word for scripts and the audit trail.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::TenantSuspended(_) => "tenant-suspended",
            Self::AccountUnknown => "account-unknown",
            Self::AccountSuspended => "account-suspended",
            Self::AccountEnded => "account-ended",
            Self::Package(_) => "package",
            Self::Ancestor { .. } => "ancestor",
            Self::Region(_) => "region",
            Self::RegionMissing(_) => "region-missing",
            Self::Early(_) => "early",
            Self::Late(_) => "late",
        }
    }
}

/// What a tenant makes itself.
pub fn own(tenant: &Tenant) -> Paths {
    vec![format!("/live/{tenant}/"), format!("/vod/{tenant}/")].try_into().expect("folders of a tenant are plain paths")
}

/// Takes a tenant and those above it (lowest first), an account's record if it has one, what is asked for, when and
/// where; returns until when it is granted. Guards: the standing of account and tenants; every path at every level.
pub fn entitled(
    levels: &[Level],
    account: Option<&AccountDocument>,
    asked: &Paths,
    moment: Moment,
) -> Result<Granted, Denied> {
    let Some((level, above)) = levels.split_first() else { return Err(Denied::AccountUnknown) };
    if let Some(suspended) = levels.iter().find(|level| level.document.state == Standing::Suspended) {
        return Err(Denied::TenantSuspended(suspended.tenant.clone()));
    }
    let ends_ms = match account {
        None if level.document.accounts == Accounts::Known => return Err(Denied::AccountUnknown),
        None => None,
        Some(account) if account.state == Standing::Suspended => return Err(Denied::AccountSuspended),
        Some(account) if account.end_ms.is_some_and(|end_ms| end_ms <= moment.now_ms) => {
            return Err(Denied::AccountEnded);
        }
        Some(account) => account.end_ms,
    };
    let mut until_ms = ends_ms;
    for path in asked.as_slice() {
        until_ms = earlier(until_ms, of_account(level, above, account, path, moment)?);
    }
    Ok(Granted { until_ms })
}

/// Until when an account has a path of its tenant.
fn of_account(
    level: &Level,
    above: &[Level],
    account: Option<&AccountDocument>,
    path: &str,
    moment: Moment,
) -> Result<Option<i64>, Denied> {
    let makes_it = own(&level.tenant).hold(path);
    let Some(packages) = &level.document.packages else {
        return if makes_it { Ok(None) } else { Err(Denied::Package(path.to_owned())) };
    };
    let chosen = account.and_then(|account| account.packages.as_deref());
    let packages = packages.iter().filter(|package| chosen.is_none_or(|names| names.contains(&package.name)));
    let until_ms = in_packages(packages, path, moment)?;
    if makes_it {
        return Ok(until_ms);
    }
    Ok(earlier(until_ms, of_parent(above, path, moment)?))
}

/// Until when the tenant at the beginning of `levels` has a path; of the top of the tree, its record is its word.
fn of_parent(levels: &[Level], path: &str, moment: Moment) -> Result<Option<i64>, Denied> {
    let Some((level, above)) = levels.split_first() else { return Ok(None) };
    if own(&level.tenant).hold(path) {
        return Ok(None);
    }
    let packages = level.document.packages.as_deref().unwrap_or_default();
    let until_ms = in_packages(packages.iter(), path, moment).map_err(|denied| match denied {
        Denied::Package(path) => Denied::Ancestor { path, tenant: level.tenant.clone() },
        other => other,
    })?;
    Ok(earlier(until_ms, of_parent(above, path, moment)?))
}

/// Until when one of these packages gives a path: the one that does for longest. Without one, the reason of the last
/// that holds it.
fn in_packages<'a>(
    packages: impl Iterator<Item = &'a Package>,
    path: &str,
    moment: Moment,
) -> Result<Option<i64>, Denied> {
    let mut best: Result<Option<i64>, Denied> = Err(Denied::Package(path.to_owned()));
    for package in packages.filter(|package| package.paths.hold(path)) {
        best = match (best, is_open(package, path, moment)) {
            (Ok(one), Ok(other)) => Ok(one.zip(other).map(|(one, other)| one.max(other))),
            (Ok(one), Err(_)) => Ok(one),
            (Err(_), open) => open,
        };
    }
    best
}

/// Until when a package that holds a path gives it.
fn is_open(package: &Package, path: &str, moment: Moment) -> Result<Option<i64>, Denied> {
    if package.start_ms.is_some_and(|start_ms| moment.now_ms < start_ms) {
        return Err(Denied::Early(path.to_owned()));
    }
    if package.end_ms.is_some_and(|end_ms| moment.now_ms >= end_ms) {
        return Err(Denied::Late(path.to_owned()));
    }
    match moment.place {
        _ if package.regions.is_empty() => {}
        Place::In(region) if package.regions.contains(&region) => {}
        Place::In(_) => return Err(Denied::Region(path.to_owned())),
        Place::Unknown => return Err(Denied::RegionMissing(path.to_owned())),
    }
    Ok(package.end_ms)
}

const fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if one < other { one } else { other }),
        (Some(one), None) => Some(one),
        (None, other) => other,
    }
}

/// Takes what a tenant is to be, those above it, and what it may give at the top of the tree; returns what its
/// packages hold that it cannot have. The same is asked again with every token.
pub fn unfounded(
    tenant: &Tenant,
    document: &TenantDocument,
    above: &[Level],
    may_give: impl Fn(&str) -> bool,
) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let own = own(tenant);
    for (index, package) in document.packages.iter().flatten().enumerate() {
        for (place, path) in package.paths.as_slice().iter().enumerate() {
            let founded = own.hold(path)
                || match above.first() {
                    Some(_) => gives(above, path, package),
                    None => may_give(path),
                };
            if !founded {
                let detail = match above.first() {
                    Some(parent) => format!("{path} is not among what {} has, there and for that long", parent.tenant),
                    None => format!("{path} is not the tenant's own"),
                };
                let mend = "take it out, narrow its regions and times, or have it given to the tenant above";
                faults.push(FieldError::new(format!("/packages/{index}/paths/{place}"), detail, mend));
            }
        }
    }
    faults
}

/// Whether the tenant at the beginning of `levels` has a path in all regions and for all the time of a package.
fn gives(levels: &[Level], path: &str, asked: &Package) -> bool {
    let Some((level, above)) = levels.split_first() else { return true };
    if own(&level.tenant).hold(path) {
        return true;
    }
    let packages = level.document.packages.as_deref().unwrap_or_default();
    packages.iter().any(|package| package.paths.hold(path) && is_within(asked, package)) && gives(above, path, asked)
}

/// Whether regions and times of one package lie within those of another.
fn is_within(inner: &Package, outer: &Package) -> bool {
    let regions = outer.regions.is_empty()
        || (!inner.regions.is_empty() && inner.regions.iter().all(|region| outer.regions.contains(region)));
    let starts = outer.start_ms.is_none_or(|outer| inner.start_ms.is_some_and(|inner| inner >= outer));
    let ends = outer.end_ms.is_none_or(|outer| inner.end_ms.is_some_and(|inner| inner <= outer));
    regions && starts && ends
}

#[cfg(test)]
#[path = "entitle_tests.rs"]
mod tests;
