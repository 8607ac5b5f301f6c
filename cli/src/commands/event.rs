//! `framemill event tail`: what happens, as it happens. A stream that breaks is opened again
//! where it broke off.

use std::time::Duration;

use framemill_schemas::cloud_event::CloudEvent;

use super::client;
use crate::{
    args::{Global, operate},
    exit::{CliError, Exit},
    output,
};

/// Waits between attempts at a broken stream, the last one repeated.
const BACKOFF: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];

/// Runs the command; it ends by an interruption, or when the stream is refused.
pub async fn run(global: &Global, args: operate::Event) -> Result<(), CliError> {
    let operate::Event::Tail { after } = args;
    tokio::select! {
        ended = tail(global, after) => ended,
        _ = tokio::signal::ctrl_c() => Err(CliError::new(Exit::Interrupted, "interrupted")),
    }
}

async fn tail(global: &Global, after: Option<String>) -> Result<(), CliError> {
    let client = client(global)?;
    let mut last_id = after;
    let mut first = true;
    let mut failures = 0;
    loop {
        match client.stream("/v1/events", last_id.as_deref()).await {
            Ok(mut stream) => {
                failures = 0;
                first = false;
                while let Some(message) = stream.next().await {
                    if !message.id.is_empty() {
                        last_id = Some(message.id.clone());
                    }
                    show(global, &message.data);
                }
            }
            Err(error) if first || !matches!(error.exit, Exit::Failed | Exit::GaveUp) => return Err(error),
            Err(_) => {}
        }
        tokio::time::sleep(BACKOFF[usize::min(failures, BACKOFF.len() - 1)]).await;
        failures += 1;
    }
}

fn show(global: &Global, data: &str) {
    if global.json {
        return output::line(data.replace('\n', " "));
    }
    let Ok(event) = serde_json::from_str::<CloudEvent>(data) else { return };
    let mut parts = vec![time(event.time_ms()), event.tenant.to_string(), event.kind.clone()];
    parts.extend(event.data.asset_id.map(|id| id.to_string()));
    parts.extend(event.data.profile.clone());
    parts.extend(event.data.node.as_ref().map(|node| format!("on {node}")));
    parts.extend(event.data.reason.clone());
    output::line(output::printable(&parts.join("  ")));
}

/// Time of day in UTC.
fn time(at_ms: i64) -> String {
    let seconds = at_ms.div_euclid(1000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}.{:03}Z", seconds / 3600, seconds / 60 % 60, seconds % 60, at_ms.rem_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_of_the_day() {
        assert_eq!(time(1_000), "00:00:01.000Z");
        assert_eq!(time(86_400_000 + 3_723_004), "01:02:03.004Z");
    }
}
