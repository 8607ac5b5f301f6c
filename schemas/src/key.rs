//! Job keys: blake3 of everything that determines an output.

use crate::{spec::JobSpec, wire};

/// Version of the recipe: raised when the same spec would give other bytes.
const RECIPE: u32 = 1;

/// The key of a spec in a round. Two jobs with the same key may adopt each other's objects.
pub fn job_key(spec: &JobSpec, round: u32) -> String {
    let bytes = wire::encode(&(RECIPE, round, spec)).expect("a spec made by the planner fits a record");
    blake3::hash(&bytes).to_hex().to_string()
}

/// Digest of an object's bytes, as it is recorded everywhere.
pub fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
