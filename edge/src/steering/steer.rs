//! Answers to viewers about other edges: the steering manifest, playlists with pathways, and the way to the best edge.

use std::{net::IpAddr, sync::Arc};

use framemill_schemas::ids::NodeId;
use framemill_tokens::path_form;
use hyper::{
    HeaderMap, Method, Response, StatusCode, Uri,
    header::{self, HeaderValue},
};
use serde::Serialize;

use super::{
    board::{Board, Edges},
    compose::{self, MANIFEST},
    config::SteeringConfig,
    endpoint::Endpoint,
    hls, manifest,
    networks::Networks,
    rank::{Ranked, Standing, Viewer, rank},
};
use crate::{
    cache::Object,
    clock::now_ms,
    http::{Body, Carriage, ROUTE, address, content},
    metrics::Metrics,
    origin::gzip,
};

/// Most other edges that a playlist lists.
const REDUNDANT_MAX: usize = 4;
/// Other edges that an MPD lists whatever is configured: it has whole addresses anyway, and one costs a line.
const LOCATIONS: usize = 3;
/// Largest that is compressed for one viewer, bytes: a millisecond or two of a processor.
const PACKED_BYTES_MAX: usize = 64 * 1024;
/// How long a playlist that names edges is fresh, seconds.
const FRESH_S_MAX: u32 = 5;
/// Parameters in which players say where they are (HLS Content Steering 1.2b1; ETSI TS 103 998).
const PRESENT: [&str; 2] = ["_HLS_pathway=", "_DASH_pathway="];

const JSON: &str = "application/json";

/// Who asks, and how.
#[derive(Clone, Copy)]
pub struct Watching<'a> {
    /// From where.
    pub viewer: IpAddr,
    /// The session.
    pub session: &'a str,
    /// How the token came.
    pub carriage: Carriage,
    /// The token: its session's newest.
    pub token: &'a str,
    /// Whether it is another one than came.
    pub renewed: bool,
}

/// An object as one viewer gets it.
pub struct Composed {
    /// The object.
    pub object: Object,
    /// Whether the viewer's token is in it: nobody keeps it.
    pub is_private: bool,
}

/// All that steers.
pub struct Steering {
    name: NodeId,
    enabled: bool,
    redundant: usize,
    networks: Networks,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
}

/// Whether a key is that of a steering manifest. No object has this name, and no origin is asked for it.
pub fn is_manifest(key: &str) -> bool {
    key.strip_suffix(MANIFEST).is_some_and(|folder| folder.ends_with('/'))
}

