//! An MPD with service locations (ISO/IEC 23009-1, clause 5.6; ETSI TS 103 998): where its relative addresses lead, for each
//! edge, and where a player asks which of them to take. Pure.

use super::compose::{MANIFEST, Pathways};

/// Largest MPD that is composed.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Takes an MPD and the pathways, all of them with whole addresses; returns it with them, or `None` where it is none that
/// this can be done to: it says itself where its addresses lead.
pub fn compose(mpd: &str, pathways: &Pathways) -> Option<String> {
    const OWN: [&str; 4] = ["<BaseURL", "<ContentSteering", "<Location", "<ProgramInformation"];
    if mpd.len() > BYTES_MAX || OWN.iter().any(|element| mpd.contains(element)) {
        return None;
    }
    let at = end_of_root(mpd)?;
    let mut out = String::with_capacity(mpd.len() + 1024);
    out += &mpd[..at];
    // As a rule of the schema, these stand before everything else.
    for pathway in std::iter::once(&pathways.own).chain(&pathways.others) {
        out += &format!("\n  <BaseURL serviceLocation=\"{}\">{}</BaseURL>", pathway.id, pathway.prefix);
    }
    out += &format!(
        "\n  <ContentSteering defaultServiceLocation=\"{}\" queryBeforeStart=\"false\">{}{MANIFEST}</ContentSteering>",
        pathways.own.id, pathways.own.prefix
    );
    out += &mpd[at..];
    Some(out)
}

/// Where the start tag of the root ends: a `>` in an attribute's value does not end it.
fn end_of_root(mpd: &str) -> Option<usize> {
    let begin = mpd.find("<MPD")? + "<MPD".len();
    let mut quote = None;
    let end = mpd[begin..].bytes().position(|byte| match quote {
        Some(open) => {
            if byte == open {
                quote = None;
            }
            false
        }
        None if byte == b'"' || byte == b'\'' => {
            quote = Some(byte);
            false
        }
        None => byte == b'>',
    })?;
    // One without content is none that could be played.
    (mpd.as_bytes()[begin + end - 1] != b'/').then_some(begin + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steering::compose::Pathway;

    fn pathways() -> Pathways {
        let pathway = |id: &str| Pathway { id: id.to_owned(), prefix: format!("https://{id}.example/t/T/live/x/") };
        Pathways { own: pathway("a"), others: vec![pathway("b")] }
    }

    #[test]
    fn each_edge_is_a_base_and_players_are_told_where_to_ask() {
        let mpd = "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:x\" profiles=\"a>b\">\n  <Period/>\n</MPD>\n";
        assert_eq!(
            compose(mpd, &pathways()).unwrap(),
            "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:x\" profiles=\"a>b\">\n  \
             <BaseURL serviceLocation=\"a\">https://a.example/t/T/live/x/</BaseURL>\n  \
             <BaseURL serviceLocation=\"b\">https://b.example/t/T/live/x/</BaseURL>\n  \
             <ContentSteering defaultServiceLocation=\"a\" queryBeforeStart=\"false\">\
             https://a.example/t/T/live/x/steering.json</ContentSteering>\n  <Period/>\n</MPD>\n"
        );
    }

    #[test]
    fn what_says_itself_where_it_leads_is_left_alone() {
        for other in [
            "",
            "<MPD",
            "<MPD/>",
            "<MPD a=\">",
            "<MPD><BaseURL>a/</BaseURL></MPD>",
            "<MPD><Location>a</Location></MPD>",
            "<MPD><ContentSteering>a</ContentSteering></MPD>",
        ] {
            assert_eq!(compose(other, &pathways()), None, "{other}");
        }
    }
}
