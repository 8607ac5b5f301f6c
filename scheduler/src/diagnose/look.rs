//! Looking at delivery: the records that say who may watch, and every edge, asked as a viewer asks.
//!
//! Never here: what follows from it.

use std::time::Duration;

use framemill_queue::RecordError;
use framemill_schemas::{
    delivery::{AccountDocument, EdgeRecord, PURGE_AGE_MAX, Package, Paths, PurgeId},
    ids::NodeId,
    live::{ChannelDetail, ChannelRecord, channel_folder},
};
use framemill_storage::Store;
use futures_util::{StreamExt, stream};
use reqwest::{Client, StatusCode, header};

use super::{
    delivered::{CameTo, Delivered, Edges, Rights, Seen},
    playlist::{first_media, last_number},
};
use crate::{
    access::Caller,
    delivery::{
        Delivery, TokenError,
        entitle::{Denied, Moment, Place, entitled},
        tenants,
    },
    view::View,
};

/// Edges that are asked; of a farm with more, those whose names come first.
const EDGES_MAX: usize = 64;
/// Edges that are asked at once.
const AT_ONCE: usize = 8;
/// Longest that one is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Longest that the store is waited for.
const STORE_MAX: Duration = Duration::from_secs(3);
/// Largest playlist.
const PLAYLIST_BYTES_MAX: usize = 1024 * 1024;
/// Words that edges give as reasons. Whatever else stands at an address says nothing here.
const REASONS: [&str; 14] = [
    "missing",
    "malformed",
    "unknown-key",
    "signature",
    "expired",
    "not-yet",
    "retired",
    "revoked",
    "path",
    "region",
    "method",
    "origin",
    "fenced",
    "behind",
];

/// Where it looks.
pub struct Sight<'a> {
    /// What the records say.
    pub view: &'a View,
    /// What is published.
    pub store: &'a Store,
    /// Keys, tokens and who may watch what.
    pub delivery: &'a Delivery,
    /// Who asks.
    pub caller: &'a Caller,
    /// When, Unix milliseconds.
    pub now_ms: i64,
}

/// Looks at who may watch a channel, and at what edges serve of it.
///
/// # Errors
/// The records do not answer.
pub async fn look(sight: &Sight<'_>, channel: &ChannelRecord, shown: &ChannelDetail) -> Result<Delivered, RecordError> {
    let folder = format!("/{}/", channel_folder(&channel.tenant, &channel.id));
    let prefix = match sight.delivery.probe_prefix(&channel.tenant, &folder, sight.now_ms).await {
        Ok(prefix) => Ok(prefix),
        Err(TokenError::Records(error)) => return Err(error),
        Err(error) => Err(error.to_string()),
    };
    let rights = Rights {
        is_asked: !sight.view.edges().is_empty(),
        refused: refused(sight.view, channel, shown.timeline),
        denied: denied(sight, channel, &folder).await?,
        others: others(sight, channel, &folder).await?,
        unsigned: prefix.as_ref().err().cloned(),
    };
    let edges = match prefix {
        _ if sight.view.edges().is_empty() => Edges::Unasked("there is no edge"),
        _ if !channel.is_on_air() => Edges::Unasked("not looked at: it is off air"),
        Ok(prefix) => ask(sight, &format!("{folder}master.m3u8")[1..], &prefix).await,
        Err(_) => Edges::Unasked("not looked at: no token can be signed for it"),
    };
    Ok(Delivered { rights, edges })
}

/// The purge that refuses all of a channel, or of its timeline, and until when.
fn refused(view: &View, channel: &ChannelRecord, timeline: Option<u32>) -> Option<(PurgeId, i64)> {
    let of = format!("{}/{}", channel.tenant, channel.id);
    let whole = [format!("tenant:{}", channel.tenant), format!("channel:{of}")];
    let timeline = timeline.map(|number| format!("timeline:{of}/t{number}-"));
    let concerns = |tag: &String| whole.contains(tag) || timeline.as_ref().is_some_and(|own| tag.starts_with(own));
    let purge = view.purges().into_iter().find(|entry| entry.purge.refuse && entry.purge.tags.iter().any(concerns))?;
    let kept_ms = i64::try_from(PURGE_AGE_MAX.as_millis()).unwrap_or(i64::MAX);
    Some((purge.purge.id, purge.purge.requested_ms.saturating_add(kept_ms)))
}

