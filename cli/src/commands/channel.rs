//! `framemill channel`: live channels.

use std::path::Path;

use framemill_schemas::{
    api::AssetView,
    live::{
        ArchiveRequest, CHANNEL_BYTES_MAX, ChannelChange, ChannelDetail, ChannelDocument, ChannelPut, ChannelState,
        ChannelView, Diagnosis, Moment, Wanted,
    },
    submission::LadderChoice,
};
use serde_json::Value;

use super::{channel_text as text, client, submit};
use crate::{
    args::{Global, channel as args},
    client::{Client, segment, with_query},
    exit::{CliError, Exit},
    ladder_file, output,
};

/// Runs the command.
pub async fn run(global: &Global, args: args::Channel) -> Result<(), CliError> {
    let client = client(global)?;
    match args {
        args::Channel::Apply { file, start } => return apply(global, &client, &file, start).await,
        args::Channel::Check { file } => {
            let put = put(&client, &file, true).await?;
            said(global, &put, &file);
        }
        args::Channel::Ls { state, tenant } => {
            let query = with_query("/v1/channels", &[("state", state.as_deref()), ("tenant", tenant.as_deref())]);
            let channels: Vec<ChannelView> = client.list(&query).await?;
            text::list(global, &channels);
        }
        args::Channel::Show(which) => {
            let detail: ChannelDetail = client.get(&path(&which, "")).await?;
            text::show(global, &detail);
        }
        args::Channel::Diagnose(which) => {
            let found: Diagnosis = client.get(&path(&which, "/diagnose")).await?;
            return diagnosed(global, &found);
        }
        args::Channel::Archive(asked) => return archive(global, &client, asked).await,
        args::Channel::Start(which) => changed(global, &client.post(&path(&which, "/start")).await?),
        args::Channel::Stop(which) => changed(global, &client.post(&path(&which, "/stop")).await?),
        args::Channel::Rm(which) => {
            let removed = client.delete(&path(&which, "")).await?;
            let removed: ChannelView = serde_json::from_value(removed)
                .map_err(|error| CliError::failed(format!("the answer is not a channel: {error}")))?;
            changed(global, &removed);
        }
    }
    Ok(())
}

fn path(which: &args::Which, rest: &str) -> String {
    let path = format!("/v1/channels/{}{rest}", segment(&which.id));
    with_query(&path, &[("tenant", which.tenant.as_deref())])
}

async fn apply(global: &Global, client: &Client, file: &Path, start: bool) -> Result<(), CliError> {
    let mut put = put(client, file, false).await?;
    if start && put.channel.wanted != Wanted::Running {
        let which =
            args::Which { id: put.channel.channel_id.to_string(), tenant: Some(put.channel.tenant.to_string()) };
        put.channel = client.post(&path(&which, "/start")).await?;
    }
    said(global, &put, file);
    Ok(())
}

/// Keeps a span as a title.
async fn archive(global: &Global, client: &Client, asked: args::Archive) -> Result<(), CliError> {
    let request = ArchiveRequest {
        from: Moment::Text(asked.from),
        to: Moment::Text(asked.to),
        priority: asked.title.priority.into(),
    };
    let key = asked.title.idempotency_key.as_deref();
    let accepted: AssetView = client.post_json(&path(&asked.which, "/archive"), &request, key).await?;
    if !global.json
        && let Some(archive) = &accepted.archive
    {
        text::left_out(archive);
    }
    submit::accept(global, client, &accepted, &asked.title).await
}

/// Sends a document.
async fn put(client: &Client, file: &Path, dry_run: bool) -> Result<ChannelPut, CliError> {
    let document = read(file)?;
    let Some(id) = document.get("channel_id").and_then(Value::as_str) else {
        return Err(CliError::usage("the document names no channel")
            .at(file.display().to_string())
            .mend("write `channel_id: NAME`"));
    };
    let path = format!("/v1/channels/{}?dry_run={dry_run}", segment(id));
    client.put_json(&path, &document).await.map_err(|error| match error.faults.is_empty() {
        true => error,
        // What is wrong stands in the file, not at the address it was sent to.
        false => CliError { place: Some(file.display().to_string()), ..error },
    })
}

