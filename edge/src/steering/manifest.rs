//! The steering manifest (HLS Content Steering 1.2b1; draft-pantos-content-steering; ETSI TS 103 998 for DASH, whose form is
//! the same). Pure.

use serde::Serialize;

use super::{
    endpoint::Endpoint,
    rank::{Ranked, Standing},
};

/// Pathways of one manifest.
const PATHWAYS_MAX: usize = 8;
/// How long players wait before they ask again, seconds, while all is well.
const TTL_S: u32 = 60;
/// The same while some edge is not.
const TTL_SICK_S: u32 = 10;

/// What a player reads.
#[derive(Debug, Serialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct Manifest<'a> {
    version: u32,
    ttl: u32,
    pathway_priority: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pathway_clones: Vec<PathwayClone<'a>>,
}

/// A pathway that a playlist does not list: another one's addresses with another host. So a token that stands in the path
/// is carried on by the player, and is never in a manifest.
#[derive(Debug, Serialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct PathwayClone<'a> {
    base_id: &'a str,
    #[serde(rename = "ID")]
    id: &'a str,
    uri_replacement: Replacement<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct Replacement<'a> {
    host: &'a str,
}

/// Writes it: takes this edge's name, its address where it has one, and the order of edges.
pub fn write(name: &str, own: Option<&Endpoint>, ranked: &[Ranked<'_>]) -> String {
    let shown = &ranked[..ranked.len().min(PATHWAYS_MAX)];
    let mut pathway_priority: Vec<&str> = shown.iter().map(|ranked| ranked.known.load.edge.as_str()).collect();
    // Whoever holds this manifest got it from this edge: it is there when nobody else is.
    if !pathway_priority.contains(&name) {
        pathway_priority.push(name);
    }
    let pathway_clones = shown
        .iter()
        .filter(|ranked| !ranked.is_own && own.is_some_and(|own| ranked.known.endpoint.is_clone_of(own)))
        .map(|ranked| PathwayClone {
            base_id: name,
            id: ranked.known.load.edge.as_str(),
            uri_replacement: Replacement { host: ranked.known.endpoint.host() },
        })
        .collect();
    // One that is away is no news for long; all of them are.
    let mut there =
        ranked.iter().map(|ranked| ranked.standing).filter(|standing| *standing != Standing::Away).peekable();
    let all_well = ranked.is_empty() || there.peek().is_some() && there.all(|standing| standing == Standing::Good);
    let manifest =
        Manifest { version: 1, ttl: if all_well { TTL_S } else { TTL_SICK_S }, pathway_priority, pathway_clones };
    serde_json::to_string(&manifest).expect("strings and numbers are JSON")
}