/// What keeps an account with everything its tenant has from a channel.
async fn denied(sight: &Sight<'_>, channel: &ChannelRecord, folder: &str) -> Result<Option<Denied>, RecordError> {
    let levels = tenants::chain(&sight.delivery.queue, &channel.tenant).await?;
    let Ok(asked) = Paths::try_from(vec![folder.to_owned()]) else { return Ok(None) };
    let moment = Moment { now_ms: sight.now_ms, place: Place::Unknown };
    Ok(entitled(&levels, Some(&AccountDocument::default()), &asked, moment).err())
}

/// How many other tenants have a package that holds a channel.
async fn others(sight: &Sight<'_>, channel: &ChannelRecord, folder: &str) -> Result<usize, RecordError> {
    let all = tenants::list(&sight.delivery.queue, sight.caller).await?;
    let holds = |packages: &Option<Vec<Package>>| packages.iter().flatten().any(|package| package.paths.hold(folder));
    let others = all.iter().filter(|record| record.tenant != channel.tenant);
    Ok(others.filter(|record| holds(&record.document.packages)).count())
}

/// Asks every edge for the playlist that the store has.
async fn ask(sight: &Sight<'_>, master: &str, prefix: &str) -> Edges {
    let edges = sight.view.edges();
    let reached: Vec<&EdgeRecord> = edges.values().filter(|edge| !edge.url.is_empty()).take(EDGES_MAX).collect();
    if reached.is_empty() {
        return Edges::Unasked("no edge says where it is reached (edge.url)");
    }
    let Some((key, last)) = stored(sight.store, master).await else {
        return Edges::Unasked("the store has no playlist of it to compare with");
    };
    let Ok(client) = client() else { return Edges::Unasked("this machine has no certificates to ask edges with") };
    let place = |edge: &EdgeRecord| (edge.edge.clone(), format!("{}{prefix}/{key}", edge.url.trim_end_matches('/')));
    let places: Vec<(NodeId, String)> = reached.into_iter().map(place).collect();
    let asked = places.into_iter().map(|(edge, url)| {
        let client = client.clone();
        async move { Seen { edge, came_to: fetch(&client, &url).await } }
    });
    let seen = stream::iter(asked).buffered(AT_ONCE).collect().await;
    Edges::Asked { last, seen, named: tenants::is_farms(sight.caller) }
}

/// The key of a playlist of pictures in the store, and its last number.
async fn stored(store: &Store, master: &str) -> Option<(String, u64)> {
    let name = first_media(&text(store, master).await?)?.to_owned();
    let key = format!("{}/{name}", master.rsplit_once('/')?.0);
    let last = last_number(&text(store, &key).await?)?;
    Some((key, last))
}

/// A playlist in the store.
async fn text(store: &Store, key: &str) -> Option<String> {
    let found = tokio::time::timeout(STORE_MAX, store.get(key)).await.ok()?.ok()??;
    String::from_utf8(found.body.to_vec()).ok()
}

fn client() -> Result<Client, reqwest::Error> {
    // Whoever was first in this process has chosen the same one: there is only ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // No redirect: whoever is sent elsewhere would take the token along.
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(ANSWER_MAX).build()
}

/// What stands at an address. It holds a token, so no error of the client's is told.
async fn fetch(client: &Client, url: &str) -> CameTo {
    let mut answer = match client.get(url).header(header::ACCEPT_ENCODING, "identity").send().await {
        Ok(answer) => answer,
        Err(error) if error.is_timeout() => return CameTo::Unreachable("no answer within 3 s"),
        Err(error) if error.is_builder() => return CameTo::Unreachable("its address is none"),
        Err(_) => return CameTo::Unreachable("no connection"),
    };
    let status = answer.status();
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(None) => break,
            Ok(Some(part)) if body.len() + part.len() <= PLAYLIST_BYTES_MAX => body.extend_from_slice(&part),
            Ok(Some(_)) => return CameTo::Odd,
            Err(_) => return CameTo::Unreachable("its answer broke off"),
        }
    }
    match status {
        StatusCode::OK => {
            let last = std::str::from_utf8(&body).ok().and_then(last_number);
            last.map_or(CameTo::Odd, CameTo::Playlist)
        }
        StatusCode::NOT_FOUND => CameTo::Missing,
        status => CameTo::Refused(status.as_u16(), reason(&body)),
    }
}

/// The word that a refusal gives, if it is one of an edge's.
fn reason(body: &[u8]) -> Option<&'static str> {
    let problem: serde_json::Value = serde_json::from_slice(body).ok()?;
    let said = problem.get("reason")?.as_str()?;
    REASONS.into_iter().find(|word| *word == said)
}
