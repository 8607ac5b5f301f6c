//! `/live`: what a channel publishes, for one viewer on one machine, under the names that the store has.
//! Delivery to an audience is the edge's.

use axum::{
    extract::{FromRequestParts, Path, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use framemill_schemas::{
    ids::ChannelId,
    live::channel_folder,
    object::{self, is_plain_path},
};

use super::{
    ApiState,
    channels::find,
    guard::Viewer,
    preview::{Found, send},
    problem::{ApiError, Kind, Problems},
};

/// Which object of a channel a request is about.
#[derive(Clone, Debug)]
pub struct LivePath {
    tenant: String,
    channel: String,
    path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for LivePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<(String, String, String)>::from_request_parts(parts, state).await;
        path.map(|Path((tenant, channel, path))| Self { tenant, channel, path }).map_err(|_| missing())
    }
}

/// One answer for what is not there, not yet there, and not the caller's.
fn missing() -> ApiError {
    ApiError::new(Kind::NotFound, "no such object of a channel; start at its master.m3u8 or manifest.mpd")
}

/// An object of a channel: a playlist, a manifest or a segment.
#[utoipa::path(
    get,
    operation_id = "live_show",
    path = "/live/{tenant}/{channel}/{*path}",
    tag = "preview",
    params(
        ("tenant" = String, Path),
        ("channel" = ChannelId, Path),
        ("path" = String, Path, description = "Path below the channel's folder, for example `master.m3u8`"),
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
    wanted: LivePath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let LivePath { tenant, channel, path } = wanted;
    let owner = tenant.parse().map_err(|_| missing())?;
    let found = find(&state, &caller, &channel, Some(owner)).await.map_err(|error| match error.kind() {
        Kind::NotFound => missing(),
        _ => error,
    })?;
    let folder = channel_folder(&found.record.tenant, &found.record.id);
    match published_at(&folder, &path).ok_or_else(missing)? {
        Named::Playlist(key) => playlist(&state, &key).await,
        Named::Media(key) => send(&state, &Found::Immutable(key), &headers).await?.ok_or_else(missing),
    }
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    /// A playlist or manifest: written anew with every segment.
    Playlist(String),
    /// An initialisation segment or a segment.
    Media(String),
}

/// What the path names, if viewers may see it: playlists and media, and not the indexes beside them.
fn published_at(folder: &str, path: &str) -> Option<Named> {
    if !is_plain_path(path) {
        return None;
    }
    let key = format!("{folder}/{path}");
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("m3u8" | "mpd") => Some(Named::Playlist(key)),
        Some("m4s" | "mp4") => Some(Named::Media(key)),
        _ => None,
    }
}

/// A playlist as it is now: read in one piece, since it may change between two looks.
async fn playlist(state: &ApiState, key: &str) -> Result<Response, ApiError> {
    let object = state.store.get(key).await?.ok_or_else(missing)?;
    let headers = [(header::CONTENT_TYPE, object::content_type(key)), (header::CACHE_CONTROL, "private, no-cache")];
    Ok((StatusCode::OK, headers, object.body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playlists_and_media_are_shown_and_nothing_else() {
        for (path, expected) in [
            ("master.m3u8", Some(true)),
            ("video-720p.m3u8", Some(true)),
            ("timeshift/video-720p.m3u8", Some(true)),
            ("manifest.mpd", Some(true)),
            ("t1-00c0ffee/720p/init-0123456789abcdef.mp4", Some(false)),
            ("t1-00c0ffee/720p/448000000.m4s", Some(false)),
            ("index/448000000.json", None),
            ("../other/master.m3u8", None),
            ("t1-00c0ffee/../../x.m4s", None),
            (".hidden.m3u8", None),
            ("", None),
        ] {
            let found = published_at("live/default/news", path);
            assert_eq!(found.map(|found| matches!(found, Named::Playlist(_))), expected, "{path}");
        }
    }
}
