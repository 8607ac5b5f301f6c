//! What an asset needs next. Pure and level-triggered: it looks at the record and at its jobs as
//! they are, never at what happened, so a missed or repeated event changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use framemill_schemas::{
    asset::{AssetRecord, AssetState, Repair},
    failure::{Class, Failure},
    finding::{Report, ReportState, Severity},
    ids::{JobId, NodeId},
    job::JobState,
    lane::Lane,
    probe::Probe,
    spec::{CarrySpec, JobSpec, PackageOutput, PackageSpec, ProbeSpec, ValidatePartSpec, ValidateWholeSpec},
};

use crate::{
    plan::{Plan, plan},
    view::{JobSummary, SummaryOutput},
};

/// Most rounds of a part: one that fails validation twice is not a chance fault.
pub const ROUNDS_MAX: u32 = 2;
/// Most times a title is planned anew because of an init: once the nodes that made it are gone,
/// those that are left agree, or they never will.
const ANEW_MAX: u32 = 1;
/// Symptom of an encoder whose init is not the one that is stored of the rendition.
const INIT_DIFFERS: &str = "init-differs";

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create a job, if it is absent.
    Create(NewJob),
    /// Cancel a job that is no longer wanted.
    Cancel(JobId),
    /// Write down how many encoder slots the plan is made for.
    Size,
    /// Make a job ready that ended without being done.
    Revive(JobId),
    /// Forget the failure that a redrive is about.
    GoOn,
    /// Give the asset up.
    Fail(Failure),
    /// Write down what a probe would say: of a repair what it said of what is published, of a title that is
    /// kept of a channel what is known of it.
    Seed,
    /// Begin another generation: no node left makes the init that this one has. Of a repair,
    /// these units are encoded in it.
    Anew(Vec<String>),
    /// Make a generation visible.
    Publish(Box<Candidate>),
}

/// A job to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    /// Derived id.
    pub id: JobId,
    /// What it is within the generation.
    pub unit: String,
    /// Its round.
    pub round: u32,
    /// Where it waits.
    pub lane: Lane,
    /// What it does.
    pub spec: JobSpec,
    /// Whose output of the unit was rejected.
    pub avoid: Option<NodeId>,
}

/// A generation that passed validation.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// What was packaged: it names every job whose objects must still be there.
    pub spec: PackageSpec,
    /// Its manifests.
    pub package: PackageOutput,
}

/// Decides what an asset needs.
pub fn advance(asset: &AssetRecord, jobs: &[Arc<JobSummary>]) -> Vec<Action> {
    let Some(making) = asset.making() else { return cancel_all(jobs, |_| true) };
    let mut actions = cancel_all(jobs, |job| job.generation != making.number);
    // A redrive is under way: the failure stays until every job of the generation may run again.
    if asset.state == AssetState::Accepted && asset.failure.is_some() {
        let ended = |job: &&Arc<JobSummary>| {
            job.generation == asset.generation.number
                && matches!(job.state, JobState::Failed | JobState::Dead | JobState::Cancelled)
        };
        actions.extend(jobs.iter().filter(ended).map(|job| Action::Revive(job.id)));
        if actions.is_empty() {
            actions.push(Action::GoOn);
        }
        return actions;
    }
    // A repair is made like a title, in a generation of its own.
    let repaired = asset.repairing().map(|_| AssetRecord { generation: making.clone(), ..asset.clone() });
    let stage = Stage::new(repaired.as_ref().unwrap_or(asset), asset.repairing(), jobs);
    match stage.next() {
        Ok(next) => actions.extend(next),
        Err(failure) => actions.push(Action::Fail(*failure)),
    }
    actions
}

fn cancel_all(jobs: &[Arc<JobSummary>], unwanted: impl Fn(&JobSummary) -> bool) -> Vec<Action> {
    let running = jobs.iter().filter(|job| !job.state.is_terminal() && unwanted(job));
    running.map(|job| Action::Cancel(job.id)).collect()
}

/// An asset and the latest round of each unit of its generation.
struct Stage<'a> {
    asset: &'a AssetRecord,
    /// What is taken over and what is not, where it repairs another generation.
    repair: Option<&'a Repair>,
    latest: BTreeMap<&'a str, &'a JobSummary>,
}

/// A unit that has not come to its end.
enum Unit<'a> {
    Absent,
    Waiting,
    Done(&'a JobSummary),
}

type Next<T> = Result<T, Box<Failure>>;

impl<'a> Stage<'a> {
    fn new(asset: &'a AssetRecord, repair: Option<&'a Repair>, jobs: &'a [Arc<JobSummary>]) -> Self {
        let mut latest: BTreeMap<&str, &JobSummary> = BTreeMap::new();
        for job in jobs.iter().filter(|job| job.generation == asset.generation.number) {
            let entry = latest.entry(&job.unit).or_insert(job);
            if job.round > entry.round {
                *entry = job;
            }
        }
        Self { asset, repair, latest }
    }

