//! Being a node of the farm: what an operator or the farm decides is obeyed, and survives.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use framemill_queue::{Changed, Member, Queue, Standing, node, run_node};
use framemill_schemas::{
    failure::{Class, Failure},
    ids::NodeId,
    job::JobState,
    lane::Priority,
    node::{Decider, NodeRecord, NodeRole, NodeState},
};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    server::{Server, eventually, soon},
    worker::{Worker, hint_goes, output, reaches, record, submit},
};

fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

/// A process of a node, whose canary fails the first `bad` times.
struct Process {
    standing: watch::Receiver<Standing>,
    canaries: Arc<AtomicU32>,
    _member: AbortOnDropHandle<()>,
}

impl Process {
    fn start(queue: &Queue, name: &str, bad: u32) -> Self {
        let (says, standing) = watch::channel(Standing::UNKNOWN);
        let role = NodeRole { role: "worker".to_owned(), slots: 1, encodes: Vec::new(), zone: None, inventory: None };
        let canaries = Arc::new(AtomicU32::new(0));
        let count = canaries.clone();
        let canary = move || -> framemill_queue::Trial {
            let run = count.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                if run < bad { Err(Failure::new(Class::Transient, "ffmpeg-crashed", "signal 11")) } else { Ok(()) }
            })
        };
        let member = Member { node: id(name), role };
        let task = tokio::spawn(run_node(queue.clone(), member, says, canary));
        Self { standing, canaries, _member: AbortOnDropHandle::new(task) }
    }

    /// Waits until it is told so.
    async fn hears(&self, what: &str, so: impl Fn(&Standing) -> bool) {
        let mut standing = self.standing.clone();
        soon(what, standing.wait_for(|standing| so(standing))).await.unwrap();
    }
}

async fn found(queue: &Queue, name: &str) -> NodeRecord {
    queue.nodes().get(name).await.unwrap().unwrap().0
}

async fn change(
    queue: &Queue,
    name: &str,
    decide: impl Fn(NodeRecord, node::Moment) -> Option<NodeRecord>,
) -> NodeRecord {
    match queue.change_node(&id(name), decide).await.unwrap() {
        Changed::Yes(node, _) => node,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_node_joins_once_and_knows_whether_it_is_alone() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let first = Process::start(&queue, "a", 0);
    first.hears("it takes jobs, alone", |standing| standing.takes && standing.alone).await;
    let second = Process::start(&server.connect().await, "b", 0);
    second.hears("it is not alone", |standing| standing.takes && !standing.alone).await;
    first.hears("another came", |standing| !standing.alone).await;
    let said: Vec<_> = found(&queue, "a").await.unsent.into_iter().map(|event| event.kind).collect();
    assert_eq!(said, ["node.joined"]);
    // Others that take nothing, or are gone, leave it alone.
    change(&queue, "b", |node, at| node::drain(node, 60, at)).await;
    first.hears("the other drains", |standing| standing.alone).await;
    change(&queue, "b", node::resume).await;
    first.hears("the other is back", |standing| !standing.alone).await;
    drop(second);
    change(&queue, "b", node::lost).await;
    first.hears("the other is lost", |standing| standing.alone).await;
    // A node that is suspected itself says nothing about sources.
    change(&queue, "a", |node, at| node::suspect(node, Some("two jobs".to_owned()), at)).await;
    first.hears("it is suspected", |standing| standing.takes && !standing.alone).await;
}

#[tokio::test]
async fn a_node_that_is_taken_for_lost_says_that_it_lives() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let process = Process::start(&queue, "a", 0);
    process.hears("it takes jobs", |standing| standing.takes).await;
    change(&queue, "a", node::lost).await;
    eventually("it is there again", async || found(&queue, "a").await.present.then_some(())).await;
}

