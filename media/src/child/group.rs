//! A child's process group, killed on drop.

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// The group a child leads.
#[derive(Debug)]
pub(super) struct Group(Option<Pid>);

impl Group {
    /// The group of a child that was started as the leader of its own.
    pub fn of(child: &tokio::process::Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    /// Asks the whole group to end.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Kills what is left of the group; it is not signalled again, because once it is empty its
    /// number may be given to another. Called at the latest right after the leader was reaped:
    /// the kernel hands numbers out in turn, so none comes back within those microseconds.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.0 = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // An empty group is what we want.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
