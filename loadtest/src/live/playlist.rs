//! Media playlists as a viewer reads them (RFC 8216, and its second edition for EXT-X-GAP). Pure, and
//! strict: what a player would guess at is an error here.

/// A media playlist at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// EXT-X-TARGETDURATION, seconds.
    pub target_s: u64,
    /// EXT-X-MEDIA-SEQUENCE.
    pub sequence: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE.
    pub breaks: u64,
    /// Whether it says that nothing follows.
    pub ended: bool,
    /// Its segments.
    pub entries: Vec<Entry>,
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its media sequence number.
    pub number: u64,
    /// Its address.
    pub uri: String,
    /// Address of the init it needs; empty for a gap before the first.
    pub init: String,
    /// Its length.
    pub micros: u64,
    /// Whether nothing is there.
    pub gap: bool,
    /// Discontinuities before it, since the playlist began: its discontinuity sequence number.
    pub breaks: u64,
    /// When it starts, Unix microseconds; counted on from the last that was named.
    pub starts_us: Option<i64>,
}

impl Entry {
    /// When it ends, Unix microseconds.
    pub fn ends_us(&self) -> Option<i64> {
        Some(self.starts_us? + self.micros.cast_signed())
    }
}

impl Media {
    /// Its last entry.
    pub fn last(&self) -> Option<&Entry> {
        self.entries.last()
    }

    /// The entry with this number.
    pub fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(number.checked_sub(self.sequence)?).ok()?)
    }

    /// Reads a playlist.
    ///
    /// # Errors
    /// The line that is not as it should be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        if lines.next() != Some("#EXTM3U") {
            return Err("it does not begin with #EXTM3U".to_owned());
        }
        let mut reader = Reader::default();
        for line in lines.filter(|line| !line.is_empty()) {
            reader.line(line).map_err(|why| format!("{why}: {line}"))?;
        }
        if reader.media.target_s == 0 {
            return Err("there is no target duration".to_owned());
        }
        if !reader.is_between() {
            return Err("it ends in the middle of a segment".to_owned());
        }
        Ok(reader.media)
    }
}

#[derive(Default)]
struct Reader {
    media: Media,
    init: String,
    micros: Option<u64>,
    gap: bool,
    broken: u64,
    named_us: Option<i64>,
    next_us: Option<i64>,
}

impl Reader {
    const fn is_between(&self) -> bool {
        self.micros.is_none() && !self.gap && self.named_us.is_none()
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let Some(tag) = line.strip_prefix('#') else { return self.address(line) };
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        let number = || value.parse::<u64>().map_err(|_| "not a whole number".to_owned());
        match name {
            "EXT-X-VERSION" => drop(number()?),
            "EXT-X-TARGETDURATION" => self.media.target_s = number()?,
            "EXT-X-MEDIA-SEQUENCE" if self.media.entries.is_empty() => self.media.sequence = number()?,
            "EXT-X-DISCONTINUITY-SEQUENCE" if self.media.entries.is_empty() => self.media.breaks = number()?,
            "EXT-X-INDEPENDENT-SEGMENTS" => {}
            "EXT-X-ENDLIST" => self.media.ended = true,
            "EXT-X-MAP" => {
                let uri = value.strip_prefix("URI=\"").and_then(|rest| rest.strip_suffix('"'));
                uri.ok_or("no address")?.clone_into(&mut self.init);
            }
            "EXT-X-DISCONTINUITY" => self.broken += 1,
            "EXT-X-GAP" => self.gap = true,
            "EXT-X-PROGRAM-DATE-TIME" => {
                let time: jiff::Timestamp = value.parse().map_err(|error| format!("{error}"))?;
                self.named_us = Some(time.as_microsecond());
            }
            "EXTINF" => self.micros = Some(micros(value.strip_suffix(',').ok_or("no comma")?)?),
            _ => return Err("a tag that is not known here".to_owned()),
        }
        Ok(())
    }

    fn address(&mut self, uri: &str) -> Result<(), String> {
        let micros = self.micros.take().ok_or("an address without a length")?;
        if self.media.ended {
            return Err("a segment after the end".to_owned());
        }
        let starts_us = self.named_us.take().or(self.next_us);
        self.next_us = starts_us.map(|start| start + micros.cast_signed());
        let gap = std::mem::take(&mut self.gap);
        if !gap && self.init.is_empty() {
            return Err("a segment without an init".to_owned());
        }
        self.media.entries.push(Entry {
            number: self.media.sequence + self.media.entries.len() as u64,
            uri: uri.to_owned(),
            init: self.init.clone(),
            micros,
            gap,
            breaks: self.media.breaks + self.broken,
            starts_us,
        });
        Ok(())
    }
}

