//! The audit trail: who was let in or refused, for what, and why.
//!
//! The first of its kind in a time is stored before the answer goes out. What comes to the same for the same account in
//! that time is counted in memory and added once in a while: a flood is one entry with a count, here and on NATS. A
//! scheduler that dies takes a second of such counts with it, never an entry. The bucket holds a bounded number; the
//! oldest go first.
//!
//! Addresses are kept apart, each in a record that the server forgets by itself.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use framemill_queue::{Queue, RecordError, Records};
use framemill_schemas::{
    delivery::{
        AUDIT_ADDRESSES_MAX, AUDIT_PATHS_MAX, AUDIT_QUARTERS, AUDIT_VERSION, AuditAddress, AuditRecord, AuditView,
        AuditedAct, address_key, audit_quarter, audited_in, entry_of,
    },
    ids::Tenant,
    subject::{AUDIT_ADDRESSES_BUCKET, AUDIT_BUCKET},
};

/// Most entries whose counts are kept in memory. What comes beyond them is only counted as lost.
const PENDING_MAX: usize = 10_000;

/// What is written down.
#[derive(Clone, Debug)]
pub struct Noted<'a> {
    /// Whose viewer it is.
    pub tenant: &'a Tenant,
    /// The account.
    pub account: &'a str,
    /// Tenant of the key that asked.
    pub caller: Option<&'a Tenant>,
    /// What was asked for.
    pub what: AuditedAct,
    /// Why it was refused.
    pub refused: Option<&'a str>,
    /// What was asked for.
    pub paths: &'a [String],
    /// The session.
    pub session: &'a str,
    /// The viewer's address.
    pub address: Option<IpAddr>,
    /// When, Unix milliseconds.
    pub now_ms: i64,
}

/// The audit trail. Clones share what they count.
#[derive(Clone)]
pub struct Audit {
    queue: Queue,
    addresses_s: u64,
    pending: Arc<Mutex<Pending>>,
}

#[derive(Default)]
struct Pending {
    entries: HashMap<String, Waiting>,
    lost: u64,
}

/// What of an entry is not stored yet.
struct Waiting {
    /// With the count that is to be added.
    entry: AuditRecord,
    addresses: Vec<String>,
}

impl Audit {
    /// One that has counted nothing; addresses are kept for `addresses_s` seconds.
    pub fn new(queue: Queue, addresses_s: u64) -> Self {
        Self { queue, addresses_s, pending: Arc::default() }
    }

    fn entries(&self) -> Records<AuditRecord> {
        self.queue.records(AUDIT_BUCKET)
    }

    fn addresses(&self) -> Records<AuditAddress> {
        self.queue.records(AUDIT_ADDRESSES_BUCKET)
    }

    /// Writes something down; returns whether it is the first of its kind in this time. What cannot be stored now is
    /// stored later.
    pub async fn note(&self, noted: Noted<'_>) -> bool {
        let entry = entry(&noted);
        let key = entry.key();
        let address = noted.address.filter(|_| self.addresses_s > 0).map(|address| address.to_canonical().to_string());
        if !self.pending().count(&key, &entry, address.as_deref(), noted.now_ms) {
            return false;
        }
        match self.entries().create(&key, &entry).await {
            Ok(_) => {
                self.add_addresses(&key, address.as_slice()).await;
                true
            }
            // Another scheduler noted the same in this minute, or nobody answers: it is added later.
            Err(error) => {
                if !matches!(error, RecordError::Exists) {
                    tracing::warn!(%error, "an entry of the audit trail is stored later");
                }
                self.pending().add(&key, &entry, address.as_deref());
                false
            }
        }
    }

    /// Stores what was counted: one pass.
    pub async fn tick(&self, now_ms: i64) {
        let (due, lost) = self.pending().take(now_ms);
        if lost > 0 {
            tracing::warn!(lost, "more entries of the audit trail at once than are counted");
        }
        for (key, waiting) in due {
            match self.store(&key, &waiting.entry).await {
                Ok(()) => self.add_addresses(&key, &waiting.addresses).await,
                Err(error) => {
                    tracing::warn!(%error, "counts of the audit trail are stored later");
                    self.pending().give_back(key, waiting);
                }
            }
        }
    }

    async fn store(&self, key: &str, more: &AuditRecord) -> Result<(), RecordError> {
        let entries = self.entries();
        match entries.get(key).await? {
            None => entries.create(key, more).await?,
            Some((found, revision)) => entries.update(key, &added(&found, more), revision).await?,
        };
        Ok(())
    }

