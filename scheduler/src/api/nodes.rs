//! `/v1/nodes`: the machines of the farm. They are the farm's own, not a tenant's: a key of the
//! tenant `default`, or whoever sits at the machine, may look and act.

use axum::{Json, extract::State};
use framemill_queue::{Changed, node};
use framemill_schemas::{
    api::{Page, Problem},
    failure::Failure,
    ids::{NodeId, Tenant},
    job::JobState,
    node::{DRAIN_DEADLINE_S, DRAIN_DEADLINE_S_MAX, Decider, NodeDetail, NodeFailure, NodeJob, NodeRecord, NodeView},
};
use serde::Deserialize;

use super::{
    ApiState,
    cursor::page,
    extract::{NamePath, Query},
    guard::{Operator, Viewer},
    ladders::ListQuery,
    problem::{ApiError, Kind, Problems},
};
use crate::{
    access::Caller,
    view::{JobSummary, View},
};

/// Most failures that are shown of one node.
const FAILURES_SHOWN_MAX: usize = 50;
/// Longest reason an operator gives.
const WHY_CHARS_MAX: usize = 500;

/// How a node is drained.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DrainQuery {
    /// How long it may finish what it runs, in seconds; then it hands that back. 60 where left out.
    deadline_s: Option<u32>,
}

/// Why a node is quarantined.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct QuarantineQuery {
    /// For whoever looks at it later.
    why: Option<String>,
}

/// List nodes, by name.
#[utoipa::path(
    get,
    operation_id = "nodes_list",
    path = "/v1/nodes",
    tag = "nodes",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page<NodeView>), Problems)
)]
pub async fn list(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<NodeView>>, ApiError> {
    farms_own(&caller)?;
    let running = state.current_view()?.jobs_in(&[JobState::Running]);
    let records = state.queue.nodes().list(">").await?;
    let page = page(
        records.into_iter().map(|(_, record, _)| record),
        query.limit,
        query.cursor.as_deref(),
        |node| node.id.clone(),
        |id, start| id > start,
        |node| {
            let running = running.iter().filter(|job| is_on(job, &node.id)).count();
            view_of(node, running)
        },
    )?;
    Ok(Json(page))
}

/// Show a node: its state and why, what it runs, and what failed on it.
#[utoipa::path(
    get,
    operation_id = "nodes_show",
    path = "/v1/nodes/{id}",
    tag = "nodes",
    params(("id" = NodeId, Path)),
    responses((status = 200, description = "The node", body = NodeDetail), Problems)
)]
pub async fn show(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    NamePath(id): NamePath,
) -> Result<Json<NodeDetail>, ApiError> {
    farms_own(&caller)?;
    let id = named(&id)?;
    let found = state.queue.nodes().get(id.as_str()).await?;
    let (record, _) = found.ok_or_else(|| ApiError::not_found("node", &id))?;
    Ok(Json(detail_of(record, state.current_view()?, &caller)))
}

/// Drain a node: it takes nothing new, finishes what it runs, and hands that back after a
/// deadline with no attempt spent.
#[utoipa::path(
    post,
    operation_id = "nodes_drain",
    path = "/v1/nodes/{id}/drain",
    tag = "nodes",
    params(("id" = NodeId, Path), DrainQuery),
    responses(
        (status = 200, description = "It drains", body = NodeView),
        (status = 422, description = "The deadline is out of range", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn drain(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    NamePath(id): NamePath,
    Query(query): Query<DrainQuery>,
) -> Result<Json<NodeView>, ApiError> {
    let deadline_s = query.deadline_s.unwrap_or(DRAIN_DEADLINE_S);
    if deadline_s > DRAIN_DEADLINE_S_MAX {
        let detail = format!("deadline_s is {deadline_s}, over a day; use 0 to {DRAIN_DEADLINE_S_MAX}");
        return Err(ApiError::new(Kind::Invalid, detail));
    }
    change(&state, &caller, &id, |node, at| node::drain(node, deadline_s, at)).await
}

/// Let a node take jobs again, whoever took it out and why.
#[utoipa::path(
    post,
    operation_id = "nodes_resume",
    path = "/v1/nodes/{id}/resume",
    tag = "nodes",
    params(("id" = NodeId, Path)),
    responses((status = 200, description = "It takes jobs", body = NodeView), Problems)
)]
pub async fn resume(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    NamePath(id): NamePath,
) -> Result<Json<NodeView>, ApiError> {
    change(&state, &caller, &id, node::resume).await
}

