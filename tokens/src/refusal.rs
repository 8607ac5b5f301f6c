//! Why a viewer is not let in. Names no part of a token and no key: it goes into logs and answers.

/// Why a viewer is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// There is no token.
    #[error("there is no token")]
    Missing,
    /// It is in none of the formats, or not in the one form of its format.
    #[error("the token is not well formed")]
    Malformed,
    /// It is longer than [`crate::TOKEN_CHARS_MAX`]. Nothing of it was read.
    #[error("the token is too long")]
    Oversized,
    /// It names no key, or none that is known here.
    #[error("the token's key is not known")]
    UnknownKey,
    /// It says another algorithm than its key has, or its format has none such.
    #[error("the token's algorithm is not its key's")]
    Algorithm,
    /// It was not signed with the key that it names, or was changed since.
    #[error("the token's signature is not good")]
    Signature,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// It says no time of issue, or lives longer than [`crate::LIFETIME_S_MAX`]: a revocation would be forgotten first.
    #[error("the token is valid for too long")]
    TooLong,
    /// Its key is used no more.
    #[error("the token's key is retired")]
    Retired,
    /// It speaks for a tenant that is not its key's.
    #[error("the token's key is another tenant's")]
    Tenant,
    /// It names paths that its key must not.
    #[error("the token names more than its key may")]
    Scope,
    /// The path is not among its paths.
    #[error("the token is not for this path")]
    Path,
    /// The viewer's address is not the one that it is bound to.
    #[error("the token is bound to another address")]
    Address,
    /// The page that asks is none of its pages.
    #[error("the token is not for this page")]
    Origin,
    /// The viewer is in none of its regions, or nobody knows where.
    #[error("the token is not for this region")]
    Region,
    /// The method is none of its methods.
    #[error("the token is not for this method")]
    Method,
    /// It asks for something to be enforced that is not built here. Names the claim.
    #[error("the token's {0} cannot be enforced here")]
    Unsupported(&'static str),
}

impl Refusal {
    /// A label for metrics: few, fixed, without the claim's name.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Oversized => "oversized",
            Self::UnknownKey => "unknown-key",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYet => "not-yet",
            Self::TooLong => "too-long",
            Self::Retired => "retired",
            Self::Tenant => "tenant",
            Self::Scope => "scope",
            Self::Path => "path",
            Self::Address => "address",
            Self::Origin => "origin",
            Self::Region => "region",
            Self::Method => "method",
            Self::Unsupported(_) => "unsupported",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_few_fixed_and_written_alike() {
        let all = [
            Refusal::Missing,
            Refusal::Malformed,
            Refusal::Oversized,
            Refusal::UnknownKey,
            Refusal::Algorithm,
            Refusal::Signature,
            Refusal::Expired,
            Refusal::NotYet,
            Refusal::TooLong,
            Refusal::Retired,
            Refusal::Tenant,
            Refusal::Scope,
            Refusal::Path,
            Refusal::Address,
            Refusal::Origin,
            Refusal::Region,
            Refusal::Method,
            Refusal::Unsupported("catif"),
        ];
        let reasons: std::collections::BTreeSet<_> = all.iter().map(Refusal::reason).collect();
        assert_eq!(reasons.len(), all.len());
        assert!(reasons.iter().all(|reason| reason.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')));
        let reference = include_str!("../../docs/ref/tokens.md");
        assert!(reasons.iter().all(|reason| reference.contains(&format!("`{reason}`"))), "the reference names each");
    }
}
