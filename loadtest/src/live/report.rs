//! What a trial came to, for people and as one document.

use std::{collections::BTreeMap, fmt};

use framemill_schemas::finding::Finding;
use serde::Serialize;

/// Findings that are shown of one code; the rest are counted.
const SHOWN_MAX: usize = 10;

/// A bar, and what was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bar {
    /// What is measured.
    pub what: String,
    /// What came of it.
    pub measured: String,
    /// What is promised.
    pub bar: String,
    /// Whether the promise was kept.
    pub kept: bool,
    /// Whether it is one of speed: what is measured says as much of the machine as of the farm.
    pub of_speed: bool,
}

impl Bar {
    /// A figure of speed that may be so large at most.
    pub fn at_most(what: impl Into<String>, measured: i64, bar: i64, unit: &str) -> Self {
        Self {
            what: what.into(),
            measured: format!("{measured} {unit}"),
            bar: format!("at most {bar} {unit}"),
            kept: measured <= bar,
            of_speed: true,
        }
    }

    /// A count that has to be nought.
    pub fn none(what: impl Into<String>, measured: u64) -> Self {
        Self {
            what: what.into(),
            measured: measured.to_string(),
            bar: "0".to_owned(),
            kept: measured == 0,
            of_speed: false,
        }
    }

    /// A figure without a promise.
    pub fn told(what: impl Into<String>, measured: impl ToString) -> Self {
        Self { what: what.into(), measured: measured.to_string(), bar: String::new(), kept: true, of_speed: false }
    }
}

/// What a trial came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// The trial.
    pub trial: String,
    /// How the channel got its source.
    pub source: String,
    /// Seconds it took.
    pub wall_s: f64,
    /// What was measured.
    pub bars: Vec<Bar>,
    /// What more there is to know, by trial.
    pub detail: serde_json::Value,
    /// Everything that should not be.
    pub findings: Vec<Finding>,
}

impl Outcome {
    /// One of a trial that is not over yet.
    pub fn of(trial: String, bars: Vec<Bar>, detail: serde_json::Value, findings: Vec<Finding>) -> Self {
        Self { trial, bars, detail, findings, ..Self::default() }
    }

    /// Whether every promise was kept.
    pub fn is_kept(&self) -> bool {
        self.findings.is_empty() && self.bars.iter().all(|bar| bar.kept)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, source by {}, {:.0} s", self.trial, self.source, self.wall_s)?;
        let wide = self.bars.iter().map(|bar| bar.what.len()).max().unwrap_or_default();
        let measured = self.bars.iter().map(|bar| bar.measured.len()).max().unwrap_or_default();
        for bar in &self.bars {
            let verdict = match (bar.bar.is_empty(), bar.kept) {
                (true, _) => String::new(),
                (false, true) => format!("ok ({})", bar.bar),
                (false, false) => format!("MISSED ({})", bar.bar),
            };
            writeln!(f, "{}", format!("  {:wide$}  {:measured$}  {verdict}", bar.what, bar.measured).trim_end())?;
        }
        let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
        for Finding { code, at, measured, expected, .. } in &self.findings {
            let count = shown.entry(code).or_default();
            *count += 1;
            if *count <= SHOWN_MAX {
                writeln!(f, "{code} in {at}: {measured}; expected {expected}")?;
            }
        }
        for (code, count) in shown.iter().filter(|(_, count)| **count > SHOWN_MAX) {
            writeln!(f, "{code}: {} more", count - SHOWN_MAX)?;
        }
        write!(f, "{}", if self.is_kept() { "every bar is kept" } else { "bars were missed" })
    }
}
