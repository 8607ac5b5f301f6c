//! `framemill submit`, and watching a title to its end.

use std::{path::Path, time::Duration};

use framemill_schemas::{api::AssetView, submission::Submission};

use super::{asset, client};
use crate::{
    args::{Global, operate},
    bars,
    client::Client,
    exit::{CliError, Exit},
    follow, ladder_file, output,
};

/// Runs the command.
pub async fn run(global: &Global, args: operate::Submit) -> Result<(), CliError> {
    let submission = Submission {
        source: source(&args.source)?,
        ladder: ladder_file::choose(args.ladder.as_deref())?,
        tenant: args.tenant,
        priority: args.title.priority.into(),
    };
    let client = client(global)?;
    let key = args.title.idempotency_key.as_deref();
    let accepted: AssetView = client.post_json("/v1/assets", &submission, key).await?;
    accept(global, &client, &accepted, &args.title).await
}

/// Tells of a title that was accepted, and watches it where that was asked for.
pub async fn accept(
    global: &Global,
    client: &Client,
    accepted: &AssetView,
    asked: &operate::NewTitle,
) -> Result<(), CliError> {
    if asked.watch {
        return watch(global, client, &accepted.id.to_string(), asked.timeout).await;
    }
    if global.json {
        output::json(accepted);
    } else {
        output::line(accepted.id.to_string());
    }
    Ok(())
}

/// A path as the farm takes it, absolute; an address as it is.
fn source(text: &str) -> Result<String, CliError> {
    if text.contains("://") {
        return Ok(text.to_owned());
    }
    let path = std::path::absolute(Path::new(text)).map_err(|error| {
        CliError::usage(format!("the source is no path: {error}")).at(text).mend("name a file, or an address")
    })?;
    Ok(path.to_string_lossy().into_owned())
}

/// Watches a title to its end.
pub async fn watch(global: &Global, client: &Client, id: &str, timeout: Option<u64>) -> Result<(), CliError> {
    let mut watcher = bars::watcher(global.json);
    let timeout = timeout.map(Duration::from_secs);
    let end = tokio::select! {
        end = follow::follow(client, id, timeout, &mut watcher) => end?,
        _ = tokio::signal::ctrl_c() => {
            return Err(CliError::new(Exit::Interrupted, "no longer watching; the title is still being made")
                .at(format!("asset {id}"))
                .mend(format!("`framemill asset cancel {id}` stops it")));
        }
    };
    if global.json {
        output::json(&end);
    } else {
        output::line(asset::summary(&end));
    }
    follow::verdict(&end)
}
