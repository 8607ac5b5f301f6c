//! `framemill trace`: what happened to one title, step by step, from its own record and those of
//! its jobs. What happened inside a step is in the trace whose id is shown; what viewers met is in another one, of a
//! channel too.

use framemill_schemas::{
    api::{AssetView, JobView},
    asset::AssetState,
    delivery::viewing,
    failure::Class,
    ids::NodeId,
    job::JobState,
    live::ChannelView,
};
use serde::Serialize;

use super::client;
use crate::{
    args::Global,
    client::{segment, with_query},
    exit::CliError,
    output::{self, span},
};

/// A title from its submission to where it is now.
#[derive(Debug, Serialize)]
struct Trace {
    asset: String,
    state: AssetState,
    /// Id of the trace in the collector.
    trace: Option<String>,
    /// Id of the trace of those who watch it today (UTC).
    viewers: String,
    submitted_ms: i64,
    ended_ms: Option<i64>,
    steps: Vec<Step>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Step {
    /// When it began, Unix milliseconds.
    at_ms: i64,
    /// `asset`, or the unit of the job.
    unit: String,
    /// What became of it.
    end: End,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<NodeId>,
    /// From being ready to being claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    waited_ms: Option<i64>,
    /// From being claimed to its end, or until now.
    #[serde(skip_serializing_if = "Option::is_none")]
    ran_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<Class>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum End {
    Submitted,
    /// An attempt that waits to be claimed.
    Waits,
    Runs,
    Done,
    Failed,
    /// Attempts that ended without being the job's fault: drains and outages.
    HandedBack,
    Cancelled,
    Published,
    Removed,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Waits => "waits",
            Self::Runs => "runs",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::HandedBack => "handed back",
            Self::Cancelled => "cancelled",
            Self::Published => "published",
            Self::Removed => "removed",
        }
    }
}

/// Runs the command.
pub async fn run(global: &Global, id: &str) -> Result<(), CliError> {
    let client = client(global)?;
    if let Some((tenant, channel)) = id.split_once('/') {
        let path = format!("/v1/channels/{}", segment(channel));
        let found: ChannelView = client.get(&with_query(&path, &[("tenant", Some(tenant))])).await?;
        watched(global, &format!("{}/{}", found.tenant, found.channel_id));
        return Ok(());
    }
    let asset: AssetView = client.get(&format!("/v1/assets/{}", segment(id))).await?;
    let jobs: Vec<JobView> =
        client.list(&with_query("/v1/jobs", &[("asset", Some(id)), ("limit", Some("200"))])).await?;
    let trace = trace(&asset, &jobs, output::now_ms());
    if global.json {
        output::json(&trace);
    } else {
        show(&trace);
    }
    Ok(())
}

/// A channel has no end: what is told of it is where its viewers' trace is.
fn watched(global: &Global, channel: &str) {
    let viewers = viewers(&format!("channel:{channel}"), output::now_ms());
    if global.json {
        output::json(&serde_json::json!({ "channel": channel, "viewers": viewers }));
    } else {
        output::line(format!("{channel}\nviewers today: trace {viewers}"));
    }
}

/// Id of the trace of those who watch something today.
fn viewers(tag: &str, now_ms: i64) -> String {
    viewing(tag, now_ms).id().map(str::to_owned).unwrap_or_default()
}

/// Everything that happened, in order.
fn trace(asset: &AssetView, jobs: &[JobView], now_ms: i64) -> Trace {
    let mut steps = vec![step(asset.submitted_ms, "asset", End::Submitted)];
    steps.extend(jobs.iter().flat_map(|job| attempts(job, now_ms)));
    steps.extend(end_of(asset));
    steps.sort_by_key(|step| step.at_ms);
    Trace {
        asset: asset.id.to_string(),
        state: asset.state,
        trace: asset.trace.clone(),
        viewers: viewers(&format!("asset:{}", asset.id), now_ms),
        submitted_ms: asset.submitted_ms,
        ended_ms: asset.ended_ms,
        steps,
    }
}

