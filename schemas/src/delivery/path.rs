//! The one form of a path. What is verified, looked up and fetched is the same string.

use crate::object::is_plain_part;

/// Longest path that is looked at.
const CHARS_MAX: usize = 1024;
/// Folders of what viewers may ask for.
const ROOTS: [&str; 2] = ["live", "vod"];

/// Why a path is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It is not in its plain form: it has escapes, empty or dotted parts, or characters no name has. It is refused
    /// and not mended, because whoever stands in front might mend it in another way.
    #[error("the path is not in its plain form")]
    NotPlain,
    /// Nothing that viewers get lies there.
    #[error("there is nothing for viewers below that folder")]
    NotOurs,
}

/// Takes the path of a request as it came; returns it when it is in its plain form: `/live/...` or `/vod/...`, parts of
/// letters, digits, `-`, `_` and `.`, none empty and none that begins with a dot. Names of objects have nothing else, so
/// no escape (`%2e`), no `//`, `..`, `;`, backslash or NUL is ever needed to name one.
///
/// # Errors
/// What is wrong with it.
pub fn canonical(path: &str) -> Result<&str, PathError> {
    let rest = path.strip_prefix('/').ok_or(PathError::NotPlain)?;
    if path.len() > CHARS_MAX {
        return Err(PathError::NotPlain);
    }
    let mut parts = rest.split('/');
    if !parts.clone().all(is_plain_part) {
        return Err(PathError::NotPlain);
    }
    if !parts.next().is_some_and(|root| ROOTS.contains(&root)) {
        return Err(PathError::NotOurs);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plain_form_passes() {
        for good in ["/live/acme/news/master.m3u8", "/vod/acme/1/g1-00c0ffee/720p/1.m4s", "/live"] {
            assert_eq!(canonical(good), Ok(good));
        }
        for bad in [
            "",
            "live/x",
            "/live/",
            "/live//x",
            "//live/x",
            "/live/./x",
            "/live/../vod/x",
            "/live/..;/x",
            "/live/%2e%2e/x",
            "/live/%2E%2e/x",
            "/live%2Fx",
            "/live/a%252fb",
            "/live/a;b",
            "/live/a b",
            "/live/a\\b",
            "/live/a\0",
            "/live/å",
            "/live/x?y",
            "/live/x#y",
            "/live/.hidden",
            "/live/a+b",
            "/live/a:b",
            "/live/a@b",
            "/live/x/",
        ] {
            assert_eq!(canonical(bad), Err(PathError::NotPlain), "{bad}");
        }
        for other in ["/", "/LIVE/x", "/metrics", "/index/x"] {
            assert!(canonical(other).is_err(), "{other}");
        }
        assert!(canonical(&format!("/live/{}", "a".repeat(CHARS_MAX))).is_err());
    }
}
