//! The name of a viewing session. It carries the region that the viewer was in when it began (`..._NO`): tokens are
//! signed, so a renewal, which nobody vouches for but the token, is asked about the same region. Pure.

use framemill_schemas::delivery::{Region, SESSION_CHARS_MAX};

use super::entitle::Place;

/// Between a name and its region.
const MARK: char = '_';

/// Takes the name that a request gives, or a new one, and the viewer's region; returns the session's name. `None`: it
/// names another region, or is no name.
pub fn named(name: &str, region: Option<Region>) -> Option<String> {
    let session = match (region_of(name), region) {
        (found, asked) if found == asked => name.to_owned(),
        (None, Some(region)) => format!("{name}{MARK}{region}"),
        _ => return None,
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (!name.is_empty() && session.len() <= SESSION_CHARS_MAX && session.bytes().all(is_name)).then_some(session)
}

/// Where the viewer of a session was when it began.
pub fn place_of(session: &str) -> Place {
    region_of(session).map_or(Place::Unknown, Place::In)
}

fn region_of(session: &str) -> Option<Region> {
    let (_, end) = session.rsplit_once(MARK)?;
    let upper = end.bytes().all(|byte| byte.is_ascii_uppercase());
    end.parse().ok().filter(|_| upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_keeps_the_region_it_began_in() {
        for (name, region, expected) in [
            ("a-1", None, Some("a-1")),
            ("a-1", Some("no"), Some("a-1_NO")),
            ("a-1_NO", Some("NO"), Some("a-1_NO")),
            ("a_no", None, Some("a_no")),
            ("a_no", Some("SE"), Some("a_no_SE")),
            // It would say what nobody said.
            ("a-1_NO", None, None),
            ("a-1_NO", Some("SE"), None),
            ("", None, None),
            ("a b", None, None),
        ] {
            let region = region.map(|region| region.parse().unwrap());
            let found = named(name, region);
            assert_eq!(found.as_deref(), expected, "{name} {region:?}");
            if let Some(session) = found {
                assert_eq!(place_of(&session), region.map_or(Place::Unknown, Place::In));
            }
        }
        assert_eq!(named(&"a".repeat(62), Some("NO".parse().unwrap())), None);
    }
}
