//! What a node has room for. The runner asks before it takes a job, and tells of each that starts
//! and ends; what room is made of is the node's business.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use framemill_schemas::{lane::Lane, load::Load};
use uuid::Uuid;

/// A job that asks for room, as its hint tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Where it waited.
    pub lane: Lane,
    /// What it takes.
    pub load: Load,
}

/// Whether there is room for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Yes: on the device of this number, where it needs one.
    Take(Option<u32>),
    /// Not while other things run here; why, for people.
    Wait(String),
    /// Not even with nothing else running.
    Never(String),
}

/// A node's room. Asked by one loop; nothing in it may wait.
pub trait Room: Send + Sync + 'static {
    /// Looks at the machine: every answer until the next look is about what it does at `now`.
    fn look(&mut self, now: Instant);

    /// Whether some job of a lane might be taken. A lane that is closed is not pulled from.
    fn opens(&self, lane: Lane) -> bool;

    /// Whether a job is taken.
    fn offer(&self, ask: &Ask) -> Offer;

    /// A job was taken on `seat`, under this claim.
    fn take(&mut self, claim: Uuid, ask: Ask, seat: Option<u32>);

    /// It ended.
    fn end(&mut self, claim: Uuid);

    /// From now on room is kept for this job, which waits for it; for none where it is absent.
    fn keep(&mut self, ask: Option<Ask>);

    /// The claim whose end would let a more urgent job start, if there is one.
    fn makes_room(&self, ask: &Ask) -> Option<Uuid>;

    /// When to look again though nothing started or ended.
    fn due(&self) -> Option<Instant>;

    /// Why a kind of work is not taken now, for people; nothing while all kinds are.
    fn waiting(&self) -> Option<String>;
}

/// Room for so many jobs, whatever they are.
#[derive(Debug)]
pub(super) struct Slots {
    slots: usize,
    taken: BTreeSet<Uuid>,
}

impl Slots {
    pub fn new(slots: usize) -> Self {
        Self { slots, taken: BTreeSet::new() }
    }
}

impl Room for Slots {
    fn look(&mut self, _now: Instant) {}

    fn opens(&self, _lane: Lane) -> bool {
        self.taken.len() < self.slots
    }

    fn offer(&self, ask: &Ask) -> Offer {
        match self.waiting() {
            None if self.opens(ask.lane) => Offer::Take(None),
            why => Offer::Wait(why.unwrap_or_default()),
        }
    }

    fn take(&mut self, claim: Uuid, _ask: Ask, _seat: Option<u32>) {
        self.taken.insert(claim);
    }

    fn end(&mut self, claim: Uuid) {
        self.taken.remove(&claim);
    }

    fn keep(&mut self, _ask: Option<Ask>) {}

    fn makes_room(&self, _ask: &Ask) -> Option<Uuid> {
        None
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn waiting(&self) -> Option<String> {
        let (taken, slots) = (self.taken.len(), self.slots);
        (taken >= slots).then(|| format!("{taken} of {slots} slots are taken"))
    }
}

/// How long a job may be passed on before a node with room for it, once others have ended, keeps
/// that room free for it. Without this, small jobs would fill every gap for ever.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Longest time for which room is kept; then another node may try.
pub(super) const KEEP_MAX: Duration = Duration::from_secs(90);

/// What becomes of a job that was offered to a node. Pure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Take(Option<u32>),
    /// It is held on to until there is room.
    Keep,
    /// Others may have room for it.
    Pass,
}

/// Decides on a job that has waited for `age`, on a node that keeps room for another one or not.
pub(super) fn decide(offer: &Offer, is_live: bool, age: Duration, keeps_one: bool) -> Decision {
    match offer {
        Offer::Take(seat) => Decision::Take(*seat),
        Offer::Wait(_) if !keeps_one && (is_live || age >= PATIENCE) => Decision::Keep,
        Offer::Wait(_) | Offer::Never(_) => Decision::Pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_held_on_to_once_it_was_passed_on_for_long() {
        let (wait, never) = (Offer::Wait(String::new()), Offer::Never(String::new()));
        let young = Duration::from_secs(1);
        for (offer, is_live, age, keeps_one, expected) in [
            (&Offer::Take(Some(2)), false, young, true, Decision::Take(Some(2))),
            (&wait, false, young, false, Decision::Pass),
            (&wait, false, PATIENCE, false, Decision::Keep),
            (&wait, false, PATIENCE, true, Decision::Pass),
            (&wait, true, young, false, Decision::Keep),
            (&never, true, PATIENCE, false, Decision::Pass),
        ] {
            assert_eq!(decide(offer, is_live, age, keeps_one), expected, "{offer:?} {is_live} {age:?} {keeps_one}");
        }
    }
}
