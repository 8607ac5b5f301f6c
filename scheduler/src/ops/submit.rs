//! `POST /v1/assets`.

use std::path::{Path, PathBuf};

use framemill_queue::{Queue, RecordError};
use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    field_error::FieldError,
    ids::{AssetId, Tenant},
    ladder::Ladder,
    lane::Priority,
    live::Cut,
    source::Source,
    submission::CheckedSubmission,
    trace::TraceContext,
};
use framemill_telemetry::span;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    OpError, asset_event, generation,
    idempotency::{Found, Key},
    now_ms,
};
use crate::gate::Gate;

/// Folders of the farm's own bucket that hold a tenant's objects, each in one of its own.
const OWNED: [&str; 2] = ["uploads", "vod"];

/// What a submission is made of.
#[derive(Clone)]
pub struct SubmitParts<'a> {
    /// What was asked for.
    pub submission: CheckedSubmission,
    /// The body as it came: what an idempotency key stands for.
    pub body: &'a str,
    /// The client's idempotency key.
    pub idempotency_key: Option<&'a str>,
    /// Whose it is.
    pub tenant: Tenant,
    /// Folders below which path sources may lie.
    pub folders: &'a [PathBuf],
    /// The farm's own bucket.
    pub bucket: &'a str,
    /// The only tenant whose objects the caller may name; `None` for whoever sits at the machine.
    pub owner: Option<&'a Tenant>,
    /// What keeps the farm's open work within its bounds.
    pub gate: &'a Gate,
}

/// What became of a submission.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The asset as it is stored.
    pub asset: AssetRecord,
    /// Whether this call made it.
    pub accepted: Accepted,
}

/// Whether a submission made an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It did.
    Now,
    /// An earlier one with the same idempotency key did.
    Before,
}

/// Takes a checked submission; returns the asset, accepted.
/// Guards: a path source lies below a configured folder; an idempotency key that came before with
/// the same body gives the same asset, with another body nothing, and nothing either when that
/// asset was removed; the gate lets it in, unless the key's asset is there already.
pub async fn submit(queue: &Queue, parts: SubmitParts<'_>) -> Result<Submitted, OpError> {
    // Root of the asset's trace: what any process does for it is below this span.
    let span = tracing::info_span!(
        parent: None,
        "asset",
        asset = tracing::field::Empty,
        tenant = %parts.tenant,
        ladder = parts.submission.ladder.name,
    );
    submit_in(queue, parts).instrument(span).await
}

async fn submit_in(queue: &Queue, parts: SubmitParts<'_>) -> Result<Submitted, OpError> {
    let key = parts.idempotency_key.map(|key| Key::new(queue, &parts.tenant, key, parts.body));
    // Before the source is looked at: it may have gone since, and the answer stays the same.
    // Before the gate too: nothing new is asked for.
    let found = match earlier(queue, key.as_ref()).await? {
        Earlier::Asset(asset) => return Ok(Submitted { asset: *asset, accepted: Accepted::Before }),
        Earlier::None(found) => found,
    };
    check_owner(&parts.submission.source, parts.bucket, parts.owner).map_err(|fault| OpError::Refused(vec![fault]))?;
    let source =
        resolve(parts.submission.source, parts.folders).await.map_err(|fault| OpError::Refused(vec![fault]))?;
    let draft = Draft {
        tenant: parts.tenant,
        source,
        ladder: parts.submission.ladder,
        priority: parts.submission.priority,
        cut: None,
        trace: span::context(&tracing::Span::current()),
    };
    accept(queue, parts.gate, key.as_ref(), found, draft).await
}

/// What an idempotency key stands for.
pub(super) enum Earlier {
    /// This asset.
    Asset(Box<AssetRecord>),
    /// None yet; an id may be reserved.
    None(Option<Found>),
}

/// Looks what a key stands for. Guards: not for an asset that was removed.
pub(super) async fn earlier(queue: &Queue, key: Option<&Key>) -> Result<Earlier, OpError> {
    let Some(key) = key else { return Ok(Earlier::None(None)) };
    let Some(found) = key.find().await? else { return Ok(Earlier::None(None)) };
    match queue.assets().get(&found.asset.to_string()).await? {
        Some((asset, _)) if asset.state != AssetState::Doomed => {
            key.mark_created(found).await;
            Ok(Earlier::Asset(Box::new(asset)))
        }
        None if !found.created => Ok(Earlier::None(Some(found))),
        Some(_) | None => Err(OpError::Removed(found.asset)),
    }
}

