//! A bounded list of findings, in which nothing harmless can crowd out an error.

use framemill_schemas::finding::{FINDINGS_MAX, Finding, Report, ReportState, Severity};

/// Format of reports written by this version.
pub const REPORT_VERSION: u32 = 1;

/// What was found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    errors: Vec<Finding>,
    others: Vec<Finding>,
}

impl Findings {
    /// Adds one, unless there are [`FINDINGS_MAX`] of its severity already.
    pub fn push(&mut self, finding: Finding) {
        let list = if finding.severity == Severity::Error { &mut self.errors } else { &mut self.others };
        if list.len() < FINDINGS_MAX && !list.contains(&finding) {
            list.push(finding);
        }
    }

    /// Adds an error.
    pub fn error(&mut self, code: &str, at: impl Into<String>, measured: impl ToString, expected: impl ToString) {
        self.push(Finding::error(code, at, measured, expected));
    }

    /// Adds an error unless `measured` is `expected`.
    pub fn equal<T: PartialEq + ToString>(&mut self, code: &str, at: &str, measured: T, expected: T) {
        if measured != expected {
            self.error(code, at, measured, expected);
        }
    }

    /// Adds what another check found.
    pub fn join(&mut self, other: impl IntoIterator<Item = Finding>) {
        other.into_iter().for_each(|finding| self.push(finding));
    }

    /// Whether an error is among them.
    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Whether an error of one of these kinds is among them.
    pub fn has_any_of(&self, codes: &[&str]) -> bool {
        self.errors.iter().any(|finding| codes.contains(&finding.code.as_str()))
    }

    /// All of them, errors first, at most [`FINDINGS_MAX`].
    pub fn into_vec(self) -> Vec<Finding> {
        let mut all = self.errors;
        all.extend(self.others);
        all.truncate(FINDINGS_MAX);
        all
    }

    /// The verdict.
    pub fn into_report(self, frames: u64, checks: Vec<String>) -> Report {
        let findings = self.into_vec();
        Report { v: REPORT_VERSION, state: ReportState::of(&findings), frames, checks, findings }
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.into_vec().into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_never_crowd_out_an_error() {
        let mut findings = Findings::default();
        for n in 0..3 * FINDINGS_MAX {
            findings.push(Finding::warning("bitrate", format!("r{n}"), 1, 0));
        }
        findings.error("decode", "r", "broken", "clean");
        let report = findings.into_report(0, Vec::new());
        assert_eq!(report.state, ReportState::Failed);
        assert_eq!(report.findings.len(), FINDINGS_MAX);
        assert_eq!(report.findings[0].code, "decode");
    }

    #[test]
    fn the_same_fault_is_listed_once() {
        let mut findings = Findings::default();
        findings.error("decode", "r", "broken", "clean");
        findings.error("decode", "r", "broken", "clean");
        assert_eq!(findings.into_vec().len(), 1);
    }
}
