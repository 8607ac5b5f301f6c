//! What validation found.

use serde::{Deserialize, Serialize};

/// Most findings kept of one job: a broken title would otherwise fill its record.
pub const FINDINGS_MAX: usize = 100;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// A viewer may notice.
    Warning,
    /// Never published.
    Error,
}

/// One fault in an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    /// Stable code: `frame-count`, `decode`, `keyframe-alignment`, ...
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// Rendition, segment or manifest it is in.
    pub at: String,
    /// What was measured.
    pub measured: String,
    /// What was expected.
    pub expected: String,
}

impl Finding {
    /// An error: the asset is not published.
    pub fn error(code: &str, at: impl Into<String>, measured: impl ToString, expected: impl ToString) -> Self {
        Self {
            code: code.to_owned(),
            severity: Severity::Error,
            at: at.into(),
            measured: measured.to_string(),
            expected: expected.to_string(),
        }
    }

    /// Something a viewer may notice.
    pub fn warning(code: &str, at: impl Into<String>, measured: impl ToString, expected: impl ToString) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, at, measured, expected) }
    }
}

/// `report.json` beside the manifests, and `GET /v1/assets/{id}/report`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Report {
    /// Format of this document.
    pub v: u32,
    /// `passed` or `failed`.
    pub state: ReportState,
    /// Frames of the grid, and so of every rendition.
    pub frames: u64,
    /// What was checked, as codes in order.
    pub checks: Vec<String>,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// Whether an output may be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportState {
    /// No error finding.
    Passed,
    /// At least one error finding.
    Failed,
}

impl ReportState {
    /// The verdict on a list of findings.
    pub fn of(findings: &[Finding]) -> Self {
        if findings.iter().any(|finding| finding.severity == Severity::Error) { Self::Failed } else { Self::Passed }
    }
}