/// Reads a file; a ladder in it that is named as a file is written out.
fn read(file: &Path) -> Result<Value, CliError> {
    let place = file.display().to_string();
    let unreadable = |what: String| CliError::usage(what).at(&place).mend("name a file with a channel in it");
    let meta = std::fs::metadata(file).map_err(|error| unreadable(format!("cannot read the channel: {error}")))?;
    if !meta.is_file() || meta.len() > CHANNEL_BYTES_MAX as u64 {
        return Err(unreadable(format!("the channel is no file of up to {CHANNEL_BYTES_MAX} bytes")));
    }
    let text =
        std::fs::read_to_string(file).map_err(|error| unreadable(format!("cannot read the channel: {error}")))?;
    let mut document = ChannelDocument::value_from_yaml(&text).map_err(|faults| {
        CliError::usage("the document cannot be read").at(&place).faults(faults).mend("correct the file")
    })?;
    if let Some(ladder) = document.get_mut("ladder")
        && let Some(name) = ladder.as_str()
        && let LadderChoice::Inline(written_out) = ladder_file::choose(Some(name))?
    {
        *ladder = written_out;
    }
    Ok(document)
}

fn said(global: &Global, put: &ChannelPut, file: &Path) {
    if global.json {
        return output::json(put);
    }
    let channel = &put.channel;
    let name = format!("channel {} of {}", channel.channel_id, channel.tenant);
    if put.dry_run {
        let would = match put.outcome {
            ChannelChange::Created => "would be made",
            ChannelChange::Changed => "would be changed",
            ChannelChange::Unchanged => "is so already",
        };
        output::line(format!("{} is good: {name} {would}", file.display()));
    } else {
        output::line(format!("{name}: {}, edition {}", put.outcome.as_str(), channel.edition));
    }
    put.changes.iter().for_each(|change| output::line(output::printable(&format!("  {change}"))));
    put.notes.iter().for_each(|note| output::line(output::printable(&format!("note: {note}"))));
    if !put.dry_run && channel.state == ChannelState::Scheduled {
        output::line(text::off_air(channel));
    }
    if !put.dry_run && channel.wanted == Wanted::Stopped {
        output::line(format!("it is off air; put it on air: framemill channel start {}", channel.channel_id));
    }
}

fn changed(global: &Global, channel: &ChannelView) {
    if global.json {
        return output::json(channel);
    }
    let id = &channel.channel_id;
    output::line(match (channel.wanted, channel.state) {
        (Wanted::Running, ChannelState::Starting) => format!("channel {id} is being put on air"),
        (Wanted::Running, ChannelState::Scheduled) => format!("channel {id} is started: {}", text::off_air(channel)),
        (Wanted::Running, state) => format!("channel {id} is on air: {}", state.as_str()),
        (Wanted::Stopped, ChannelState::Stopped) => format!("channel {id} is off air"),
        (Wanted::Stopped, _) => format!("channel {id} is being taken off air"),
        (Wanted::Retired, _) => format!("channel {id} is being removed"),
    });
}

fn diagnosed(global: &Global, found: &Diagnosis) -> Result<(), CliError> {
    if global.json {
        output::json(found);
    } else {
        text::diagnosis(found);
    }
    let Some(station) = found.failed else { return Ok(()) };
    let failed = found.stations.iter().find(|held| held.station == station);
    let says = failed.map_or_else(String::new, |failed| output::printable(&failed.says));
    let error = CliError::new(Exit::Failed, format!("it fails at its {}: {says}", station.as_str()));
    let error = error.at(format!("channel {}", found.channel_id));
    Err(match failed.and_then(|failed| failed.mend.clone()) {
        Some(mend) => error.mend(mend),
        None => error,
    })
}