#[tokio::test]
async fn a_draining_node_hands_back_after_its_deadline_and_no_attempt_is_spent() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let process = Process::start(&queue, "a", 0);
    let mut draining = Worker::start_standing(&server.connect().await, "a", process.standing.clone());
    let job = submit(&queue, "first", Priority::Standard).await;
    let begun = draining.next().await;

    change(&queue, "a", |node, at| node::drain(node, 3600, at)).await;
    process.hears("it takes nothing", |standing| !standing.takes && !standing.hands_back).await;
    let second = submit(&queue, "second", Priority::Standard).await;
    let mut other = Worker::start(&server.connect().await, "b", 2);
    other.next().await.end(Ok(output()));
    reaches(&queue, &second, JobState::Done).await;
    assert!(!begun.cancel.is_cancelled(), "it may finish what it runs");

    change(&queue, "a", |node, at| node::drain(node, 0, at)).await;
    soon("what runs is given back", begun.cancel.cancelled()).await;
    let again = other.next().await;
    assert_eq!((again.job.id, again.job.attempt, again.job.spent), (job.id, 2, 0));
    assert!(again.job.failures.is_empty());
    again.end(Ok(output()));
    reaches(&queue, &job, JobState::Done).await;
    hint_goes(&queue, &job).await;

    // Whoever starts on that machine now is told so before it takes anything.
    let restarted = Process::start(&queue, "a", 0);
    restarted.hears("it still drains", |standing| standing.hands_back).await;
    assert_eq!(found(&queue, "a").await.state, NodeState::Draining);
    change(&queue, "a", node::resume).await;
    other.drained().await;
    let third = submit(&queue, "third", Priority::Standard).await;
    draining.next().await.end(Ok(output()));
    assert_eq!(reaches(&queue, &third, JobState::Done).await.holder.unwrap().node, id("a"));
    draining.drained().await;
}

#[tokio::test]
async fn a_quarantined_node_tries_itself_until_it_does_well_twice() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let process = Process::start(&queue, "a", 1);
    process.hears("it takes jobs", |standing| standing.takes).await;
    assert_eq!(process.canaries.load(Ordering::SeqCst), 0);
    change(&queue, "a", |node, at| node::quarantine(node, Decider::Farm, "two jobs".to_owned(), at)).await;
    process.hears("it takes nothing", |standing| !standing.takes).await;
    process.hears("it is released", |standing| standing.takes).await;
    let node = found(&queue, "a").await;
    assert_eq!((node.state, node.canary.runs, node.canary.good), (NodeState::Active, 3, 2));
    assert_eq!(process.canaries.load(Ordering::SeqCst), 3);
    let said: Vec<_> = node.unsent.into_iter().map(|event| event.kind).collect();
    assert_eq!(said, ["node.joined", "node.quarantined", "node.joined"]);

    // What an operator decided, a canary does not touch: it does not even run.
    change(&queue, "a", |node, at| node::quarantine(node, Decider::Operator, "smoke".to_owned(), at)).await;
    process.hears("it takes nothing", |standing| !standing.takes).await;
    change(&queue, "a", node::resume).await;
    process.hears("it is resumed", |standing| standing.takes).await;
    assert_eq!(process.canaries.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_source_that_breaks_an_encoder_twice_on_the_only_node_is_blamed() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let process = Process::start(&queue, "a", 0);
    process.hears("it is alone", |standing| standing.alone).await;
    let mut worker = Worker::start_standing(&server.connect().await, "a", process.standing.clone());
    let job = submit(&queue, "poison", Priority::Standard).await;
    for attempt in 1..=2 {
        let begun = worker.next().await;
        assert_eq!(begun.job.attempt, attempt);
        begun.end(Err(Failure::new(Class::Transient, "ffmpeg-crashed", "signal 11")));
    }
    let failed = reaches(&queue, &job, JobState::Failed).await;
    assert_eq!((failed.attempt, failed.failures.last().unwrap().class), (2, Class::Input));
    worker.drained().await;
}

#[tokio::test]
async fn what_broke_on_one_node_is_tried_on_another_first() {
    let server = Server::start().await;
    let queue = server.connect().await;
    let (one, two) = (Process::start(&queue, "a", 0), Process::start(&queue, "b", 0));
    one.hears("it is not alone", |standing| standing.takes && !standing.alone).await;
    two.hears("it is not alone", |standing| standing.takes && !standing.alone).await;
    let mut first = Worker::start_standing(&server.connect().await, "a", one.standing.clone());
    let job = submit(&queue, "job", Priority::Standard).await;
    first.next().await.end(Err(Failure::new(Class::Transient, "ffmpeg-crashed", "signal 11")));
    reaches(&queue, &job, JobState::Ready).await;
    // Only now: until then the first could have taken it again.
    let mut second = Worker::start_standing(&server.connect().await, "b", two.standing.clone());
    let begun = second.next().await;
    assert_eq!((begun.job.attempt, begun.job.spent), (2, 1));
    begun.end(Ok(output()));
    assert_eq!(reaches(&queue, &job, JobState::Done).await.holder.unwrap().node, id("b"));
    assert_eq!(record(&queue, &job).await.0.attempt, 2);
    first.drained().await;
    second.drained().await;
}
