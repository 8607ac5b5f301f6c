//! The two stations that lie between the store and a viewer: who may watch, and what edges serve. Pure.

use framemill_schemas::{
    ids::{NodeId, PurgeId, Tenant},
    live::{Access, StationState},
};

use super::{Found, found};
use crate::delivery::entitle::Denied;

/// Numbers that an edge may be behind the store: it keeps a playlist for a moment, and asks again.
const BEHIND_MAX: u64 = 1;
/// Edges that are named at most.
const NAMED_MAX: usize = 3;

/// What is known of delivery.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// Who may watch.
    pub rights: Rights,
    /// What edges serve.
    pub edges: Edges,
}

/// Who may watch a channel.
#[derive(Clone, Debug)]
pub struct Rights {
    /// Whether there is an edge that asks.
    pub is_asked: bool,
    /// The purge that refuses it, and until when it does, Unix milliseconds.
    pub refused: Option<(PurgeId, i64)>,
    /// What keeps an account that has all packages of the channel's tenant from it.
    pub denied: Option<Denied>,
    /// Other tenants with a package that holds it.
    pub others: usize,
    /// What keeps its tokens from being signed, with the mend.
    pub unsigned: Option<String>,
}

/// What edges serve of it.
#[derive(Clone, Debug)]
pub enum Edges {
    /// Nobody asked them, and why.
    Unasked(&'static str),
    /// They were asked.
    Asked {
        /// The last number of the store's playlist.
        last: u64,
        /// What each has.
        seen: Vec<Seen>,
        /// Whether whoever asks may know their names.
        named: bool,
    },
}

/// What one edge has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub edge: NodeId,
    /// What it answered.
    pub came_to: CameTo,
}

/// What an edge answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CameTo {
    /// A playlist, up to that number.
    Playlist(u64),
    /// That there is none.
    Missing,
    /// A refusal: the status, and the word of the reason where it gave one.
    Refused(u16, Option<&'static str>),
    /// Something that is no playlist.
    Odd,
    /// Nothing.
    Unreachable(&'static str),
}

/// Who may watch.
pub(super) fn entitlement(channel: (&Tenant, &str), access: &Access, rights: &Rights) -> Found {
    use StationState::{Failed, Ok, Warning};
    let (tenant, name) = channel;
    if !rights.is_asked {
        return found(Ok, "there is no edge that would ask: whoever reaches the store may watch it");
    }
    if let Some((purge, until_ms)) = &rights.refused {
        let until = jiff::Timestamp::from_millisecond(*until_ms).map_or_else(|_| "-".to_owned(), |at| at.to_string());
        return found(Failed, format!("the purge {purge} has it refused to everybody, until {until}"))
            .mend("publish it under another name: a refusal is not taken back");
    }
    let others = match rights.others {
        0 => String::new(),
        1 => "; one other tenant has it in a package".to_owned(),
        count => format!("; {count} other tenants have it in a package"),
    };
    if let Some(denied) = &rights.denied {
        let (state, mend) = match denied {
            Denied::TenantSuspended(_) => (Failed, "set its state to active: framemill tenant apply"),
            Denied::RegionMissing(_) | Denied::Region(_) => {
                return found(Ok, format!("viewers of {tenant} may watch it in the regions of its packages{others}"));
            }
            Denied::Early(_) => (Warning, "wait, or give its package an earlier start"),
            _ if rights.others > 0 => {
                (Warning, "put it into a package of its tenant, where its own viewers should have it")
            }
            _ => (Failed, "put it into a package: framemill tenant apply"),
        };
        return found(state, format!("no viewer of {tenant} gets a token: {denied}{others}")).mend(mend);
    }
    if let Some(unsigned) = &rights.unsigned {
        return found(Warning, unsigned.clone()).mend("edges let nobody in before: framemill token key create");
    }
    if access.policy.is_some() || !access.regions.is_empty() {
        let says =
            format!("viewers of {tenant} may watch {name}; packages decide, and nothing asks its own `access`{others}");
        return found(Warning, says).mend("say who may watch it with a package: framemill tenant apply");
    }
    found(Ok, format!("viewers of {tenant} may watch it{others}"))
}

/// What edges serve.
pub(super) fn edge_playlist(edges: &Edges) -> Found {
    use StationState::{Failed, Ok, Unknown, Warning};
    let (last, seen, named) = match edges {
        Edges::Unasked(why) => return found(Unknown, *why),
        Edges::Asked { last, seen, named } => (*last, seen, *named),
    };
    let bad: Vec<_> = seen.iter().filter(|seen| !is_fresh(&seen.came_to, last)).collect();
    let Some(first) = bad.first() else {
        let count = seen.len();
        return found(Ok, format!("{count} of {count} edges serve it, up to number {last}"));
    };
    let told: Vec<_> = bad
        .iter()
        .take(NAMED_MAX)
        .map(|seen| {
            let who = if named { seen.edge.as_str() } else { "one" };
            format!("{who} {}", says(&seen.came_to, last))
        })
        .collect();
    let more = if bad.len() > NAMED_MAX { format!(", and {} more", bad.len() - NAMED_MAX) } else { String::new() };
    let whole = bad.len() == seen.len();
    let text = format!("{} of {} edges do not serve it as it is: {}{more}", bad.len(), seen.len(), told.join(", "));
    found(if whole { Failed } else { Warning }, text).mend(mend(&first.came_to))
}

fn is_fresh(came_to: &CameTo, last: u64) -> bool {
    matches!(came_to, CameTo::Playlist(own) if own.saturating_add(BEHIND_MAX) >= last)
}

fn says(came_to: &CameTo, last: u64) -> String {
    match came_to {
        CameTo::Playlist(own) => format!("is {} numbers behind", last.saturating_sub(*own)),
        CameTo::Missing => "says that it is not there".to_owned(),
        CameTo::Refused(status, None) => format!("answers {status}"),
        CameTo::Refused(status, Some(reason)) => format!("answers {status} ({reason})"),
        CameTo::Odd => "answers something that is no playlist".to_owned(),
        CameTo::Unreachable(why) => format!("is not reached ({why})"),
    }
}

const fn mend(came_to: &CameTo) -> &'static str {
    match came_to {
        CameTo::Playlist(_) => "look at its origins: framemill_edge_fetch_seconds, and its log",
        CameTo::Missing => {
            "see whether it is taken down, and whether the edge reads the same store: framemill purge ls"
        }
        CameTo::Refused(401 | 403, _) => {
            "see whether it has the tenant's key and the right time: its log, framemill token key ls"
        }
        CameTo::Refused(502, _) => "look at its origins: framemill_edge_fetch_seconds, and its log",
        CameTo::Refused(503, _) => {
            "wait: it reads what it must not serve; where that stays, look whether it reaches NATS"
        }
        CameTo::Refused(_, _) | CameTo::Odd => "see what stands at its address: edge.url",
        CameTo::Unreachable(_) => "start it, or name the address that reaches it in edge.url",
    }
}

#[cfg(test)]
#[path = "delivered_tests.rs"]
pub(super) mod tests;
