//! A token of the farm's own: what a diagnosis shows to edges, to be let in as a viewer is. It is handed to nobody, opens
//! one channel, and ends at once. No account has it, so the trail of accounts has no entry of it.

use framemill_schemas::{
    delivery::{Address, Claims, Paths, Yields},
    field_error::FieldError,
    ids::Tenant,
};
use framemill_tokens::{Format, More};
use uuid::Uuid;

use super::{Delivery, TokenError};

/// How long it opens something, seconds: longer than a diagnosis takes.
const VALID_S: i64 = 30;
/// Whose it is: nobody's.
const ACCOUNT: &str = "framemill-diagnose";

impl Delivery {
    /// Takes a folder of a tenant; returns the beginning of the path that opens what lies there. Guards: a key of the
    /// tenant's signs it, as it does for viewers.
    pub async fn probe_prefix(&self, tenant: &Tenant, folder: &str, now_ms: i64) -> Result<String, TokenError> {
        let issued_s = now_ms.div_euclid(1000);
        let paths = Paths::try_from(vec![folder.to_owned()]).map_err(|error| {
            TokenError::Faults(vec![FieldError::new("/paths", error.why, "name a folder of the tenant")])
        })?;
        let claims = Claims {
            tenant: tenant.clone(),
            account: ACCOUNT.to_owned(),
            session: format!("diagnose-{}", Uuid::new_v4()),
            paths,
            regions: Vec::new(),
            origins: Vec::new(),
            address: Address::Any,
            not_before_s: 0,
            expires_s: issued_s.saturating_add(VALID_S),
            sessions_max: 0,
            yields: Yields::default(),
        };
        self.signed(&claims, Format::Jwt, &More::default(), issued_s, now_ms).await.map(|issued| issued.prefix)
    }
}
