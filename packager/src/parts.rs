//! Loads what other jobs made: records from the queue, inits from the store.

use std::collections::BTreeMap;

use framemill_media::boxes::{InitFacts, read_init};
use framemill_queue::{Queue, RecordError};
use framemill_schemas::{
    failure::{Class, Failure},
    finding::{Finding, Report},
    ids::{AssetId, JobId},
    index::RenditionPart,
    job::{JobRecord, JobState},
    object::StoredObject,
    spec::{JobOutput, PackageOutput, PackageSpec},
    subject,
};
use framemill_storage::Store;

use crate::{
    check::code,
    objects::fetch,
    title::{Title, TitleError},
};

/// A job that is done. Whoever made the job that asks did so because this one is: anything else
/// is a bug.
pub async fn done(queue: &Queue, asset: AssetId, id: JobId) -> Result<JobRecord, Failure> {
    let found = queue.jobs().get(&subject::job_record(asset, id)).await.map_err(|error| match error {
        RecordError::Wire(error) => Failure::new(Class::Bug, "record-unreadable", format!("job {id}: {error}")),
        other => Failure::new(Class::Transient, "queue-unavailable", format!("cannot read job {id}: {other}")),
    })?;
    match found {
        Some((job, _)) if job.state == JobState::Done && job.output.is_some() => Ok(job),
        Some((job, _)) => {
            let reason = format!("job {id} ({}) is {} and not done", job.unit, job.state.as_str());
            Err(Failure::new(Class::Bug, "part-not-done", reason))
        }
        None => Err(Failure::new(Class::Bug, "part-missing", format!("there is no job {id} of asset {asset}"))),
    }
}

fn wrong_output(job: &JobRecord, expected: &str) -> Failure {
    Failure::new(Class::Bug, "part-output", format!("job {} ({}) did not make {expected}", job.id, job.unit))
}

/// The renditions' parts that a job made.
pub fn parts_of(job: &JobRecord) -> Result<&[RenditionPart], Failure> {
    match &job.output {
        Some(JobOutput::Parts(parts)) => Ok(parts),
        _ => Err(wrong_output(job, "parts")),
    }
}

/// The manifests that a job made.
pub fn package_of(job: &JobRecord) -> Result<&PackageOutput, Failure> {
    match &job.output {
        Some(JobOutput::Package(package)) => Ok(package),
        _ => Err(wrong_output(job, "manifests")),
    }
}

/// What a validation found.
pub fn report_of(job: &JobRecord) -> Result<&Report, Failure> {
    match &job.output {
        Some(JobOutput::Validation(report)) => Ok(report),
        _ => Err(wrong_output(job, "a report")),
    }
}

/// The parts of a title, by the job that made them.
pub struct Parts(BTreeMap<JobId, Vec<RenditionPart>>);

impl Parts {
    /// Loads every part a package names, each job once.
    pub async fn load(queue: &Queue, asset: AssetId, spec: &PackageSpec) -> Result<Self, Failure> {
        let pictures = spec.video.iter().flat_map(|rendition| rendition.parts.iter().copied());
        let sounds = spec.audio.iter().map(|rendition| rendition.part);
        let mut loaded = BTreeMap::new();
        for id in pictures.chain(sounds) {
            if let std::collections::btree_map::Entry::Vacant(free) = loaded.entry(id) {
                free.insert(parts_of(&done(queue, asset, id).await?)?.to_vec());
            }
        }
        Ok(Self(loaded))
    }

    /// A rendition's part in a job's output.
    pub fn find(&self, job: JobId, rendition: &str) -> Option<&RenditionPart> {
        self.0.get(&job)?.iter().find(|part| part.rendition == rendition)
    }

    /// A picture rendition's parts, as far as there are any.
    pub fn of<'a>(&'a self, rendition: &'a str, jobs: &'a [JobId]) -> impl Iterator<Item = &'a RenditionPart> {
        jobs.iter().filter_map(move |&job| self.find(job, rendition))
    }

    /// Joins them to a title, reading each rendition's init from the store.
    pub async fn title(&self, store: &Store, spec: &PackageSpec) -> Result<Title, LoadError> {
        let first = spec.video.iter().filter_map(|rendition| self.of(&rendition.name, &rendition.parts).next());
        let sounds = spec.audio.iter().filter_map(|rendition| self.find(rendition.part, &rendition.name));
        let mut facts = BTreeMap::new();
        for part in first.chain(sounds) {
            facts.insert(part.init.key.clone(), init_facts(store, &part.init).await?);
        }
        Title::join(
            spec.clone(),
            |job, rendition| self.find(job, rendition),
            |init| {
                let found = facts.get(&init.key).cloned();
                Ok(found.expect("the init of every rendition's first part was read above"))
            },
        )
    }
}

/// Reads an init.
async fn init_facts(store: &Store, init: &StoredObject) -> Result<InitFacts, LoadError> {
    let bytes = fetch(store, init).await?.map_err(LoadError::Fault)?;
    read_init(&bytes)
        .map_err(|error| LoadError::Fault(Finding::error(code::BOXES, &init.key, error, "an initialisation segment")))
}

/// Why a title cannot be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// We are in trouble, or parts do not make a title.
    Failure(Failure),
    /// An init is gone, changed or unreadable.
    Fault(Finding),
}

impl From<Failure> for LoadError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<TitleError> for LoadError {
    fn from(error: TitleError) -> Self {
        Self::Failure(Failure::new(Class::Bug, "title-incomplete", error.to_string()))
    }
}

impl LoadError {
    /// As a failure of a job that judges nothing.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Failure(failure) => failure,
            Self::Fault(finding) => {
                let reason = format!("{}: {} where {} is expected", finding.at, finding.measured, finding.expected);
                Failure::new(Class::Bug, "init-broken", reason)
            }
        }
    }
}
