//! `/`: the newest titles.

use axum::extract::State;
use maud::{Markup, html};

use super::{format, frame};
use crate::api::{ApiError, ApiState, Viewer, stage_sums};

/// Most titles listed; the API has the rest.
const TITLES_MAX: usize = 100;

/// The list.
pub async fn show(State(state): State<ApiState>, Viewer(caller): Viewer) -> Result<Markup, ApiError> {
    let assets = state.view.assets();
    let mut seen = assets.iter().filter(|entry| caller.sees(&entry.record.tenant));
    let listed: Vec<_> = seen.by_ref().take(TITLES_MAX).collect();
    let more = seen.next().is_some();
    Ok(frame(
        "Titles",
        "list",
        html! {
            h1 { "Titles" }
            @if listed.is_empty() {
                p.empty { "Nothing has been submitted yet. Try " code { "framemill submit FILE" } "." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Titles" {
                    table {
                        thead { tr { th scope="col" { "Source" } th scope="col" { "State" } th scope="col" { "Ladder" } th scope="col" { "Tenant" } th scope="col" { "Jobs" } th scope="col" { "Submitted (UTC)" } } }
                        tbody {
                            @for entry in listed {
                                @let asset = &entry.record;
                                @let (done, total) = stage_sums(&state.view.jobs_of(asset.id), asset.generation.number);
                                tr {
                                    td.source { a href={ "/assets/" (asset.id) } { (asset.source) } }
                                    td { span.badge.(asset.state.as_str()) { (asset.state.as_str()) } }
                                    td { (asset.ladder.name) }
                                    td { (asset.tenant) }
                                    td.number { (done) "/" (total) }
                                    td.number { (format::moment(asset.submitted_ms)) }
                                }
                            }
                        }
                    }
                }
                @if more { p { "Older titles: " a href="/docs" { code { "GET /v1/assets" } } "." } }
            }
        },
    ))
}
