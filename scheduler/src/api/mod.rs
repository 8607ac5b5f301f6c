//! The HTTP API and the pages: requests in, operations and views out.
//!
//! Reads come from the view in memory and cost the records nothing; changes go through `ops`.
//! Never here: what an operation means, and planning.

mod asset_view;
mod assets;
mod audit;
mod channel_view;
mod channels;
mod cursor;
mod dead;
mod docs;
mod edges;
mod events;
mod extract;
mod gc;
mod guard;
mod jobs;
mod keys;
mod ladders;
mod live;
mod nodes;
mod origin;
mod preview;
mod problem;
mod purges;
mod scaling;
mod serve;
mod slow;
mod tenants;
mod token_keys;
mod tokens;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, http::Uri, middleware, response::IntoResponse};
use framemill_queue::Queue;
use framemill_storage::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::{
    OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{delivery::Delivery, gate::Gate, ladders::Ladders, page, run::SchedulerConfig, view::View};
use problem::Kind;

pub(crate) use asset_view::shown;
pub use asset_view::{asset_view, job_view, stage_sums};
pub(crate) use assets::{find as find_asset, view as show_asset};
#[cfg(test)]
pub(crate) use channel_view::view_of as channel_view_of;
pub(crate) use extract::AssetPath;
pub(crate) use guard::Viewer;
pub(crate) use problem::ApiError;
pub use serve::serve;

/// Most event streams open at once: each holds a consumer on NATS.
const STREAMS_MAX: usize = 512;

/// What every handler can reach; clones share it.
#[derive(Clone)]
pub struct ApiState {
    /// Records and events.
    pub queue: Queue,
    /// Published objects.
    pub store: Store,
    /// What the records say.
    pub view: View,
    /// Settings.
    pub config: Arc<SchedulerConfig>,
    /// Whether whoever connects from this machine needs no key: only when the listener is on
    /// loopback.
    pub keyless: bool,
    /// What keeps open work within its bounds.
    pub gate: Gate,
    /// Keys, tokens and who may watch what.
    pub delivery: Delivery,
    /// Ladders by name.
    pub ladders: Arc<Ladders>,
    /// Ends streams, which would otherwise hold a shutdown up.
    pub drain: CancellationToken,
    streams: Arc<Semaphore>,
    /// Bytes of bodies that may be held at once.
    bodies: Arc<Semaphore>,
}

impl ApiState {
    /// Everything an API needs. What depends on the listener is decided by [`serve()`].
    pub fn new(queue: Queue, store: Store, view: View, config: SchedulerConfig, ladders: Arc<Ladders>) -> Self {
        Self {
            delivery: Delivery::new(queue.clone(), config.tokens, config.audit),
            queue,
            store,
            gate: Gate::new(config.limits, view.clone()),
            view,
            config: Arc::new(config),
            keyless: false,
            ladders,
            drain: CancellationToken::new(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            bodies: Arc::new(Semaphore::new(extract::HELD_BYTES_MAX)),
        }
    }

    /// Refuses lists until every record has been seen: half a list looks like a whole one.
    fn current_view(&self) -> Result<&View, ApiError> {
        if self.view.is_current() {
            return Ok(&self.view);
        }
        Err(ApiError::new(Kind::Unavailable, "the records are still being read; try again in a moment"))
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Framemill",
        description = "Submit titles, watch them being made, and act on what went wrong. Errors are \
                       `application/problem+json` (RFC 9457) with a stable `type`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(framemill_schemas::api::Problem)),
    tags(
        (name = "assets", description = "Titles"),
        (name = "channels", description = "Live streams"),
        (name = "jobs", description = "Units of work"),
        (name = "dead", description = "Jobs whose attempts are spent"),
        (name = "events", description = "What happens (server-sent events)"),
        (name = "ladders", description = "Encode settings"),
        (name = "nodes", description = "The machines"),
        (name = "purges", description = "What caches have to forget"),
        (name = "edges", description = "What viewers reach"),
        (name = "keys", description = "Who may do what"),
        (name = "tenants", description = "Who may watch what"),
        (name = "tokens", description = "Letting viewers in"),
        (name = "gc", description = "What has outlived its use"),
        (name = "preview", description = "Watching what is published, on one machine"),
    )
)]
struct Document;

/// Every operation, with its description.
fn operations() -> OpenApiRouter<ApiState> {
    let mut document = Document::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().security_schemes.insert("key".to_owned(), bearer.into());
    // Either a key, or nothing: on loopback.
    document.security =
        Some(vec![SecurityRequirement::new("key", Vec::<String>::new()), SecurityRequirement::default()]);
    OpenApiRouter::with_openapi(document)
        .routes(routes!(assets::submit, assets::list))
        .routes(routes!(assets::show, assets::remove))
        .routes(routes!(assets::cancel))
        .routes(routes!(assets::retry))
        .routes(routes!(assets::check))
        .routes(routes!(assets::report))
        .routes(routes!(channels::list))
        .routes(routes!(channels::put, channels::show, channels::remove))
        .routes(routes!(channels::start))
        .routes(routes!(channels::stop))
        .routes(routes!(channels::diagnose_one))
        .routes(routes!(channels::archive))
        .routes(routes!(events::of_asset))
        .routes(routes!(events::all))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::retry))
        .routes(routes!(dead::list))
        .routes(routes!(dead::redrive))
        .routes(routes!(dead::redrive_batch))
        .routes(routes!(dead::drop_batch))
        .routes(routes!(dead::drop_dead))
        .routes(routes!(gc::run))
        .routes(routes!(ladders::list))
        .routes(routes!(ladders::show))
        .routes(routes!(ladders::check))
        .routes(routes!(nodes::list))
        .routes(routes!(nodes::show))
        .routes(routes!(nodes::drain))
        .routes(routes!(nodes::resume))
        .routes(routes!(nodes::quarantine))
        .routes(routes!(scaling::show))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(token_keys::list, token_keys::create))
        .routes(routes!(token_keys::retire))
        .routes(routes!(tokens::issue))
        .routes(routes!(tokens::renew))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tokens::revocations))
        .routes(routes!(tenants::list))
        .routes(routes!(tenants::show, tenants::put, tenants::remove))
        .routes(routes!(tenants::list_accounts))
        .routes(routes!(tenants::show_account, tenants::put_account, tenants::remove_account))
        .routes(routes!(audit::list))
        .routes(routes!(purges::request, purges::list))
        .routes(routes!(purges::show))
        .routes(routes!(purges::report_one))
        .routes(routes!(purges::retry))
        .routes(routes!(edges::list))
        .routes(routes!(edges::remove))
        .routes(routes!(preview::show))
        .routes(routes!(live::show))
}

/// Everything this listener answers.
pub fn router(state: ApiState) -> Router {
    let (api, mut document) = operations().split_for_parts();
    // OpenAPI has no word for "the rest of the path".
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    api.merge(docs::router(&document))
        .merge(page::router())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(state.clone(), guard::identify))
        // Bodies are bounded where they are read, with an answer of our own.
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(guard::around))
        .with_state(state)
}

async fn unknown(uri: Uri) -> ApiError {
    ApiError::new(Kind::NotFound, format!("there is nothing at {}; see /docs", uri.path()))
}

async fn wrong_method(uri: Uri) -> ApiError {
    ApiError::new(Kind::MethodNotAllowed, format!("{} takes other methods; see Allow, or /docs", uri.path()))
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    // The panic itself was printed by the hook, with its place.
    ApiError::new(Kind::Internal, "the server has a fault; its log says which").into_response()
}
