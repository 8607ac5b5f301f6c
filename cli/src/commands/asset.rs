//! `framemill asset`: titles.

use framemill_schemas::{
    api::AssetView,
    finding::{Finding, Report, Severity},
};
use serde_json::Value;

use super::client;
use crate::{
    args::{Global, operate},
    client::{Client, segment, with_query},
    exit::{CliError, Exit},
    output::{self, age, bytes, span},
};

/// Runs the command.
pub async fn run(global: &Global, args: operate::Asset) -> Result<(), CliError> {
    let client = client(global)?;
    match args {
        operate::Asset::Ls { state, tenant } => list(global, &client, state.as_deref(), tenant.as_deref()).await,
        operate::Asset::Show { id } => {
            let asset: AssetView = client.get(&path(&id, "")).await?;
            show(global, &asset);
            Ok(())
        }
        operate::Asset::Cancel { id } => act(global, &client, &id, "cancel", "is cancelled").await,
        operate::Asset::Retry { id } => act(global, &client, &id, "retry", "is made anew").await,
        operate::Asset::Rm { id } => {
            let answer = client.delete(&path(&id, "")).await?;
            done(global, &answer, &id, "is removed");
            Ok(())
        }
        operate::Asset::Check { id, deep, repair, watch } => {
            super::check::run(global, &client, &id, super::check::How { deep, repair, watch }).await
        }
        operate::Asset::Report { id } => report(global, &client, &id).await,
        operate::Asset::Watch { id, timeout } => super::submit::watch(global, &client, &id, timeout).await,
    }
}

fn path(id: &str, rest: &str) -> String {
    format!("/v1/assets/{}{rest}", segment(id))
}

async fn act(global: &Global, client: &Client, id: &str, verb: &str, said: &str) -> Result<(), CliError> {
    let answer: Value = client.post(&path(id, &format!("/{verb}"))).await?;
    done(global, &answer, id, said);
    Ok(())
}

fn done(global: &Global, answer: &Value, id: &str, said: &str) {
    if global.json {
        output::json(&if answer.is_null() { serde_json::json!({ "id": id }) } else { answer.clone() });
    } else {
        output::line(format!("{id} {said}"));
    }
}

async fn list(global: &Global, client: &Client, state: Option<&str>, tenant: Option<&str>) -> Result<(), CliError> {
    let assets: Vec<AssetView> =
        client.list(&with_query("/v1/assets", &[("state", state), ("tenant", tenant)])).await?;
    if global.json {
        output::json(&assets);
        return Ok(());
    }
    let rows = assets.iter().map(|asset| {
        let (done, total) =
            asset.stages.iter().fold((0, 0), |(done, total), stage| (done + stage.done, total + stage.total));
        vec![
            asset.id.to_string(),
            asset.tenant.to_string(),
            asset.state.as_str().to_owned(),
            format!("{done}/{total}"),
            age(asset.submitted_ms),
            asset.source.clone(),
        ]
    });
    output::table(&["id", "tenant", "state", "jobs", "age", "source"], rows.collect(), "no titles");
    Ok(())
}

fn show(global: &Global, asset: &AssetView) {
    if global.json {
        return output::json(asset);
    }
    output::line(summary(asset));
}

/// A title in a few lines: what it is, what it became, what was found.
pub fn summary(asset: &AssetView) -> String {
    let mut blocks = vec![facts(asset)];
    if !asset.renditions.is_empty() || !asset.audio.is_empty() {
        let video = asset.renditions.iter().map(|rendition| {
            vec![
                rendition.name.clone(),
                rendition.codec.as_str().to_owned(),
                format!("{}x{}", rendition.width, rendition.height),
                rendition.segments.to_string(),
                bytes(rendition.bytes),
            ]
        });
        let audio = asset.audio.iter().map(|rendition| {
            let language = rendition.language.as_deref().map_or_else(String::new, |language| format!(", {language}"));
            vec![
                rendition.name.clone(),
                "aac".to_owned(),
                format!("{} channels{language}", rendition.channels),
                rendition.segments.to_string(),
                bytes(rendition.bytes),
            ]
        });
        blocks
            .push(output::render(&["rendition", "codec", "shape", "segments", "bytes"], video.chain(audio).collect()));
    }
    for dropped in &asset.dropped {
        blocks.push(format!("left out {}: {}", dropped.name, dropped.reason));
    }
    if let Some(validation) = &asset.validation {
        blocks.push(findings(&validation.findings));
    }
    output::printable(&blocks.join("\n"))
}

fn facts(asset: &AssetView) -> String {
    let mut lines = vec![format!("{} {} ({})", asset.id, asset.state.as_str(), asset.source)];
    if let Some(input) = &asset.input {
        lines.push(format!(
            "source: {} {} {}x{}, {} frames at {} per second, {}",
            input.format,
            input.codec,
            input.width,
            input.height,
            input.frames,
            input.rate,
            span(i64::try_from(input.duration_ms).unwrap_or(i64::MAX))
        ));
    }
    lines.push(format!(
        "jobs: {}, {} tried again, {} failed{}",
        asset.jobs.total,
        asset.jobs.retried,
        asset.jobs.failed,
        asset.ended_ms.map_or_else(String::new, |end| format!("; took {}", span(end - asset.submitted_ms)))
    ));
    if let Some(waiting) = &asset.waiting {
        lines.push(format!("waiting: {waiting}"));
        lines.push("  mend: see `framemill node ls`, and start one; it goes on by itself".to_owned());
    }
    if let Some(failure) = &asset.failure {
        lines.push(format!("failed ({}): {}", failure.class.as_str(), failure.reason));
        lines.extend(failure.mend.iter().map(|mend| format!("  mend: {mend}")));
    }
    for (name, key) in [("hls", &asset.hls), ("dash", &asset.dash)] {
        lines.extend(key.iter().map(|key| format!("{name}: {key}")));
    }
    lines.join("\n")
}

/// What was found, as a table.
pub fn findings(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "validation: passed, nothing found".to_owned();
    }
    let rows = findings.iter().map(|finding| {
        let severity = match finding.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        vec![
            severity.to_owned(),
            finding.code.clone(),
            finding.at.clone(),
            finding.measured.clone(),
            finding.expected.clone(),
        ]
    });
    output::render(&["finding", "code", "at", "measured", "expected"], rows.collect())
}

async fn report(global: &Global, client: &Client, id: &str) -> Result<(), CliError> {
    judged(global, id, client.get(&path(id, "/report")).await?)
}

fn judged(global: &Global, id: &str, report: Report) -> Result<(), CliError> {
    if global.json {
        output::json(&report);
    } else {
        output::line(format!("{} frames; checked: {}", report.frames, report.checks.join(", ")));
        output::line(output::printable(&findings(&report.findings)));
    }
    match report.state {
        framemill_schemas::finding::ReportState::Passed => Ok(()),
        framemill_schemas::finding::ReportState::Failed => {
            Err(CliError::new(Exit::Failed, "validation found errors").at(format!("asset {id}")))
        }
    }
}
