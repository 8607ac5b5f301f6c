//! `framemill asset check`: whether what is published is still what was validated, and its repair.

use std::time::Duration;

use framemill_schemas::{
    api::{AssetView, Checked},
    finding::ReportState,
};

use super::asset::findings;
use crate::{
    args::Global,
    client::{Client, segment},
    exit::{CliError, Exit},
    output,
};

/// How often a repair is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What the flags say.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Read everything.
    pub deep: bool,
    /// Mend what is found.
    pub repair: bool,
    /// Wait for it.
    pub watch: bool,
}

/// Runs the command. What was found and is being mended is no failure; what is only found is one.
pub async fn run(global: &Global, client: &Client, id: &str, how: How) -> Result<(), CliError> {
    let asset = format!("/v1/assets/{}", segment(id));
    let path = format!("{asset}/check?deep={}&repair={}", how.deep, how.repair);
    let checked: Checked = client.post_slow(&path).await?;
    if global.json {
        output::json(&checked);
    } else {
        let report = &checked.report;
        output::line(format!("{} frames; checked: {}", report.frames, report.checks.join(", ")));
        output::line(output::printable(&findings(&report.findings)));
    }
    if checked.report.state == ReportState::Passed {
        return Ok(());
    }
    let at = format!("asset {id}");
    let Some(generation) = checked.repair.filter(|_| how.repair) else {
        let error = CliError::new(Exit::Failed, "its objects are not what was validated").at(at);
        let lost = checked.report.findings.iter().any(|finding| finding.code == "span-not-kept");
        return Err(match lost {
            true => error.mend("its channel has nothing left to mend it with; keep another copy of what is whole"),
            false => error.mend(format!("mend it: framemill asset check {id} --repair")),
        });
    };
    if !how.watch {
        if !global.json {
            output::line(format!("it is being mended in generation {}", generation.number));
        }
        return Ok(());
    }
    loop {
        let shown: AssetView = client.get(&asset).await?;
        match shown.repair.and_then(|repair| repair.failure.map(|failure| (failure, repair.generation))) {
            Some((failure, _)) => {
                return Err(CliError::new(Exit::Failed, format!("the repair failed: {}", failure.reason))
                    .at(at)
                    .mend(failure.mend.unwrap_or_else(|| "see its jobs: framemill job ls".to_owned())));
            }
            None if shown.generation.number >= generation.number => {
                if !global.json {
                    output::line(format!("mended: generation {} is published", shown.generation.number));
                }
                return Ok(());
            }
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
