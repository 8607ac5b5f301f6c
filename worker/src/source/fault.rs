//! What goes wrong with a source, in words, and where it is kept until ffmpeg's failure has to be
//! explained. Texts show a source without its query: presigned addresses carry secrets there.

use std::sync::{Mutex, MutexGuard, PoisonError};

use framemill_schemas::failure::{Class, Failure};

/// A failed try.
#[derive(Debug)]
pub(super) struct Trouble {
    /// What it becomes when no try succeeds.
    pub failure: Failure,
    /// Whether another try may succeed.
    pub again: bool,
}

impl Trouble {
    /// No retry helps.
    pub fn last(failure: Failure) -> Self {
        Self { failure, again: false }
    }

    /// May pass.
    pub fn passing(failure: Failure) -> Self {
        Self { failure, again: true }
    }
}

/// What was seen to go wrong while a source was open.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// A read was given up.
    fault: Option<Failure>,
    /// A read is being retried.
    trouble: Option<Failure>,
}

impl Faults {
    /// Keeps why a read was given up. The first is the cause, later ones its consequences; only a
    /// source that is at fault outweighs a passing trouble.
    pub fn record(&self, failure: Failure) {
        let mut seen = self.seen();
        seen.trouble = None;
        let outweighs =
            seen.fault.as_ref().is_none_or(|known| known.class != Class::Input && failure.class == Class::Input);
        if outweighs {
            seen.fault = Some(failure);
        }
    }

    /// Notes that a read is being retried, or that it came through.
    pub fn note(&self, trouble: Option<Failure>) {
        self.seen().trouble = trouble;
    }

    /// Why a read was given up, if one was.
    pub fn fault(&self) -> Option<Failure> {
        self.seen().fault.clone()
    }

    /// The same, or else the trouble of a read that was still being retried.
    pub fn explanation(&self) -> Option<Failure> {
        let seen = self.seen();
        seen.fault.clone().or_else(|| seen.trouble.clone())
    }

    /// What no further read mends.
    pub fn final_one(&self) -> Option<Failure> {
        self.seen().fault.clone().filter(|fault| fault.class == Class::Input)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Plain data, whole at every moment: a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn missing(shown: &str) -> Failure {
    Failure::input("source-missing", format!("there is nothing at {shown}")).mend("check the address and submit again")
}

pub(super) fn empty(shown: &str) -> Failure {
    Failure::input("source-empty", format!("{shown} is empty (0 bytes)")).mend("upload the file again and submit it")
}

pub(super) fn changed(shown: &str) -> Failure {
    Failure::input("source-changed", format!("{shown} is not what it was when it was probed"))
        .mend("leave a source as it is until its asset is published; submit it again")
}

pub(super) fn truncated(shown: &str, at: u64, bytes: u64) -> Failure {
    Failure::input("source-truncated", format!("{shown} ends after byte {at}, though it is said to have {bytes} bytes"))
        .mend("upload the file again and submit it")
}

pub(super) fn stalled(shown: &str) -> Failure {
    Failure::new(Class::Transient, "source-stalled", format!("{shown} stopped sending"))
        .mend("check the server and the network between it and the workers")
}

/// A connection that broke, with what the operating system said.
pub(super) fn interrupted(shown: &str, cause: &str) -> Failure {
    Failure::new(Class::Transient, "source-interrupted", format!("reading {shown} broke off: {cause}"))
        .mend("check the server and the network between it and the workers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_stays_unless_the_source_is_at_fault() {
        let faults = Faults::default();
        assert_eq!(faults.explanation(), None);
        faults.note(Some(stalled("a")));
        assert_eq!(faults.explanation().unwrap().code, "source-stalled");
        assert_eq!(faults.fault(), None, "it may still pass");
        faults.note(None);
        assert_eq!(faults.explanation(), None);
        faults.record(interrupted("a", "reset"));
        faults.record(stalled("a"));
        assert_eq!(faults.fault().unwrap().code, "source-interrupted");
        assert_eq!(faults.final_one(), None);
        faults.record(changed("a"));
        faults.record(missing("a"));
        assert_eq!(faults.fault().unwrap().code, "source-changed");
        assert_eq!(faults.final_one().unwrap().code, "source-changed");
    }
}
