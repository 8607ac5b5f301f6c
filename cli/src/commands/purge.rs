//! `framemill purge` and `framemill edge`: what caches have to forget, and who has.

use std::time::{Duration, Instant};

use framemill_schemas::{
    delivery::{AdapterState, EdgeView, Place, PurgeAccepted, PurgeReport, PurgeRequest, PurgeState, PurgeView},
    ids::Tenant,
};

use super::client;
use crate::{
    args::{
        Global,
        purge::{EdgeLook, Look, Purge},
    },
    client::{Client, segment, with_query},
    exit::{CliError, Exit},
    output::{self, age, printable},
};

/// How often a purge is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(200);

/// Runs `framemill purge`.
pub async fn run(global: &Global, args: Purge) -> Result<(), CliError> {
    let client = client(global)?;
    match args.look {
        None => ask(global, &client, args).await,
        Some(Look::Show { id, report: false }) => {
            let purge: PurgeView = client.get(&path(&id)).await?;
            if global.json {
                output::json(&purge);
            } else {
                show(&purge);
            }
            Ok(())
        }
        Some(Look::Show { id, report: true }) => {
            let report: PurgeReport = client.get_slow(&format!("{}/report", path(&id))).await?;
            if global.json {
                output::json(&report);
            } else {
                show(&report.purge);
                report.examples.iter().for_each(|key| output::line(format!("in the store: {}", printable(key))));
                let gone = if report.gone { "gone" } else { "not gone" };
                output::line(format!("{gone}: {} objects are left in the store", report.objects_left));
                for name in report.by_address {
                    let what = "keeps what it fetched for a token in the path until that token ends";
                    output::line(format!("{} {what}", printable(&name)));
                }
            }
            Ok(())
        }
        Some(Look::Retry { id }) => {
            let purge: PurgeView = client.post(&format!("{}/retry", path(&id))).await?;
            if global.json {
                output::json(&purge);
            } else {
                show(&purge);
            }
            Ok(())
        }
        Some(Look::Ls { state, tenant }) => {
            let query = [("state", state.as_deref()), ("tenant", tenant.as_deref())];
            list(global, &client.list(&with_query("/v1/purges", &query)).await?);
            Ok(())
        }
    }
}

/// Runs `framemill edge`.
pub async fn edge(global: &Global, args: EdgeLook) -> Result<(), CliError> {
    let client = client(global)?;
    match args {
        EdgeLook::Ls => {
            let edges: Vec<EdgeView> = client.list("/v1/edges").await?;
            if global.json {
                output::json(&edges);
                return Ok(());
            }
            let rows = edges.iter().map(|edge| {
                vec![
                    edge.id.to_string(),
                    edge.behind.to_string(),
                    age(edge.applied_ms),
                    age(edge.started_ms),
                    edge.load.as_ref().map(|load| load.health.to_string()).unwrap_or_default(),
                    edge.load.as_ref().map(|load| format!("{} %", load.load_percent)).unwrap_or_default(),
                    edge.load.as_ref().and_then(|load| load.place.map(place)).unwrap_or_default(),
                    edge.zone.as_ref().map(ToString::to_string).unwrap_or_default(),
                    printable(&edge.url),
                ]
            });
            let columns = ["id", "behind", "applied", "started", "health", "load", "place", "zone", "url"];
            output::table(&columns, rows.collect(), "no edges");
        }
        EdgeLook::Rm { id } => {
            client.delete(&format!("/v1/edges/{}", segment(&id))).await?;
            if global.json {
                output::json(&serde_json::json!({ "id": id }));
            } else {
                output::line(format!("{id} is forgotten"));
            }
        }
    }
    Ok(())
}

/// Degrees, to the kilometre.
fn place(place: Place) -> String {
    format!("{:.2} {:.2}", place.latitude, place.longitude)
}

fn path(id: &str) -> String {
    format!("/v1/purges/{}", segment(id))
}

async fn ask(global: &Global, client: &Client, args: Purge) -> Result<(), CliError> {
    let tenant: Option<Tenant> = args
        .tenant
        .map(|tenant| tenant.parse())
        .transpose()
        .map_err(|error| CliError::usage(format!("{error}")).at("--tenant").mend("correct the name"))?;
    let request = PurgeRequest { tags: args.tags, tenant, refuse: args.refuse };
    let accepted: PurgeAccepted = client.post_json("/v1/purges", &request, args.idempotency_key.as_deref()).await?;
    if args.watch {
        return watch(global, client, &accepted, args.timeout.map(Duration::from_secs)).await;
    }
    if global.json {
        output::json(&accepted);
    } else {
        output::line(accepted.id.to_string());
        output::note(format!("watch it with `framemill purge show {}`", accepted.id));
    }
    Ok(())
}

