//! One thing that a player told, with a request (its query or its headers) or in a report (version 2). Pure.

use hyper::{HeaderMap, Uri};

use super::fields::{Bare, CHARS_MAX, Dictionary, Item, Malformed, Member, dictionary};

/// Where it stands in a query (CTA-5004, clause 2.2), percent-encoded.
const QUERY: &str = "CMCD";
/// The headers that it may be spread over (clause 2.1).
const HEADERS: [&str; 4] = ["cmcd-request", "cmcd-object", "cmcd-session", "cmcd-status"];
/// Most lines of a report.
const LINES_MAX: usize = 256;

/// Highest bitrate that is believed, kbit/s.
const BITRATE_KBPS_MAX: u64 = 1_000_000;
/// Highest throughput that is believed, kbit/s.
const THROUGHPUT_KBPS_MAX: u64 = 100_000_000;
/// Longest object, buffer or standstill that is believed, milliseconds.
const DURATION_MS_MAX: u64 = 3_600_000;

/// What was asked for (`ot`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sound alone.
    Audio,
    /// Pictures, with sound or without.
    Video,
    /// A playlist, an init, a key: nothing that is watched.
    Other,
}

/// What the player does (`sta`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was told to play.
    Starting,
    /// It shows pictures.
    Playing,
    /// It stands still, since nothing is there to show.
    Rebuffering,
    /// It has given up.
    Failed,
    /// Anything else: preloading, paused, seeking, at the end.
    Other,
}

/// Why a report was made (`e`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An object came.
    Response,
    /// Something failed.
    Error,
    /// Anything else.
    Other,
}

/// One record. What a player says beyond reason is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Of version 2 or later (`v`).
    pub is_v2: bool,
    /// What was asked for.
    pub kind: Option<Kind>,
    /// It is needed at once, to start or to go on (`su`).
    pub urgent: bool,
    /// The buffer ran dry since the record before (`bs`).
    pub starved: bool,
    /// The object's bitrate (`br`), kbit/s.
    pub bitrate_kbps: Option<u64>,
    /// The object's duration (`d`), milliseconds.
    pub duration_ms: Option<u64>,
    /// What is buffered (`bl`), milliseconds.
    pub buffer_ms: Option<u64>,
    /// What the player measured (`mtp`), kbit/s.
    pub throughput_kbps: Option<u64>,
    /// How long the start took (`msd`), milliseconds.
    pub start_ms: Option<u64>,
    /// How long each standstill was that is over (`bsd`), milliseconds.
    pub stood_ms: Vec<u64>,
    /// What the player does.
    pub state: Option<State>,
    /// Why a report was made.
    pub event: Option<Event>,
    /// When, by the player's clock (`ts`), Unix milliseconds.
    pub at_ms: Option<i64>,
}

impl Record {
    fn of(told: &Dictionary<'_>) -> Self {
        let word = |name| match get(told, name) {
            Some(Member::One(Item { value: Bare::Word(word), .. })) => Some(*word),
            _ => None,
        };
        let flag = |name| matches!(get(told, name), Some(Member::One(Item { value: Bare::Flag(true), .. })));
        let kind = word("ot");
        // Of a list that tells media apart: what was asked for, else the picture.
        let wanted: &[&str] = kind.as_ref().map_or(&["v", "av"][..], std::slice::from_ref);
        let number = |name, max| get(told, name).and_then(|member| pick(member, wanted)).filter(|value| *value <= max);
        Self {
            is_v2: number("v", u64::MAX).is_some_and(|version| version >= 2),
            kind: kind.map(|kind| match kind {
                "a" => Kind::Audio,
                "v" | "av" => Kind::Video,
                _ => Kind::Other,
            }),
            urgent: flag("su"),
            starved: flag("bs"),
            bitrate_kbps: number("br", BITRATE_KBPS_MAX).filter(|kbps| *kbps > 0),
            duration_ms: number("d", DURATION_MS_MAX),
            buffer_ms: number("bl", DURATION_MS_MAX),
            throughput_kbps: number("mtp", THROUGHPUT_KBPS_MAX).filter(|kbps| *kbps > 0),
            start_ms: number("msd", DURATION_MS_MAX),
            stood_ms: get(told, "bsd").map(all).unwrap_or_default(),
            state: word("sta").map(|state| match state {
                "s" => State::Starting,
                "p" => State::Playing,
                "r" => State::Rebuffering,
                "f" => State::Failed,
                _ => State::Other,
            }),
            event: word("e").map(|event| match event {
                "rr" => Event::Response,
                "e" => Event::Error,
                _ => Event::Other,
            }),
            at_ms: number("ts", i64::MAX.unsigned_abs()).and_then(|ts| i64::try_from(ts).ok()),
        }
    }
}

/// What a request tells beside what it asks for, in its query or its headers; nothing where it tells nothing.
///
/// # Errors
/// It tells something that cannot be read.
pub fn of_request(uri: &Uri, headers: &HeaderMap) -> Result<Option<Record>, Malformed> {
    let mut pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    if let Some((_, told)) = pairs.find(|(name, _)| *name == QUERY) {
        return dictionary(&decoded(told)?).map(|told| Some(Record::of(&told)));
    }
    let mut told = Vec::new();
    for value in HEADERS.iter().flat_map(|name| headers.get_all(*name)) {
        told.extend(dictionary(value.to_str().map_err(|_| Malformed)?)?);
    }
    Ok((!told.is_empty()).then(|| Record::of(&told)))
}

/// The records of a report: one for each line. What cannot be read is one that is malformed, and takes no other with it.
pub fn of_report(body: &[u8]) -> impl Iterator<Item = Result<Record, Malformed>> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.take(LINES_MAX).map(|line| {
        let told = std::str::from_utf8(line).map_err(|_| Malformed).and_then(dictionary)?;
        // Every report says why it was made.
        Some(Record::of(&told)).filter(|record| record.event.is_some()).ok_or(Malformed)
    })
}

fn get<'a, 'b>(told: &'b Dictionary<'a>, name: &str) -> Option<&'b Member<'a>> {
    told.iter().rev().find(|(key, _)| *key == name).map(|(_, member)| member)
}

/// The number, or of a list the one that is about what is wanted, else its first.
fn pick(member: &Member<'_>, wanted: &[&str]) -> Option<u64> {
    let item = match member {
        Member::One(item) => item,
        Member::List(items) => {
            items.iter().find(|item| item.names.iter().any(|name| wanted.contains(name))).or_else(|| items.first())?
        }
    };
    natural(item)
}

/// Every number that is believed.
fn all(member: &Member<'_>) -> Vec<u64> {
    let items = match member {
        Member::One(item) => std::slice::from_ref(item),
        Member::List(items) => items,
    };
    items.iter().filter_map(natural).filter(|ms| *ms <= DURATION_MS_MAX).collect()
}

fn natural(item: &Item<'_>) -> Option<u64> {
    match item.value {
        Bare::Number(number) => u64::try_from(number).ok(),
        _ => None,
    }
}

/// A value of a query as it was before it was encoded (`application/x-www-form-urlencoded`).
fn decoded(value: &str) -> Result<String, Malformed> {
    // Three characters stand for one at most.
    if value.len() > 3 * CHARS_MAX {
        return Err(Malformed);
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(Malformed);
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let value = digit(rest.next())? * 16 + digit(rest.next())?;
                u8::try_from(value).map_err(|_| Malformed)?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| Malformed)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