fn step(at_ms: i64, unit: &str, end: End) -> Step {
    Step {
        at_ms,
        unit: unit.to_owned(),
        end,
        attempt: None,
        node: None,
        waited_ms: None,
        ran_ms: None,
        class: None,
        code: None,
        reason: None,
    }
}

fn end_of(asset: &AssetView) -> Option<Step> {
    let end = match asset.state {
        AssetState::Accepted => return None,
        AssetState::Published => End::Published,
        AssetState::Failed => End::Failed,
        AssetState::Cancelled => End::Cancelled,
        AssetState::Doomed => End::Removed,
    };
    let failure = asset.failure.as_ref();
    Some(Step {
        class: failure.map(|failure| failure.class),
        code: failure.map(|failure| failure.code.clone()),
        reason: failure.map(|failure| failure.reason.clone()),
        ..step(asset.ended_ms?, "asset", end)
    })
}

/// The attempts of a job: those that failed are in its failures, the last one in the job itself.
/// Between them, those that were handed back left only a gap in the numbers.
fn attempts(job: &JobView, now_ms: i64) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut known = 0;
    for failure in &job.failures {
        let ran = failure.claimed_ms != 0;
        if ran {
            steps.extend(handed_back(job, known + 1, failure.attempt, failure.ready_ms));
            known = failure.attempt;
        }
        steps.push(Step {
            attempt: Some(failure.attempt),
            node: failure.node.clone(),
            waited_ms: ran.then_some(failure.claimed_ms - failure.ready_ms),
            ran_ms: ran.then_some(failure.at_ms - failure.claimed_ms),
            class: Some(failure.class),
            code: Some(failure.code.clone()),
            reason: Some(failure.reason.clone()),
            // One that blames the source comes right behind the failure it is about.
            ..step(if ran { failure.claimed_ms } else { last_ms(job, failure.at_ms) }, &job.unit, End::Failed)
        });
    }
    let claimed_ms = job.claimed_ms.unwrap_or_default();
    let end = match job.state {
        JobState::Running => Some(End::Runs),
        JobState::Done => Some(End::Done),
        // One that was cancelled while it waited ran no attempt.
        JobState::Cancelled if job.attempt > known && claimed_ms >= job.ready_ms => Some(End::Cancelled),
        JobState::Ready | JobState::Failed | JobState::Dead | JobState::Cancelled => None,
    };
    if let Some(end) = end {
        steps.extend(handed_back(job, known + 1, job.attempt, job.ready_ms));
        steps.push(Step {
            attempt: Some(job.attempt),
            node: job.node.clone(),
            waited_ms: Some(claimed_ms - job.ready_ms),
            ran_ms: Some(job.ended_ms.unwrap_or(now_ms) - claimed_ms),
            ..step(claimed_ms, &job.unit, end)
        });
    } else {
        steps.extend(handed_back(job, known + 1, job.attempt + 1, job.ready_ms));
    }
    match job.state {
        JobState::Ready => {
            steps.push(Step { waited_ms: Some(now_ms - job.ready_ms), ..step(job.ready_ms, &job.unit, End::Waits) });
        }
        JobState::Cancelled if end.is_none() => steps.push(step(last_ms(job, 0), &job.unit, End::Cancelled)),
        _ => {}
    }
    steps
}

fn last_ms(job: &JobView, at_ms: i64) -> i64 {
    if at_ms == 0 { job.ended_ms.unwrap_or(job.ready_ms) } else { at_ms }
}

/// The attempts `from..to`, of which nothing is written but that they were.
fn handed_back(job: &JobView, from: u32, to: u32, at_ms: i64) -> Vec<Step> {
    let back = |attempt| Step { attempt: Some(attempt), ..step(at_ms, &job.unit, End::HandedBack) };
    (from..to).map(back).collect()
}

