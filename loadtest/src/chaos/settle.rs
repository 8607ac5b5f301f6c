//! After the faults: waiting for rest, asking every question of the audit, and looking for what
//! is left when all is ended.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    finding::{Finding, ReportState},
    ids::AssetId,
    job::JobState,
    object::asset_folder,
};
use nix::sys::signal::Signal;

use super::{
    Chaos,
    audit::{
        commits,
        fates::{self, Fates},
        output::{self, Expected},
        remains,
    },
    clips::RATE,
    report::Report,
    stream::Stream,
    witness::Witness,
};
use crate::rig::{Farm, LOOK, proc};

/// How long the last answers of an idle farm may take: acks, notices, ends of children.
const IDLE: Duration = Duration::from_secs(30);
/// How long one title's check may find no scheduler.
const CHECK: Duration = Duration::from_secs(60);

/// What the audit says.
#[derive(Debug)]
pub struct Judged {
    /// What became of titles.
    pub fates: Fates,
    /// Jobs or titles committed more than once.
    pub duplicate_commits: u64,
    /// Published titles that are not what they should be.
    pub invalid_outputs: u64,
    /// All of it.
    pub findings: Vec<Finding>,
}

/// Waits until every title is at an end, no job is open, and no hint waits.
pub async fn wait(farm: &Farm, witness: &Witness, stream: &Stream, limit: Duration) -> Vec<Finding> {
    let deadline = Instant::now() + limit;
    let url = url(farm);
    loop {
        let mut unrest = open(witness, stream);
        if unrest.is_empty() {
            match commits::hints(&url).await {
                Ok(0) => {}
                Ok(hints) => unrest.push(Finding::error("hint-left", "the queue", hints, "no hint")),
                Err(error) => unrest.push(Finding::error("nats-away", "the queue", format!("{error:#}"), "an answer")),
            }
        }
        unrest.extend(farm.seats.iter().filter(|(_, seat)| !seat.process.is_ready()).map(|(member, seat)| {
            let log = seat.process.launch.log.display();
            Finding::error("role-not-ready", member.to_string(), format!("not ready; its log is {log}"), "ready")
        }));
        if unrest.is_empty() || Instant::now() > deadline {
            return unrest;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Titles and jobs that are not at an end.
fn open(witness: &Witness, stream: &Stream) -> Vec<Finding> {
    let seen = witness.seen();
    let is_open = |id: &AssetId| seen.assets.get(id).is_none_or(|asset| !asset.state.is_terminal());
    let titles = stream.accepted.iter().filter(|(id, _)| is_open(id)).count();
    let jobs = seen.jobs.values().filter(|job| matches!(job.state, JobState::Ready | JobState::Running));
    let mut unrest: Vec<_> = jobs
        .map(|job| {
            let failures: Vec<_> = job.failures.iter().map(|failure| failure.code.as_str()).collect();
            let said = format!("{} {} attempt {} {failures:?}", job.unit, job.state.as_str(), job.attempt);
            Finding::error("job-open", job.id.to_string(), said, "at an end")
        })
        .collect();
    if titles > 0 && unrest.is_empty() {
        unrest.push(Finding::error("title-open", "the records", format!("{titles} without an open job"), "at an end"));
    }
    unrest
}

/// Asks everything that can be asked while the farm stands.
pub async fn judge(
    chaos: &Chaos,
    farm: &Farm,
    witness: &Witness,
    stream: &Stream,
    kinds: &BTreeMap<String, u64>,
) -> Result<Judged> {
    let accepted: Vec<AssetId> = stream.accepted.iter().map(|(id, _)| *id).collect();
    let (assets, jobs, commit_counts, committed) = {
        let seen = witness.seen();
        let assets: BTreeMap<AssetId, AssetRecord> =
            seen.assets.iter().map(|(id, asset)| (*id, asset.clone())).collect();
        (assets, seen.jobs.clone(), seen.commits.clone(), seen.committed.clone())
    };
    let (mut fates, mut findings) = fates::judge(&accepted, &assets, kinds);
    fates.submitted_twice = stream.twice;

    let log = commits::read(&url(farm)).await?;
    let twice = commits::judge(&log.events, &commit_counts, &jobs);
    let duplicate_commits = twice.iter().filter(|finding| finding.code.ends_with("-twice")).count() as u64;
    findings.extend(twice);

    // Before outputs are examined: what it takes away and should not have is found there.
    if let Err(error) = farm.api.collect(CHECK).await {
        findings.push(Finding::error("collection-failed", "the API", format!("{error:#}"), "what was collected"));
    }
    let mut invalid_outputs = 0;
    for (id, clip) in &stream.accepted {
        let Some(asset) = assets.get(id).filter(|asset| asset.state == AssetState::Published) else { continue };
        let expected = Expected { frames: clip.frames, rate: u64::from(RATE), committed: &committed };
        let folder = asset_folder(&asset.tenant, asset.id);
        let mut found = output::examine(&farm.store, &chaos.programs.ffmpeg, &folder, expected).await?;
        found.extend(checked(farm, *id).await);
        invalid_outputs += u64::from(!found.is_empty());
        findings.extend(found);
    }
    let listed = farm.store.list("vod/").await.context("the store cannot be listed")?;
    findings.extend(remains::orphans(&listed, &assets, &committed));
    findings.extend(idle(farm).await);
    Ok(Judged { fates, duplicate_commits, invalid_outputs, findings })
}

/// What the farm itself says of a published title.
async fn checked(farm: &Farm, id: AssetId) -> Vec<Finding> {
    match farm.api.check(id, CHECK).await {
        Ok(report) if report.state == ReportState::Passed => Vec::new(),
        Ok(report) => report.findings,
        Err(error) => vec![Finding::error("check-failed", id.to_string(), format!("{error:#}"), "a report")],
    }
}

/// An idle farm runs its roles and nothing else, and takes about what it took at its start.
async fn idle(farm: &Farm) -> Vec<Finding> {
    let deadline = Instant::now() + IDLE;
    let mut left = farm.others();
    while !left.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
        left = farm.others();
    }
    let mut findings = remains::processes(&left, "but its roles in an idle farm");
    for (member, seat) in &farm.seats {
        if let Some((began, now)) = seat.process.usage() {
            findings.extend(remains::growth(&member.to_string(), began, now));
        }
        let broke = seat.process.broke();
        findings.extend(broke.into_iter().map(|status| {
            Finding::error(
                "role-ended",
                member.to_string(),
                format!("ended by itself: {status}"),
                "runs until told to end",
            )
        }));
    }
    findings
}

/// Looks for what is left after the end, and ends it: a judge leaves nothing behind either.
pub async fn leftovers(farm: &Farm, report: &mut Report) {
    let left = proc::marked(&farm.mark);
    report.findings.extend(remains::processes(&left, "after the end"));
    for found in &left {
        proc::signal(found.pid, Signal::SIGKILL);
    }
    report.leftover_processes = report
        .findings
        .iter()
        .filter(|finding| finding.code == "process-left")
        .map(|finding| &finding.at)
        .collect::<std::collections::BTreeSet<_>>()
        .len() as u64;
    let late = farm.seats.values().filter(|seat| seat.process.ended_late());
    report.findings.extend(late.map(|seat| {
        Finding::error(
            "ended-late",
            &seat.process.launch.name,
            "had to be killed at the end",
            "ends when it is told to",
        )
    }));
}

fn url(farm: &Farm) -> String {
    format!("nats://127.0.0.1:{}", farm.nats.port)
}
