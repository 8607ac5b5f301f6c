//! `framemill node`: the machines of the farm.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use framemill_schemas::{
    inventory::{Gpu, Inventory},
    node::{NodeDetail, NodeState, NodeView},
};

use super::client;
use crate::{
    args::{Global, operate},
    client::{Client, segment, with_query},
    exit::{CliError, Exit},
    output::{self, age, printable},
};

/// How often a node that drains is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long beyond its deadline a drain is waited for: what is handed back has to end, and to be
/// heard of.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the command.
pub async fn run(global: &Global, args: operate::Node) -> Result<(), CliError> {
    let client = client(global)?;
    match args {
        operate::Node::Ls => list(global, &client.list("/v1/nodes").await?),
        operate::Node::Show { id } => show(global, &client.get(&path(&id, "")).await?),
        operate::Node::Drain { id, deadline, wait } => {
            let deadline_s = deadline.to_string();
            let query = with_query(&path(&id, "/drain"), &[("deadline_s", Some(&deadline_s))]);
            let mut node: NodeView = client.post(&query).await?;
            if wait {
                node = drained(&client, node, deadline).await?;
            }
            said(global, &node);
        }
        operate::Node::Resume { id } => said(global, &client.post(&path(&id, "/resume")).await?),
        operate::Node::Quarantine { id, why } => {
            let query = with_query(&path(&id, "/quarantine"), &[("why", why.as_deref())]);
            said(global, &client.post(&query).await?);
        }
    }
    Ok(())
}

fn path(id: &str, rest: &str) -> String {
    format!("/v1/nodes/{}{rest}", segment(id))
}

/// Waits until the node runs nothing any more.
async fn drained(client: &Client, node: NodeView, deadline_s: u32) -> Result<NodeView, CliError> {
    let until = Instant::now() + Duration::from_secs(deadline_s.into()) + PATIENCE;
    let mut node = node;
    while !node.drained {
        if node.state != NodeState::Draining {
            return Err(CliError::new(Exit::Refused, format!("it drains no longer: it is {}", node.state.as_str()))
                .at(format!("node {}", node.id))
                .mend("somebody changed it meanwhile; show it with `framemill node show`"));
        }
        if Instant::now() >= until {
            return Err(CliError::new(Exit::GaveUp, format!("it still runs {} jobs", node.running))
                .at(format!("node {}", node.id))
                .mend("show it with `framemill node show`; it goes on draining"));
        }
        tokio::time::sleep(LOOK).await;
        let detail: NodeDetail = client.get(&path(node.id.as_str(), "")).await?;
        node = detail.node;
    }
    Ok(node)
}

/// The state in one word, with what a word can add.
fn state(node: &NodeView) -> String {
    let state = match (node.state, node.drained) {
        (NodeState::Draining, true) => "drained",
        (state, _) => state.as_str(),
    };
    let suspected = if node.suspicion.is_some() { ", suspected" } else { "" };
    let lost = if node.present { "" } else { ", lost" };
    format!("{state}{suspected}{lost}")
}

fn roles(node: &NodeView) -> String {
    node.roles.iter().map(|role| format!("{} {}", role.role, role.slots)).collect::<Vec<_>>().join(", ")
}

/// What it shares with others that may fail together.
fn zone(node: &NodeView) -> String {
    let zone = node.roles.iter().find_map(|role| role.zone.as_ref());
    zone.map_or_else(|| "-".to_owned(), ToString::to_string)
}

fn list(global: &Global, nodes: &[NodeView]) {
    if global.json {
        return output::json(&nodes);
    }
    let rows = nodes.iter().map(|node| {
        vec![
            node.id.to_string(),
            state(node),
            roles(node),
            zone(node),
            node.running.to_string(),
            age(node.since_ms),
            node.suspicion.as_ref().unwrap_or(&node.why).clone(),
        ]
    });
    output::table(&["id", "state", "slots", "zone", "running", "for", "why"], rows.collect(), "no nodes");
}

