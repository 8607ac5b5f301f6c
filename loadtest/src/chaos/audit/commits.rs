//! Whether any job was committed twice: the whole log of events against the records.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use anyhow::{Context, Result};
use async_nats::jetstream::{self, consumer::pull::OrderedConfig};
use framemill_schemas::{
    event::EventData,
    finding::Finding,
    ids::JobId,
    job::{JobRecord, JobState},
    subject,
};
use futures_util::StreamExt;

/// How long the log may fall silent in the middle.
const SILENCE: Duration = Duration::from_secs(20);

/// An event as it lies in the log.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its identity.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// What it is about.
    pub data: EventData,
}

/// What the server still holds of the farm's work.
#[derive(Debug)]
pub struct Log {
    /// All events, oldest first.
    pub events: Vec<Told>,
    /// Hints that wait on the queue.
    pub hints: u64,
}

/// Hints that wait on the queue.
pub async fn hints(url: &str) -> Result<u64> {
    let context = jetstream::new(async_nats::connect(url).await?);
    let mut stream = context.get_stream(subject::JOBS_STREAM).await?;
    Ok(stream.info().await?.state.messages)
}

/// Reads the log of the server at `url`.
pub async fn read(url: &str) -> Result<Log> {
    let context = jetstream::new(async_nats::connect(url).await.context("the audit cannot connect to NATS")?);
    let mut stream = context.get_stream(subject::EVENTS_STREAM).await.context("there is no log of events")?;
    let state = stream.info().await?.state.clone();
    let mut events = Vec::new();
    if state.messages > 0 {
        let consumer = stream.create_consumer(OrderedConfig::default()).await?;
        let mut messages = consumer.messages().await?;
        loop {
            let message = tokio::time::timeout(SILENCE, messages.next()).await.context("the log of events stopped")?;
            let message = message.context("the log of events ended")??;
            let sequence = message.info().map_err(anyhow::Error::from_boxed)?.stream_sequence;
            let header = |name: &str| message.headers.as_ref().and_then(|headers| headers.get(name));
            let text = |name: &str| header(name).map(|value| value.as_str().to_owned()).unwrap_or_default();
            events.push(Told {
                id: text("ce-id"),
                kind: text("ce-type"),
                at_ms: text("ce-time").parse().map_or(0, jiff::Timestamp::as_millisecond),
                data: serde_json::from_slice(&message.payload).context("an event without facts")?,
            });
            if sequence >= state.last_sequence {
                break;
            }
        }
    }
    Ok(Log { events, hints: hints(url).await? })
}

/// Compares the log, what was seen of the records, and the records as they are. No job of a run
/// is redriven, so each is committed once at most.
pub fn judge(events: &[Told], commits: &HashMap<JobId, u32>, jobs: &HashMap<JobId, JobRecord>) -> Vec<Finding> {
    let mut completed: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut published: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for event in events {
        if let (Some(job), true) = (event.data.job_id, event.kind.ends_with(".completed")) {
            completed.entry(job.to_string()).or_default().insert(&event.id);
        }
        if let (Some(asset), "asset.published") = (event.data.asset_id, event.kind.as_str()) {
            published.entry(asset.to_string()).or_default().insert(&event.id);
        }
    }
    let twice = |what: &'static str| {
        move |(at, ids): (&String, &BTreeSet<&str>)| {
            (ids.len() > 1).then(|| Finding::error(what, at, format!("{} events of it", ids.len()), "one"))
        }
    };
    let mut findings: Vec<Finding> = completed.iter().filter_map(twice("committed-twice")).collect();
    findings.extend(published.iter().filter_map(twice("published-twice")));
    for (job, count) in commits.iter().filter(|(_, count)| **count > 1) {
        let said = format!("its record became done {count} times");
        findings.push(Finding::error("committed-twice", job.to_string(), said, "once"));
    }
    for (id, job) in jobs {
        let told = completed.contains_key(&id.to_string());
        let done = job.state == JobState::Done;
        if told != done {
            let said = format!("{}, and {} completed event", job.state.as_str(), if told { "a" } else { "no" });
            findings.push(Finding::error("event-differs", id.to_string(), said, "a completed event for what is done"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn told(id: &str, kind: &str, job: JobId) -> Told {
        let data = EventData { job_id: Some(job), ..EventData::default() };
        Told { id: id.to_owned(), kind: kind.to_owned(), at_ms: 0, data }
    }

    #[test]
    fn two_commits_are_found_and_a_repeated_event_is_none() {
        let job = JobId::new(Uuid::from_u128(1));
        let once = [told("a", "transcode.completed", job), told("a", "transcode.completed", job)];
        let none = HashMap::new();
        assert_eq!(judge(&once, &HashMap::from([(job, 1)]), &none), []);
        let twice = [told("a", "transcode.completed", job), told("b", "transcode.completed", job)];
        assert_eq!(judge(&twice, &HashMap::new(), &none)[0].code, "committed-twice");
        assert_eq!(judge(&once, &HashMap::from([(job, 2)]), &none)[0].code, "committed-twice");
    }
}
