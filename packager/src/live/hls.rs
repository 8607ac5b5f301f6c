//! Media playlists of a channel (RFC 8216, and its second edition for EXT-X-GAP). Pure: the same chain gives
//! the same bytes.

use framemill_schemas::live::{Timeline, filler_key, folder_of, init_key, segment_key};

use super::{
    chain::{Entry, Media},
    target::Span,
};
use crate::{decimal::seconds, hls};

/// Version of a playlist with gaps (RFC 8216bis, clause 8).
const VERSION_WITH_GAPS: u32 = 8;

/// One rendition's playlist.
#[derive(Clone, Copy, Debug)]
pub struct Playlist<'a> {
    /// The rendition.
    pub rendition: &'a str,
    /// What stands before every address.
    pub prefix: &'a str,
    /// Target duration of all playlists of the channel, seconds.
    pub target_s: u64,
    /// Whether nothing follows: the channel is off.
    pub ended: bool,
}

impl Playlist<'_> {
    /// Writes it. The list is the same for every rendition; one that a timeline does not have is a gap there.
    pub fn write(&self, entries: &[Entry]) -> String {
        let published: Vec<_> = entries.iter().map(|entry| Published::of(entry, self.rendition)).collect();
        let with_gaps = published.iter().any(Option::is_none);
        let first = entries.first();
        let mut out = format!(
            "#EXTM3U\n#EXT-X-VERSION:{}\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{}\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:{}\n#EXT-X-INDEPENDENT-SEGMENTS\n",
            if with_gaps { VERSION_WITH_GAPS } else { hls::VERSION },
            self.target_s,
            first.map_or(0, Entry::number),
            first.map_or(0, |entry| entry.mark.breaks),
        );
        let mut before: Option<(&Entry, bool)> = None;
        let mut init = String::new();
        for (entry, published) in entries.iter().zip(published) {
            let broken = before.is_some_and(|(before, _)| before.mark.breaks != entry.mark.breaks);
            if broken {
                out += "#EXT-X-DISCONTINUITY\n";
            }
            if let Some(published) = &published
                && published.init != init
            {
                out += &format!("#EXT-X-MAP:URI=\"{}{}\"\n", self.prefix, published.init);
                init.clone_from(&published.init);
            }
            let resumed = published.is_some() && before.is_some_and(|(_, gap)| gap);
            if before.is_none() || broken || resumed {
                out += &format!("#EXT-X-PROGRAM-DATE-TIME:{}\n", date_time(self.span(entry).start_ms()));
            }
            out += &self.segment(entry, published.as_ref());
            before = Some((entry, published.is_none()));
        }
        if self.ended {
            out += "#EXT-X-ENDLIST\n";
        }
        out
    }

    fn segment(&self, entry: &Entry, published: Option<&Published>) -> String {
        let gap = if published.is_none() { "#EXT-X-GAP\n" } else { "" };
        // A gap has an address too, which nobody is to ask for.
        let address = || segment_key(&folder_of(&entry.timeline), self.rendition, entry.number());
        let address = published.map_or_else(address, |published| published.address.clone());
        format!("{gap}#EXTINF:{},\n{}{address}\n", seconds(self.span(entry).micros()), self.prefix)
    }

    fn span(&self, entry: &Entry) -> Span {
        let sound = entry.timeline.audio.iter().any(|rung| rung.name == self.rendition);
        if sound {
            Span::sound(&entry.timeline, entry.number())
        } else {
            Span::picture(&entry.timeline, entry.number())
        }
    }
}

/// Addresses of what is published of a number in one rendition, below the channel's folder.
struct Published {
    init: String,
    address: String,
}

impl Published {
    fn of(entry: &Entry, rendition: &str) -> Option<Self> {
        let media = entry.mark.media.as_ref().filter(|_| !entry.mark.gap)?;
        let folder = folder_of(&entry.timeline);
        let init = init_address(&entry.timeline, media, rendition)?;
        let key = if media.filler { filler_key } else { segment_key };
        Some(Self { init, address: key(&folder, rendition, entry.number()) })
    }
}