fn show(trace: &Trace) {
    let took = trace.ended_ms.map_or_else(String::new, |end| format!(" after {}", span(end - trace.submitted_ms)));
    output::line(format!("{} {}{took}", trace.asset, trace.state.as_str()));
    match &trace.trace {
        Some(id) => output::line(format!("trace {id}")),
        None => output::line("not traced: no collector is configured (otel.endpoint)"),
    }
    output::line(format!("viewers today: trace {}", trace.viewers));
    let dash = || "-".to_owned();
    let rows = trace.steps.iter().map(|step| {
        vec![
            span(step.at_ms - trace.submitted_ms),
            step.unit.clone(),
            step.attempt.map_or_else(dash, |attempt| attempt.to_string()),
            step.node.as_ref().map_or_else(dash, ToString::to_string),
            step.waited_ms.map_or_else(dash, span),
            step.ran_ms.map_or_else(dash, span),
            step.end.as_str().to_owned(),
            what(step),
        ]
    });
    output::table(&["at", "unit", "attempt", "node", "waited", "ran", "end", ""], rows.collect(), "nothing happened");
}

fn what(step: &Step) -> String {
    match (&step.code, step.class, &step.reason) {
        (Some(code), Some(class), Some(reason)) => format!("{code} ({}): {reason}", class.as_str()).replace('\n', " "),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use framemill_schemas::failure::Failure;
    use serde_json::json;

    use super::*;

    fn job(
        state: &str,
        attempt: u32,
        failures: Vec<Failure>,
        claimed_ms: Option<i64>,
        ended_ms: Option<i64>,
    ) -> JobView {
        serde_json::from_value(json!({
            "id": "0198c0de-0000-7000-8000-000000000001",
            "asset_id": "0198c0de-0000-7000-8000-000000000002",
            "tenant": "default",
            "kind": "transcode",
            "unit": "u",
            "lane": "transcode.any.h264.small.standard",
            "state": state,
            "attempt": attempt,
            "node": "n",
            "failures": failures,
            "ready_ms": 1000,
            "claimed_ms": claimed_ms,
            "ended_ms": ended_ms,
        }))
        .unwrap()
    }

    fn failed(attempt: u32, ready_ms: i64, claimed_ms: i64, at_ms: i64) -> Failure {
        Failure { attempt, ready_ms, claimed_ms, at_ms, ..Failure::new(Class::Transient, "c", "r") }
    }

    #[test]
    fn every_attempt_is_told_once() {
        type Told = (End, Option<u32>, Option<i64>, Option<i64>);
        let ends = |job: &JobView| -> Vec<Told> {
            attempts(job, 5000).iter().map(|step| (step.end, step.attempt, step.waited_ms, step.ran_ms)).collect()
        };
        for (job, want) in [
            (job("ready", 0, vec![], None, None), vec![(End::Waits, None, Some(4000), None)]),
            (job("running", 1, vec![], Some(1500), None), vec![(End::Runs, Some(1), Some(500), Some(3500))]),
            (job("done", 1, vec![], Some(1500), Some(1700)), vec![(End::Done, Some(1), Some(500), Some(200))]),
            (
                job("done", 3, vec![failed(1, 100, 200, 900)], Some(1100), Some(1200)),
                vec![
                    (End::Failed, Some(1), Some(100), Some(700)),
                    (End::HandedBack, Some(2), None, None),
                    (End::Done, Some(3), Some(100), Some(100)),
                ],
            ),
            (
                // The source is blamed for the second one, in a failure of its own.
                job("failed", 2, vec![failed(1, 1, 2, 3), failed(2, 4, 5, 6), failed(2, 0, 0, 6)], Some(5), Some(6)),
                vec![
                    (End::Failed, Some(1), Some(1), Some(1)),
                    (End::Failed, Some(2), Some(1), Some(1)),
                    (End::Failed, Some(2), None, None),
                ],
            ),
            (
                job("ready", 1, vec![], Some(500), None),
                vec![(End::HandedBack, Some(1), None, None), (End::Waits, None, Some(4000), None)],
            ),
            (job("cancelled", 0, vec![], None, Some(1200)), vec![(End::Cancelled, None, None, None)]),
            (
                job("cancelled", 1, vec![], Some(1100), Some(1200)),
                vec![(End::Cancelled, Some(1), Some(100), Some(100))],
            ),
        ] {
            assert_eq!(ends(&job), want, "{job:?}");
        }
    }
}
