//! Claims seats in accounts' records, and hears what becomes of them.

use std::{sync::Arc, time::Duration};

use framemill_queue::{Queue, RecordError, Records};
use framemill_schemas::{
    delivery::{NoSeat, Sessions},
    subject::SESSIONS_BUCKET,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{Claim, Local};
use crate::{
    clock::now_ms,
    follow::{Said, follow},
};

/// Claims under way at once.
const CLAIMS_MAX: usize = 64;
/// Times that a claim is tried when others change the record.
const TRIES: usize = 8;
/// How often accounts are forgotten that nobody asks for.
const PRUNE: Duration = Duration::from_secs(30);
/// Pause before a claim is given back that NATS does not answer: the next request would make it at once.
const AGAIN: Duration = Duration::from_millis(500);

/// Claims and hears until it is stopped.
pub async fn run(queue: Queue, local: Arc<Local>, claims: mpsc::Receiver<Claim>, stop: CancellationToken) {
    tokio::join!(claim_all(&queue, &local, claims, &stop), hear(&queue, &local, &stop), prune(&local, &stop));
}

async fn prune(local: &Local, stop: &CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(PRUNE)).await.is_some() {
        local.prune(now_ms());
    }
}

async fn claim_all(queue: &Queue, local: &Arc<Local>, mut claims: mpsc::Receiver<Claim>, stop: &CancellationToken) {
    let records: Records<Sessions> = queue.records(SESSIONS_BUCKET);
    let mut under_way = JoinSet::new();
    while let Some(Some(claim)) = stop.run_until_cancelled(claims.recv()).await {
        if under_way.len() >= CLAIMS_MAX {
            under_way.join_next().await;
        }
        let (records, local) = (records.clone(), Arc::clone(local));
        under_way.spawn(async move {
            match enter(&records, &claim).await {
                Ok(Ok(())) => local.grant(&claim, now_ms()),
                Ok(Err(why)) => local.refuse(&claim, why, now_ms()),
                Err(error) => {
                    tracing::debug!(%error, "a seat could not be claimed yet");
                    tokio::time::sleep(AGAIN).await;
                    local.forget(&claim);
                }
            }
        });
    }
}

/// Enters a session into its account's record.
async fn enter(records: &Records<Sessions>, claim: &Claim) -> Result<Result<(), NoSeat>, RecordError> {
    let mut tries = TRIES;
    loop {
        let found = records.get(&claim.account).await?;
        let (record, revision) =
            found.map_or((Sessions::default(), None), |(record, revision)| (record, Some(revision)));
        let (next, entered) = record.enter(&claim.session, claim.began_ms, claim.max, claim.yields, now_ms());
        // One that yields at once is written down too: it does not come back.
        if entered.is_err() && next == record {
            return Ok(entered);
        }
        let written = match revision {
            Some(revision) => records.update(&claim.account, &next, revision).await,
            None => records.create(&claim.account, &next).await,
        };
        match written {
            Ok(_) => return Ok(entered),
            // Another edge was faster.
            Err(RecordError::Fenced | RecordError::Exists) if tries > 1 => tries -= 1,
            Err(error) => return Err(error),
        }
    }
}

async fn hear(queue: &Queue, local: &Local, stop: &CancellationToken) {
    let (heard, _) = watch::channel(None);
    let hear = |said: Said<Sessions>| match said {
        Said::Put { key, value, .. } => local.take(&key, &value, now_ms()),
        Said::Deleted { .. } | Said::Current => {}
        Said::Unreadable(error) => tracing::error!(%error, "an account's sessions cannot be read"),
    };
    follow(queue, SESSIONS_BUCKET, &heard, stop, hear).await;
}