/// Where the init of a rendition lies, below the channel's folder; `None` where the timeline has none.
pub fn init_address(timeline: &Timeline, media: &Media, rendition: &str) -> Option<String> {
    let position = timeline.renditions().position(|name| name == rendition)?;
    media.inits.get(position).map(|init| init_key(&folder_of(timeline), rendition, init))
}

/// A time as RFC 8216, clause 4.3.2.6, wants it, with milliseconds.
pub fn date_time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{
        sample::{FIRST, commits, stage, timeline, timelines},
        stage::Stage,
    };

    fn write(stage: &Stage, rendition: &str) -> String {
        Playlist { rendition, prefix: "", target_s: 4, ended: false }.write(stage.entries())
    }

    #[test]
    fn a_plain_playlist() {
        let stage = stage("ss");
        assert_eq!(
            write(&stage, "360p"),
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:448750000\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MAP:URI=\"t1-00000001/360p/init-000000000000001a.mp4\"\n\
             #EXT-X-PROGRAM-DATE-TIME:2026-11-18T11:06:40.000Z\n\
             #EXTINF:4.000000,\nt1-00000001/360p/448750000.m4s\n\
             #EXTINF:4.000000,\nt1-00000001/360p/448750001.m4s\n"
        );
        let ended = Playlist { rendition: "stereo", prefix: "../", target_s: 4, ended: true }.write(stage.entries());
        assert!(ended.ends_with("#EXTINF:3.989333,\n../t1-00000001/stereo/448750001.m4s\n#EXT-X-ENDLIST\n"), "{ended}");
    }

    #[test]
    fn breaks_gaps_and_inits() {
        let tags = |letters: &str| -> Vec<String> {
            let text = write(&stage(letters), "180p");
            let body = text.split_once("#EXT-X-INDEPENDENT-SEGMENTS\n").unwrap().1;
            let tag = |line: &str| match line.split(':').next().unwrap() {
                "#EXT-X-MAP" => "map".to_owned(),
                "#EXT-X-PROGRAM-DATE-TIME" => "time".to_owned(),
                "#EXT-X-DISCONTINUITY" => "break".to_owned(),
                "#EXT-X-GAP" => "gap".to_owned(),
                "#EXTINF" => String::new(),
                _ => line.rsplit('/').next().unwrap().trim_start_matches("44875000").to_owned(),
            };
            body.lines().map(tag).filter(|tag| !tag.is_empty()).collect()
        };
        for (letters, expected) in [
            ("ss", "map time 0.m4s 1.m4s"),
            ("s-s", "map time 0.m4s gap 1.m4s time 2.m4s"),
            ("-s", "time gap 0.m4s map time 1.m4s"),
            ("sf", "map time 0.m4s break time 1-filler.m4s"),
            ("s-f", "map time 0.m4s gap 1.m4s break time 2-filler.m4s"),
            ("si", "map time 0.m4s break map time 1.m4s"),
            ("s--i", "map time 0.m4s gap 1.m4s gap 2.m4s break map time 3.m4s"),
        ] {
            assert_eq!(tags(letters).join(" "), expected, "{letters}");
        }
        assert!(write(&stage("s-"), "180p").contains("#EXT-X-VERSION:8\n"));
    }

    #[test]
    fn a_rendition_that_a_timeline_does_not_have_is_a_gap_there() {
        let mut next = timeline(2, FIRST + 2);
        next.rungs[1].name = "240p".to_owned();
        let mut stage = Stage::new(timelines(vec![timeline(1, FIRST), next]), Vec::new());
        stage.commit(commits(1, FIRST, "ss").into_iter().chain(commits(2, FIRST + 2, "ss")));
        for (rendition, gaps) in [("360p", 0), ("180p", 2), ("240p", 2), ("stereo", 0)] {
            let text = write(&stage, rendition);
            assert_eq!(text.matches("#EXT-X-GAP").count(), gaps, "{rendition}");
            assert_eq!(text.matches("#EXTINF").count(), 4, "{rendition}");
            assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{rendition}");
        }
    }
}
