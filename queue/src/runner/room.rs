//! What a node has room for. The runner asks before it takes a job, and tells of each that starts
//! and ends; what room is made of is the node's business.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use framemill_schemas::{
    ladder::VideoCodec,
    lane::{Lane, Priority},
    load::Load,
};
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
    /// It is taken: on the device of this number, where it needs one.
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

    /// Takes a job under this claim where there is room for it.
    fn take(&mut self, claim: Uuid, ask: Ask) -> Offer;

    /// What was taken under this claim ended.
    fn end(&mut self, claim: Uuid);

    /// From now on room is kept for this job, which waits for it; for none where it is absent.
    fn keep(&mut self, ask: Option<Ask>);

    /// The claim whose end would let a more urgent job start, if there is one.
    fn makes_room(&self, ask: &Ask) -> Option<Uuid>;

    /// Codecs that devices of it encode now, and how many encoders these have.
    fn hardware(&self) -> (Vec<VideoCodec>, u32);

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

    fn take(&mut self, claim: Uuid, _ask: Ask) -> Offer {
        if let Some(why) = self.waiting() {
            return Offer::Wait(why);
        }
        self.taken.insert(claim);
        Offer::Take(None)
    }

    fn end(&mut self, claim: Uuid) {
        self.taken.remove(&claim);
    }

    fn keep(&mut self, _ask: Option<Ask>) {}

    fn makes_room(&self, _ask: &Ask) -> Option<Uuid> {
        None
    }

    fn hardware(&self) -> (Vec<VideoCodec>, u32) {
        (Vec::new(), 0)
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
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest time for which room is kept; then another node may try.
pub(super) const KEEP_MAX: Duration = Duration::from_secs(90);
/// Deliveries after which a job counts as passed on, of a channel and of a title: somebody else may have
/// had room for it all the time.
const PASSED_LIVE: i64 = 2;
const PASSED: i64 = 3;
/// How long a job that can never run here is left to others; then it is taken, and fails with its reason:
/// one that fits nowhere must not wait without a word.
const HOPELESS: Duration = Duration::from_secs(1800);

/// A job that was offered to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub priority: Priority,
    /// Since its hint was published.
    pub age: Duration,
    /// How often that was delivered.
    pub delivered: i64,
}

/// What becomes of a job that was offered to a node. Pure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Take(Option<u32>),
    /// It is held on to until there is room, in place of one that is held on to already.
    Keep,
    /// Others may have room for it.
    Pass,
}

/// Decides on a job, on a node that keeps room for another one of priority `keeps`, or for none.
pub(super) fn decide(offer: &Offer, job: Candidate, keeps: Option<Priority>) -> Decision {
    let Candidate { priority, age, delivered } = job;
    let is_live = priority == Priority::Live;
    match offer {
        Offer::Take(seat) => Decision::Take(*seat),
        Offer::Wait(_) if is_live && delivered >= PASSED_LIVE && keeps != Some(Priority::Live) => Decision::Keep,
        Offer::Wait(_) if keeps.is_none() && age >= PATIENCE && delivered >= PASSED => Decision::Keep,
        Offer::Never(_) if age >= HOPELESS => Decision::Take(None),
        Offer::Wait(_) | Offer::Never(_) => Decision::Pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_held_on_to_once_it_was_passed_on_for_long() {
        use Priority::{Bulk, Live};
        let (wait, never) = (Offer::Wait(String::new()), Offer::Never(String::new()));
        let young = Duration::from_secs(1);
        for (offer, priority, age, delivered, keeps, expected) in [
            (&Offer::Take(Some(2)), Bulk, young, 1, Some(Bulk), Decision::Take(Some(2))),
            (&wait, Bulk, young, 9, None, Decision::Pass),
            (&wait, Bulk, PATIENCE, 9, None, Decision::Keep),
            (&wait, Bulk, PATIENCE, 1, None, Decision::Pass),
            (&wait, Bulk, PATIENCE, 9, Some(Bulk), Decision::Pass),
            (&wait, Live, young, 1, None, Decision::Pass),
            (&wait, Live, young, 2, None, Decision::Keep),
            (&wait, Live, young, 2, Some(Bulk), Decision::Keep),
            (&wait, Live, young, 2, Some(Live), Decision::Pass),
            (&never, Live, PATIENCE, 9, None, Decision::Pass),
            (&never, Bulk, HOPELESS, 9, None, Decision::Take(None)),
        ] {
            let job = Candidate { priority, age, delivered };
            assert_eq!(decide(offer, job, keeps), expected, "{offer:?} {job:?} {keeps:?}");
        }
    }
}