    /// Keeps addresses with an entry, each for as long as is set from now on.
    async fn add_addresses(&self, key: &str, addresses: &[String]) {
        for address in addresses {
            let record = AuditAddress { v: AUDIT_VERSION, address: address.clone() };
            let lifetime = Duration::from_secs(self.addresses_s);
            match self.addresses().create_for(&address_key(key, address), &record, lifetime).await {
                Ok(_) | Err(RecordError::Exists) => {}
                // It is of use for a while only, and an entry is one without it.
                Err(error) => tracing::warn!(%error, "an address of the audit trail is not kept"),
            }
        }
    }

    /// The entries of a quarter of a day, of one tenant or all, the latest first, each with its key.
    async fn of_quarter(&self, tenant: Option<&Tenant>, quarter: i64) -> Result<Vec<(String, AuditView)>, RecordError> {
        let filter = audited_in(tenant, quarter);
        if !self.entries().any(&filter).await? {
            return Ok(Vec::new());
        }
        let found = self.entries().list(&filter).await?;
        let mut addresses: HashMap<String, Vec<String>> = HashMap::new();
        for (key, kept, _) in self.addresses().list(&filter).await? {
            addresses.entry(entry_of(&key).to_owned()).or_default().push(kept.address);
        }
        let mut all: Vec<_> = found
            .into_iter()
            .map(|(key, entry, _)| {
                let addresses = addresses.remove(&key).unwrap_or_default();
                (key, view(entry, addresses))
            })
            .collect();
        all.sort_by_key(|entry| Reverse(place(entry)));
        Ok(all)
    }

