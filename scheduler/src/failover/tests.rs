//! A channel on a farm that does what the test says, looked at as the controller looks.

mod anything;
mod costing;
mod losing;
mod placing;
mod published;
mod scheduled;
mod telling;
mod zoned;

use std::time::Duration;

use framemill_queue::transition;
use framemill_schemas::{
    holder::Holder,
    job::{JobRecord, JobState},
    live::{ReplicaStatus, SourceStatus},
};
use uuid::Uuid;

use super::*;
use crate::{
    ops::sample,
    view::{Noted, Outcome, Word},
};

/// Milliseconds of a segment of the sample channel.
const SEGMENT_MS: u64 = 4000;

/// A channel, its jobs, and a farm of nodes that do what the test says.
struct World {
    start: Instant,
    ms: u64,
    revision: u64,
    channel: ChannelRecord,
    jobs: Vec<JobRecord>,
    known: Known,
    silent: HashSet<JobId>,
    listening: bool,
    fleet: Fleet,
    memory: Memory,
    /// Kinds of all events that were decided.
    told: Vec<String>,
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

impl World {
    fn new(nodes: &[&str]) -> Self {
        Self {
            start: Instant::now(),
            ms: 1_000_000,
            revision: 1,
            channel: ChannelRecord { since_ms: 1_000_000, ..sample::channel(Wanted::Running) },
            jobs: Vec::new(),
            known: Known::default(),
            silent: HashSet::new(),
            listening: true,
            fleet: Fleet { software: nodes.iter().map(|name| node(name)).collect(), ..Fleet::default() },
            memory: Memory::default(),
            told: Vec::new(),
        }
    }

    /// One that is live on `a` and `b`.
    fn live(nodes: &[&str]) -> Self {
        let mut world = Self::new(nodes);
        world.look();
        world.claim(0, "a");
        world.look();
        world.claim(1, "b");
        world.publish();
        assert_eq!(world.channel.state, ChannelState::Live, "{:?}", world.channel);
        world.told.clear();
        world
    }

    /// Tells the farm what nodes share.
    fn zone(&mut self, zones: &[(&str, &str)]) {
        self.fleet.zones = zones.iter().map(|(name, zone)| (node(name), zone.parse().unwrap())).collect();
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.ms)
    }

    fn now_ms(&self) -> i64 {
        self.ms.cast_signed()
    }

    fn replica(&self, index: usize) -> JobId {
        self.channel.replicas[index].job
    }

    fn on(&self, index: usize) -> Option<&str> {
        self.channel.replicas.get(index)?.node.as_ref().map(NodeId::as_str)
    }

    fn job(&mut self, id: JobId) -> &mut JobRecord {
        self.jobs.iter_mut().find(|job| job.id == id).unwrap()
    }

    fn claim(&mut self, index: usize, name: &str) {
        let (id, now_ms) = (self.replica(index), self.now_ms());
        let holder = Holder { node: node(name), process: Uuid::nil(), nonce: Uuid::nil() };
        let job = self.job(id);
        *job = transition::claim(job.clone(), holder, now_ms).unwrap();
    }

    /// A second later.
    fn later(&mut self) {
        self.ms += 1000;
    }

    fn summaries(&self) -> Vec<Arc<JobSummary>> {
        self.jobs.iter().map(|job| Arc::new(JobSummary::of(1, job.clone()))).collect()
    }

    fn facts<'a>(&'a self, jobs: &'a [Arc<JobSummary>]) -> Facts<'a> {
        let (now, now_ms, revision) = (self.now(), self.now_ms(), self.revision);
        let Self { known, silent, listening, fleet, .. } = self;
        Facts { now, now_ms, revision, jobs, known, silent, listening: *listening, fleet }
    }

    fn observe(&self, mut memory: Memory, jobs: &[Arc<JobSummary>]) -> Memory {
        memory.observe(&self.channel, &self.facts(jobs));
        memory
    }

    /// What a look would change.
    fn decide(&self) -> Option<ChannelRecord> {
        decide(&self.channel, &self.facts(&self.summaries()), &self.memory)
    }

    /// Looks once, and does what follows.
    fn look(&mut self) {
        self.revision += 1;
        let jobs = self.summaries();
        let memory = std::mem::take(&mut self.memory);
        self.memory = self.observe(memory, &jobs);
        if let Some(mut next) = self.decide() {
            self.told.extend(next.unsent.drain(..).map(|event| event.kind));
            self.channel = next;
        }
        let (todo, now_ms) = (chores(&self.channel, &jobs, self.now_ms()), self.now_ms());
        for id in todo.cancel {
            let job = self.job(id);
            *job = transition::cancel(job.clone(), now_ms).unwrap();
        }
        for id in todo.create {
            let replica = self.channel.replicas.iter().find(|replica| replica.job == id).unwrap();
            let last = self.known.timelines.last();
            self.jobs.push(job_of(&self.channel, replica, last, now_ms).unwrap());
        }
        self.jobs.retain(|job| !todo.forget.contains(&job.id));
    }

    fn head(&self) -> u64 {
        self.known.log.last_key_value().map_or(99, |(number, _)| *number)
    }

    fn commit(&mut self, what: Outcome, by: Option<usize>) {
        let by = by.map(|index| (self.replica(index), node("x")));
        let number = self.head() + 1;
        let noted = Noted { what, timeline: 1, by, at: self.now() };
        Arc::make_mut(&mut self.known.log).insert(number, noted);
    }

    fn status(&self, index: usize) -> ReplicaStatus {
        let source = SourceStatus {
            uri: "udp://239.0.0.1:5000".to_owned(),
            active: true,
            reachable: true,
            bits_per_s: 1,
            last_packet_ms: Some(1),
            format: None,
            reconnects: 0,
            lost_packets: 0,
            trouble: None,
        };
        ReplicaStatus {
            v: 1,
            tenant: self.channel.tenant.clone(),
            channel_id: self.channel.id.clone(),
            job_id: self.replica(index),
            node: node("x"),
            at_ms: self.now_ms(),
            timeline: Some(1),
            encoding: true,
            restarts: 0,
            number: Some(self.head()),
            lag_ms: Some(1),
            speed_milli: Some(1000),
            committed: 0,
            yielded: 0,
            flaws: Vec::new(),
            sources: vec![source],
            tracks: Vec::new(),
            trouble: None,
        }
    }

    fn say(&mut self, status: ReplicaStatus) {
        let at = self.now();
        self.known.words.insert(status.job_id, Arc::new(Word { status, at }));
    }

    /// Every replica commits once, says that it is well, and is looked at.
    fn publish(&mut self) {
        for index in 0..self.channel.replicas.len() {
            self.commit(Outcome::Segment, Some(index));
        }
        for index in 0..self.channel.replicas.len() {
            self.say(self.status(index));
        }
        self.look();
    }

    /// Goes on for so many seconds, each with what the replicas say, a number every four.
    fn run(&mut self, seconds: u64, mut change: impl FnMut(usize, &mut ReplicaStatus)) {
        for second in 0..seconds {
            self.later();
            if second % (SEGMENT_MS / 1000) == 0 {
                self.commit(Outcome::Segment, None);
            }
            for index in 0..self.channel.replicas.len() {
                let mut status = self.status(index);
                change(index, &mut status);
                self.say(status);
            }
            self.look();
        }
    }

    fn code(&self) -> &str {
        self.channel.why.as_ref().map_or("", |why| why.code.as_str())
    }
}
