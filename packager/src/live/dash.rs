//! The MPD of a channel (ISO/IEC 23009-1): dynamic, times counted from the Unix epoch. Pure.
//!
//! A period is a stretch of the chain without a break and without a gap. Its id and its start are those of
//! the stretch's first number, also when that has left the window: what a player knows of a period never
//! changes, the list of its segments only moves on.

use std::io;

use quick_xml::{
    Writer,
    events::{BytesDecl, Event},
};

use super::{chain::Entry, facts::Facts, hls::date_time, period};
use crate::{
    dash::{PROFILES, Xml},
    decimal::{MICROS, xml_duration},
};

/// Where every channel's time begins: its frames are counted from there.
const EPOCH: &str = "1970-01-01T00:00:00Z";
/// Segments a player stays behind the newest one.
const DELAY_SEGMENTS: u64 = 3;
/// Microseconds in a millisecond.
const MILLI: u64 = MICROS / 1000;

/// What an MPD is written of, besides the chain.
#[derive(Clone, Copy, Debug)]
pub struct Manifest<'a> {
    /// Its own name, which a player may ask for the time.
    pub name: &'a str,
    /// How far it reaches back, milliseconds.
    pub depth_ms: u64,
    /// Whether nothing follows: the channel is off.
    pub ended: bool,
    /// What the inits say.
    pub facts: &'a Facts,
}

impl Manifest<'_> {
    /// Writes it; `None` while there is nothing that could be played.
    pub fn write(&self, entries: &[Entry]) -> Option<Vec<u8>> {
        let periods = period::periods(entries, self.facts);
        let last = entries.last().filter(|_| !periods.is_empty())?;
        let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
        self.write_to(&mut xml, &periods, last, entries).expect("writing to memory cannot fail");
        let mut bytes = xml.into_inner();
        bytes.push(b'\n');
        Some(bytes)
    }

    fn write_to(&self, xml: &mut Xml, periods: &[period::Period<'_>], last: &Entry, all: &[Entry]) -> io::Result<()> {
        xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let published = date_time(all.iter().map(|entry| entry.at_ms).max().unwrap_or_default());
        let attributes = self.attributes(last, all, &published);
        let attributes = attributes.iter().map(|(name, value)| (*name, value.as_str()));
        xml.create_element("MPD").with_attributes(attributes).write_inner_content(|xml| {
            for period in periods {
                period.write(xml)?;
            }
            // A player's clock may be wrong by minutes. The store's answer carries the time; where that cannot
            // be read, the time of the last commit is late by a segment at most.
            for (scheme, value) in [("http-head", self.name), ("direct", &published)] {
                let scheme = format!("urn:mpeg:dash:utc:{scheme}:2014");
                let attributes = [("schemeIdUri", scheme.as_str()), ("value", value)];
                xml.create_element("UTCTiming").with_attributes(attributes).write_empty()?;
            }
            Ok(())
        })?;
        Ok(())
    }

    fn attributes(&self, last: &Entry, all: &[Entry], published: &str) -> Vec<(&'static str, String)> {
        let segment = last.timeline.segment_ms() * MILLI;
        let longest = all.iter().map(Entry::millis).max().unwrap_or_default() * MILLI;
        let mut attributes = vec![
            ("xmlns", "urn:mpeg:dash:schema:mpd:2011".to_owned()),
            ("profiles", PROFILES.to_owned()),
            ("type", "dynamic".to_owned()),
            ("availabilityStartTime", EPOCH.to_owned()),
            ("publishTime", published.to_owned()),
            ("timeShiftBufferDepth", xml_duration(self.depth_ms * MILLI)),
            ("maxSegmentDuration", xml_duration(longest)),
            ("minBufferTime", xml_duration(segment)),
            ("suggestedPresentationDelay", xml_duration(DELAY_SEGMENTS * segment)),
        ];
        // Without a next update, the length says where it ends (clause 5.3.1.2).
        attributes.push(if self.ended {
            let end = u64::try_from(last.timeline.time_ms(last.number()).end).unwrap_or_default();
            ("mediaPresentationDuration", xml_duration(end * MILLI))
        } else {
            ("minimumUpdatePeriod", xml_duration(segment))
        });
        attributes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::sample::{facts_of, stage};

    fn write(letters: &str, ended: bool) -> String {
        let stage = stage(letters);
        let facts = facts_of(stage.entries());
        let manifest = Manifest { name: "manifest.mpd", depth_ms: 60_000, ended, facts: &facts };
        String::from_utf8(manifest.write(stage.entries()).unwrap()).unwrap()
    }

    #[test]
    fn a_plain_manifest() {
        let text = write("ssss", false);
        for part in [
            "type=\"dynamic\" availabilityStartTime=\"1970-01-01T00:00:00Z\" publishTime=\"2026-11-18T11:06:56.000Z\" \
             timeShiftBufferDepth=\"PT60S\" maxSegmentDuration=\"PT4S\" minBufferTime=\"PT4S\" \
             suggestedPresentationDelay=\"PT12S\" minimumUpdatePeriod=\"PT4S\"",
            "<Period id=\"448750000\" start=\"PT1795000000S\">",
            "<SegmentTemplate timescale=\"90000\" startNumber=\"448750000\" \
             presentationTimeOffset=\"161550000000000\" media=\"t1-00000001/$RepresentationID$/$Number$.m4s\">",
            "<S t=\"161550000000000\" d=\"360000\" r=\"3\"/>",
            "<SegmentTemplate initialization=\"t1-00000001/360p/init-000000000000001a.mp4\"/>",
            "<Representation id=\"stereo\" codecs=\"mp4a.40.2\" bandwidth=\"128000\" audioSamplingRate=\"48000\">",
            "<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-head:2014\" value=\"manifest.mpd\"/>",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert_eq!(text.matches("<AdaptationSet").count(), 2);
        let ended = write("ss", true);
        assert!(ended.contains("mediaPresentationDuration=\"PT1795000008S\""), "{ended}");
        assert!(!ended.contains("minimumUpdatePeriod"));
    }

    #[test]
    fn a_break_and_a_gap_begin_a_period_whose_id_stays() {
        let ids = |letters: &str, hidden: usize| -> Vec<String> {
            let stage = stage(letters);
            let facts = facts_of(stage.entries());
            let manifest = Manifest { name: "manifest.mpd", depth_ms: 60_000, ended: false, facts: &facts };
            let text = String::from_utf8(manifest.write(&stage.entries()[hidden..]).unwrap()).unwrap();
            let starts = text.split("<Period id=\"44875000").skip(1);
            starts.map(|part| part.split('"').next().unwrap().to_owned()).collect()
        };
        for (letters, hidden, expected) in [
            ("ssss", 0, "0"),
            ("ssss", 2, "0"),
            ("ss-ss", 0, "0 3"),
            ("ss-ss", 4, "3"),
            ("ssffs", 0, "0 2 4"),
            ("ssffs", 3, "2 4"),
            ("-ss", 0, "1"),
            ("s--s", 0, "0 3"),
        ] {
            assert_eq!(ids(letters, hidden).join(" "), expected, "{letters} {hidden}");
        }
        assert!(write("sf", false).contains("$Number$-filler.m4s"));
    }

    #[test]
    fn nothing_to_play_is_no_manifest() {
        let stage = stage("--");
        let facts = facts_of(stage.entries());
        let manifest = Manifest { name: "manifest.mpd", depth_ms: 60_000, ended: false, facts: &facts };
        assert_eq!(manifest.write(stage.entries()), None);
    }
}
