//! `/v1/tenants`: who is below whom, what each has, and their accounts.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use framemill_schemas::{
    api::{Page, Problem},
    delivery::{AccountDocument, AccountRecord, AccountView, TenantDocument, TenantRecord, TenantView},
    ids::Tenant,
};

use super::{
    ApiState,
    cursor::page,
    extract::{JsonBody, NamePath, Query},
    guard::{Admin, Operator, Viewer},
    ladders::ListQuery,
    problem::{ApiError, Kind, Problems},
};
use crate::{
    access::Caller,
    clock::now_ms,
    delivery::{
        accounts,
        entitle::Level,
        tenants::{self, TenantError},
    },
};

impl From<TenantError> for ApiError {
    fn from(error: TenantError) -> Self {
        match error {
            TenantError::Missing(tenant) => Self::not_found("tenant", tenant),
            TenantError::Forbidden(text) => Self::new(Kind::Forbidden, text),
            TenantError::Conflict(text) => Self::new(Kind::Conflict, text),
            TenantError::Faults(faults) => Self::invalid(faults),
            TenantError::Records(error) => error.into(),
        }
    }
}

/// A tenant and one of its accounts, from the address.
type AccountPath = Path<(String, String)>;

fn tenant_view(record: TenantRecord) -> TenantView {
    TenantView { tenant: record.tenant, document: record.document, changed_ms: record.changed_ms }
}

fn account_view(record: AccountRecord) -> AccountView {
    let AccountRecord { tenant, account, document, changed_ms, .. } = record;
    AccountView { tenant, account, document, changed_ms }
}

fn tenant_of(name: &str) -> Result<Tenant, ApiError> {
    name.parse().map_err(|_| ApiError::not_found("tenant", format_args!("{name:?}")))
}

const fn status_of(made: bool) -> StatusCode {
    if made { StatusCode::CREATED } else { StatusCode::OK }
}

/// List tenants that have a record, by name.
#[utoipa::path(
    get,
    operation_id = "tenants_list",
    path = "/v1/tenants",
    tag = "tenants",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page<TenantView>), Problems)
)]
pub async fn list(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<TenantView>>, ApiError> {
    let all = tenants::list(&state.queue, &caller).await?;
    let page = page(
        all.into_iter(),
        query.limit,
        query.cursor.as_deref(),
        |record| record.tenant.clone(),
        |key, start| key > start,
        tenant_view,
    )?;
    Ok(Json(page))
}

/// Show a tenant.
#[utoipa::path(
    get,
    operation_id = "tenants_show",
    path = "/v1/tenants/{id}",
    tag = "tenants",
    params(("id" = Tenant, Path)),
    responses((status = 200, description = "The tenant", body = TenantView), Problems)
)]
pub async fn show(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    NamePath(name): NamePath,
) -> Result<Json<TenantView>, ApiError> {
    Ok(Json(tenant_view(tenants::get(&state.queue, &caller, &tenant_of(&name)?).await?)))
}