/// Quarantine a node: it takes nothing until somebody resumes it. What it runs goes on.
#[utoipa::path(
    post,
    operation_id = "nodes_quarantine",
    path = "/v1/nodes/{id}/quarantine",
    tag = "nodes",
    params(("id" = NodeId, Path), QuarantineQuery),
    responses(
        (status = 200, description = "It takes nothing", body = NodeView),
        (status = 422, description = "The reason is too long", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn quarantine(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    NamePath(id): NamePath,
    Query(query): Query<QuarantineQuery>,
) -> Result<Json<NodeView>, ApiError> {
    let why = query.why.filter(|why| !why.trim().is_empty()).unwrap_or_else(|| "an operator says so".to_owned());
    if why.chars().count() > WHY_CHARS_MAX || why.chars().any(char::is_control) {
        let detail = format!("`why` is over {WHY_CHARS_MAX} characters or holds control characters; shorten it");
        return Err(ApiError::new(Kind::Invalid, detail));
    }
    change(&state, &caller, &id, |node, at| node::quarantine(node, Decider::Operator, why.clone(), at)).await
}

/// Stores what an operator decided; a node that is so already is answered as it is.
async fn change(
    state: &ApiState,
    caller: &Caller,
    id: &str,
    decide: impl Fn(NodeRecord, node::Moment) -> Option<NodeRecord>,
) -> Result<Json<NodeView>, ApiError> {
    farms_own(caller)?;
    let id = named(id)?;
    let running = state.current_view()?.jobs_in(&[JobState::Running]).iter().filter(|job| is_on(job, &id)).count();
    match state.queue.change_node(&id, decide).await? {
        Changed::Yes(node, _) => {
            tracing::info!(node = %id, state = node.state.as_str(), "an operator changed a node");
            Ok(Json(view_of(node, running)))
        }
        Changed::No(node, _) => Ok(Json(view_of(node, running))),
        Changed::Missing => Err(ApiError::not_found("node", &id)),
    }
}

/// Refuses keys of customers: a machine runs everybody's jobs.
pub(super) fn farms_own(caller: &Caller) -> Result<(), ApiError> {
    if caller.sees(&Tenant::default_tenant()) {
        return Ok(());
    }
    let detail = "nodes are the farm's own; use a key of the tenant `default`";
    Err(ApiError::new(Kind::Forbidden, detail))
}

/// A name that no node can have is one there is no node of.
fn named(id: &str) -> Result<NodeId, ApiError> {
    id.parse().map_err(|_| ApiError::not_found("node", format_args!("{id:?}")))
}

fn is_on(job: &JobSummary, node: &NodeId) -> bool {
    job.holder.as_ref().is_some_and(|holder| holder.node == *node)
}

fn view_of(mut node: NodeRecord, running: usize) -> NodeView {
    node.roles.iter_mut().for_each(|role| role.inventory = None);
    let draining = node.state == framemill_schemas::node::NodeState::Draining;
    NodeView {
        id: node.id,
        state: node.state,
        by: node.by,
        why: node.why,
        since_ms: node.since_ms,
        present: node.present,
        lost_ms: (node.lost_ms > 0).then_some(node.lost_ms),
        roles: node.roles,
        running: u32::try_from(running).unwrap_or(u32::MAX),
        deadline_s: draining.then_some(node.deadline_s),
        drained: node.drained,
        suspicion: node.suspicion,
        canary: (node.canary.runs > 0).then_some(node.canary),
    }
}

/// What is on a node, as far as the caller may know of it.
fn detail_of(node: NodeRecord, view: &View, caller: &Caller) -> NodeDetail {
    let on = |job: &&std::sync::Arc<JobSummary>| is_on(job, &node.id);
    let running = view.jobs_in(&[JobState::Running]);
    let count = running.iter().filter(on).count();
    let mut jobs: Vec<NodeJob> = running
        .iter()
        .filter(on)
        .filter(|job| caller.sees(&job.tenant))
        .map(|job| NodeJob { job_id: job.id, asset_id: job.asset, unit: job.unit.clone(), claimed_ms: job.claimed_ms })
        .collect();
    jobs.sort_by_key(|job| (job.claimed_ms, job.job_id));
    let mut failures: Vec<NodeFailure> = Vec::new();
    let on_it = |failure: &Failure| failure.node.as_ref() == Some(&node.id);
    for job in view.jobs_where(|job| caller.sees(&job.tenant) && job.failures.iter().any(on_it)) {
        let here = job.failures.iter().filter(|failure| on_it(failure));
        failures.extend(here.map(|failure| NodeFailure {
            job_id: job.id,
            asset_id: job.asset,
            unit: job.unit.clone(),
            failure: failure.clone(),
        }));
    }
    failures.sort_by_key(|failed| (std::cmp::Reverse(failed.failure.at_ms), failed.job_id));
    failures.truncate(FAILURES_SHOWN_MAX);
    let inventory = node.roles.iter().find_map(|role| role.inventory.clone());
    let waiting = view.waiting(&node.id);
    NodeDetail { node: view_of(node, count), inventory, waiting, jobs, failures }
}