/// Waits until every edge has acknowledged it, and every cache of others has answered.
async fn watch(
    global: &Global,
    client: &Client,
    accepted: &PurgeAccepted,
    patience: Option<Duration>,
) -> Result<(), CliError> {
    let begun = Instant::now();
    let purge = loop {
        let purge: PurgeView = client.get(&path(&accepted.id.to_string())).await?;
        let waits = purge.adapters.iter().any(|adapter| adapter.state == AdapterState::Waiting);
        if purge.state == PurgeState::Completed && !waits {
            break purge;
        }
        if patience.is_some_and(|patience| begun.elapsed() >= patience) {
            return Err(CliError::new(Exit::GaveUp, format!("{} edges have not forgotten it", purge.waiting.len()))
                .at(format!("purge {}", accepted.id))
                .mend(format!("it goes on; look with `framemill purge show {}`", accepted.id)));
        }
        tokio::time::sleep(LOOK).await;
    };
    if global.json {
        output::json(&purge);
    } else {
        show(&purge);
    }
    let refusal = |state| matches!(state, AdapterState::Failed | AdapterState::Unsupported);
    let missed: Vec<&str> =
        purge.adapters.iter().filter(|adapter| refusal(adapter.state)).map(|adapter| adapter.name.as_str()).collect();
    if missed.is_empty() {
        return Ok(());
    }
    Err(CliError::failed(format!("not forgotten by {}", missed.join(", ")))
        .at(format!("purge {}", accepted.id))
        .mend("the lines above say why; mend that, and try `framemill purge retry` with its id"))
}

fn show(purge: &PurgeView) {
    let took = purge.completed_ms.map(|at| format!(" after {}", span(at - purge.requested_ms)));
    output::line(format!("{}  {}{}", purge.id, state(purge.state), took.unwrap_or_default()));
    output::line(format!("tenant {}, asked for {} ago", purge.tenant, age(purge.requested_ms)));
    let refuse = if purge.refuse { ", refused to viewers" } else { "" };
    purge.tags.iter().for_each(|tag| output::line(format!("tag {}{refuse}", printable(tag))));
    output::line(format!("{} edges have forgotten it", purge.acknowledged));
    purge.waiting.iter().for_each(|edge| output::line(format!("waits for {edge}")));
    for adapter in &purge.adapters {
        let state = match adapter.state {
            AdapterState::Waiting => "waits",
            AdapterState::Completed => "has forgotten it",
            AdapterState::Unsupported => "cannot purge by some of the tags",
            AdapterState::Failed => "failed",
        };
        output::line(format!("{} {state}, {} requests", printable(&adapter.name), adapter.requests));
        adapter.unsupported.iter().for_each(|tag| output::line(format!("  not supported: {}", printable(tag))));
        for receipt in adapter.receipts.iter().filter(|receipt| !receipt.ok) {
            output::line(format!("  after {} attempts: {}", receipt.attempts, printable(&receipt.answer)));
        }
    }
}

/// A span that is mostly shorter than others that are shown.
fn span(millis: i64) -> String {
    if millis < 1000 { format!("{} ms", millis.max(0)) } else { output::span(millis) }
}

fn list(global: &Global, purges: &[PurgeView]) {
    if global.json {
        return output::json(&purges);
    }
    let rows = purges.iter().map(|purge| {
        let tags = match purge.tags.as_slice() {
            [only] => printable(only),
            tags => format!(
                "{} and {} more",
                tags.first().map(|tag| printable(tag)).unwrap_or_default(),
                tags.len().saturating_sub(1)
            ),
        };
        vec![
            purge.id.to_string(),
            state(purge.state).to_owned(),
            purge.waiting.len().to_string(),
            age(purge.requested_ms),
            purge.tenant.to_string(),
            tags,
        ]
    });
    output::table(&["id", "state", "waits for", "age", "tenant", "tags"], rows.collect(), "no purges");
}

const fn state(state: PurgeState) -> &'static str {
    match state {
        PurgeState::Running => "running",
        PurgeState::Completed => "completed",
    }
}
