//! The pages: what the farm made, and one title with its player. Plain HTML that works without
//! scripts; scripts only keep it fresh and play.
//!
//! Nothing is loaded from elsewhere: style, script and player are in the program, and the content
//! security policy of every answer says so to the browser.

mod asset;
mod files;
mod format;
mod list;

use axum::{Router, routing::get};
use maud::{DOCTYPE, Markup, html};

use crate::api::ApiState;

/// The pages and their files.
pub fn router() -> Router<ApiState> {
    Router::new()
        .route("/", get(list::show))
        .route("/assets/{id}", get(asset::show))
        .route("/static/page.css", get(files::style))
        .route("/static/page.js", get(files::script))
        .route("/static/hls.min.js", get(files::player))
        .route("/static/hls.min.js.LICENSE", get(files::player_license))
        .route("/favicon.ico", get(files::icon))
}

/// A whole page around its content. `id` names the kind of page for style and script.
pub fn frame(title: &str, id: &str, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Framemill" }
                link rel="stylesheet" href="/static/page.css";
                link rel="icon" href="/favicon.ico" type="image/svg+xml";
                script src="/static/hls.min.js" defer {}
                script src="/static/page.js" defer {}
            }
            body id=(id) {
                a.skip href="#content" { "Skip to content" }
                header {
                    a.brand href="/" { "Framemill" }
                    nav aria-label="Pages" { a href="/" { "Titles" } " " a href="/docs" { "API" } }
                }
                main id="content" { (content) }
            }
        }
    }
}
