//! The machine a worker runs on: what it proved, or GPUs out of a script.

use std::{path::Path, time::Instant};

use framemill_media::toolchain::Toolchain;
use framemill_worker::{
    Machine, inventory,
    script::{Description, Script},
};
use tokio_util::sync::CancellationToken;

use super::node;
use crate::{
    config::WorkerSection,
    exit::{CliError, Exit},
    output,
};

/// Takes the inventory.
pub async fn take(section: &WorkerSection, tools: Toolchain, cancel: &CancellationToken) -> Result<Machine, CliError> {
    // Before anything is tried: what is wrong with it is known at once.
    let script = section.gpu_script.as_deref().map(script).transpose()?;
    let found = inventory::take(&tools, cancel).await;
    let inventory = match &script {
        Some(script) => script.inventory(found),
        None => found,
    };
    Ok(Machine { node: node::name(section.node.as_deref()), tools, inventory, script })
}

fn script(path: &Path) -> Result<Script, CliError> {
    let fault = |what: String| CliError::new(Exit::Input, what).at(path.display().to_string());
    let text = std::fs::read_to_string(path)
        .map_err(|error| fault(format!("the script of GPUs cannot be read: {error}")).mend("name a YAML file"))?;
    let description = Description::read(&text)
        .map_err(|error| fault(error.to_string()).mend("docs/ref/gpu-scripts.md says what such a script may hold"))?;
    output::note("GPUs are simulated by a script: what they encode is encoded by the processor");
    Ok(Script::start(description, Instant::now()))
}