    fn next(&self) -> Next<Vec<Action>> {
        // The first failure in order of units, so that two schedulers give the same reason.
        let failed = |job: &&&JobSummary| matches!(job.state, JobState::Failed | JobState::Dead) && !job.carries;
        if let Some(job) = self.latest.values().find(failed) {
            return self.anew(job).map(|anew| vec![anew]).ok_or_else(|| Box::new(failure_of(job)));
        }
        let probe = match self.unit(PROBE, 0)? {
            // What is repaired was probed, and what is kept of a channel is known.
            Unit::Absent if self.repair.is_some() || self.asset.cut.is_some() => return Ok(vec![Action::Seed]),
            Unit::Absent => return Ok(self.create_probe()),
            Unit::Waiting => return Ok(Vec::new()),
            Unit::Done(JobSummary { output: SummaryOutput::Probe(probe), .. }) => probe,
            Unit::Done(job) => return Err(wrong_output(job)),
        };
        if self.asset.slots == 0 && self.asset.cut.is_none() {
            return Ok(vec![Action::Size]);
        }
        let plan = plan(self.asset, probe).map_err(Box::new)?;
        self.encode(&plan, probe)
    }

    /// Another generation, where a job's encoders disagree with the init of its rendition: all of
    /// one codec is then encoded by nodes that are left. Not a second time.
    fn anew(&self, job: &JobSummary) -> Option<Action> {
        let differs = job.failures.last().is_some_and(|failure| failure.code == INIT_DIFFERS);
        let spent = self.repair.map_or(self.asset.anew >= ANEW_MAX, |repair| repair.anew);
        if !differs || spent {
            return None;
        }
        let codec = job.unit.rsplit_once('/').map_or("", |(codec, _)| codec);
        let of_codec = |unit: &str| unit.rsplit_once('/').is_some_and(|(other, _)| other == codec);
        let damaged = self.repair.iter().flat_map(|repair| &repair.damaged).map(String::as_str);
        let units: BTreeSet<&str> = self.latest.keys().copied().filter(|unit| of_codec(unit)).chain(damaged).collect();
        Some(Action::Anew(units.into_iter().map(str::to_owned).collect()))
    }

    fn is_damaged(&self, unit: &str) -> bool {
        self.repair.is_some_and(|repair| repair.damaged.iter().any(|damaged| damaged == unit))
    }

    fn create_probe(&self) -> Vec<Action> {
        let spec = JobSpec::Probe(ProbeSpec { source: self.asset.source.clone() });
        vec![self.create_plain(PROBE.to_owned(), 0, spec)]
    }

    /// Encodes every part, checks each as it is done, and asks once for a faulty one anew.
    fn encode(&self, plan: &Plan, probe: &Probe) -> Next<Vec<Action>> {
        let mut actions = Vec::new();
        let mut waiting = false;
        let carrying = self.is_carrying(plan);
        for (unit, part) in &plan.parts {
            let latest = self.latest.get(unit.as_str());
            let round = latest.map_or(0, |job| job.round);
            let encode = |round| Action::Create(self.new_job(unit.clone(), round, part.lane, part.spec.clone()));
            // What could not be carried over is damaged, and encoded like what was known to be.
            let lost = latest.is_some_and(|job| job.carries && matches!(job.state, JobState::Failed | JobState::Dead));
            if lost {
                if carrying {
                    waiting = true
                } else {
                    actions.push(encode(round + 1))
                }
                continue;
            }
            let job = match self.unit(unit, round)? {
                Unit::Absent if self.is_carried(unit) => {
                    actions.push(self.create_carry(unit, &part.spec));
                    continue;
                }
                // The inits that are carried over come first: encoders must agree with them.
                Unit::Absent if carrying => {
                    waiting = true;
                    continue;
                }
                Unit::Absent => {
                    actions.push(encode(round));
                    continue;
                }
                Unit::Waiting => {
                    waiting = true;
                    continue;
                }
                Unit::Done(job) => job,
            };
            let check = validation_of(unit);
            match self.unit(&check, round)? {
                Unit::Absent => {
                    let spec = ValidatePartSpec { part: job.id, part_key: job.key.clone() };
                    actions.push(self.create_plain(check, round, JobSpec::ValidatePart(spec)));
                }
                Unit::Waiting => waiting = true,
                Unit::Done(checked) => {
                    let report = report_of(checked)?;
                    if report.state == ReportState::Failed {
                        if round + 1 >= ROUNDS_MAX {
                            return Err(Box::new(rejected(unit, report)));
                        }
                        let anew = self.new_job(unit.clone(), round + 1, part.lane, part.spec.clone());
                        let made_it = job.holder.as_ref().filter(|_| !job.carries);
                        let avoid = made_it.map(|holder| holder.node.clone());
                        actions.push(Action::Create(NewJob { avoid, ..anew }));
                    }
                }
            }
        }
        if waiting || !actions.is_empty() { Ok(actions) } else { self.package(plan, probe) }
    }

    /// Whether a unit is taken over from the generation that is repaired.
    fn is_carried(&self, unit: &str) -> bool {
        self.repair.is_some() && !self.is_damaged(unit)
    }

