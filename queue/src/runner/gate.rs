//! Reasons for which a runner takes nothing for now: a store that does not answer, memory that is
//! full. Whoever knows a reason closes the gate with it; the runner only asks whether any stands.
//! What runs goes on.

use std::collections::BTreeSet;

use tokio::sync::watch;

/// A gate in front of a runner's room. Clones are the same gate; a new one is open.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<BTreeSet<&'static str>>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::channel(BTreeSet::new()).0)
    }
}

impl Gate {
    /// Nothing more is taken for this reason, until it is opened again.
    pub fn close(&self, reason: &'static str) {
        if self.0.send_if_modified(|reasons| reasons.insert(reason)) {
            tracing::warn!(reason, "no job is taken for now");
        }
    }

    /// The reason is gone; others may still stand.
    pub fn open(&self, reason: &'static str) {
        if self.0.send_if_modified(|reasons| reasons.remove(reason)) {
            tracing::info!(reason, "a reason to take no job is gone");
        }
    }

    /// Whether no reason stands.
    pub fn is_open(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// The reasons that stand, for people; nothing while it is open.
    pub(super) fn why(&self) -> Option<String> {
        let reasons: Vec<&str> = self.0.borrow().iter().copied().collect();
        (!reasons.is_empty()).then(|| reasons.join(", "))
    }

    /// Tells of every change after this call.
    pub(super) fn changes(&self) -> watch::Receiver<BTreeSet<&'static str>> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_open_once_every_reason_is_gone() {
        let gate = Gate::default();
        let other = gate.clone();
        let mut changes = gate.changes();
        assert!(gate.is_open() && !changes.has_changed().unwrap());
        gate.close("store");
        other.close("memory");
        other.close("memory");
        assert!(!gate.is_open() && changes.has_changed().unwrap());
        changes.mark_unchanged();
        gate.open("store");
        gate.open("store");
        assert!(!other.is_open());
        other.open("memory");
        assert!(gate.is_open() && changes.has_changed().unwrap());
    }
}
