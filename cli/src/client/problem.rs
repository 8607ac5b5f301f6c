//! A problem document (RFC 9457) as a message with an exit code. Pure.

use framemill_schemas::api::Problem;

use crate::exit::{CliError, Exit};

/// The kind of a refused token.
const TOKEN_REFUSED: &str = "urn:framemill:problem:token-refused";

/// The exit code of an HTTP status.
pub const fn exit_of(status: u16) -> Exit {
    match status {
        400 | 413 | 415 | 422 => Exit::Usage,
        404 | 410 => Exit::NotFound,
        401 | 403 | 405..=409 | 412 | 423 | 429 => Exit::Refused,
        _ => Exit::Failed,
    }
}

/// What an answer that is not a good one says.
pub fn to_error(status: u16, body: &[u8], place: &str, has_key: bool) -> CliError {
    let exit = exit_of(status);
    let problem = serde_json::from_slice::<Problem>(body);
    // A viewer's token that is refused is no matter of keys.
    let of_key = !problem.as_ref().is_ok_and(|problem| problem.kind == TOKEN_REFUSED);
    let error = match problem {
        Ok(problem) => {
            let what = if problem.detail.is_empty() { problem.title } else { problem.detail };
            CliError::new(exit, what).at(place).faults(problem.errors)
        }
        Err(_) => CliError::new(exit, format!("the API answered with status {status}")).at(place),
    };
    match status {
        401 if !of_key => error,
        401 if has_key => error.mend("check FRAMEMILL_API_KEY: the key is unknown or was revoked"),
        401 => error.mend("set FRAMEMILL_API_KEY to a key of this farm"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_their_exit_codes() {
        for (status, exit) in [
            (400, Exit::Usage),
            (401, Exit::Refused),
            (403, Exit::Refused),
            (404, Exit::NotFound),
            (409, Exit::Refused),
            (413, Exit::Usage),
            (422, Exit::Usage),
            (429, Exit::Refused),
            (500, Exit::Failed),
            (503, Exit::Failed),
        ] {
            assert_eq!(exit_of(status), exit, "{status}");
        }
    }

    #[test]
    fn every_fault_of_a_submission_is_shown() {
        let body = br#"{"type":"urn:x","title":"t","status":422,"detail":"two faults","errors":[
            {"pointer":"/source","detail":"a","mend":"b"},{"pointer":"/ladder","detail":"c","mend":"d"}]}"#;
        let error = to_error(422, body, "http://h/v1/assets", false);
        assert_eq!((error.exit, error.what.as_str(), error.faults.len()), (Exit::Usage, "two faults", 2));
    }

    #[test]
    fn only_a_key_that_is_refused_is_mended_by_another() {
        for (kind, mended) in [("unauthorized", true), ("token-refused", false)] {
            let body = format!(r#"{{"type":"urn:framemill:problem:{kind}","title":"t","status":401,"detail":"d"}}"#);
            let error = to_error(401, body.as_bytes(), "http://h/", false);
            assert_eq!((error.exit, error.mend.is_some()), (Exit::Refused, mended), "{kind}");
        }
    }

    #[test]
    fn an_answer_of_something_else_is_still_a_message() {
        let error = to_error(502, b"<html>", "http://h/", false);
        assert_eq!(error.exit, Exit::Failed);
        assert!(error.what.contains("502"));
    }
}
