//! What stands between a stored object and a viewer: tokens, the keys they are signed with, revocations, tags, purges,
//! and what edges say of themselves.

mod claims;
mod edge;
mod key;
mod path;
mod purge;
mod purge_view;
mod revocation;
mod tags;

pub use claims::{
    ACCOUNT_CHARS_MAX, Address, Claims, ClaimsError, LIST_MAX, Network, PATH_CHARS_MAX, Paths, Region,
    SESSION_CHARS_MAX, Yields,
};
pub use edge::{EDGE_VERSION, EdgeRecord};
pub use key::{Algorithm, KID_CHARS_MAX, SIGNING_KEY_VERSION, SigningKey, TOKEN_KEY_VERSION, TokenKey};
pub use path::{PathError, canonical};
pub use purge::{
    AdapterState, AdapterStatus, PURGE_AGE_MAX, PURGE_VERSION, Purge, PurgeCause, PurgeId, PurgeState, PurgeStatus,
    Receipt, TAGS_MAX, TagError, check_tag,
};
pub use purge_view::{EdgeView, PurgeAccepted, PurgeReport, PurgeRequest, PurgeView};
pub use revocation::{REVOCATION_AGE_MAX, REVOCATION_VERSION, Revocation, Revoked};
pub use tags::tags_of;
