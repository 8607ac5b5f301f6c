//! Reads the parts of an MPD that a player needs. A pull reader with a bound on everything; what
//! it does not know it passes over.

use std::collections::BTreeMap;

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

/// Most segments of one timeline: a day of half seconds. `S@r` can claim thousands of millions.
const SEGMENTS_MAX: usize = 200_000;

/// Attributes of an element by name.
pub type Attributes = BTreeMap<String, String>;

/// A manifest.
#[derive(Debug, Default)]
pub struct Mpd {
    /// Attributes of MPD.
    pub attributes: Attributes,
    /// How many Period elements there are.
    pub periods: usize,
    /// Its adaptation sets.
    pub sets: Vec<Set>,
}

/// An AdaptationSet.
#[derive(Debug, Default)]
pub struct Set {
    /// Its attributes.
    pub attributes: Attributes,
    /// Its own template.
    pub template: Option<Template>,
    /// Whether it says its channels.
    pub channels: Option<String>,
    /// Its representations.
    pub representations: Vec<Representation>,
}

/// A Representation.
#[derive(Debug, Default)]
pub struct Representation {
    /// Its attributes.
    pub attributes: Attributes,
    /// Its own template.
    pub template: Option<Template>,
}

/// A SegmentTemplate.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// Its attributes.
    pub attributes: Attributes,
    /// Start and length of each segment, in its timescale.
    pub segments: Vec<(u64, u64)>,
}

/// Reads a manifest, or says why it cannot.
pub fn read(bytes: &[u8]) -> Result<Mpd, String> {
    let mut reader = Reader::from_reader(bytes);
    let mut mpd = Mpd::default();
    let mut depth = 0_usize;
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(element) => {
                depth += 1;
                take(&mut mpd, &element)?;
            }
            Event::Empty(element) => take(&mut mpd, &element)?,
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::DocType(_) => return Err("a document type".to_owned()),
            Event::Eof if depth > 0 => return Err("the document breaks off".to_owned()),
            Event::Eof => break,
            _ => {}
        }
    }
    if mpd.attributes.is_empty() { Err("no MPD element".to_owned()) } else { Ok(mpd) }
}

fn take(mpd: &mut Mpd, element: &BytesStart<'_>) -> Result<(), String> {
    let found = attributes(element)?;
    match element.local_name().as_ref() {
        b"MPD" => mpd.attributes = found,
        b"Period" => mpd.periods += 1,
        b"BaseURL" => return Err("a BaseURL".to_owned()),
        b"AdaptationSet" => mpd.sets.push(Set { attributes: found, ..Set::default() }),
        b"Representation" => {
            set(mpd)?.representations.push(Representation { attributes: found, template: None });
        }
        b"SegmentTemplate" => *template(mpd)? = Some(Template { attributes: found, segments: Vec::new() }),
        b"S" => run(template(mpd)?.as_mut().ok_or("S outside a template")?, &found)?,
        b"AudioChannelConfiguration" => set(mpd)?.channels = found.get("value").cloned(),
        _ => {}
    }
    Ok(())
}

fn set(mpd: &mut Mpd) -> Result<&mut Set, String> {
    mpd.sets.last_mut().ok_or_else(|| "an element outside an adaptation set".to_owned())
}

/// The template of the last representation, or before any of the set.
fn template(mpd: &mut Mpd) -> Result<&mut Option<Template>, String> {
    let set = set(mpd)?;
    Ok(match set.representations.last_mut() {
        Some(representation) => &mut representation.template,
        None => &mut set.template,
    })
}

fn run(template: &mut Template, attributes: &Attributes) -> Result<(), String> {
    let number = |name: &str, default: Option<u64>| match attributes.get(name) {
        Some(text) => text.parse::<u64>().map_err(|_| format!("S@{name} is {text:?}")),
        None => default.ok_or_else(|| format!("S without @{name}")),
    };
    let duration = number("d", None)?;
    let next = template.segments.last().map_or(0, |(start, duration)| start + duration);
    let mut start = number("t", Some(next))?;
    for _ in 0..=number("r", Some(0))? {
        if template.segments.len() == SEGMENTS_MAX {
            return Err(format!("more than {SEGMENTS_MAX} segments"));
        }
        template.segments.push((start, duration));
        start = start.checked_add(duration).ok_or("a timeline past 2^64 ticks")?;
    }
    Ok(())
}

fn attributes(element: &BytesStart<'_>) -> Result<Attributes, String> {
    let mut found = Attributes::new();
    for attribute in element.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = attribute.unescape_value().map_err(|error| error.to_string())?.into_owned();
        found.insert(String::from_utf8_lossy(attribute.key.as_ref()).into_owned(), value);
    }
    Ok(found)
}

/// Reads the `PT<seconds>S` form of `xs:duration`, in microseconds.
pub fn read_duration(text: &str) -> Option<u64> {
    crate::decimal::read_seconds(text.strip_prefix("PT")?.strip_suffix('S')?)
}