    /// Whether some unit is still to be taken over.
    fn is_carrying(&self, plan: &Plan) -> bool {
        plan.parts.keys().filter(|unit| self.is_carried(unit)).any(|unit| match self.latest.get(unit.as_str()) {
            None => true,
            Some(job) => job.carries && !job.state.is_terminal(),
        })
    }

    fn create_carry(&self, unit: &str, spec: &JobSpec) -> Action {
        let index = self.repair.expect("only a repair carries over").index.clone();
        let spec = JobSpec::Carry(CarrySpec { index, unit: unit.to_owned(), of: Box::new(spec.clone()) });
        self.create_plain(unit.to_owned(), 0, spec)
    }

    /// Writes the manifests, checks the whole, and publishes.
    fn package(&self, plan: &Plan, probe: &Probe) -> Next<Vec<Action>> {
        let round_of = |unit: &str| self.latest.get(unit).map_or(0, |job| job.round);
        let spec = plan.package(self.asset, probe, round_of);
        // Parts only ever gain rounds before the package exists, so it has one round of its own.
        let job = match self.unit(PACKAGE, 0)? {
            Unit::Absent => return Ok(vec![self.create_plain(PACKAGE.to_owned(), 0, JobSpec::Package(spec))]),
            Unit::Waiting => return Ok(Vec::new()),
            Unit::Done(job) => job,
        };
        let SummaryOutput::Package(package) = &job.output else { return Err(wrong_output(job)) };
        match self.unit(VALIDATE_WHOLE, 0)? {
            Unit::Absent => {
                let parts = plan.parts.keys().map(|unit| self.id(&validation_of(unit), round_of(unit))).collect();
                let whole = ValidateWholeSpec { package: spec, package_job: job.id, parts };
                Ok(vec![self.create_plain(VALIDATE_WHOLE.to_owned(), 0, JobSpec::ValidateWhole(whole))])
            }
            Unit::Waiting => Ok(Vec::new()),
            Unit::Done(checked) => {
                let report = report_of(checked)?;
                if report.state == ReportState::Failed {
                    return Err(Box::new(rejected("the whole title", report)));
                }
                Ok(vec![Action::Publish(Box::new(Candidate { spec, package: package.as_ref().clone() }))])
            }
        }
    }

    fn unit(&self, unit: &str, round: u32) -> Next<Unit<'a>> {
        match self.latest.get(unit) {
            None => Ok(Unit::Absent),
            // A validation of an older round says nothing about this one.
            Some(job) if job.round != round => Ok(Unit::Absent),
            Some(job) => match job.state {
                JobState::Ready | JobState::Running => Ok(Unit::Waiting),
                JobState::Done => Ok(Unit::Done(job)),
                JobState::Failed | JobState::Dead => Err(Box::new(failure_of(job))),
                JobState::Cancelled => Err(Box::new(
                    Failure::new(Class::Bug, "job-cancelled", format!("{} was cancelled by itself", job.unit))
                        .mend("retry the asset"),
                )),
            },
        }
    }

    fn create_plain(&self, unit: String, round: u32, spec: JobSpec) -> Action {
        let lane = Lane::Plain { kind: spec.kind(), priority: self.asset.priority };
        Action::Create(self.new_job(unit, round, lane, spec))
    }

    fn new_job(&self, unit: String, round: u32, lane: Lane, spec: JobSpec) -> NewJob {
        NewJob { id: self.id(&unit, round), unit, round, lane, spec, avoid: None }
    }

    fn id(&self, unit: &str, round: u32) -> JobId {
        JobId::derive(self.asset.id, self.asset.generation.number, unit, round)
    }
}

pub(crate) const PROBE: &str = "probe";
const PACKAGE: &str = "package";
const VALIDATE_WHOLE: &str = "validate/whole";

fn validation_of(unit: &str) -> String {
    format!("validate/{unit}")
}

fn report_of(job: &JobSummary) -> Next<&Report> {
    match &job.output {
        SummaryOutput::Validation(report) => Ok(report),
        _ => Err(wrong_output(job)),
    }
}

fn wrong_output(job: &JobSummary) -> Box<Failure> {
    Box::new(
        Failure::new(Class::Bug, "wrong-output", format!("{} is done without the output of its kind", job.unit))
            .mend("upgrade every scheduler and worker to one version and retry the asset"),
    )
}

/// The asset's failure, from the job's last one.
fn failure_of(job: &JobSummary) -> Failure {
    let last = job.failures.last().cloned();
    last.unwrap_or_else(|| Failure::new(Class::Bug, "no-reason", format!("{} ended without a reason", job.unit)))
}

/// The asset's failure when validation says no.
fn rejected(what: &str, report: &Report) -> Failure {
    let error = report.findings.iter().find(|finding| finding.severity == Severity::Error);
    let reason = error.map_or_else(String::new, |finding| {
        format!(": {} at {}: measured {}, expected {}", finding.code, finding.at, finding.measured, finding.expected)
    });
    Failure::new(Class::Bug, "validation", format!("validation rejected {what}{reason}"))
        .mend("see the report; retry the asset after mending the node or the source")
}

#[cfg(test)]
mod tests;
