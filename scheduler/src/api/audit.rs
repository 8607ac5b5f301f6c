//! `/v1/audit`: who was let in or refused.

use axum::{Json, extract::State};
use framemill_schemas::{api::Page, delivery::AuditView, ids::Tenant};
use serde::Deserialize;

use super::{
    ApiState,
    cursor::{self, LIMIT_MAX, page},
    extract::Query,
    guard::Operator,
    problem::{ApiError, Problems},
};
use crate::{
    clock::now_ms,
    delivery::{audit::place, tenants::Seen},
};

/// What the trail may be narrowed by.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Only of this tenant.
    #[param(value_type = Option<String>)]
    tenant: Option<Tenant>,
    /// Only of this account.
    account: Option<String>,
    /// Only what was refused, or only what was not.
    refused: Option<bool>,
    /// Items of a page, 1 to 200.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Who was let in or refused, for what and why, the latest first. What comes to the same for one account in one minute
/// (or, where it was let in, in one hour) is one entry with a count.
#[utoipa::path(
    get,
    operation_id = "audit_list",
    path = "/v1/audit",
    tag = "tokens",
    params(AuditQuery),
    responses((status = 200, description = "A page", body = Page<AuditView>), Problems)
)]
pub async fn list(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Page<AuditView>>, ApiError> {
    let seen = Seen::read(&state.queue, &caller).await?;
    // The trail is looked through from the cursor on back, until there is one entry more than a page takes.
    let after: Option<(i64, String)> = query.cursor.as_deref().map(cursor::read).transpose()?;
    let before_ms = after.as_ref().map_or_else(now_ms, |(first_ms, _)| *first_ms);
    let wanted = |entry: &(String, AuditView)| {
        let (_, told) = entry;
        query.account.as_ref().is_none_or(|wanted| *wanted == told.account)
            && query.refused.is_none_or(|wanted| wanted == told.refused.is_some())
            && after.as_ref().is_none_or(|after| place(entry) < *after)
            && seen.holds(&told.tenant)
    };
    let all = state.delivery.audit.list(query.tenant.as_ref(), before_ms, LIMIT_MAX + 1, wanted).await?;
    let page = page(
        all.into_iter(),
        query.limit,
        query.cursor.as_deref(),
        place,
        |key, start| key < start,
        |(_, entry)| entry,
    )?;
    Ok(Json(page))
}
