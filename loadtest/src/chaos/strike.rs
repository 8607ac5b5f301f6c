//! Doing what the plan says. A fault that finds nobody to strike is counted as missed.

use std::{sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use tokio_util::sync::CancellationToken;

use super::{
    SLOTS,
    fault::{Fault, Whom},
    witness::Witness,
};
use crate::{
    machine::now_ms,
    rig::{Farm, Member, Seat, proc},
};

/// A fault that was tried.
#[derive(Clone, Copy, Debug)]
pub struct Struck {
    /// What.
    pub fault: Fault,
    /// Whom, where it was a process of a role.
    pub member: Option<Member>,
    /// When it began, Unix milliseconds.
    pub began_ms: i64,
    /// When it was over.
    pub ended_ms: i64,
    /// Whether it struck anybody.
    pub hit: bool,
}

/// Applies one fault from its beginning to its end; `stop` ends it early.
pub async fn strike(farm: &Farm, witness: &Witness, fault: Fault, stop: &CancellationToken) -> Struck {
    let began_ms = now_ms();
    let lasts = |ms: u64| stop.run_until_cancelled(tokio::time::sleep(Duration::from_millis(ms)));
    let mut member = None;
    let hit = match fault {
        Fault::Kill { whom, pause_ms } => {
            let victim = choose(farm, witness, whom);
            member = victim;
            victim.is_some_and(|victim| kill(farm, witness, victim, Duration::from_millis(pause_ms)))
        }
        Fault::Stop { whom, for_ms } => {
            member = choose(farm, witness, whom);
            let seat = member.and_then(|member| seat(farm, member));
            let hit = seat.as_ref().is_some_and(|seat| seat.process.stop());
            if hit {
                lasts(for_ms).await;
                seat.iter().for_each(|seat| seat.process.wake());
            }
            hit
        }
        Fault::KillEncoder { pick } => encoder(farm, pick).is_some_and(|pid| proc::signal(pid, Signal::SIGKILL)),
        Fault::StopEncoder { pick, for_ms } => match encoder(farm, pick) {
            Some(pid) if proc::signal(pid, Signal::SIGSTOP) => {
                lasts(for_ms).await;
                // It may have been killed in the meantime; that it is still ours is looked at first.
                let ours = proc::encoders(&farm.mark).iter().any(|process| process.pid == pid);
                if ours {
                    proc::signal(pid, Signal::SIGCONT);
                }
                true
            }
            _ => false,
        },
        Fault::KillNats { for_ms } => farm.nats.process.kill(Duration::from_millis(for_ms)),
        Fault::Network { member: victim, link, trouble, for_ms } => {
            member = Some(victim);
            let seat = seat(farm, victim);
            seat.iter().for_each(|seat| seat.link(link).set(Some(trouble)));
            lasts(for_ms).await;
            seat.iter().for_each(|seat| seat.link(link).set(None));
            seat.is_some()
        }
        Fault::Store { trouble, for_ms } => {
            farm.store_trouble(Some(trouble));
            lasts(for_ms).await;
            farm.store_trouble(None);
            true
        }
        Fault::Trick { worker, trick } => {
            member = Some(Member::Worker(worker));
            let wrapper = seat(farm, Member::Worker(worker));
            let wrapper = wrapper.as_ref().and_then(|seat| seat.wrapper.as_ref());
            wrapper.is_some_and(|wrapper| wrapper.arm(trick.name()).is_ok())
        }
    };
    let length_ms = i64::try_from(fault.length_ms()).unwrap_or(i64::MAX);
    let ended_ms = if fault.is_kill() { began_ms.saturating_add(length_ms) } else { now_ms() };
    Struck { fault, member, began_ms, ended_ms, hit }
}

fn kill(farm: &Farm, witness: &Witness, victim: Member, pause: Duration) -> bool {
    let Some(seat) = seat(farm, victim) else { return false };
    if let Member::Worker(_) = victim {
        let room = has_room(farm, witness, victim);
        // Noted before, so that a claim that follows at once is not missed.
        witness.seen().killing(&victim.to_string(), now_ms(), room);
    }
    seat.process.kill(pause)
}

/// Whether a worker other than `victim` could take its jobs: awake, ready, connected, and with
/// room for all of them.
fn has_room(farm: &Farm, witness: &Witness, victim: Member) -> bool {
    let held = witness.seen().held();
    let of = |member: Member| held.get(&member.to_string()).copied().unwrap_or(0);
    let others = farm.seats.iter().filter(|(member, seat)| {
        let free = seat.process.is_awake() && seat.process.is_ready();
        let reaches = !seat.nats.is_troubled() && !seat.store.is_troubled();
        matches!(member, Member::Worker(_)) && **member != victim && free && reaches
    });
    others.map(|(member, _)| SLOTS.saturating_sub(of(*member))).sum::<u64>() >= of(victim)
}

fn choose(farm: &Farm, witness: &Witness, whom: Whom) -> Option<Member> {
    let pick = match whom {
        Whom::Member(member) => return Some(member),
        Whom::BusyWorker(pick) => pick,
    };
    let held = witness.seen().held();
    let awake = |member: &&Member| farm.seats.get(member).is_some_and(|seat| seat.process.is_awake());
    let workers: Vec<_> =
        farm.seats.keys().filter(|member| matches!(member, Member::Worker(_))).filter(awake).collect();
    let busy: Vec<_> = workers.iter().filter(|member| held.contains_key(&member.to_string())).copied().collect();
    // With nobody at work an idle one is killed: it may be starting a claim.
    let from = if busy.is_empty() { workers } else { busy };
    let at = usize::try_from(pick).ok()?.checked_rem(from.len())?;
    Some(*from[at])
}

fn encoder(farm: &Farm, pick: u64) -> Option<i32> {
    let running = proc::encoders(&farm.mark);
    let at = usize::try_from(pick).ok()?.checked_rem(running.len())?;
    Some(running[at].pid)
}

fn seat(farm: &Farm, member: Member) -> Option<Arc<Seat>> {
    farm.seats.get(&member).cloned()
}
