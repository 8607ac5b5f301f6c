//! Leases: one holder at a time, and the next one soon.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use framemill_queue::{Queue, lease::hold};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::server::{Server, soon};

const LEASE: Duration = Duration::from_millis(1500);

struct Contender {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Contends for the lease; says its number each time it gets it, and counts who holds it.
fn contend(queue: Queue, number: u32, held: mpsc::UnboundedSender<u32>, holders: Arc<AtomicU32>) -> Contender {
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let task = tokio::spawn(async move {
        hold(&queue, "loop", Uuid::from_u128(u128::from(number)), LEASE, &stopping, |lost| {
            let (held, holders) = (held.clone(), holders.clone());
            async move {
                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold one lease");
                held.send(number).unwrap();
                lost.cancelled().await;
                holders.fetch_sub(1, Ordering::SeqCst);
            }
        })
        .await;
    });
    Contender { stop, task }
}

#[tokio::test]
async fn a_lease_given_back_is_taken_at_once_and_an_abandoned_one_after_its_time() {
    let server = Server::start().await;
    let (sender, mut held) = mpsc::unbounded_channel();
    let holders = Arc::new(AtomicU32::new(0));
    let mut contenders = Vec::new();
    for number in 0..3 {
        contenders.push(contend(server.connect().await, number, sender.clone(), holders.clone()));
    }
    let first = soon("a first holder", held.recv()).await.unwrap();

    let begun = Instant::now();
    contenders[first as usize].stop.cancel();
    let second = soon("a second holder", held.recv()).await.unwrap();
    assert_ne!(second, first);
    assert!(begun.elapsed() < LEASE, "nobody waits for a lease that was given back");

    // Its process dies without a word.
    let begun = Instant::now();
    contenders[second as usize].task.abort();
    holders.store(0, Ordering::SeqCst);
    let third = soon("a third holder", held.recv()).await.unwrap();
    assert!(third != first && third != second);
    assert!(begun.elapsed() >= LEASE / 2, "it was still being renewed a moment ago");
    contenders[third as usize].stop.cancel();
    for contender in contenders {
        let _ = soon("it ends", contender.task).await;
    }
}

#[tokio::test]
async fn a_holder_that_cannot_renew_stops_before_another_may_start() {
    let mut server = Server::start().await;
    let (sender, mut held) = mpsc::unbounded_channel();
    let holders = Arc::new(AtomicU32::new(0));
    let first = contend(server.connect().await, 1, sender.clone(), holders.clone());
    assert_eq!(soon("a holder", held.recv()).await, Some(1));
    let second = contend(server.connect().await, 2, sender.clone(), holders.clone());
    server.kill();
    crate::server::eventually("it gave up", async || (holders.load(Ordering::SeqCst) == 0).then_some(())).await;
    server.restart().await;
    assert!(soon("a holder again", held.recv()).await.is_some());
    for contender in [first, second] {
        contender.stop.cancel();
        soon("it ends", contender.task).await.unwrap();
    }
}
