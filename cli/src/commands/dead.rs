//! `framemill dead`: jobs whose attempts are spent. They are kept until someone decides.

use framemill_schemas::{
    api::{DeadBatch, DeadRefused, JobView, Redriven},
    ids::JobId,
    job::JobState,
};
use serde::Serialize;

use super::{client, job};
use crate::{
    args::{
        Global,
        operate::{Dead, DeadChoice, JobFilter},
    },
    client::{Client, segment, with_query},
    exit::{CliError, Exit},
    output,
};

/// Jobs that one request is about: each is a few changes of records, and a request has a deadline.
const BATCH: &str = "100";

/// What is done to dead jobs.
#[derive(Clone, Copy)]
enum Act {
    Redrive,
    Drop,
}

/// Runs the command.
pub async fn run(global: &Global, args: Dead) -> Result<(), CliError> {
    let client = client(global)?;
    match args {
        Dead::Ls(filter) => {
            job::list(global, &client.list(&with_query("/v1/dead", &filter.query())).await?, "no dead jobs");
            Ok(())
        }
        Dead::Show { id } => {
            let found: JobView = client.get(&format!("/v1/jobs/{}", segment(&id))).await?;
            if found.state != JobState::Dead {
                return Err(CliError::new(Exit::NotFound, format!("the job is {}, not dead", found.state.as_str()))
                    .at(format!("job {id}"))
                    .mend("show it with `framemill job show`"));
            }
            job::show(global, &found);
            Ok(())
        }
        Dead::Redrive(choice) => act(global, &client, Act::Redrive, choice).await,
        Dead::Drop(choice) => act(global, &client, Act::Drop, choice).await,
    }
}

async fn act(global: &Global, client: &Client, act: Act, choice: DeadChoice) -> Result<(), CliError> {
    match &choice.id {
        Some(id) if choice.filter.query().iter().all(|(_, value)| value.is_none()) => {
            one(global, client, act, id).await
        }
        Some(id) => Err(CliError::usage("filters choose among all dead jobs, and one is named")
            .at(format!("job {id}"))
            .mend("leave the filters out, or give --all instead of the job")),
        None => all(global, client, act, &choice.filter, choice.dry_run).await,
    }
}

async fn one(global: &Global, client: &Client, act: Act, id: &str) -> Result<(), CliError> {
    match act {
        Act::Redrive => {
            let answer: Redriven = client.post(&format!("/v1/dead/{}/redrive", segment(id))).await?;
            if global.json {
                output::json(&answer);
            } else {
                output::line(format!("{} is ready again", answer.job));
            }
        }
        Act::Drop => {
            client.delete(&format!("/v1/dead/{}", segment(id))).await?;
            if global.json {
                output::json(&serde_json::json!({ "job": id }));
            } else {
                output::line(format!("{id} is given up"));
            }
        }
    }
    Ok(())
}

/// What became of all that fit.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    dry_run: bool,
    jobs: Vec<JobId>,
    refused: Vec<DeadRefused>,
}

/// Goes through all that fit, a batch at a time: one that is interrupted has done whole batches,
/// and can be given again.
async fn all(global: &Global, client: &Client, act: Act, filter: &JobFilter, dry_run: bool) -> Result<(), CliError> {
    let path = match act {
        Act::Redrive => "/v1/dead/redrive",
        Act::Drop => "/v1/dead/drop",
    };
    let mut outcome = Outcome { dry_run, ..Outcome::default() };
    let mut cursor: Option<String> = None;
    loop {
        let mut query = filter.query().to_vec();
        query.extend([("limit", Some(BATCH)), ("dry_run", dry_run.then_some("true")), ("cursor", cursor.as_deref())]);
        let batch: DeadBatch = client.post(&with_query(path, &query)).await?;
        outcome.jobs.extend(batch.jobs);
        outcome.refused.extend(batch.refused);
        match batch.next {
            Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
            _ => break,
        }
    }
    say(global, act, &outcome);
    if outcome.refused.is_empty() {
        return Ok(());
    }
    let of = outcome.refused.len() + outcome.jobs.len();
    Err(CliError::new(Exit::Refused, format!("{} of {of} jobs stay as they are", outcome.refused.len()))
        .mend("the lines above say why each one does"))
}

fn say(global: &Global, act: Act, outcome: &Outcome) {
    if global.json {
        return output::json(outcome);
    }
    let done = match (act, outcome.dry_run) {
        (Act::Redrive, false) => "ready again",
        (Act::Redrive, true) => "would be ready again",
        (Act::Drop, false) => "given up",
        (Act::Drop, true) => "would be given up",
    };
    if outcome.dry_run {
        outcome.jobs.iter().for_each(|job| output::line(job.to_string()));
    }
    for refused in &outcome.refused {
        output::note(format!("{}: {}", refused.job, output::printable(&refused.detail)));
    }
    output::line(format!("{} jobs {done}", outcome.jobs.len()));
}
