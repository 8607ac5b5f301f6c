//! Every attack that is known of, one row each: what comes, and why it is refused.
#![allow(clippy::unwrap_used)]

mod cat;
mod cat_claims;
mod cat_more;
mod compact;
#[path = "../world/forge.rs"]
mod forge;
mod jwt;
mod requests;
mod text;
#[path = "../world/mod.rs"]
mod world;

/// A key that forged tokens are well signed with.
const KID: &str = "acme-Hs256";

fn secret(world: &world::World) -> &[u8] {
    &world.signing(KID).signs
}
