//! Documents of the API about tokens: what is asked, and what is answered. Secrets come in by one of them and go out
//! by none.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{AccountDocument, Algorithm, AuditedAct, TenantDocument, Yields};
use crate::ids::{AssetId, ChannelId, Tenant};

/// Seconds that a token is valid at least, and at most.
pub const LIFETIME_S_MIN: u32 = 30;
/// Seconds that a token is valid at most.
pub const LIFETIME_S_MAX: u32 = 3600;
/// A token that expired no longer ago than this is still renewed, seconds.
pub const RENEWAL_GRACE_S: i64 = 60;
/// How far clocks may be apart, seconds.
pub const CLOCK_SKEW_S: i64 = 60;
/// How long a key that was replaced goes on verifying, seconds: until the last of its tokens cannot be renewed.
pub const OVERLAP_S: i64 = LIFETIME_S_MAX as i64 + RENEWAL_GRACE_S + CLOCK_SKEW_S;

/// Body of `POST /v1/token-keys`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenKeyRequest {
    /// Whose viewers it speaks for; left out: the caller's tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// How it signs.
    pub algorithm: Algorithm,
    /// What its tokens may name at most; left out: everything of the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<String>>,
    /// Its id in tokens; left out: a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// A secret that another CDN has already (`hs256`, base64, 32 to 64 bytes); left out: a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Leave the tenant's other keys in use, instead of retiring them once their last token is over.
    #[serde(default)]
    pub keep: bool,
}

impl fmt::Debug for TokenKeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeyRequest")
            .field("tenant", &self.tenant)
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// A key as it is listed. Nothing of it signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TokenKeyView {
    /// Its id in tokens.
    pub kid: String,
    /// Whose viewers it speaks for.
    pub tenant: Tenant,
    /// How it signs.
    pub algorithm: Algorithm,
    /// What its tokens may name at most.
    pub scope: Vec<String>,
    /// Made, Unix milliseconds.
    pub created_ms: i64,
    /// From then on its tokens are refused, Unix milliseconds; absent: it is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_ms: Option<i64>,
    /// What it does now.
    pub state: TokenKeyState,
    /// What verifies its tokens, base64url: the uncompressed point, or the public key. Absent where that is a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<String>,
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenKeyState {
    /// It is in use: the newest of a tenant signs.
    Used,
    /// It verifies for a while, and signs nothing.
    Retiring,
    /// Its tokens are refused.
    Retired,
}

impl TokenKeyState {
    /// As in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
        }
    }
}

/// How a token is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenFormat {
    /// A JSON Web Token (RFC 7519).
    #[default]
    Jwt,
    /// The short form for HMAC keys.
    Compact,
    /// A Common Access Token (CTA-5007-B).
    Cat,
}

/// Body of `POST /v1/tokens`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenRequest {
    /// Whose viewer it is; left out: the caller's tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The viewer's account.
    pub account: String,
    /// What is to be watched, as paths: one object, or with a slash at its end all below a folder.
    pub paths: Vec<String>,
    /// The same, as channels of the tenant.
    pub channels: Vec<ChannelId>,
    /// The same, as titles of the tenant.
    pub assets: Vec<AssetId>,
    /// The viewer's address, as whoever asks sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// Where the viewer is (ISO 3166-1 alpha-2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Pages that may use it (`https://tv.example`); empty: any.
    pub origins: Vec<String>,
    /// Seconds it is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u32>,
    /// How it is written.
    pub format: TokenFormat,
    /// Most sessions of the account at once; left out: as the account or its tenant says; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_max: Option<u32>,
    /// Which session yields when there are more; left out: as the tenant says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub yields: Option<Yields>,
    /// The session it goes on with; left out: a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

/// A token, with the ways to send it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TokenIssued {
    /// The token.
    pub token: String,
    /// Valid until, Unix seconds.
    pub expires_s: i64,
    /// The session; stays the same when it is renewed.
    pub session: String,
    /// The key that signed it.
    pub kid: String,
    /// What it holds.
    pub paths: Vec<String>,
    /// Put before the path of an address: relative addresses in playlists carry it on by themselves.
    pub prefix: String,
    /// The same as a query.
    pub query: String,
    /// The same as a header.
    pub header: String,
}

impl fmt::Debug for TokenIssued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssued").field("session", &self.session).field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Body of `POST /v1/tokens/renew`, where the token itself is what lets the caller in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// The token: valid, or expired no longer than a minute ago.
    pub token: String,
    /// Seconds the next one is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u32>,
}

impl fmt::Debug for RenewRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RenewRequest").field("ttl_s", &self.ttl_s).finish_non_exhaustive()
    }
}

/// Body of `POST /v1/tokens/revoke`: a session, or an account with all sessions it has now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RevokeRequest {
    /// Whose viewer it is; left out: the caller's tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// A revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RevocationView {
    /// Whose viewer it is.
    pub tenant: Tenant,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Tokens issued until then are refused, Unix milliseconds.
    pub until_ms: i64,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TenantView {
    /// Its id.
    pub tenant: Tenant,
    /// What it is.
    #[serde(flatten)]
    pub document: TenantDocument,
    /// Written, Unix milliseconds.
    pub changed_ms: i64,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AccountView {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its name.
    pub account: String,
    /// What it has.
    #[serde(flatten)]
    pub document: AccountDocument,
    /// Written, Unix milliseconds.
    pub changed_ms: i64,
}

/// An entry of the audit trail: all that came to the same for one account in one minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditView {
    /// Whose viewer it is.
    pub tenant: Tenant,
    /// The account.
    pub account: String,
    /// Tenant of the key that asked; absent: whoever sat at the machine, or the viewer's own token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Tenant>,
    /// What was asked for.
    pub what: AuditedAct,
    /// Why it was refused; absent: it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The first paths that were asked for.
    pub paths: Vec<String>,
    /// The session of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// When it happened first, Unix milliseconds.
    pub first_ms: i64,
    /// When it happened last, Unix milliseconds.
    pub last_ms: i64,
    /// How often.
    pub count: u64,
    /// Addresses of the viewers, as long as they are kept.
    pub addresses: Vec<String>,
}
