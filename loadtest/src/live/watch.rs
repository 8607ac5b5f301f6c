//! What the farm says of a channel, several times a second, and since when both of its replicas work.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use framemill_schemas::{
    ids::JobId,
    live::{ChannelDetail, ChannelState},
};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{machine::now_ms, rig::Api};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// How long one look may take.
const ANSWER: Duration = Duration::from_secs(5);

/// What was said so far.
#[derive(Debug, Default)]
pub struct Watch {
    said: Mutex<Said>,
}

/// What was said.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// The last answer, and when it came, Unix milliseconds.
    pub last: Option<(i64, ChannelDetail)>,
    /// When some replica was seen to hold back, Unix milliseconds.
    pub flawed_ms: Vec<i64>,
}

impl Watch {
    /// What was said so far.
    pub fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last answer.
    pub fn detail(&self) -> Option<ChannelDetail> {
        self.said().last.as_ref().map(|(_, detail)| detail.clone())
    }

    /// Asks until `stop`.
    pub async fn run(&self, api: &Api, path: &str, stop: &CancellationToken) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(looks.tick()).await.is_some() {
            let Ok(detail) = api.get::<ChannelDetail>(path, ANSWER).await else { continue };
            let mut said = self.said();
            if detail.replicas.iter().any(|replica| !replica.flaws.is_empty()) {
                said.flawed_ms.push(now_ms());
            }
            said.last = Some((now_ms(), detail));
        }
    }
}

/// What a strike did, as far as its end can be seen by it.
#[derive(Clone, Copy, Debug)]
pub struct Blow {
    /// The replica that was struck.
    pub job: JobId,
    /// The last number of the channel at that moment.
    pub head: u64,
    /// When whatever was stopped or cut goes on, Unix milliseconds; of a replica that was replaced, it does
    /// not matter.
    pub over_ms: i64,
}

/// Whether a channel has both its replicas again: it says so, and each of them has finished a number that
/// it can only have begun after the blow. Pure.
pub fn is_whole(detail: &ChannelDetail, blow: Option<&Blow>, now_ms: i64) -> bool {
    let channel = &detail.channel;
    let complete = channel.state == ChannelState::Live
        && channel.proven == channel.redundancy
        && detail.replicas.len() == channel.redundancy as usize;
    let works = |replica: &framemill_schemas::live::EncoderView| {
        let runs = replica.proven && replica.encoding == Some(true);
        runs && blow.is_none_or(|blow| {
            let goes_on = replica.job_id != blow.job || now_ms >= blow.over_ms;
            goes_on && replica.number.is_some_and(|number| number >= blow.head + 2)
        })
    };
    complete && detail.replicas.iter().all(works)
}
