//! `/assets/{id}`: one title: its player, stages, renditions and findings.

use axum::extract::State;
use framemill_schemas::{
    api::{AssetView, AudioView, RenditionView},
    asset::AssetState,
    finding::{ReportState, Severity},
    object::{MASTER_PLAYLIST, MPD},
};
use maud::{Markup, html};

use super::{format, frame};
use crate::api::{ApiError, ApiState, AssetPath, Viewer, find_asset, show_asset};

/// The page.
pub async fn show(
    State(state): State<ApiState>,
    Viewer(caller): Viewer,
    AssetPath(id): AssetPath,
) -> Result<Markup, ApiError> {
    let asset = find_asset(&state, &caller, id).await?;
    let asset = show_asset(&state, &asset);
    let name = asset.source.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(&asset.source).to_owned();
    Ok(frame(&name, "asset", content(&asset, &name)))
}

fn content(asset: &AssetView, name: &str) -> Markup {
    let following = !asset.state.is_terminal();
    html! {
        h1 { (name) }
        // The script replaces everything inside by what this page says later.
        div id="live" data-asset=(asset.id) data-following=(following) {
            p.lead {
                span.badge.(asset.state.as_str()) { (asset.state.as_str()) }
                " " span.source { (asset.source) }
            }
            @if let Some(failure) = &asset.failure {
                div.failure role="alert" {
                    p { strong { (failure.reason) } }
                    @if let Some(mend) = &failure.mend { p { (mend) } }
                    p.quiet { code { (failure.code) } " · " (failure.class.as_str()) }
                }
            }
            (player(asset))
            (stages(asset))
            (renditions(asset))
            (input(asset))
            (validation(asset))
            (facts(asset))
        }
        p.visually-hidden id="status" role="status" aria-live="polite" {}
    }
}

fn player(asset: &AssetView) -> Markup {
    if asset.state != AssetState::Published {
        return html! {};
    }
    let base = format!("/preview/{}/{}", asset.tenant, asset.id);
    let generation = format!("g{}-{}", asset.generation.number, asset.generation.random);
    html! {
        section.player aria-label="Player" data-keep="player" {
            video id="video" controls playsinline muted preload="metadata" data-hls={ (base) "/" (MASTER_PLAYLIST) } {}
            p.quiet id="player-state" { "Loading the player." }
            p.links {
                a href={ (base) "/" (MASTER_PLAYLIST) } { "HLS" } " "
                a href={ (base) "/" (MPD) } { "DASH" } " "
                a href={ (base) "/" (generation) "/report.json" } { "Report" } " "
                a href={ "/v1/assets/" (asset.id) } { "JSON" }
            }
        }
    }
}

fn stages(asset: &AssetView) -> Markup {
    html! {
        section aria-labelledby="stages" {
            h2 id="stages" { "Stages" }
            @if let Some(waiting) = &asset.waiting {
                p role="status" { "Waiting: " (waiting) "." }
            }
            ul.stages {
                @for stage in &asset.stages {
                    @let kind = stage.kind.as_str();
                    li data-stage=(kind) data-done=(stage.done) data-total=(stage.total) {
                        span.name { (kind) }
                        progress max=(stage.total.max(1)) value=(stage.done) aria-label=(kind) {}
                        span.number { (stage.done) "/" (stage.total) }
                        span.note.quiet { @if stage.running > 0 { (stage.running) " running" } }
                    }
                }
            }
            p.quiet {
                (asset.jobs.total) " jobs, " (asset.jobs.retried) " retried, " (asset.jobs.failed) " failed"
                @if let Some(ended) = asset.ended_ms {
                    " · " (format::duration((ended - asset.submitted_ms).max(0).unsigned_abs())) " from submission to the end"
                }
            }
        }
    }
}