/// Seconds with a fraction, as microseconds.
fn micros(text: &str) -> Result<u64, String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{part:0<6}");
    let read = |text: &str| text.parse::<u64>().map_err(|_| "not a length".to_owned());
    Ok(read(whole)? * 1_000_000 + read(digits.get(..6).ok_or("not a length")?)?)
}

/// The media playlists of a multivariant playlist: address, and whether it is sound; each once.
pub fn renditions(master: &str) -> Vec<(String, bool)> {
    let mut found: Vec<(String, bool)> = Vec::new();
    let mut lines = master.lines();
    while let Some(line) = lines.next() {
        let one = if line.starts_with("#EXT-X-STREAM-INF:") {
            lines.next().map(|uri| (uri.trim().to_owned(), false))
        } else if line.starts_with("#EXT-X-MEDIA:TYPE=AUDIO") {
            let uri = line.split_once("URI=\"").and_then(|(_, rest)| rest.split_once('"'));
            uri.map(|(uri, _)| (uri.to_owned(), true))
        } else {
            None
        };
        found.extend(one.filter(|one| !found.contains(one)));
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A playlist of segments (`s`), gaps (`g`) and discontinuities (`|`), from a number on.
    pub fn playlist(first: u64, breaks: u64, what: &str) -> String {
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:{breaks}\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"v/init.mp4\"\n"
        );
        let start = jiff::Timestamp::from_second(1_795_000_000 + i64::try_from(first).unwrap() * 2).unwrap();
        text += &format!("#EXT-X-PROGRAM-DATE-TIME:{start:.3}\n");
        for (number, kind) in (first..).zip(what.replace('|', "").chars()) {
            let at = usize::try_from(number - first).unwrap();
            if what.chars().filter(|c| *c != '|').count() != what.len() && nth_is_broken(what, at) {
                text += "#EXT-X-DISCONTINUITY\n";
            }
            let gap = if kind == 'g' { "#EXT-X-GAP\n" } else { "" };
            text += &format!("{gap}#EXTINF:2.000000,\nv/{number}.m4s\n");
        }
        text
    }

    fn nth_is_broken(what: &str, at: usize) -> bool {
        let mut seen = 0;
        let mut broken = false;
        for c in what.chars() {
            if c == '|' {
                broken = true;
            } else if seen == at {
                return broken;
            } else {
                (seen, broken) = (seen + 1, false);
            }
        }
        false
    }

    #[test]
    fn a_playlist_is_read() {
        let media = Media::parse(&playlist(7, 3, "sg|s")).unwrap();
        let read: Vec<_> =
            media.entries.iter().map(|entry| (entry.number, entry.gap, entry.breaks, entry.uri.as_str())).collect();
        assert_eq!(read, [(7, false, 3, "v/7.m4s"), (8, true, 3, "v/8.m4s"), (9, false, 4, "v/9.m4s")]);
        assert_eq!(media.entries[2].starts_us, Some((1_795_000_000 + 18) * 1_000_000));
        assert_eq!((media.target_s, media.ended, media.entry(9).unwrap().micros), (2, false, 2_000_000));
    }

    #[test]
    fn what_a_player_would_guess_at_is_refused() {
        let good = playlist(1, 0, "s");
        for (from, to) in [
            ("#EXTM3U\n", ""),
            ("#EXT-X-TARGETDURATION:2\n", ""),
            ("#EXTINF:2.000000,\n", ""),
            ("#EXT-X-MAP:URI=\"v/init.mp4\"\n", ""),
            ("v/1.m4s\n", ""),
            ("#EXT-X-VERSION:8", "#EXT-X-SOMETHING:8"),
            ("2.000000,", "two,"),
        ] {
            assert!(Media::parse(&good.replace(from, to)).is_err(), "{from:?}");
        }
    }

    #[test]
    fn renditions_are_found_once() {
        let master = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",URI=\"audio-s.m3u8\"\n\
                      #EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=2x2\nvideo-a.m3u8\n\
                      #EXT-X-STREAM-INF:BANDWIDTH=2,RESOLUTION=2x2\nvideo-a.m3u8\n";
        assert_eq!(renditions(master), [("audio-s.m3u8".to_owned(), true), ("video-a.m3u8".to_owned(), false)]);
    }
}