/// An asset before it has an id.
pub(super) struct Draft {
    /// Whose it is.
    pub tenant: Tenant,
    /// Where it comes from.
    pub source: Source,
    /// Its ladder.
    pub ladder: Ladder,
    /// How urgent it is.
    pub priority: Priority,
    /// Where its segments lie, where it is kept of a channel.
    pub cut: Option<Box<Cut>>,
    /// Root of its trace.
    pub trace: TraceContext,
}

/// Takes a draft and what its key reserved; returns the asset, accepted.
/// Guards: the gate lets it in.
pub(super) async fn accept(
    queue: &Queue,
    gate: &Gate,
    key: Option<&Key>,
    found: Option<Found>,
    draft: Draft,
) -> Result<Submitted, OpError> {
    if !gate.ready().await {
        return Err(OpError::Reading);
    }
    let wanted = found.map_or_else(new_id, |found| found.asset);
    let ticket = gate.admit(wanted, &draft.tenant)?;
    let reserved = match (found, key) {
        (None, Some(key)) => Some(key.reserve(wanted).await?),
        (found, _) => found,
    };
    let id = reserved.map_or(wanted, |reserved| reserved.asset);
    tracing::Span::current().record("asset", tracing::field::display(id));

    let now_ms = now_ms();
    let mut asset = AssetRecord {
        v: AssetRecord::version_for(&draft.source, &[]),
        id,
        tenant: draft.tenant,
        source: draft.source,
        ladder: draft.ladder,
        priority: draft.priority,
        state: AssetState::Accepted,
        generation: generation(1),
        slots: 0,
        hardware: Vec::new(),
        failure: None,
        published: None,
        collected: 0,
        unsent: Vec::new(),
        trace: draft.trace,
        submitted_ms: now_ms,
        ended_ms: 0,
        repair: None,
        repaired_ms: 0,
        anew: 0,
        shown: None,
        cut: draft.cut,
    };
    let event = asset_event(&asset, "accepted", 0, now_ms);
    asset.unsent.push(event);
    let created = match queue.assets().create(&id.to_string(), &asset).await {
        Ok(_) => {
            tracing::info!(asset = %id, tenant = %asset.tenant, source = %asset.source, "asset accepted");
            Submitted { asset, accepted: Accepted::Now }
        }
        // The same submission at the same moment.
        Err(RecordError::Exists) => match queue.assets().get(&id.to_string()).await? {
            Some((asset, _)) => Submitted { asset, accepted: Accepted::Before },
            None => return Err(OpError::Removed(id)),
        },
        Err(error) => return Err(error.into()),
    };
    // The ticket of an id that lost to a faster request with the same key is given back.
    if id == wanted {
        ticket.used();
    }
    if let (Some(key), Some(reserved)) = (key, reserved) {
        key.mark_created(reserved).await;
    }
    Ok(created)
}

fn new_id() -> AssetId {
    AssetId::new(Uuid::now_v7())
}

/// The farm's keys read more than one tenant's objects: a caller that is bound to a tenant names
/// only what is that tenant's own.
fn check_owner(source: &Source, bucket: &str, owner: Option<&Tenant>) -> Result<(), FieldError> {
    let (Source::S3 { bucket: asked, key }, Some(tenant)) = (source, owner) else { return Ok(()) };
    if asked == bucket && OWNED.iter().any(|folder| key.starts_with(&format!("{folder}/{tenant}/"))) {
        return Ok(());
    }
    let detail = format!("the object {source} is not this tenant's");
    Err(FieldError::new("/source", detail, format!("put it at s3://{bucket}/uploads/{tenant}/, or use https://")))
}

