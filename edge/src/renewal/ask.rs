//! Asks for next tokens in the background, and checks what comes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use framemill_tokens::Keyring;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    chains::{Answer, Ask, Chains, Digest, Next, Shown, Times, lineage_of},
    scheduler::{Said, Schedulers},
};
use crate::{clock::now_ms, http::Carriage, metrics::Metrics};

/// Tokens that wait to be renewed; beyond it a later playlist asks again.
const ASKS_MAX: usize = 4096;
/// Tokens that are being renewed at once.
const UNDER_WAY_MAX: usize = 32;

/// The sessions that this edge renews.
pub struct Renewal {
    chains: Mutex<Chains>,
    asks: mpsc::Sender<Ask>,
    metrics: Arc<Metrics>,
}

impl Renewal {
    /// None yet, each to be renewed for so long at most (milliseconds); and where what is to be asked comes out.
    pub fn new(session_ms_max: i64, metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<Ask>) {
        let (asks, taken) = mpsc::channel(ASKS_MAX);
        (Self { chains: Mutex::new(Chains::new(session_ms_max)), asks, metrics }, taken)
    }

    /// Takes the token that something is served for by which players are led on; returns the one to hand on, if there is a newer one. Never waits.
    pub fn next(&self, shown: &Shown<'_>, now_ms: i64) -> Option<Arc<Next>> {
        let step = self.lock().asked(shown, now_ms);
        if step.full {
            self.metrics.renewed("full");
        }
        if let Some(Err(mpsc::error::TrySendError::Full(ask) | mpsc::error::TrySendError::Closed(ask))) =
            step.ask.map(|ask| self.asks.try_send(ask))
        {
            self.metrics.renewed("full");
            self.lock().answered(&ask, Answer::Failed, now_ms);
        }
        step.next
    }

    /// Takes a token whose time is over; returns when it ended if it still opens what it is shown for.
    pub fn excuse(&self, digest: &Digest, carriage: Carriage, leads_on: bool, now_ms: i64) -> Option<i64> {
        self.lock().excuse(digest, carriage, leads_on, now_ms)
    }

    fn lock(&self) -> MutexGuard<'_, Chains> {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks until it is stopped.
pub async fn run(
    renewal: Arc<Renewal>,
    schedulers: Schedulers,
    keyring: Arc<ArcSwap<Keyring>>,
    mut asks: mpsc::Receiver<Ask>,
    stop: CancellationToken,
) {
    let schedulers = Arc::new(schedulers);
    let mut under_way = JoinSet::new();
    while let Some(Some(ask)) = stop.run_until_cancelled(asks.recv()).await {
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= UNDER_WAY_MAX {
            under_way.join_next().await;
        }
        let (renewal, schedulers, keyring) = (Arc::clone(&renewal), Arc::clone(&schedulers), Arc::clone(&keyring));
        under_way.spawn(async move {
            let said = schedulers.renew(&ask, now_ms).await;
            let now_ms = now_ms();
            let answer = judged(said, &ask, &keyring.load(), now_ms);
            renewal.metrics.renewed(match answer {
                Answer::Renewed(_) => "renewed",
                Answer::Refused => "refused",
                Answer::Failed => "failed",
            });
            renewal.lock().answered(&ask, answer, now_ms);
        });
    }
}

/// Takes what a scheduler said; returns what comes of it. Guards: the token verifies here, is of the same session in
/// everything but its times, and ends later: an edge never hands on what it would not take.
fn judged(said: Said, ask: &Ask, keyring: &Keyring, now_ms: i64) -> Answer {
    let token = match said {
        Said::Token(token) => token,
        Said::Refused => return Answer::Refused,
        Said::Nothing => return Answer::Failed,
    };
    match keyring.verify(&token, now_ms.div_euclid(1000)) {
        Ok(verified) if lineage_of(&verified) != ask.lineage => {
            tracing::warn!("a scheduler renewed a token as one of another session");
            Answer::Failed
        }
        // What the account may watch ends with this one; or it is early for a life as short as the next one's.
        Ok(verified) if verified.claims.expires_s <= ask.times.expires_s => Answer::Failed,
        Ok(verified) => {
            let times = Times::of(verified.issued_s, verified.claims.expires_s, verified.more.renewing);
            Answer::Renewed(Next { token, times })
        }
        // Its key may be on its way here.
        Err(refusal) => {
            tracing::warn!(reason = refusal.reason(), "a scheduler renewed a token as one that opens nothing here");
            Answer::Failed
        }
    }
}
