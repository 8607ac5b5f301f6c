//! When a channel is on air: spans of time, as a user writes them and as a record keeps them. Pure.

use serde::{Deserialize, Serialize};

use crate::{field_error::FieldError, live::HOLE_MAX};

/// Most spans of a channel.
pub const SPANS_MAX: usize = 64;
/// Shortest time between two spans: a channel is put on air ahead of a span and may outlast one by some
/// segments, so with less in between it would never be off.
const PAUSE_MIN_MS: i64 = 120_000;
/// The same in segments: so many numbers that nobody made are a time off the air and no gaps.
const PAUSE_MIN_NUMBERS: i64 = HOLE_MAX as i64 + 2;
/// How a time is written.
const MEND: &str = "write 2026-11-29T18:00:00Z, or with an offset: 2026-11-29T19:00:00+01:00";

/// A span of time as a user writes it (RFC 3339).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SpanDocument {
    /// When the channel is on air at the latest; only the first span may leave it out, and has begun then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// When it goes off air; only the last span may leave it out, and never ends then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// A span of time, Unix milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its first moment; it has always begun where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<i64>,
    /// The first moment after it; it never ends where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
}

impl Span {
    const fn has_begun(&self, now_ms: i64) -> bool {
        match self.from_ms {
            Some(from_ms) => from_ms <= now_ms,
            None => true,
        }
    }

    const fn is_over(&self, now_ms: i64) -> bool {
        match self.until_ms {
            Some(until_ms) => until_ms <= now_ms,
            None => false,
        }
    }
}

/// What a schedule does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OnAirChange {
    /// On air, or off.
    pub on: bool,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

/// When a channel that is started is on air: the spans in order, apart from each other. None at all means
/// always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OnAir(Vec<Span>);

impl OnAir {
    /// Checks what a user wrote; every fault goes into `errors`, below `/on_air`.
    pub fn check(spans: &[SpanDocument], segment_ms: u32, errors: &mut Vec<FieldError>) -> Self {
        let pause_ms = PAUSE_MIN_MS.max(PAUSE_MIN_NUMBERS * i64::from(segment_ms));
        if spans.len() > SPANS_MAX {
            let detail = format!("{} spans", spans.len());
            let mend = format!("list up to {SPANS_MAX}; what is past may go");
            errors.push(FieldError::new("/on_air", detail, mend));
            return Self::default();
        }
        let mut checked = Vec::with_capacity(spans.len());
        for (index, span) in spans.iter().enumerate() {
            let at = format!("/on_air/{index}");
            let before = errors.len();
            let from_ms = moment(&format!("{at}/from"), span.from.as_deref(), errors);
            let until_ms = moment(&format!("{at}/until"), span.until.as_deref(), errors);
            let mut fault = |pointer: String, detail: &str, mend: &str| {
                errors.push(FieldError::new(pointer, detail, mend));
            };
            let (is_first, is_last) = (index == 0, index + 1 == spans.len());
            match (&span.from, &span.until) {
                (None, None) => fault(at.clone(), "it has neither beginning nor end", "write `from`, `until` or both"),
                (None, _) if !is_first => fault(format!("{at}/from"), "it is missing", "only the first may lack it"),
                (_, None) if !is_last => fault(format!("{at}/until"), "it is missing", "only the last may lack it"),
                _ => {}
            }
            if errors.len() > before {
                continue;
            }
            if from_ms.zip(until_ms).is_some_and(|(from, until)| until <= from) {
                errors.push(FieldError::new(format!("{at}/until"), "it ends before it begins", "let it end later"));
                continue;
            }
            checked.push((index, Span { from_ms, until_ms }));
        }
        for pair in checked.windows(2) {
            let ((_, before), (index, after)) = (pair[0], pair[1]);
            let apart_ms = before.until_ms.zip(after.from_ms).map(|(until, from)| from.saturating_sub(until));
            if apart_ms.is_some_and(|apart| apart < pause_ms) {
                let detail = format!("it begins less than {} s after the one before ends", pause_ms.div_euclid(1000));
                let mend = "list spans by time, and make one of two that meet";
                errors.push(FieldError::new(format!("/on_air/{index}/from"), detail, mend));
            }
        }
        Self(checked.into_iter().map(|(_, span)| span).collect())
    }

    /// Whether there is no schedule: whoever starts and stops the channel decides alone.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a channel that is put on air `lead_ms` before each span is on air at a time.
    pub fn holds(&self, now_ms: i64, lead_ms: i64) -> bool {
        let now = |span: &Span| span.has_begun(now_ms.saturating_add(lead_ms)) && !span.is_over(now_ms);
        self.is_empty() || self.0.iter().any(now)
    }

    /// When the span begins that goes on, or the next one where none does; nothing where it has no beginning.
    pub fn begins_ms(&self, now_ms: i64) -> Option<i64> {
        self.0.iter().find(|span| !span.is_over(now_ms))?.from_ms
    }

    /// Whether the span that goes on or comes next is still to begin: a channel is put on air ahead of it, and nothing
    /// is published of the time before.
    pub fn is_ahead(&self, now_ms: i64) -> bool {
        self.begins_ms(now_ms).is_some_and(|from_ms| now_ms < from_ms)
    }

    /// When the last of the spans that are over ended.
    pub fn ended_ms(&self, now_ms: i64) -> Option<i64> {
        self.0.iter().rev().find(|span| span.is_over(now_ms))?.until_ms
    }