/// Where a source really lies. Addresses are checked by whoever reads them, at every redirect; a
/// path is followed through its links, so that none leads out of the configured folders.
pub(super) async fn resolve(source: Source, folders: &[PathBuf]) -> Result<Source, FieldError> {
    let Source::Path(path) = source else { return Ok(source) };
    let outside = || {
        let mend = if folders.is_empty() {
            "use s3:// or https://, or configure `scheduler.folders`".to_owned()
        } else {
            let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
            format!("use s3:// or https://, or a file below {}", folders.join(", "))
        };
        FieldError::new("/source", format!("the path {} is not below a configured folder", path.display()), mend)
    };
    let mut roots = Vec::new();
    for folder in folders {
        if let Ok(root) = tokio::fs::canonicalize(folder).await {
            roots.push(root);
        }
    }
    let real = match tokio::fs::canonicalize(&path).await {
        Ok(real) => real,
        // Outside the folders, what exists and what does not gets the same answer.
        Err(_) if !is_below(&path, folders) && !is_below(&path, &roots) => return Err(outside()),
        Err(error) => {
            let detail = format!("the file {} cannot be opened: {error}", path.display());
            return Err(FieldError::new("/source", detail, "correct the path or its permissions"));
        }
    };
    if !is_below(&real, &roots) {
        return Err(outside());
    }
    match tokio::fs::metadata(&real).await {
        Ok(facts) if !facts.is_file() => {
            Err(FieldError::new("/source", format!("{} is not a file", path.display()), "name a video file"))
        }
        Ok(facts) if facts.len() == 0 => {
            Err(FieldError::new("/source", format!("the file {} is empty", path.display()), "name a video file"))
        }
        Ok(_) => Ok(Source::Path(real)),
        Err(error) => {
            let detail = format!("the file {} cannot be opened: {error}", path.display());
            Err(FieldError::new("/source", detail, "correct the path or its permissions"))
        }
    }
}

fn is_below(path: &Path, folders: &[PathBuf]) -> bool {
    let plain = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
    plain && folders.iter().any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn paths_lie_below_a_configured_folder_whatever_links_say() {
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret.mp4");
        std::fs::write(&secret, "x").unwrap();
        let inside = tempfile::tempdir().unwrap();
        let film = inside.path().join("film.mp4");
        std::fs::write(&film, "x").unwrap();
        std::fs::write(inside.path().join("empty.mp4"), "").unwrap();
        std::os::unix::fs::symlink(&secret, inside.path().join("link.mp4")).unwrap();
        std::os::unix::fs::symlink(&film, inside.path().join("good.mp4")).unwrap();
        let folders = [inside.path().to_owned()];
        let at = |name: &str| Source::Path(inside.path().join(name));

        let real = Source::Path(std::fs::canonicalize(&film).unwrap());
        assert_eq!(resolve(at("film.mp4"), &folders).await, Ok(real.clone()));
        assert_eq!(resolve(at("good.mp4"), &folders).await, Ok(real));
        let climb = format!("../{}/secret.mp4", outside.path().file_name().unwrap().to_str().unwrap());
        for (source, says) in [
            (Source::Path(secret.clone()), "not below"),
            (at("link.mp4"), "not below"),
            (at(&climb), "not below"),
            (Source::Path("/etc/passwd".into()), "not below"),
            (Source::Path("/no/such/file".into()), "not below"),
            (at("missing.mp4"), "cannot be opened"),
            (at("empty.mp4"), "is empty"),
            (at(""), "not a file"),
        ] {
            let error = resolve(source.clone(), &folders).await.unwrap_err();
            assert!(error.detail.contains(says), "{source}: {error}");
        }
        let error = resolve(at("film.mp4"), &[]).await.unwrap_err();
        assert!(error.mend.contains("scheduler.folders"), "{error}");
    }

    #[test]
    fn a_tenant_names_only_its_own_objects() {
        let tenant: Tenant = "cinema".parse().unwrap();
        for (bucket, key, allowed) in [
            ("farm", "uploads/cinema/film.mp4", true),
            ("farm", "vod/cinema/a/g1/720p/1.m4s", true),
            ("farm", "vod/other/a/g1/720p/1.m4s", false),
            ("farm", "uploads/cinema-2/film.mp4", false),
            ("farm", "film.mp4", false),
            ("elsewhere", "uploads/cinema/film.mp4", false),
        ] {
            let source = Source::S3 { bucket: bucket.to_owned(), key: key.to_owned() };
            assert_eq!(check_owner(&source, "farm", Some(&tenant)).is_ok(), allowed, "{source}");
            assert_eq!(check_owner(&source, "farm", None), Ok(()), "{source}");
        }
    }
}