impl Steering {
    /// Takes this edge's name, and what is configured.
    ///
    /// # Errors
    /// What is wrong with that.
    pub fn new(
        name: NodeId,
        config: &SteeringConfig,
        board: Arc<Board>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, String> {
        if config.redundant > REDUNDANT_MAX {
            return Err(format!("redundant: at most {REDUNDANT_MAX} other edges"));
        }
        if config.place.is_some_and(|place| !place.is_on_earth()) {
            return Err("place: -90 to 90 degrees of latitude, -180 to 180 of longitude".to_owned());
        }
        let networks = Networks::new(&config.networks)?;
        Ok(Self { name, enabled: config.enabled, redundant: config.redundant, networks, board, metrics })
    }

    /// A playlist or manifest as a viewer gets it, where there is anywhere else to go; `None`: as it is. It is compressed
    /// for this one viewer, where that pays.
    pub fn composed(&self, key: &str, object: &Object, watching: &Watching<'_>, takes_gzip: bool) -> Option<Composed> {
        let is_mpd = key.ends_with(".mpd");
        if !self.enabled || !(is_mpd || (key.ends_with(".m3u8") && hls::is_multivariant(&object.body))) {
            return None;
        }
        let edges = self.board.edges();
        let own = edges.own.as_ref().filter(|_| !edges.others.is_empty())?;
        let text = std::str::from_utf8(&object.body).ok()?;
        let ranked = self.rank(&edges, watching, Some(self.name.as_str()));
        let listed = if is_mpd { self.redundant.max(LOCATIONS) } else { self.redundant };
        let others: Vec<(&str, &Endpoint)> = ranked
            .iter()
            .filter(|ranked| !ranked.is_own && ranked.standing != Standing::Away)
            .take(listed)
            .map(|ranked| (ranked.known.load.edge.as_str(), &ranked.known.endpoint))
            .collect();
        let token = path_form(watching.token);
        let request = compose::Request { key, carriage: watching.carriage, token: &token };
        let (text, is_private) = compose::compose(text, &request, (self.name.as_str(), &own.endpoint), &others)?;
        self.metrics.steered("playlist", true);
        let etag = framemill_schemas::key::digest(text.as_bytes()).chars().take(32).collect();
        let is_packed = takes_gzip && object.gzip.is_some() && text.len() <= PACKED_BYTES_MAX;
        let gzip = is_packed.then(|| gzip(text.as_bytes())).flatten();
        // Even of a title's, which never changes, the edges do.
        let max_age_s = object.max_age_s.min(FRESH_S_MAX);
        let object = Object { body: text.into(), gzip, etag, max_age_s, immutable: false, ..object.clone() };
        Some(Composed { object, is_private })
    }

    /// The steering manifest for a viewer; `query` says where the player is.
    pub fn manifest(&self, method: &Method, query: Option<&str>, watching: &Watching<'_>) -> Response<Body> {
        let edges = self.board.edges();
        // A player that does not say is where it got its playlist.
        let present = query.and_then(present).unwrap_or(self.name.as_str());
        let ranked = if self.enabled { self.rank(&edges, watching, Some(present)) } else { Vec::new() };
        let own = edges.own.as_ref().map(|own| &own.endpoint);
        self.metrics.steered("manifest", ranked.first().is_none_or(|first| first.is_own));
        content(method, JSON, manifest::write(self.name.as_str(), own, &ranked))
    }

    /// The way to the best edge for a viewer: a redirection, or all of them for whoever takes JSON.
    pub fn route(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        path: &str,
        watching: &Watching<'_>,
    ) -> Response<Body> {
        let edges = self.board.edges();
        let ranked = self.rank(&edges, watching, None);
        let chosen = ranked.iter().find(|ranked| ranked.standing != Standing::Away);
        self.metrics.steered("route", chosen.is_none_or(|chosen| chosen.is_own));
        let takes = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        if takes.contains(JSON) {
            let edges = ranked.iter().map(Way::of).collect();
            let body = serde_json::to_string(&Ways { path, edges }).expect("strings and numbers are JSON");
            return content(method, JSON, body);
        }
        let asked = uri.path_and_query().map_or("", |asked| asked.as_str());
        let asked = asked.strip_prefix(ROUTE).unwrap_or(asked);
        // Without anybody to send viewers to, this edge serves them under the name by which they came.
        let base = chosen.map_or("", |chosen| chosen.known.endpoint.base());
        // A cookie stays with its host.
        let stays = match watching.carriage {
            Carriage::Cookie => chosen.is_none_or(|chosen| chosen.is_own),
            // The address that was asked for has the old one.
            Carriage::Path | Carriage::Query => !watching.renewed,
            Carriage::Header => true,
        };
        let place =
            if stays { format!("{base}{asked}") } else { format!("{base}{}", address(watching.token, path, uri)) };
        let mut response = content(method, "text/plain", String::new());
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        if let Ok(mut place) = HeaderValue::try_from(place) {
            place.set_sensitive(true);
            response.headers_mut().insert(header::LOCATION, place);
        }
        response
    }

    fn rank<'a>(&self, edges: &'a Edges, watching: &Watching<'_>, present: Option<&str>) -> Vec<Ranked<'a>> {
        let viewer = Viewer { place: self.networks.place(watching.viewer), session: watching.session, present };
        rank(edges.own.as_ref(), &edges.others, &viewer, self.board.as_of_ms(now_ms()))
    }
}

/// The edge that a player says it is on. In DASH it may stand in quotes, with others behind it.
fn present(query: &str) -> Option<&str> {
    let value = query.split('&').find_map(|pair| PRESENT.iter().find_map(|name| pair.strip_prefix(name)))?;
    let first = value.split(',').next().unwrap_or(value);
    Some(first.trim_start_matches("%22").trim_end_matches("%22").trim_matches('"'))
}

/// Edges in their order, for programs.
#[derive(Serialize)]
struct Ways<'a> {
    path: &'a str,
    edges: Vec<Way<'a>>,
}

#[derive(Serialize)]
struct Way<'a> {
    edge: &'a str,
    url: &'a str,
    serves: bool,
    health: u8,
    load_percent: u8,
    distance_km: u32,
    cost_km: u32,
}

impl<'a> Way<'a> {
    fn of(ranked: &Ranked<'a>) -> Self {
        let load = &ranked.known.load;
        Self {
            edge: load.edge.as_str(),
            url: ranked.known.endpoint.base(),
            serves: ranked.standing != Standing::Away,
            health: load.health,
            load_percent: load.load_percent(),
            distance_km: ranked.distance_km,
            cost_km: ranked.cost_km,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_reserved_name_is_a_manifest() {
        assert!(is_manifest("live/acme/news/steering.json"));
        for other in ["steering.json", "live/acme/news/xsteering.json", "live/acme/steering.json/x", "live/acme/news"] {
            assert!(!is_manifest(other), "{other}");
        }
    }

    #[test]
    fn players_say_where_they_are_in_their_own_ways() {
        for (query, expected) in [
            ("_HLS_pathway=edge-1&_HLS_throughput=1", Some("edge-1")),
            ("token=x&_DASH_pathway=%22edge-1%22", Some("edge-1")),
            ("_DASH_pathway=edge-1,edge-2", Some("edge-1")),
            ("_HLS_throughput=1", None),
            ("", None),
        ] {
            assert_eq!(present(query), expected, "{query}");
        }
    }
}
