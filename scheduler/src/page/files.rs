//! The files of the pages, from inside the program.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

/// A new version of the program brings new files under the old names: browsers ask again.
const CACHE: &str = "no-cache";

const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\"><rect width=\"16\" height=\"16\" \
    rx=\"3\" fill=\"#2f6f4f\"/><path d=\"M5 4l7 4-7 4z\" fill=\"#fff\"/></svg>";

/// The style of all pages.
pub async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("../../assets/page.css"))
}

/// Live updates and the player's set-up.
pub async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("../../assets/page.js"))
}

/// The vendored HLS player.
pub async fn player() -> Response {
    file("text/javascript; charset=utf-8", include_str!("../../assets/hls.min.js"))
}

/// The player's license.
pub async fn player_license() -> Response {
    file("text/plain; charset=utf-8", include_str!("../../assets/hls.min.js.LICENSE"))
}

/// The icon of the pages.
pub async fn icon() -> Response {
    file("image/svg+xml", ICON)
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, CACHE)], text).into_response()
}
