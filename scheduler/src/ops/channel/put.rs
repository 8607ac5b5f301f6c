//! `PUT /v1/channels/{id}`: makes a channel, or changes what it is made of.

use std::path::PathBuf;

use framemill_queue::{Queue, RecordError};
use framemill_schemas::{
    field_error::FieldError,
    ids::{AssetId, ChannelId, Tenant},
    live::{
        CHANNEL_VERSION, ChannelChange, ChannelRecord, ChannelState, Edition, LiveSource, LiveSourceKind, OnAir,
        Upkeep, Wanted, record_key,
    },
    source::Source,
};
use framemill_telemetry::span;
use uuid::Uuid;

use super::{channels, refuse};
use crate::{
    clock::now_ms,
    ops::{CAS_TRIES_MAX, OpError, submit::resolve},
};

/// What a `PUT` did, or would do.
#[derive(Clone, Debug)]
pub struct Put {
    /// The channel as it is then.
    pub channel: ChannelRecord,
    /// What was done.
    pub outcome: ChannelChange,
    /// What differs from before, for people.
    pub changes: Vec<String>,
}

/// What a channel is to be.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What it is made of.
    pub edition: Edition,
    /// When it is on air.
    pub on_air: OnAir,
}

/// Takes what was checked; returns the channel that is made of it. With `dry_run` nothing is stored.
/// Guards: file sources lie below a configured folder; what replicas are claimed or cut by stays as it
/// is while the channel is on air; a channel that is being removed is not changed.
pub async fn put(
    queue: &Queue,
    tenant: &Tenant,
    id: &ChannelId,
    mut asked: Asked,
    folders: &[PathBuf],
    dry_run: bool,
) -> Result<Put, OpError> {
    check_files(&mut asked.edition.sources, folders).await?;
    let (records, key) = (channels(queue), record_key(tenant, id));
    let mut tries = 0;
    loop {
        let found = records.get(&key).await?;
        let put = match &found {
            None => made(tenant, id, asked.clone()),
            Some((channel, _)) => changed(channel, asked.clone())?,
        };
        if dry_run || put.outcome == ChannelChange::Unchanged {
            return Ok(put);
        }
        let stored = match found {
            None => records.create(&key, &put.channel).await,
            Some((_, revision)) => records.update(&key, &put.channel, revision).await,
        };
        match stored {
            Ok(_) => return Ok(put),
            Err(RecordError::Fenced | RecordError::Exists) if tries < CAS_TRIES_MAX => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Files are read by workers: only those that an operator allows titles to be taken from.
async fn check_files(sources: &mut [LiveSource], folders: &[PathBuf]) -> Result<(), OpError> {
    let mut faults = Vec::new();
    for (index, source) in sources.iter_mut().enumerate().filter(|(_, source)| source.kind == LiveSourceKind::File) {
        match resolve(Source::Path(PathBuf::from(&source.uri)), folders).await {
            Ok(Source::Path(path)) => source.uri = path.to_string_lossy().into_owned(),
            Ok(_) => {}
            Err(fault) => {
                let mend = "use an address, or a file below one of the folders of `scheduler.folders`";
                faults.push(FieldError::new(format!("/sources/{index}/uri"), fault.detail, mend));
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(OpError::Refused(faults)) }
}

fn made(tenant: &Tenant, id: &ChannelId, asked: Asked) -> Put {
    let now_ms = now_ms();
    let span = tracing::info_span!(parent: None, "channel", channel = %id, %tenant);
    let channel = ChannelRecord {
        v: CHANNEL_VERSION,
        tenant: tenant.clone(),
        id: id.clone(),
        asset: AssetId::new(Uuid::now_v7()),
        edition: Edition { number: 1, ..asked.edition },
        wanted: Wanted::Stopped,
        on_air: asked.on_air,
        state: ChannelState::Stopped,
        why: None,
        replicas: Vec::new(),
        placed: 0,
        shunned: Vec::new(),
        upkeep: Upkeep::default(),
        unsent: Vec::new(),
        trace: span::context(&span),
        made_ms: now_ms,
        since_ms: now_ms,
    };
    Put { channel, outcome: ChannelChange::Created, changes: Vec::new() }
}

/// Takes a channel and what it is to be made of.
/// Returns it in its next edition, or as it is where nothing differs. Another schedule alone makes no edition:
/// replicas go on as they are.
/// Guards: see [`put`].
pub(super) fn changed(channel: &ChannelRecord, asked: Asked) -> Result<Put, OpError> {
    let Asked { edition, on_air } = asked;
    if channel.wanted == Wanted::Retired {
        return Err(refuse(channel, "it is being removed; apply it again once it is gone"));
    }
    let mut changes = changes_between(&channel.edition, &edition);
    let same_edition = changes.is_empty();
    if channel.on_air != on_air {
        changes.push(moved("on air", spans(&channel.on_air), spans(&on_air)));
    }
    if changes.is_empty() {
        return Ok(Put { channel: channel.clone(), outcome: ChannelChange::Unchanged, changes });
    }
    if same_edition {
        let channel = ChannelRecord { on_air, ..channel.clone() };
        return Ok(Put { channel, outcome: ChannelChange::Changed, changes });
    }
    if channel.is_on_air()
        && let Some(what) = fixed_on_air(&channel.edition, &edition)
    {
        let mend = format!("{what} cannot be changed on air: stop it first, change it, and start it again");
        return Err(refuse(channel, &mend));
    }
    let number = channel.edition.number.saturating_add(1);
    // What was seen of what was published says nothing of another edition.
    let mut upkeep = Upkeep { shown: Vec::new(), ..channel.upkeep.clone() };
    if channel.edition.sources != edition.sources {
        // The places of the sources mean others now.
        upkeep.dark.clear();
    }
    let channel = ChannelRecord { edition: Edition { number, ..edition }, on_air, upkeep, ..channel.clone() };
    Ok(Put { channel, outcome: ChannelChange::Changed, changes })
}

fn moved(what: &str, before: String, after: String) -> String {
    format!("{what}: {before} -> {after}")
}

/// A schedule in few words.
fn spans(on_air: &OnAir) -> String {
    match on_air.documents().as_slice() {
        [] => "always".to_owned(),
        [span] => {
            let end = |end: &Option<String>| end.clone().unwrap_or_default();
            format!("{}..{}", end(&span.from), end(&span.until))
        }
        many => format!("{} spans", many.len()),
    }
}

/// What a running replica was claimed for, or numbers are counted by.
fn fixed_on_air(before: &Edition, after: &Edition) -> Option<&'static str> {
    let codec = |edition: &Edition| edition.ladder.video.first().map(|rung| rung.codec);
    if before.segment_ms != after.segment_ms {
        Some("the length of its segments")
    } else if codec(before) != codec(after) {
        Some("the codec of its ladder")
    } else if before.ladder.engine != after.ladder.engine {
        Some("what encodes its ladder")
    } else {
        None
    }
}

/// What differs between two editions but for their numbers, in words.
fn changes_between(before: &Edition, after: &Edition) -> Vec<String> {
    let mut changes = Vec::new();
    let mut differs = |is: bool, what: String| {
        if is {
            changes.push(what);
        }
    };
    let list = |sources: &[LiveSource]| {
        let all: Vec<String> = sources.iter().map(ToString::to_string).collect();
        all.join(", ")
    };
    differs(before.sources != after.sources, moved("sources", list(&before.sources), list(&after.sources)));
    let names = (before.ladder.name.clone(), after.ladder.name.clone());
    let ladder = if names.0 == names.1 {
        format!("ladder: {} as it is now", names.1)
    } else {
        moved("ladder", names.0, names.1)
    };
    differs(before.ladder != after.ladder, ladder);
    for (what, unit, b, a) in [
        ("redundancy", "", before.redundancy, after.redundancy),
        ("segment", " ms", before.segment_ms, after.segment_ms),
        ("window", " s", before.window_s, after.window_s),
        ("time shift", " s", before.timeshift_s, after.timeshift_s),
        ("return after", " s", before.return_after_s, after.return_after_s),
        (
            "alert after",
            " s",
            before.observability.alert_after_segment_gap_s,
            after.observability.alert_after_segment_gap_s,
        ),
    ] {
        differs(b != a, format!("{what}: {b}{unit} -> {a}{unit}"));
    }
    differs(before.access != after.access, "access".to_owned());
    changes
}