fn said(global: &Global, node: &NodeView) {
    if global.json {
        return output::json(node);
    }
    output::line(format!("{} is {}: {}", node.id, state(node), printable(&node.why)));
}

/// What it encodes with, and why not with the rest.
fn encoders(inventory: &Inventory) {
    let works: Vec<&str> =
        inventory.encoders.iter().filter(|proof| proof.works()).map(|proof| proof.name.as_str()).collect();
    output::line(format!("encoders: {}", if works.is_empty() { "none".to_owned() } else { works.join(", ") }));
    let mut broken: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for proof in &inventory.encoders {
        if let Some(answer) = &proof.answer {
            broken.entry(answer).or_default().push(&proof.name);
        }
    }
    for (answer, names) in broken {
        output::line(format!("  no {}: {}", names.join(", "), printable(answer)));
    }
    match (&inventory.driver_fault, inventory.gpus.is_empty()) {
        (Some(why), _) => output::line(printable(&format!("gpus: the NVIDIA driver does not answer: {why}"))),
        (None, true) => output::line("gpus: none of NVIDIA"),
        (None, false) => {}
    }
    for gpu in &inventory.gpus {
        output::line(printable(&card(gpu, inventory.driver.as_deref().unwrap_or("unknown"))));
    }
}

fn card(gpu: &Gpu, driver: &str) -> String {
    if let Some(fault) = &gpu.fault {
        return format!("gpu {}: it cannot be asked: {fault}", gpu.index);
    }
    let engines = match gpu.nvenc_engines {
        Some(0) => "no encoder".to_owned(),
        Some(engines) => format!("{engines} encoders (vendor-published)"),
        None => "encoders unknown".to_owned(),
    };
    let Gpu { index, name, architecture, memory_mib, .. } = gpu;
    format!("gpu {index}: {name} ({architecture}), {memory_mib} MiB, {engines}, driver {driver}")
}

fn show(global: &Global, detail: &NodeDetail) {
    if global.json {
        return output::json(detail);
    }
    let node = &detail.node;
    output::line(format!("{} {} for {}, by the {}", node.id, state(node), age(node.since_ms), node.by.as_str()));
    output::line(format!("why: {}", printable(&node.why)));
    if let Some(suspicion) = &node.suspicion {
        output::line(format!("suspected: {}", printable(suspicion)));
    }
    if let Some(lost_ms) = node.lost_ms {
        output::line(format!("nothing was heard of it for {}", age(lost_ms)));
    }
    output::line(format!("slots: {}", roles(node)));
    if node.roles.iter().any(|role| role.zone.is_some()) {
        output::line(format!("zone: {}", zone(node)));
    }
    if let Some(deadline_s) = node.deadline_s {
        output::line(format!("it may finish what it runs for {deadline_s} s, then hands it back"));
    }
    if let Some(canary) = &node.canary {
        let failure = canary.failure.as_ref().map_or_else(String::new, |failure| format!(": {}", failure.reason));
        let (good, runs) = (canary.good, canary.runs);
        let text = format!("canary: {runs} runs, the last {good} good, {} ago{failure}", age(canary.at_ms));
        output::line(printable(&text));
    }
    if let Some(inventory) = &detail.inventory {
        encoders(inventory);
    }
    for waiting in &detail.waiting {
        output::line(printable(&format!("waiting: {} ({})", waiting.why, waiting.role)));
    }
    output::line(format!("running: {}", node.running));
    for job in &detail.jobs {
        output::line(format!("  {} {} for {}", job.job_id, job.unit, age(job.claimed_ms)));
    }
    if !detail.failures.is_empty() {
        output::line("failures, the latest first:");
    }
    for failed in &detail.failures {
        let failure = &failed.failure;
        let ago = if failure.at_ms > 0 { format!(" {} ago", age(failure.at_ms)) } else { String::new() };
        let class = failure.class.as_str();
        output::line(format!("  {} {}{ago}: {} ({class})", failed.job_id, failed.unit, failure.code));
        failure.reason.lines().for_each(|line| output::line(format!("    {}", printable(line))));
    }
}