fn renditions(asset: &AssetView) -> Markup {
    let length = asset.input.as_ref().map_or(0, |input| input.duration_ms);
    html! {
        @if !asset.renditions.is_empty() {
            section aria-labelledby="renditions" {
                h2 id="renditions" { "Renditions" }
                div.scroll tabindex="0" role="region" aria-labelledby="renditions" {
                    table {
                        thead { tr { th scope="col" { "Name" } th scope="col" { "Codec" } th scope="col" { "Size" } th scope="col" { "Segments" } th scope="col" { "Bytes" } th scope="col" { "Bitrate" } } }
                        tbody {
                            @for rendition in &asset.renditions { (picture(rendition, length)) }
                            @for rendition in &asset.audio { (sound(rendition, length)) }
                        }
                    }
                }
                @if !asset.dropped.is_empty() {
                    h3 { "Left out" }
                    ul { @for dropped in &asset.dropped { li { strong { (dropped.name) } ": " (dropped.reason) } } }
                }
            }
        }
    }
}

fn picture(rendition: &RenditionView, length_ms: u64) -> Markup {
    html! {
        tr {
            th scope="row" { (rendition.name) }
            td { (rendition.codec.as_str()) }
            td { (rendition.width) "×" (rendition.height) }
            (stored(rendition.segments, rendition.bytes, length_ms))
        }
    }
}

fn sound(rendition: &AudioView, length_ms: u64) -> Markup {
    html! {
        tr {
            th scope="row" { (rendition.name) }
            td { "aac" }
            td {
                (rendition.channels) @if rendition.channels == 1 { " channel" } @else { " channels" }
                @if let Some(language) = &rendition.language { ", " (language) }
            }
            (stored(rendition.segments, rendition.bytes, length_ms))
        }
    }
}

fn stored(segments: u64, bytes: u64, length_ms: u64) -> Markup {
    html! {
        td.number { (segments) }
        td.number { (format::bytes(bytes)) }
        td.number { (format::bitrate(bytes, length_ms)) }
    }
}

fn input(asset: &AssetView) -> Markup {
    html! {
        @if let Some(input) = &asset.input {
            section aria-labelledby="input" {
                h2 id="input" { "Input" }
                dl.facts {
                    dt { "Format" } dd { (input.format) }
                    dt { "Codec" } dd { (input.codec) }
                    dt { "Size" } dd { (input.width) "×" (input.height) }
                    dt { "Frame rate" } dd { (format::rate(input.rate)) }
                    dt { "Length" } dd { (format::duration(input.duration_ms)) " (" (input.frames) " frames)" }
                }
            }
        }
    }
}

fn validation(asset: &AssetView) -> Markup {
    let Some(validation) = &asset.validation else { return html! {} };
    html! {
        section aria-labelledby="validation" {
            h2 id="validation" { "Validation" }
            p {
                @match validation.state {
                    ReportState::Passed => { span.badge.published { "passed" } " every frame of every rendition was decoded and counted" }
                    ReportState::Failed => { span.badge.failed { "failed" } " it was not published" }
                }
            }
            @if !validation.findings.is_empty() {
                div.scroll tabindex="0" role="region" aria-labelledby="validation" {
                    table {
                        thead { tr { th scope="col" { "Finding" } th scope="col" { "Where" } th scope="col" { "Measured" } th scope="col" { "Expected" } } }
                        tbody {
                            @for finding in &validation.findings {
                                tr {
                                    th scope="row" { (severity(finding.severity)) " " code { (finding.code) } }
                                    td { (finding.at) }
                                    td { (finding.measured) }
                                    td { (finding.expected) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn facts(asset: &AssetView) -> Markup {
    html! {
        section aria-labelledby="facts" {
            h2 id="facts" { "Asset" }
            dl.facts {
                dt { "Id" } dd { code { (asset.id) } }
                dt { "Tenant" } dd { (asset.tenant) }
                dt { "Ladder" } dd { (asset.ladder) }
                dt { "Priority" } dd { (asset.priority.as_str()) }
                dt { "Generation" } dd { (asset.generation.number) }
                dt { "Submitted (UTC)" } dd { (format::moment(asset.submitted_ms)) }
                @if let Some(ended) = asset.ended_ms { dt { "Ended (UTC)" } dd { (format::moment(ended)) } }
            }
        }
    }
}
