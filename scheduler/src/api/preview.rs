//! `/preview`: published objects for one viewer on one machine, so that a result can be watched
//! where it was made. Delivery to an audience is the edge's.

use axum::{
    body::Body,
    extract::{FromRequestParts, Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    ids::AssetId,
    object::{self, MASTER_PLAYLIST, MPD, is_plain_path},
};
use framemill_storage::range::{Part, part};

use super::{
    ApiState, assets,
    guard::Viewer,
    problem::{ApiError, Kind, Problems},
};

/// Which object a request is about.
#[derive(Clone, Debug)]
pub struct ObjectPath {
    tenant: String,
    asset: String,
    path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for ObjectPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<(String, String, String)>::from_request_parts(parts, state).await;
        path.map(|Path((tenant, asset, path))| Self { tenant, asset, path }).map_err(|_| missing())
    }
}

/// One answer for what is not there, not published, and not the caller's.
fn missing() -> ApiError {
    ApiError::new(Kind::NotFound, "no such object of a published asset; start at its master.m3u8")
}

/// An object of a published asset: a manifest, a playlist, a segment or the report.
#[utoipa::path(
    get,
    operation_id = "preview_show",
    path = "/preview/{tenant}/{asset}/{*path}",
    tag = "preview",
    params(
        ("tenant" = String, Path),
        ("asset" = AssetId, Path),
        ("path" = String, Path, description = "Path below the asset's folder, for example `master.m3u8`"),
    ),
    responses(
        (status = 200, description = "The object"),
        (status = 206, description = "A range of it"),
        (status = 304, description = "The client has it already"),
        (status = 416, description = "The range lies outside the object"),
        Problems,
    )
)]
pub async fn show(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    wanted: ObjectPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let ObjectPath { tenant, asset, path } = wanted;
    let id: AssetId = asset.parse().map_err(|_| missing())?;
    let asset = assets::find(&state, &caller, id).await.map_err(|error| match error.kind() {
        Kind::NotFound => missing(),
        _ => error,
    })?;
    if asset.tenant.as_str() != tenant {
        return Err(missing());
    }
    let found = published_at(&asset, &path).ok_or_else(missing)?;
    send(&state, &found, &headers).await?.ok_or_else(missing)
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The copy of an entry manifest by this key: the name is kept, what it says may change.
    Entry(String),
    /// An object that never changes.
    Immutable(String),
}

impl Found {
    fn key(&self) -> &str {
        match self {
            Self::Entry(key) | Self::Immutable(key) => key,
        }
    }
}

/// What the path names, if that was published: the entry manifests, or anything inside the folder
/// of the generation that viewers get.
fn published_at(asset: &AssetRecord, path: &str) -> Option<Found> {
    let published = asset.published.as_ref().filter(|_| asset.state == AssetState::Published)?;
    if !is_plain_path(path) {
        return None;
    }
    let key = format!("{}/{path}", object::asset_folder(&asset.tenant, asset.id));
    let generation = object::generation_folder(&asset.tenant, asset.id, &published.generation);
    match path {
        // What the entry manifests are copies of: there from the moment the record says published.
        MASTER_PLAYLIST => Some(Found::Entry(published.master.key.clone())),
        MPD => Some(Found::Entry(published.mpd.key.clone())),
        _ => {
            let inside = key.strip_prefix(&generation).is_some_and(|rest| rest.starts_with('/'));
            inside.then_some(Found::Immutable(key))
        }
    }
}

