//! What stands between a stored object and a viewer: tokens, the keys they are signed with, revocations, tags, purges,
//! and what edges say of themselves.

mod audit;
mod claims;
mod documents;
mod edge;
mod edge_load;
mod key;
mod path;
mod purge;
mod purge_view;
mod revocation;
mod sessions;
mod tags;
mod tenant;
mod viewing;

pub use audit::{
    AUDIT_ADDRESSES_MAX, AUDIT_PATHS_MAX, AUDIT_QUARTERS, AUDIT_VERSION, AuditAddress, AuditRecord, AuditedAct,
    address_key, audit_quarter, audited_in, entry_of,
};
pub use claims::{
    ACCOUNT_CHARS_MAX, Address, Claims, ClaimsError, LIST_MAX, Network, PATH_CHARS_MAX, Paths, Region,
    SESSION_CHARS_MAX, Yields,
};
pub use documents::{
    AccountView, AuditView, CLOCK_SKEW_S, LIFETIME_S_MAX, LIFETIME_S_MIN, OVERLAP_S, RENEWAL_GRACE_S, RenewRequest,
    RevocationView, RevokeRequest, TenantView, TokenFormat, TokenIssued, TokenKeyRequest, TokenKeyState, TokenKeyView,
    TokenRequest,
};
pub use edge::{EDGE_VERSION, EdgeRecord};
pub use edge_load::{EDGE_LOAD_VERSION, EdgeLoad, Place};
pub use key::{Algorithm, KID_CHARS_MAX, SIGNING_KEY_VERSION, SigningKey, TOKEN_KEY_VERSION, TokenKey};
pub use path::{PathError, canonical};
pub use purge::{
    AdapterState, AdapterStatus, PURGE_AGE_MAX, PURGE_VERSION, Purge, PurgeCause, PurgeId, PurgeState, PurgeStatus,
    Receipt, TAGS_MAX, TagError, check_tag,
};
pub use purge_view::{EdgeLoadView, EdgeView, PurgeAccepted, PurgeReport, PurgeRequest, PurgeView};
pub use revocation::{REVOCATION_AGE_MAX, REVOCATION_VERSION, Revocation, Revoked};
pub use sessions::{NoSeat, Out, SEAT_MS, SESSIONS_VERSION, Seat, Sessions, sessions_key};
pub use tags::tags_of;
pub use tenant::{
    ACCOUNT_VERSION, AccountDocument, AccountRecord, Accounts, AddressBinding, DEPTH_MAX, PACKAGES_MAX, Package,
    REGIONS_MAX, Standing, TENANT_VERSION, TenantDocument, TenantRecord, account_key, accounts_of, is_account,
};
pub use viewing::viewing;
