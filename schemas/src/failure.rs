//! Failures and their four classes.

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

/// Who is to blame, and so what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The source's or the request's fault: never retried, the user is told what and where.
    Input,
    /// Passing: retried here.
    Transient,
    /// This node lacks something: retried elsewhere.
    Resource,
    /// Ours: stop and keep the evidence.
    Bug,
}

impl Class {
    /// The class as events and reports write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Transient => "transient",
            Self::Resource => "resource",
            Self::Bug => "bug",
        }
    }
}

/// Longest text kept of one failure; the tail of ffmpeg's stderr is cut to it.
pub const FAILURE_TEXT_CHARS_MAX: usize = 4000;

/// One failure of one attempt. Texts hold no secret: whoever writes them redacts first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Failure {
    /// Its class.
    pub class: Class,
    /// Stable symptom, for comparing attempts: `source-truncated`, `holder-lost`, ...
    pub code: String,
    /// What happened and where, for people.
    pub reason: String,
    /// What to do about it, where something can be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// Last lines of the tool that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// The node it happened on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// The attempt that failed; 0 where none ran.
    #[serde(default)]
    pub attempt: u32,
    /// When, Unix milliseconds of whoever wrote it down; 0 where nobody did.
    #[serde(default)]
    pub at_ms: i64,
    /// When its job had been made ready before that attempt, Unix milliseconds; 0 where none ran.
    #[serde(default)]
    pub ready_ms: i64,
    /// When that attempt was claimed, Unix milliseconds; 0 where none ran.
    #[serde(default)]
    pub claimed_ms: i64,
}

impl Failure {
    /// A failure with only the three things every failure has.
    pub fn new(class: Class, code: &str, reason: impl Into<String>) -> Self {
        Self {
            class,
            code: code.to_owned(),
            reason: clip(reason.into()),
            mend: None,
            evidence: None,
            node: None,
            attempt: 0,
            at_ms: 0,
            ready_ms: 0,
            claimed_ms: 0,
        }
    }

    /// The source's or the request's fault.
    pub fn input(code: &str, reason: impl Into<String>) -> Self {
        Self::new(Class::Input, code, reason)
    }

    /// Adds what to do about it.
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(clip(mend.into()));
        self
    }

    /// Adds the tail of a tool's output.
    pub fn evidence(mut self, text: impl Into<String>) -> Self {
        self.evidence = Some(clip(text.into())).filter(|text| !text.trim().is_empty());
        self
    }
}

/// Keeps the last [`FAILURE_TEXT_CHARS_MAX`] characters: the end of a log says why it ended.
fn clip(text: String) -> String {
    let chars = text.chars().count();
    if chars <= FAILURE_TEXT_CHARS_MAX { text } else { text.chars().skip(chars - FAILURE_TEXT_CHARS_MAX).collect() }
}
