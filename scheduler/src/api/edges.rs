//! `/v1/edges`: what viewers reach, and how far each is with purges. They are the farm's own, as its machines are.

use axum::{Json, extract::State, http::StatusCode};
use framemill_queue::{RecordError, Records};
use framemill_schemas::{
    api::Page,
    delivery::{EdgeLoad, EdgeRecord, EdgeView},
    ids::NodeId,
    subject::EDGE_LOADS_BUCKET,
};

use super::{
    ApiState,
    cursor::page,
    extract::{NamePath, Query},
    guard::{Operator, Viewer},
    ladders::ListQuery,
    nodes::farms_own,
    problem::{ApiError, Problems},
    purges::current,
};
use crate::{purges::edges, view::View};

/// List edges, by name.
#[utoipa::path(
    get,
    operation_id = "edges_list",
    path = "/v1/edges",
    tag = "edges",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page<EdgeView>), Problems)
)]
pub async fn list(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<EdgeView>>, ApiError> {
    farms_own(&caller)?;
    let view = current(&state)?;
    let edges = view.edges();
    let page = page(
        edges.values(),
        query.limit,
        query.cursor.as_deref(),
        |edge| edge.edge.clone(),
        |id, start| id > start,
        |edge| view_of(edge, view),
    )?;
    Ok(Json(page))
}

fn view_of(edge: &EdgeRecord, view: &View) -> EdgeView {
    EdgeView {
        id: edge.edge.clone(),
        url: edge.url.clone(),
        zone: edge.zone.clone(),
        started_ms: edge.started_ms,
        applied: edge.applied,
        applied_ms: edge.applied_ms,
        behind: view.purges_behind(edge.applied),
        load: view.edge_load(&edge.edge).map(|load| load.view()),
    }
}

/// Forget an edge that will not come back: purges wait for it no more, and no viewer is sent there. One that does come back says so itself.
#[utoipa::path(
    delete,
    operation_id = "edges_remove",
    path = "/v1/edges/{id}",
    tag = "edges",
    params(("id" = NodeId, Path)),
    responses((status = 204, description = "It is forgotten"), Problems)
)]
pub async fn remove(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    NamePath(id): NamePath,
) -> Result<StatusCode, ApiError> {
    farms_own(&caller)?;
    let missing = || ApiError::not_found("edge", format_args!("{id:?}"));
    let edge: NodeId = id.parse().map_err(|_| missing())?;
    let records = edges(&state.queue);
    let (_, revision) = records.get(edge.as_str()).await?.ok_or_else(missing)?;
    records.delete(edge.as_str(), revision).await?;
    // Nobody is sent there any more. Whoever writes it at this moment is there.
    let loads: Records<EdgeLoad> = state.queue.records(EDGE_LOADS_BUCKET);
    if let Some((_, revision)) = loads.get(edge.as_str()).await? {
        match loads.delete(edge.as_str(), revision).await {
            Ok(()) | Err(RecordError::Fenced) => {}
            Err(error) => return Err(error.into()),
        }
    }
    tracing::info!(%edge, "an operator removed an edge");
    Ok(StatusCode::NO_CONTENT)
}
