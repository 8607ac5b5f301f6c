//! `/v1/jobs`.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use framemill_schemas::{
    api::{JobView, Page, Problem, Redriven},
    failure::{Class, Failure},
    ids::{AssetId, JobId, NodeId, Tenant},
    job::{JobKind, JobState},
};
use serde::{Deserialize, Serialize};

use super::{
    ApiState,
    asset_view::job_view,
    cursor::page,
    extract::{JobPath, Query},
    guard::{Operator, Viewer},
    problem::{ApiError, Problems},
};
use crate::{access::Caller, ops, view::JobSummary};

/// What a list may be narrowed by.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only jobs of this asset.
    #[param(value_type = Option<String>)]
    asset: Option<AssetId>,
    /// Only jobs in this state.
    state: Option<JobState>,
    /// Only jobs of this kind.
    kind: Option<JobKind>,
    /// Only jobs of this tenant.
    #[param(value_type = Option<String>)]
    tenant: Option<Tenant>,
    /// Only jobs with a failure of this class. With `code` and `node`: one failure that is all of it.
    class: Option<Class>,
    /// Only jobs with a failure of this code.
    code: Option<String>,
    /// Only jobs with a failure on this node.
    #[param(value_type = Option<String>)]
    node: Option<NodeId>,
    /// Items of a page, 1 to 200.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Which jobs are wanted, and from where on.
#[derive(Debug, Default)]
pub struct Selection {
    pub asset: Option<AssetId>,
    pub state: Option<JobState>,
    pub kind: Option<JobKind>,
    pub tenant: Option<Tenant>,
    pub class: Option<Class>,
    pub code: Option<String>,
    pub node: Option<NodeId>,
    pub limit: Option<usize>,
    pub cursor: Option<String>,
}

impl From<ListQuery> for Selection {
    fn from(query: ListQuery) -> Self {
        let ListQuery { asset, state, kind, tenant, class, code, node, limit, cursor } = query;
        Self { asset, state, kind, tenant, class, code, node, limit, cursor }
    }
}

impl Selection {
    fn lets_through(&self, job: &JobSummary) -> bool {
        self.state.is_none_or(|state| state == job.state)
            && self.kind.is_none_or(|kind| kind == job.kind)
            && self.tenant.as_ref().is_none_or(|tenant| *tenant == job.tenant)
            && (self.class.is_none() && self.code.is_none() && self.node.is_none()
                || job.failures.iter().any(|failure| self.fits(failure)))
    }

    fn fits(&self, failure: &Failure) -> bool {
        self.class.is_none_or(|class| class == failure.class)
            && self.code.as_ref().is_none_or(|code| *code == failure.code)
            && (self.node.is_none() || self.node == failure.node)
    }
}

/// Where a job stands in a list: newest asset first, then generation, then as it is worked.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Place(AssetId, u32, String, u32);

impl Place {
    fn of(job: &JobSummary) -> Self {
        Self(job.asset, job.generation, job.unit.clone(), job.round)
    }

    /// Whether it comes behind `other`.
    fn is_after(&self, other: &Self) -> bool {
        let within = (self.1, &self.2, self.3).cmp(&(other.1, &other.2, other.3));
        other.0.cmp(&self.0).then(within).is_gt()
    }
}

/// List jobs, those of the newest asset first.
#[utoipa::path(
    get,
    operation_id = "jobs_list",
    path = "/v1/jobs",
    tag = "jobs",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page<JobView>), Problems)
)]
pub async fn list(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<JobView>>, ApiError> {
    select(&state, &caller, &query.into(), |job| job_view(&job)).map(Json)
}

/// The page of jobs that are wanted, as `view` shows them.
pub fn select<V>(
    state: &ApiState,
    caller: &Caller,
    wanted: &Selection,
    view: impl Fn(Arc<JobSummary>) -> V,
) -> Result<Page<V>, ApiError> {
    let known = state.current_view()?;
    let assets: Vec<AssetId> = match wanted.asset {
        Some(asset) => vec![asset],
        None => {
            let titles = known.assets().into_iter().map(|entry| entry.record.id);
            let mut all: Vec<_> = titles.chain(known.channel_assets()).collect();
            all.sort_by(|a, b| b.cmp(a));
            all
        }
    };
    let jobs = assets.into_iter().flat_map(|asset| known.jobs_of(asset));
    let jobs = jobs.filter(|job| caller.sees(&job.tenant) && wanted.lets_through(job));
    page(jobs, wanted.limit, wanted.cursor.as_deref(), |job| Place::of(job), Place::is_after, view)
}

/// Show a job.
#[utoipa::path(
    get,
    operation_id = "jobs_show",
    path = "/v1/jobs/{id}",
    tag = "jobs",
    params(("id" = JobId, Path)),
    responses((status = 200, description = "The job", body = JobView), Problems)
)]
pub async fn show(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    JobPath(id): JobPath,
) -> Result<Json<JobView>, ApiError> {
    find(&state, &caller, id).map(|job| Json(job_view(&job)))
}

/// The job, if the caller may know of it.
pub fn find(state: &ApiState, caller: &Caller, id: JobId) -> Result<Arc<JobSummary>, ApiError> {
    let job = state.current_view()?.job(id).filter(|job| caller.sees(&job.tenant));
    job.ok_or_else(|| ApiError::not_found("job", id))
}

/// Try a job again that failed or whose attempts are spent; its asset goes on.
#[utoipa::path(
    post,
    operation_id = "jobs_retry",
    path = "/v1/jobs/{id}/retry",
    tag = "jobs",
    params(("id" = JobId, Path)),
    responses(
        (status = 202, description = "It is ready again", body = Redriven),
        (status = 409, description = "It did not fail, or its asset does not wait for it", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn retry(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    JobPath(id): JobPath,
) -> Result<(StatusCode, Json<Redriven>), ApiError> {
    let job = find(&state, &caller, id)?;
    ops::redrive(&state.queue, &job).await?;
    Ok((StatusCode::ACCEPTED, Json(Redriven { job: id })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sample::job;

    #[test]
    fn one_failure_is_all_that_was_asked_for() {
        let node = |name: &str| Some(name.parse::<NodeId>().unwrap());
        let failure = |class, code: &str, on: &str| Failure { node: node(on), ..Failure::new(class, code, "x") };
        let mut record = job(JobState::Dead);
        record.failures =
            vec![failure(Class::Transient, "ffmpeg-crashed", "a"), failure(Class::Resource, "disk-full", "b")];
        let job = JobSummary::of(1, record);
        let code = |code: &str| Some(code.to_owned());
        for (wanted, found) in [
            (Selection::default(), true),
            (Selection { state: Some(JobState::Ready), ..Selection::default() }, false),
            (Selection { kind: Some(JobKind::Probe), ..Selection::default() }, true),
            (Selection { class: Some(Class::Resource), ..Selection::default() }, true),
            (Selection { class: Some(Class::Bug), ..Selection::default() }, false),
            (Selection { code: code("disk-full"), node: node("b"), ..Selection::default() }, true),
            // Both are there, but not of one failure.
            (Selection { code: code("disk-full"), node: node("a"), ..Selection::default() }, false),
            (Selection { class: Some(Class::Transient), node: node("a"), ..Selection::default() }, true),
            (Selection { node: node("c"), ..Selection::default() }, false),
        ] {
            assert_eq!(wanted.lets_through(&job), found, "{wanted:?}");
        }
    }
}
