//! What a client submits.

use serde::{Deserialize, Serialize};

use crate::{
    field_error::{FieldError, read_strict},
    ids::Tenant,
    ladder::Ladder,
    lane::Priority,
    source::Source,
};

/// Largest submission.
pub const SUBMISSION_BYTES_MAX: usize = 256 * 1024;

/// Body of `POST /v1/assets`.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Submission {
    /// `http://`, `https://`, `s3://bucket/key`, or an absolute path below a configured folder.
    pub source: String,
    /// A ladder's name, or a whole ladder.
    #[serde(default)]
    pub ladder: LadderChoice,
    /// Whose it is; the key's tenant where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// How urgent it is.
    #[serde(default)]
    pub priority: Priority,
}

/// A ladder by name, or written out.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum LadderChoice {
    /// One that the farm knows.
    Named(String),
    /// One of the submission's own; checked like a file.
    #[schema(value_type = Ladder)]
    Inline(serde_json::Value),
}

/// The ladder of a submission that names none.
pub const DEFAULT_LADDER: &str = "web-h264";

impl Default for LadderChoice {
    fn default() -> Self {
        Self::Named(DEFAULT_LADDER.to_owned())
    }
}

impl LadderChoice {
    /// The ladder that is meant; what is wrong with it joins `errors`. `find` looks one up by name.
    pub(crate) fn find(self, find: impl Fn(&str) -> Option<Ladder>, errors: &mut Vec<FieldError>) -> Option<Ladder> {
        match self {
            Self::Named(name) => find(&name).or_else(|| {
                errors.push(FieldError::new(
                    "/ladder",
                    format!("there is no ladder {name:?}"),
                    "list them with `framemill ladder ls`, or send one inline",
                ));
                None
            }),
            Self::Inline(value) => Ladder::from_value(value)
                .map_err(|found| {
                    let below =
                        |error: FieldError| FieldError { pointer: format!("/ladder{}", error.pointer), ..error };
                    errors.extend(found.into_iter().map(below));
                })
                .ok(),
        }
    }
}

/// A submission that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedSubmission {
    /// The source.
    pub source: Source,
    /// The ladder.
    pub ladder: Ladder,
    /// The tenant that was asked for.
    pub tenant: Option<Tenant>,
    /// The priority.
    pub priority: Priority,
}

impl CheckedSubmission {
    /// Reads and checks a whole body; every fault comes in one answer. `find` looks a ladder up
    /// by name.
    pub fn from_json(bytes: &[u8], find: impl Fn(&str) -> Option<Ladder>) -> Result<Self, Vec<FieldError>> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            vec![FieldError::new("", format!("byte {} is not UTF-8", error.valid_up_to()), "send JSON in UTF-8")]
        })?;
        let value: serde_json::Value = serde_json::from_str(text)
            .map_err(|error| vec![FieldError::new("", format!("not JSON: {error}"), "send a JSON object")])?;
        let submission: Submission = read_strict(value)?;
        submission.check(find)
    }
}

impl Submission {
    /// Checks every field.
    pub fn check(self, find: impl Fn(&str) -> Option<Ladder>) -> Result<CheckedSubmission, Vec<FieldError>> {
        let mut errors = Vec::new();
        let source = Source::parse(&self.source)
            .map_err(|error| {
                errors.push(FieldError::new("/source", error.to_string(), "give an address that is taken"))
            })
            .ok();
        let ladder = self.ladder.find(find, &mut errors);
        let tenant = self.tenant.and_then(|tenant| {
            tenant
                .parse::<Tenant>()
                .map_err(|error| errors.push(FieldError::new("/tenant", error.to_string(), "correct the name")))
                .ok()
        });
        if self.priority == Priority::Live {
            errors.push(FieldError::new("/priority", "live is for channels", "use urgent, standard or bulk"));
        }
        match (source, ladder) {
            (Some(source), Some(ladder)) if errors.is_empty() => {
                Ok(CheckedSubmission { source, ladder, tenant, priority: self.priority })
            }
            _ => Err(errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_comes_in_one_answer() {
        let body = br#"{"source":"ftp://h/x","ladder":{"name":"l","gop_s":2,"segment_s":4,"video":[{"name":"v","codec":"h264","height":1,"quality":20}]},"tenant":"A","priority":"live"}"#;
        let errors = CheckedSubmission::from_json(body, |_| None).expect_err("four faults");
        let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/source", "/ladder/video/0/height", "/tenant", "/priority"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        for bad in [&b"\xff\xfe"[..], b"", b"[]", b"{", br#"{"source":"/a","x":1}"#] {
            assert!(CheckedSubmission::from_json(bad, |_| None).is_err());
        }
    }
}