    /// What comes next; nothing where it stays as it is for ever.
    pub fn next(&self, now_ms: i64) -> Option<OnAirChange> {
        let span = self.0.iter().find(|span| !span.is_over(now_ms))?;
        if span.has_begun(now_ms) {
            return span.until_ms.map(|at_ms| OnAirChange { on: false, at_ms });
        }
        span.from_ms.map(|at_ms| OnAirChange { on: true, at_ms })
    }

    /// Whether all of it is past: the channel never comes on air again.
    pub fn is_over(&self, now_ms: i64) -> bool {
        self.0.last().is_some_and(|last| last.is_over(now_ms))
    }

    /// As a user writes it.
    pub fn documents(&self) -> Vec<SpanDocument> {
        let written = |at_ms: Option<i64>| at_ms.map(rfc3339);
        self.0.iter().map(|span| SpanDocument { from: written(span.from_ms), until: written(span.until_ms) }).collect()
    }
}

/// A time as people write it in UTC (RFC 3339).
pub fn rfc3339(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default().to_string()
}

fn moment(pointer: &str, text: Option<&str>, errors: &mut Vec<FieldError>) -> Option<i64> {
    let text = text?;
    match text.parse::<jiff::Timestamp>() {
        Ok(time) if time.as_millisecond() >= 0 => Some(time.as_millisecond()),
        Ok(_) => {
            errors.push(FieldError::new(pointer, format!("{text:?} is before 1970"), MEND));
            None
        }
        Err(_) => {
            errors.push(FieldError::new(pointer, format!("{text:?} is no time with a date and an offset"), MEND));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: &str, until: &str) -> SpanDocument {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        SpanDocument { from: some(from), until: some(until) }
    }

    fn check(spans: &[SpanDocument]) -> Result<OnAir, Vec<String>> {
        let mut errors = Vec::new();
        let checked = OnAir::check(spans, 4000, &mut errors);
        if errors.is_empty() { Ok(checked) } else { Err(errors.into_iter().map(|error| error.pointer).collect()) }
    }

    #[test]
    fn every_fault_of_a_schedule_is_found_at_its_place() {
        let (ten, eleven) = ("2026-11-29T10:00:00Z", "2026-11-29T11:00:00Z");
        for (spans, pointers) in [
            (vec![span("", "")], vec!["/on_air/0"]),
            (
                vec![span("10:00", ten), span("2026-11-29", "2026-11-29T10:00:00")],
                vec!["/on_air/0/from", "/on_air/1/from", "/on_air/1/until"],
            ),
            (vec![span(eleven, ten), span(ten, ten)], vec!["/on_air/0/until", "/on_air/1/until"]),
            (vec![span(ten, ""), span("", eleven)], vec!["/on_air/0/until", "/on_air/1/from"]),
            // They meet, though written with other offsets; and they overlap.
            (vec![span(ten, eleven), span("2026-11-29T12:01:00+01:00", "")], vec!["/on_air/1/from"]),
            (vec![span(eleven, ""), span(ten, eleven)], vec!["/on_air/0/until"]),
            (vec![span(eleven, "2026-11-29T12:00:00Z"), span(ten, eleven)], vec!["/on_air/1/from"]),
            (vec![span("1969-12-31T00:00:00Z", ten)], vec!["/on_air/0/from"]),
            (vec![span(ten, eleven); SPANS_MAX + 1], vec!["/on_air"]),
        ] {
            assert_eq!(check(&spans).expect_err("faults"), pointers, "{spans:?}");
        }
        for spans in [
            vec![],
            vec![span("", ten)],
            vec![span(ten, "")],
            vec![
                span("", ten),
                span("2026-11-29T12:00:00+01:00", "2026-11-29t11:30:00z"),
                span("2026-11-30T00:00:00Z", ""),
            ],
        ] {
            check(&spans).expect("good");
        }
    }

    #[test]
    fn what_is_on_air_and_what_comes_next_follows_from_the_spans() {
        let spans = [
            Span { from_ms: None, until_ms: Some(100) },
            Span { from_ms: Some(500), until_ms: Some(600) },
            Span { from_ms: Some(1000), until_ms: None },
        ];
        let (all, middle) = (OnAir(spans.to_vec()), OnAir(vec![spans[1]]));
        let (on, off) = (|at_ms| Some(OnAirChange { on: true, at_ms }), |at_ms| Some(OnAirChange { on: false, at_ms }));
        for (schedule, now_ms, holds, next, ended, over) in [
            (&OnAir::default(), 0, true, None, None, false),
            (&all, 0, true, off(100), None, false),
            (&all, 99, true, off(100), None, false),
            (&all, 100, false, on(500), Some(100), false),
            (&all, 489, false, on(500), Some(100), false),
            // The lead.
            (&all, 490, true, on(500), Some(100), false),
            (&all, 500, true, off(600), Some(100), false),
            (&all, 600, false, on(1000), Some(600), false),
            (&all, 1_000_000, true, None, Some(600), false),
            (&middle, 599, true, off(600), None, false),
            (&middle, 600, false, None, Some(600), true),
        ] {
            let found = (schedule.holds(now_ms, 10), schedule.next(now_ms), schedule.ended_ms(now_ms));
            assert_eq!(found, (holds, next, ended), "{now_ms}");
            assert_eq!(schedule.is_over(now_ms), over, "{now_ms}");
        }
    }

    #[test]
    fn what_was_written_is_shown_in_utc() {
        let schedule = check(&[span("2026-11-29T19:00:00+01:00", "2026-11-29T20:00:00.5Z")]).expect("good");
        assert_eq!(schedule.documents(), [span("2026-11-29T18:00:00Z", "2026-11-29T20:00:00.5Z")]);
        assert_eq!(check(&schedule.documents()), Ok(schedule));
    }
}