    /// The entries that `wanted` lets through, from `before` on back, the latest first: `enough` or a few more, or all
    /// there are.
    pub async fn list(
        &self,
        tenant: Option<&Tenant>,
        before_ms: i64,
        enough: usize,
        wanted: impl Fn(&(String, AuditView)) -> bool,
    ) -> Result<Vec<(String, AuditView)>, RecordError> {
        let mut all = Vec::new();
        let newest = audit_quarter(before_ms);
        for quarter in (newest - AUDIT_QUARTERS..=newest).rev() {
            all.extend(self.of_quarter(tenant, quarter).await?.into_iter().filter(&wanted));
            if all.len() >= enough {
                break;
            }
        }
        Ok(all)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        // Plain values: a panic elsewhere cannot have left them half-changed.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Takes something that happened; returns whether it is to be stored at once: the first of its kind in its time.
    /// What comes after it is counted.
    fn count(&mut self, key: &str, entry: &AuditRecord, address: Option<&str>, now_ms: i64) -> bool {
        if self.entries.contains_key(key) {
            self.add(key, entry, address);
            return false;
        }
        if self.entries.len() >= PENDING_MAX {
            self.entries.retain(|_, waiting| waiting.entry.count > 0 || waiting.entry.is_open(now_ms));
        }
        if self.entries.len() >= PENDING_MAX {
            self.lost += 1;
            return false;
        }
        let entry = AuditRecord { count: 0, ..entry.clone() };
        self.entries.insert(key.to_owned(), Waiting { entry, addresses: Vec::new() });
        true
    }

    fn add(&mut self, key: &str, entry: &AuditRecord, address: Option<&str>) {
        let empty = || Waiting { entry: AuditRecord { count: 0, ..entry.clone() }, addresses: Vec::new() };
        let waiting = self.entries.entry(key.to_owned()).or_insert_with(empty);
        waiting.entry.count += 1;
        waiting.entry.last_ms = waiting.entry.last_ms.max(entry.last_ms);
        if let Some(address) = address {
            push_new(&mut waiting.addresses, address);
        }
    }

    /// Takes out what is to be stored. Entries that are open go on counting from nothing; others are forgotten.
    fn take(&mut self, now_ms: i64) -> (Vec<(String, Waiting)>, u64) {
        let mut due = Vec::new();
        self.entries.retain(|key, waiting| {
            if waiting.entry.count > 0 {
                let addresses = std::mem::take(&mut waiting.addresses);
                due.push((key.clone(), Waiting { entry: waiting.entry.clone(), addresses }));
                waiting.entry.count = 0;
            }
            waiting.entry.is_open(now_ms)
        });
        (due, std::mem::take(&mut self.lost))
    }

    /// Puts back what could not be stored.
    fn give_back(&mut self, key: String, back: Waiting) {
        let waiting = self.entries.entry(key).or_insert_with(|| Waiting {
            entry: AuditRecord { count: 0, ..back.entry.clone() },
            addresses: Vec::new(),
        });
        waiting.entry.count += back.entry.count;
        waiting.entry.last_ms = waiting.entry.last_ms.max(back.entry.last_ms);
        back.addresses.iter().for_each(|address| push_new(&mut waiting.addresses, address));
    }
}

/// Where an entry stands in lists.
pub fn place((key, entry): &(String, AuditView)) -> (i64, String) {
    (entry.first_ms, key.clone())
}

fn push_new(addresses: &mut Vec<String>, address: &str) {
    if addresses.len() < AUDIT_ADDRESSES_MAX && !addresses.iter().any(|other| other == address) {
        addresses.push(address.to_owned());
    }
}

fn entry(noted: &Noted<'_>) -> AuditRecord {
    AuditRecord {
        v: AUDIT_VERSION,
        tenant: noted.tenant.clone(),
        account: noted.account.to_owned(),
        caller: noted.caller.cloned(),
        what: noted.what,
        refused: noted.refused.map(str::to_owned),
        paths: noted.paths.iter().take(AUDIT_PATHS_MAX).cloned().collect(),
        session: (!noted.session.is_empty()).then(|| noted.session.to_owned()),
        first_ms: noted.now_ms,
        last_ms: noted.now_ms,
        count: 1,
    }
}

/// An entry with more of the same.
fn added(found: &AuditRecord, more: &AuditRecord) -> AuditRecord {
    AuditRecord {
        first_ms: found.first_ms.min(more.first_ms),
        last_ms: found.last_ms.max(more.last_ms),
        count: found.count.saturating_add(more.count),
        ..found.clone()
    }
}

fn view(entry: AuditRecord, addresses: Vec<String>) -> AuditView {
    AuditView {
        tenant: entry.tenant,
        account: entry.account,
        caller: entry.caller,
        what: entry.what,
        refused: entry.refused,
        paths: entry.paths,
        session: entry.session,
        first_ms: entry.first_ms,
        last_ms: entry.last_ms,
        count: entry.count,
        addresses,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(account: &str, now_ms: i64) -> AuditRecord {
        let tenant: Tenant = "acme".parse().unwrap();
        entry(&Noted {
            tenant: &tenant,
            account,
            caller: None,
            what: AuditedAct::Issue,
            refused: Some("region"),
            paths: &[],
            session: "s",
            address: None,
            now_ms,
        })
    }

    #[test]
    fn the_first_of_a_minute_is_stored_and_the_rest_counted() {
        let mut pending = Pending::default();
        let one = sample("u1", 60_000);
        assert!(pending.count(&one.key(), &one, Some("a"), 60_000));
        for at in 0..5 {
            let more = sample("u1", 60_001 + at);
            assert!(!pending.count(&more.key(), &more, Some("b"), 60_001 + at));
        }
        let (due, lost) = pending.take(61_000);
        assert_eq!((due.len(), lost), (1, 0));
        let (key, waiting) = due.into_iter().next().unwrap();
        assert_eq!((waiting.entry.count, waiting.entry.last_ms), (5, 60_005));
        assert_eq!(waiting.addresses, ["b"]);
        assert_eq!(added(&one, &waiting.entry).count, 6);
        // What could not be stored comes again, once.
        pending.give_back(key, waiting);
        assert_eq!(pending.take(61_000).0[0].1.entry.count, 5);
        assert!(pending.take(61_000).0.is_empty());
        // The next minute is another entry.
        let next = sample("u1", 120_000);
        assert!(pending.count(&next.key(), &next, None, 120_000));
        pending.take(180_000);
        assert!(pending.entries.is_empty());
    }

    #[test]
    fn a_flood_of_names_fills_nothing() {
        let mut pending = Pending::default();
        let stored = (0..PENDING_MAX + 7)
            .filter(|number| {
                let one = sample(&format!("u{number}"), 1);
                pending.count(&one.key(), &one, None, 1)
            })
            .count();
        assert_eq!((stored, pending.entries.len(), pending.lost), (PENDING_MAX, PENDING_MAX, 7));
        let next = sample("u", 60_000);
        assert!(pending.count(&next.key(), &next, None, 60_000));
    }

    #[test]
    fn few_addresses_are_kept() {
        let mut kept = Vec::new();
        (0..20).for_each(|number| push_new(&mut kept, &format!("{}", number % 10)));
        assert_eq!(kept.len(), AUDIT_ADDRESSES_MAX);
    }
}