pub(super) async fn send(state: &ApiState, found: &Found, headers: &HeaderMap) -> Result<Option<Response>, ApiError> {
    let key = found.key();
    let Some((stored, meta)) = state.store.head(key).await? else { return Ok(None) };
    let etag = format!("\"{}\"", stored.etag);
    let part = part(headers, stored.bytes, &etag);
    let content_type = if meta.content_type.is_empty() { object::content_type(key) } else { &meta.content_type };
    // Behind a key it is one caller's answer: shared caches keep out.
    let cache_control = match found {
        Found::Entry(_) => object::CACHE_ENTRY,
        Found::Immutable(_) => &meta.cache_control,
    };
    let cache_control = cache_control.replace("public", "private");
    let mut response = match part {
        Part::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        Part::Outside => {
            let whole = format!("bytes */{}", stored.bytes);
            let detail = format!("the object has {} bytes; ask for some of them", stored.bytes);
            return Err(set(ApiError::new(Kind::RangeNotSatisfiable, detail), header::CONTENT_RANGE, &whole));
        }
        Part::Whole | Part::Bytes(_) => {
            let range = if let Part::Bytes(range) = &part { Some(range.clone()) } else { None };
            let Some(object) = state.store.get_stream(None, key, range.clone()).await? else { return Ok(None) };
            if object.etag != stored.etag {
                // Somebody writes into this bucket besides the farm.
                return Err(ApiError::new(Kind::Unavailable, "the object has just changed; ask again"));
            }
            let length = object.length;
            let mut response = Response::new(Body::from_stream(object.stream));
            put(&mut response, header::CONTENT_LENGTH, &length.to_string());
            put(&mut response, header::CONTENT_TYPE, content_type);
            if let Some(range) = range {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let shown = format!("bytes {}-{}/{}", range.start, range.end - 1, stored.bytes);
                put(&mut response, header::CONTENT_RANGE, &shown);
            }
            response
        }
    };
    put(&mut response, header::ETAG, &etag);
    put(&mut response, header::ACCEPT_RANGES, "bytes");
    put(&mut response, header::CACHE_CONTROL, if cache_control.is_empty() { "no-cache" } else { &cache_control });
    Ok(Some(response))
}

/// Sets a header whose value comes from the store; one that no header can carry is left out.
fn put(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn set(error: ApiError, name: HeaderName, value: &str) -> ApiError {
    match HeaderValue::from_str(value) {
        Ok(value) => error.header(name, value),
        Err(_) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use framemill_schemas::{
        asset::Published,
        object::{Generation, StoredObject},
    };

    fn asset(state: AssetState) -> AssetRecord {
        let stored =
            |key: &str| StoredObject { key: key.to_owned(), bytes: 1, digest: String::new(), etag: String::new() };
        let mut asset = crate::ops::sample::asset(state);
        asset.published = Some(Published {
            generation: Generation { number: 2, random: "0000abcd".to_owned() },
            master: stored("m"),
            mpd: stored("d"),
            index: None,
        });
        asset
    }

    #[test]
    fn only_the_published_generation_is_shown() {
        let asset = asset(AssetState::Published);
        let folder = object::asset_folder(&asset.tenant, asset.id);
        assert_eq!(published_at(&asset, "master.m3u8"), Some(Found::Entry("m".to_owned())));
        assert_eq!(published_at(&asset, "manifest.mpd"), Some(Found::Entry("d".to_owned())));
        for good in ["g2-0000abcd/720p/1.m4s", "g2-0000abcd/report.json", "g2-0000abcd/master.m3u8"] {
            assert_eq!(published_at(&asset, good), Some(Found::Immutable(format!("{folder}/{good}"))), "{good}");
        }
        for bad in [
            "",
            "/",
            "other.m3u8",
            "g1-0000abcd/720p/1.m4s",
            "g2-0000abcde/1.m4s",
            "g2-0000abcd",
            "g2-0000abcd/",
            "g2-0000abcd/../../../x",
            "g2-0000abcd//1.m4s",
            "g2-0000abcd/./1.m4s",
            "g2-0000abcd/%2e%2e/x",
            "g2-0000abcd/.hidden",
            "g2-0000abcd/a b",
            "../master.m3u8",
        ] {
            assert_eq!(published_at(&asset, bad), None, "{bad}");
        }
    }

    #[test]
    fn nothing_is_shown_that_is_not_published() {
        for state in [AssetState::Accepted, AssetState::Failed, AssetState::Cancelled, AssetState::Doomed] {
            assert_eq!(published_at(&asset(state), MASTER_PLAYLIST), None, "{state:?}");
        }
    }
}
