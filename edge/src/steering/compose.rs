//! What stands before the addresses of each pathway. Pure.

use super::{endpoint::Endpoint, hls, mpd};
use crate::http::Carriage;

/// Name of the steering manifest, next to each playlist.
pub const MANIFEST: &str = "steering.json";

/// An edge as a playlist or manifest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pathway {
    /// Its name.
    pub id: String,
    /// What stands before relative addresses, with a slash at its end; empty: nothing.
    pub prefix: String,
}

/// The edges of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pathways {
    /// This one.
    pub own: Pathway,
    /// Others, the best first.
    pub others: Vec<Pathway>,
}

/// What is composed for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The object's key.
    pub key: &'a str,
    /// How the token came.
    pub carriage: Carriage,
    /// The token, as it may stand in a path.
    pub token: &'a str,
}

/// Takes a playlist or manifest, this edge and the others with their addresses; returns it with pathways, and whether the
/// viewer's token is in it.
///
/// A token in the path is carried on by relative addresses, and players that set headers set them for every edge. A
/// cookie goes to one host, and a query to one address: there, addresses have the token in their paths.
pub fn compose(
    text: &str,
    request: &Request<'_>,
    own: (&str, &Endpoint),
    others: &[(&str, &Endpoint)],
) -> Option<(String, bool)> {
    let folder = request.key.rsplit_once('/').map_or("", |(folder, _)| folder);
    let is_plain = request.token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_plain {
        return None;
    }
    let below = match request.carriage {
        Carriage::Header => format!("/{folder}/"),
        Carriage::Path | Carriage::Query | Carriage::Cookie => format!("/t/{}/{folder}/", request.token),
    };
    let has_token = request.carriage != Carriage::Header;
    let whole = |(id, endpoint): &(&str, &Endpoint)| Pathway {
        id: (*id).to_owned(),
        prefix: format!("{}{below}", endpoint.base()),
    };
    let others: Vec<Pathway> = others.iter().map(whole).collect();
    if request.key.ends_with(".mpd") {
        // Players replace the host of an address only where it has one.
        let text = mpd::compose(text, &Pathways { own: whole(&own), others })?;
        return Some((text, has_token));
    }
    let carries_on = matches!(request.carriage, Carriage::Path | Carriage::Header);
    let prefix = if carries_on { String::new() } else { below.clone() };
    let is_whole = !others.is_empty() || !carries_on;
    let text = hls::compose(text, &Pathways { own: Pathway { id: own.0.to_owned(), prefix }, others })?;
    Some((text, has_token && is_whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_along_to_every_host_and_is_in_no_answer_that_does_not_need_it() {
        let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n";
        let mpd = "<MPD><Period/></MPD>";
        let (a, b) = (Endpoint::read("https://a").unwrap(), Endpoint::read("https://b").unwrap());
        for (key, carriage, redundant, expected, private) in [
            ("live/x/m.m3u8", Carriage::Path, false, vec!["\"steering.json\"", "\nv.m3u8\n"], false),
            ("live/x/m.m3u8", Carriage::Path, true, vec!["\nv.m3u8\n", "\nhttps://b/t/TOK/live/x/v.m3u8\n"], true),
            ("live/x/m.m3u8", Carriage::Header, true, vec!["\nv.m3u8\n", "\nhttps://b/live/x/v.m3u8\n"], false),
            (
                "live/x/m.m3u8",
                Carriage::Cookie,
                false,
                vec!["\"/t/TOK/live/x/steering.json\"", "\n/t/TOK/live/x/v"],
                true,
            ),
            ("live/x/m.m3u8", Carriage::Query, true, vec!["\n/t/TOK/live/x/v", "\nhttps://b/t/TOK/live/x/v"], true),
            ("live/x/m.mpd", Carriage::Path, false, vec![">https://a/t/TOK/live/x/<"], true),
            ("live/x/m.mpd", Carriage::Header, true, vec![">https://a/live/x/<", ">https://b/live/x/<"], false),
        ] {
            let text = if key.ends_with(".mpd") { mpd } else { master };
            let request = Request { key, carriage, token: "TOK" };
            let others: &[_] = if redundant { &[("b", &b)] } else { &[] };
            let (composed, is_private) = compose(text, &request, ("a", &a), others).unwrap();
            assert!(expected.iter().all(|part| composed.contains(part)), "{key} {carriage:?}: {composed}");
            assert_eq!((is_private, composed.contains("TOK")), (private, private), "{key} {carriage:?}: {composed}");
        }
        let odd = Request { key: "live/x/m.m3u8", carriage: Carriage::Path, token: "a\"b" };
        assert_eq!(compose(master, &odd, ("a", &a), &[]), None);
    }
}
