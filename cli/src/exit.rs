//! Errors as the operator meets them: what, where and the mend, and the exit code they end with.
//!
//! Never here: how a fault was found. Each command turns what it meets into a [`CliError`].

use std::fmt;

use framemill_schemas::{
    failure::{Class, Failure},
    field_error::FieldError,
};

/// How a command ends when it does not end well. The numbers are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It ran and failed: a bug or an outage.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// The input is at fault.
    Input = 3,
    /// No such thing.
    NotFound = 4,
    /// Refused: no right to it, over a quota, or in conflict with what is.
    Refused = 5,
    /// Gave up waiting.
    GaveUp = 6,
    /// Interrupted by the user.
    Interrupted = 130,
}

/// A fault that ends a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    /// The exit code.
    pub exit: Exit,
    /// What happened.
    pub what: String,
    /// Where: a file, a variable, an address.
    pub place: Option<String>,
    /// What to do about it.
    pub mend: Option<String>,
    /// Every single fault, where a document has several.
    pub faults: Vec<FieldError>,
}

impl CliError {
    /// A fault with only what happened.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), place: None, mend: None, faults: Vec::new() }
    }

    /// It ran and failed.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, what)
    }

    /// Wrong usage or configuration.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// Adds where it happened.
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Adds what to do about it.
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// Adds the single faults of a document.
    pub fn faults(mut self, faults: Vec<FieldError>) -> Self {
        self.faults = faults;
        self
    }

    /// The failure of an asset or a job: its class decides the exit code.
    pub fn of_failure(failure: &Failure, place: impl Into<String>) -> Self {
        let exit = match failure.class {
            Class::Input => Exit::Input,
            Class::Transient | Class::Resource | Class::Bug => Exit::Failed,
        };
        let mut error = Self::new(exit, failure.reason.clone()).at(place);
        error.mend = failure.mend.clone();
        error
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        if let Some(place) = &self.place {
            write!(f, "\n  where: {place}")?;
        }
        for fault in &self.faults {
            write!(f, "\n  - {fault}")?;
        }
        if let Some(mend) = &self.mend {
            write!(f, "\n  mend:  {mend}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CliError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_of_a_failure_decides_the_exit_code() {
        for (class, exit) in [
            (Class::Input, Exit::Input),
            (Class::Transient, Exit::Failed),
            (Class::Resource, Exit::Failed),
            (Class::Bug, Exit::Failed),
        ] {
            assert_eq!(CliError::of_failure(&Failure::new(class, "x", "y"), "z").exit, exit);
        }
    }

    #[test]
    fn what_where_and_mend_come_in_that_order() {
        let error = CliError::usage("unknown key")
            .at("framemill.toml")
            .faults(vec![FieldError::new("/s3/endpont", "unknown key", "remove it")])
            .mend("correct it");
        let text = error.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "error: unknown key",
                "  where: framemill.toml",
                "  - /s3/endpont: unknown key; remove it",
                "  mend:  correct it"
            ]
        );
    }
}
