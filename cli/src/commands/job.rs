//! `framemill job`: the units on the queue.

use framemill_schemas::api::{JobView, Redriven};

use super::client;
use crate::{
    args::{Global, operate},
    client::{segment, with_query},
    exit::CliError,
    output::{self, age, span},
};

/// Runs the command.
pub async fn run(global: &Global, args: operate::Job) -> Result<(), CliError> {
    let client = client(global)?;
    match args {
        operate::Job::Ls { state, filter } => {
            let mut query = filter.query().to_vec();
            query.push(("state", state.as_deref()));
            let path = with_query("/v1/jobs", &query);
            list(global, &client.list(&path).await?, "no jobs");
        }
        operate::Job::Show { id } => show(global, &client.get(&format!("/v1/jobs/{}", segment(&id))).await?),
        operate::Job::Retry { id } => {
            let answer: Redriven = client.post(&format!("/v1/jobs/{}/retry", segment(&id))).await?;
            if global.json {
                output::json(&answer);
            } else {
                output::line(format!("{} is ready again", answer.job));
            }
        }
    }
    Ok(())
}

/// Lists jobs.
pub fn list(global: &Global, jobs: &[JobView], nothing: &str) {
    if global.json {
        return output::json(&jobs);
    }
    let rows = jobs.iter().map(|job| {
        vec![
            job.id.to_string(),
            job.unit.clone(),
            job.state.as_str().to_owned(),
            job.attempt.to_string(),
            job.node.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            age(job.ready_ms),
            job.failures.last().map_or_else(String::new, |failure| failure.code.clone()),
        ]
    });
    output::table(&["id", "unit", "state", "attempt", "node", "age", "failure"], rows.collect(), nothing);
}

/// Shows one job.
pub fn show(global: &Global, job: &JobView) {
    if global.json {
        return output::json(job);
    }
    output::line(format!("{} {} {} (attempt {})", job.id, job.unit, job.state.as_str(), job.attempt));
    output::line(format!("asset {} of {}, lane {}", job.asset_id, job.tenant, job.lane));
    if let Some(claimed) = job.claimed_ms {
        output::line(format!("waited {}", span(claimed - job.ready_ms)));
        let end = job.ended_ms.unwrap_or_else(output::now_ms);
        let node = job.node.as_ref().map_or_else(String::new, |node| format!(" on {node}"));
        output::line(format!("ran {}{node}", span(end - claimed)));
    }
    for failure in &job.failures {
        let node = failure.node.as_ref().map_or_else(String::new, |node| format!(" on {node}"));
        let when = if failure.at_ms == 0 { String::new() } else { format!(", {} ago", age(failure.at_ms)) };
        let (code, class) = (output::printable(&failure.code), failure.class.as_str());
        output::line(format!("attempt {}{node}: {code} ({class}){when}", failure.attempt));
        for text in std::iter::once(&failure.reason).chain(&failure.mend).chain(&failure.evidence) {
            text.lines().for_each(|line| output::line(format!("  {}", output::printable(line))));
        }
    }
}