/// Make a tenant, or change what it is. Its packages hold what its parent has, and no more.
#[utoipa::path(
    put,
    operation_id = "tenants_put",
    path = "/v1/tenants/{id}",
    tag = "tenants",
    params(("id" = Tenant, Path)),
    request_body = TenantDocument,
    responses(
        (status = 200, description = "It is as asked for", body = TenantView),
        (status = 201, description = "It was made", body = TenantView),
        (status = 422, description = "Every fault of the document", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn put(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    NamePath(name): NamePath,
    body: JsonBody,
) -> Result<(StatusCode, Json<TenantView>), ApiError> {
    let document: TenantDocument = body.read()?;
    let tenant = tenant_of(&name)?;
    let (record, made) = tenants::put(&state.queue, &caller, &tenant, document, now_ms()).await?;
    tracing::info!(%tenant, made, "tenant written");
    Ok((status_of(made), Json(tenant_view(record))))
}

/// Remove a tenant's record: it has everything of its own then, and nobody above.
#[utoipa::path(
    delete,
    operation_id = "tenants_remove",
    path = "/v1/tenants/{id}",
    tag = "tenants",
    params(("id" = Tenant, Path)),
    responses(
        (status = 204, description = "It is removed"),
        (status = 409, description = "It has tenants below it, or accounts", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn remove(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    NamePath(name): NamePath,
) -> Result<StatusCode, ApiError> {
    tenants::remove(&state.queue, &caller, &tenant_of(&name)?).await?;
    tracing::info!(tenant = name, "tenant removed");
    Ok(StatusCode::NO_CONTENT)
}

/// The tenant of an address and what it is, for a caller that sees it.
async fn level(state: &ApiState, caller: &Caller, name: &str) -> Result<Level, ApiError> {
    let tenant = tenant_of(name)?;
    let levels = tenants::visible(&state.queue, caller, Some(&tenant)).await?;
    levels.into_iter().next().ok_or_else(|| ApiError::not_found("tenant", tenant))
}

/// List a tenant's accounts that have a record, by name.
#[utoipa::path(
    get,
    operation_id = "accounts_list",
    path = "/v1/tenants/{id}/accounts",
    tag = "tenants",
    params(("id" = Tenant, Path), ListQuery),
    responses((status = 200, description = "A page", body = Page<AccountView>), Problems)
)]
pub async fn list_accounts(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    NamePath(name): NamePath,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<AccountView>>, ApiError> {
    let level = level(&state, &caller, &name).await?;
    let all = accounts::list(&state.queue, &level.tenant).await?;
    let page = page(
        all.into_iter(),
        query.limit,
        query.cursor.as_deref(),
        |record| record.account.clone(),
        |key, start| key > start,
        account_view,
    )?;
    Ok(Json(page))
}

/// Show an account.
#[utoipa::path(
    get,
    operation_id = "accounts_show",
    path = "/v1/tenants/{id}/accounts/{account}",
    tag = "tenants",
    params(("id" = Tenant, Path), ("account" = String, Path)),
    responses((status = 200, description = "The account", body = AccountView), Problems)
)]
pub async fn show_account(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    Path((name, account)): AccountPath,
) -> Result<Json<AccountView>, ApiError> {
    let level = level(&state, &caller, &name).await?;
    let found = accounts::get(&state.queue, &level.tenant, &account).await?;
    let found = found.ok_or_else(|| ApiError::not_found("account", format_args!("{account:?}")))?;
    Ok(Json(account_view(found)))
}

/// Make an account, or change what it has.
#[utoipa::path(
    put,
    operation_id = "accounts_put",
    path = "/v1/tenants/{id}/accounts/{account}",
    tag = "tenants",
    params(("id" = Tenant, Path), ("account" = String, Path)),
    request_body = AccountDocument,
    responses(
        (status = 200, description = "It is as asked for", body = AccountView),
        (status = 201, description = "It was made", body = AccountView),
        (status = 422, description = "Every fault of the document", body = Problem,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub async fn put_account(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    Path((name, account)): AccountPath,
    body: JsonBody,
) -> Result<(StatusCode, Json<AccountView>), ApiError> {
    let document: AccountDocument = body.read()?;
    let level = level(&state, &caller, &name).await?;
    let of = (&level.tenant, &level.document);
    let (record, made) = accounts::put(&state.queue, of, &account, document, now_ms()).await?;
    Ok((status_of(made), Json(account_view(record))))
}

/// Remove an account's record.
#[utoipa::path(
    delete,
    operation_id = "accounts_remove",
    path = "/v1/tenants/{id}/accounts/{account}",
    tag = "tenants",
    params(("id" = Tenant, Path), ("account" = String, Path)),
    responses((status = 204, description = "It is removed"), Problems)
)]
pub async fn remove_account(
    State(state): State<ApiState>,
    Operator(caller): Operator,
    Path((name, account)): AccountPath,
) -> Result<StatusCode, ApiError> {
    let level = level(&state, &caller, &name).await?;
    if accounts::remove(&state.queue, &level.tenant, &account).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::not_found("account", format_args!("{account:?}")))
}
