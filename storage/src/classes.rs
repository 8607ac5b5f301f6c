//! Storage classes: what a store is told of how an object will be read. Pure.
//!
//! Only media has one: segments and inits, which never change. Manifests, playlists, indexes and reports are small,
//! read all the time or replaced all the time, and stay in the store's own class.

use framemill_schemas::{live::CHANNELS, object::TITLES};
use serde::{Deserialize, Serialize};

/// Classes whose objects are read at once, by their names in S3.
pub const CLASSES: [&str; 7] = [
    "STANDARD",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
    "REDUCED_REDUNDANCY",
    "EXPRESS_ONEZONE",
];
/// Classes whose objects must be restored first, which takes minutes to hours.
const ARCHIVES: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

/// Section `[s3.classes]` of the configuration. What is left out is put without a class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Classes {
    /// Of channels' segments and inits.
    pub live: Option<String>,
    /// Of titles' segments and inits.
    pub title: Option<String>,
}

impl Classes {
    /// What is wrong with them: the setting, and why.
    pub(crate) fn fault(&self) -> Option<(&'static str, String)> {
        let settings = [("s3.classes.live", &self.live), ("s3.classes.title", &self.title)];
        settings.into_iter().find_map(|(setting, class)| Some((setting, refusal(class.as_deref()?)?)))
    }

    /// The class that an object is put with; nothing where the store decides.
    pub(crate) fn of(&self, key: &str) -> Option<&str> {
        let is_media = key.ends_with(".m4s") || key.ends_with(".mp4");
        match key {
            _ if !is_media => None,
            _ if key.starts_with(CHANNELS) => self.live.as_deref(),
            _ if key.starts_with(TITLES) => self.title.as_deref(),
            _ => None,
        }
    }

    /// Those that are set, each with its setting.
    pub(crate) fn set(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let settings = [("s3.classes.live", &self.live), ("s3.classes.title", &self.title)];
        settings.into_iter().filter_map(|(setting, class)| Some((setting, class.as_deref()?)))
    }
}

/// Why a class is not taken.
fn refusal(class: &str) -> Option<String> {
    if CLASSES.contains(&class) {
        return None;
    }
    let some = CLASSES.join(", ");
    Some(if ARCHIVES.contains(&class) {
        format!(
            "is {class}, whose objects cannot be read before they are restored: players would wait for hours, and no \
             validation could read what was put; use GLACIER_IR, or another of {some}"
        )
    } else {
        format!("is no storage class ({class:?}); use one of {some}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(live: &str, title: &str) -> Classes {
        Classes { live: Some(live.to_owned()), title: Some(title.to_owned()) }
    }

    #[test]
    fn only_media_has_a_class_and_each_its_own() {
        let both = classes("ONEZONE_IA", "GLACIER_IR");
        for (key, expected) in [
            ("live/demo/news/t1-00c0ffee/360p/7.m4s", Some("ONEZONE_IA")),
            ("live/demo/news/t1-00c0ffee/360p/init-0011223344556677.mp4", Some("ONEZONE_IA")),
            ("live/demo/news/video-360p.m3u8", None),
            ("live/demo/news/index/60.json", None),
            ("vod/demo/a/g1-00c0ffee/360p/1.m4s", Some("GLACIER_IR")),
            ("vod/demo/a/g1-00c0ffee/360p/init.mp4", Some("GLACIER_IR")),
            ("vod/demo/a/g1-00c0ffee.mpd", None),
            ("vod/demo/a/g1-00c0ffee/index.json", None),
            ("sources/film.mp4", None),
        ] {
            assert_eq!(both.of(key), expected, "{key}");
            assert_eq!(Classes::default().of(key), None);
        }
    }

    #[test]
    fn what_cannot_be_read_at_once_is_refused_with_a_reason() {
        assert_eq!(Classes::default().fault(), None);
        for class in CLASSES {
            assert_eq!(classes(class, class).fault(), None);
        }
        for (live, title, setting, words) in [
            ("GLACIER", "STANDARD", "s3.classes.live", "restored"),
            ("STANDARD", "DEEP_ARCHIVE", "s3.classes.title", "restored"),
            ("standard", "STANDARD", "s3.classes.live", "no storage class"),
            ("STANDARD", "", "s3.classes.title", "no storage class"),
        ] {
            let (found, why) = classes(live, title).fault().unwrap();
            assert!(found == setting && why.contains(words) && why.contains("GLACIER_IR"), "{found}: {why}");
        }
    }
}
