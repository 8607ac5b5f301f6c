//! Striking one replica of a channel, and mending what was stopped or cut.

use std::{sync::Arc, time::Duration};

use framemill_schemas::live::ChannelDetail;
use nix::sys::signal::Signal;
use tokio::task::JoinHandle;

use super::{
    faults::{Kind, Strike},
    watch::Blow,
};
use crate::{
    machine::now_ms,
    rig::{Farm, Seat, proc},
};

/// A replica that was struck.
#[derive(Debug)]
pub struct Struck {
    /// What is known of it.
    pub blow: Blow,
    /// Its node.
    pub node: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Ends when what was stopped or cut goes on.
    pub over: JoinHandle<()>,
}

/// Strikes; nothing where there is nobody to strike.
pub fn strike(farm: &Arc<Farm>, detail: &ChannelDetail, strike: &Strike) -> Option<Struck> {
    let mut replicas: Vec<_> = detail.replicas.iter().collect();
    // The order of the record is not that of a seed.
    replicas.sort_by_key(|replica| replica.node.clone());
    let replica = replicas.get(usize::from(strike.replica))?;
    let node = replica.node.as_ref()?.to_string();
    let seat = farm.seat(&node)?;
    let head = detail.head.as_ref()?.number;
    let at_ms = now_ms();
    let length = Duration::from_millis(strike.length_ms);
    let later_ms = at_ms + i64::try_from(strike.length_ms).ok()?;
    let (hit, over_ms, mend): (bool, i64, Mend) = match strike.kind {
        Kind::KillWorker => (seat.process.kill(length), i64::MAX, Mend::Nothing),
        Kind::StopWorker => (seat.process.stop(), later_ms, Mend::Wake),
        Kind::KillEncoder => {
            let pid = encoder(farm, &seat)?;
            (proc::signal(pid, Signal::SIGKILL), at_ms, Mend::Nothing)
        }
        Kind::StopEncoder => {
            let pid = encoder(farm, &seat)?;
            (proc::signal(pid, Signal::SIGSTOP), at_ms, Mend::Encoder(pid))
        }
        Kind::CutNetwork => {
            strike.links.iter().for_each(|link| seat.link(*link).set(Some(strike.trouble)));
            (true, later_ms, Mend::Links)
        }
    };
    let links = strike.links;
    let farm = farm.clone();
    let over = tokio::spawn(async move {
        tokio::time::sleep(length).await;
        match mend {
            Mend::Nothing => {}
            Mend::Wake => seat.process.wake(),
            Mend::Encoder(pid) => {
                // Its number may be another's by now.
                if proc::marked(&farm.mark).iter().any(|found| found.pid == pid) {
                    proc::signal(pid, Signal::SIGCONT);
                }
            }
            Mend::Links => links.iter().for_each(|link| seat.link(*link).set(None)),
        }
    });
    let blow = Blow { job: replica.job_id, head, over_ms };
    hit.then_some(Struck { blow, node, at_ms, over })
}

enum Mend {
    Nothing,
    Wake,
    Encoder(i32),
    Links,
}

/// The encoder of a worker: of its children the one that looks at its pictures, which fillers do not.
fn encoder(farm: &Farm, seat: &Seat) -> Option<i32> {
    let worker = seat.process.pid()?;
    let found = proc::marked(&farm.mark).into_iter();
    let mut encoders = found.filter(|found| found.parent == worker && found.line.contains("freezedetect"));
    encoders.next().map(|found| found.pid)
}
