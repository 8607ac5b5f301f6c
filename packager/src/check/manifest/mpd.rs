//! The DASH manifest against the index.

use std::collections::BTreeSet;

use framemill_media::boxes::TrackKind;
use framemill_schemas::rate::Ratio;

use crate::{
    bitrate::{min_buffer_micros, peak},
    check::{
        Findings, code,
        manifest::{
            mpd_read::{Attributes, Mpd, Representation, Set, Template, read, read_duration},
            resolve,
        },
    },
    decimal::micros,
    title::{Title, Track},
};

/// Checks a manifest that lies in `folder`: the generation's, or the asset's one up.
pub fn mpd(bytes: &[u8], at: &str, folder: &str, title: &Title, findings: &mut Findings) {
    let mpd = match read(bytes) {
        Ok(mpd) => mpd,
        Err(why) => {
            findings.error(code::MANIFEST_SYNTAX, at, why, "ISO/IEC 23009-1");
            return;
        }
    };
    head(&mpd, at, title, findings);
    let buffer_micros = mpd.attributes.get("minBufferTime").and_then(|text| read_duration(text)).unwrap_or(0);
    let mut seen = BTreeSet::new();
    for set in &mpd.sets {
        attribute(&set.attributes, "startWithSAP", "1", code::MANIFEST_RULE, at, findings);
        attribute(&set.attributes, "segmentAlignment", "true", code::MANIFEST_RULE, at, findings);
        for representation in &set.representations {
            let name = representation.attributes.get("id").cloned().unwrap_or_default();
            let at = format!("{at}, representation {name}");
            let Some((_, track)) = title.tracks().find(|(track, _)| *track == name) else {
                findings.error(code::MANIFEST_URI, at, "unknown", "a rendition of the title");
                continue;
            };
            if !seen.insert(name.clone()) {
                findings.error(code::MANIFEST_URI, &at, "twice", "once");
            }
            let one = One { title, track, name: &name, at: &at, folder, buffer_micros };
            one.check(set, representation, findings);
        }
    }
    for (name, _) in title.tracks().filter(|(name, _)| !seen.contains(*name)) {
        findings.error(code::MANIFEST_URI, at, "no representation of it", name);
    }
}

fn head(mpd: &Mpd, at: &str, title: &Title, findings: &mut Findings) {
    attribute(&mpd.attributes, "type", "static", code::MANIFEST_RULE, at, findings);
    findings.equal(code::MANIFEST_RULE, at, format!("{} periods", mpd.periods), "1 periods".to_owned());
    let declared = mpd.attributes.get("mediaPresentationDuration").and_then(|text| read_duration(text));
    let timescale = title.spec.timescale;
    let expected = micros(title.spec.grid.duration_ticks(timescale), timescale);
    if declared != Some(expected) {
        findings.error(code::MANIFEST_DURATION, at, format!("{declared:?} us"), format!("{expected} us"));
    }
}

fn attribute(found: &Attributes, name: &str, expected: &str, code: &str, at: &str, findings: &mut Findings) {
    let value = found.get(name).map_or("", String::as_str);
    if value != expected {
        findings.error(code, at, format!("{name}={value:?}"), format!("{name}={expected:?}"));
    }
}

/// One representation.
struct One<'a> {
    title: &'a Title,
    track: &'a Track,
    name: &'a str,
    at: &'a str,
    folder: &'a str,
    buffer_micros: u64,
}

impl One<'_> {
    fn check(&self, set: &Set, representation: &Representation, findings: &mut Findings) {
        let own = &representation.attributes;
        attribute(own, "codecs", &self.track.facts.codecs, code::CODECS, self.at, findings);
        match self.track.facts.kind {
            TrackKind::Video { width, height } => {
                attribute(own, "width", &width.to_string(), code::PICTURE_FORMAT, self.at, findings);
                attribute(own, "height", &height.to_string(), code::PICTURE_FORMAT, self.at, findings);
                let declared = set.attributes.get("frameRate").and_then(|text| Ratio::parse(text));
                if declared != Some(self.title.spec.rate) {
                    let words = format!("frameRate {declared:?}");
                    findings.error(code::PICTURE_FORMAT, self.at, words, self.title.spec.rate);
                }
            }
            TrackKind::Audio { rate, channels } => {
                attribute(own, "audioSamplingRate", &rate.to_string(), code::MANIFEST_RULE, self.at, findings);
                if set.channels.as_deref() != Some(&channels.to_string()) || !set.attributes.contains_key("lang") {
                    let words = format!("channels {:?}, lang {:?}", set.channels, set.attributes.get("lang"));
                    findings.error(code::MANIFEST_RULE, self.at, words, format!("{channels} channels, and a language"));
                }
            }
        }
        self.bandwidth(own, findings);
        match representation.template.as_ref().or(set.template.as_ref()) {
            Some(template) => self.template(template, findings),
            None => findings.error(code::MANIFEST_RULE, self.at, "no SegmentTemplate", "one"),
        }
    }

    fn bandwidth(&self, own: &Attributes, findings: &mut Findings) {
        let stretches = self.track.stretches();
        let expected = peak(&stretches, self.title.target_duration_s());
        attribute(own, "bandwidth", &expected.to_string(), code::BANDWIDTH, self.at, findings);
        let declared = own.get("bandwidth").and_then(|text| text.parse().ok()).unwrap_or(0);
        let needed = min_buffer_micros(&stretches, declared);
        if self.buffer_micros < needed {
            findings.error(
                code::MIN_BUFFER,
                self.at,
                format!("{} us", self.buffer_micros),
                format!("at least {needed} us at {declared} bit/s"),
            );
        }
    }

    fn template(&self, template: &Template, findings: &mut Findings) {
        let timescale = self.track.facts.timescale.to_string();
        attribute(&template.attributes, "timescale", &timescale, code::MANIFEST_DURATION, self.at, findings);
        let segments = &self.track.segments;
        let expected: Vec<_> = segments.iter().map(|segment| (segment.start_ticks, segment.duration_ticks)).collect();
        if template.segments != expected {
            let n = template.segments.iter().zip(&expected).take_while(|(found, expected)| found == expected).count();
            findings.error(
                code::MANIFEST_DURATION,
                format!("{}, segment {}", self.at, n + 1),
                format!("{:?} of {}", template.segments.get(n), template.segments.len()),
                format!("{:?} of {}", expected.get(n), expected.len()),
            );
        }
        let address = |name: &str| template.attributes.get(name).map_or("", String::as_str);
        self.leads(address("initialization"), None, &self.track.init.key, findings);
        let Some(first) = template.attributes.get("startNumber").map_or(Some(1), |text| text.parse::<u64>().ok())
        else {
            findings.error(code::MANIFEST_RULE, self.at, format!("{:?}", address("startNumber")), "a number");
            return;
        };
        for (number, segment) in (first..).take(template.segments.len()).zip(segments) {
            self.leads(address("media"), Some(number), &segment.object.key, findings);
        }
    }

    /// Whether an address, filled in, leads to an object.
    fn leads(&self, template: &str, number: Option<u64>, key: &str, findings: &mut Findings) {
        let mut uri = template.replace("$RepresentationID$", self.name);
        if let Some(number) = number {
            uri = uri.replace("$Number$", &number.to_string());
        }
        if resolve(self.folder, &uri).as_deref() != Some(key) {
            findings.error(code::MANIFEST_URI, self.at, uri, key);
        }
    }
}
