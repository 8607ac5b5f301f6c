//! Tags of an object: what a purge can name it by. They follow from its name alone, so that nobody has to ask the
//! store.

use super::purge::check_tag;
use crate::{live::live_place, object::place};

/// Takes the key of an object (`live/...`, `vod/...`); returns its tags, or none for a key that this farm does not
/// write: `tenant:T`, `channel:T/C` or `asset:A`, `generation:A/gN-R` or `timeline:T/C/tN-R`, and `rendition:.../R`
/// below those two. `object:KEY` names every object alone.
pub fn tags_of(key: &str) -> Vec<String> {
    let mut tags = vec![format!("object:{key}")];
    let parts: Vec<&str> = key.split('/').collect();
    if let Some(live) = live_place(key) {
        let channel = format!("{}/{}", live.tenant, live.channel);
        tags.extend([format!("tenant:{}", live.tenant), format!("channel:{channel}")]);
        if live.timeline.is_some() {
            folders(&mut tags, "timeline", &channel, &parts[3..]);
        }
    } else if let Some(title) = place(key) {
        let asset = title.asset.to_string();
        tags.extend([format!("tenant:{}", title.tenant), format!("asset:{asset}")]);
        if let Some(generation) = &title.generation {
            let name = format!("g{}-{}", generation.number, generation.random);
            let below = parts.get(4..).unwrap_or_default();
            let named: Vec<&str> = std::iter::once(name.as_str()).chain(below.iter().copied()).collect();
            folders(&mut tags, "generation", &asset, &named);
        }
    } else {
        return Vec::new();
    }
    tags.retain(|tag| check_tag(tag).is_ok());
    tags
}

/// The folder of a generation or timeline, and a rendition's below it.
fn folders(tags: &mut Vec<String>, kind: &str, of: &str, parts: &[&str]) {
    let Some(folder) = parts.first() else { return };
    tags.push(format!("{kind}:{of}/{folder}"));
    if let [_, rendition, _] = parts {
        tags.push(format!("rendition:{of}/{folder}/{rendition}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_follow_from_names() {
        let asset = "0198c0de-0000-7000-8000-000000000000";
        for (key, expected) in [
            (
                "live/acme/news/video-720p.m3u8".to_owned(),
                vec!["tenant:acme".to_owned(), "channel:acme/news".to_owned()],
            ),
            (
                "live/acme/news/t3-00c0ffee/720p/7.m4s".to_owned(),
                vec![
                    "tenant:acme".to_owned(),
                    "channel:acme/news".to_owned(),
                    "timeline:acme/news/t3-00c0ffee".to_owned(),
                    "rendition:acme/news/t3-00c0ffee/720p".to_owned(),
                ],
            ),
            (format!("vod/acme/{asset}/master.m3u8"), vec!["tenant:acme".to_owned(), format!("asset:{asset}")]),
            (
                format!("vod/acme/{asset}/g1-00c0ffee/720p/7.m4s"),
                vec![
                    "tenant:acme".to_owned(),
                    format!("asset:{asset}"),
                    format!("generation:{asset}/g1-00c0ffee"),
                    format!("rendition:{asset}/g1-00c0ffee/720p"),
                ],
            ),
            (
                format!("vod/acme/{asset}/g1-00c0ffee.m3u8"),
                vec!["tenant:acme".to_owned(), format!("asset:{asset}"), format!("generation:{asset}/g1-00c0ffee")],
            ),
        ] {
            let tags = tags_of(&key);
            assert_eq!(tags[0], format!("object:{key}"));
            assert_eq!(tags[1..], expected, "{key}");
        }
        assert!(tags_of("other/x").is_empty() && tags_of("vod/acme/film/x").is_empty());
    }
}
