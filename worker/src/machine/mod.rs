//! The machine: what it can encode with, and how loaded it is.
//!
//! `inventory` is taken once, when a worker starts; `readings` follow every second. `gpu` asks the
//! NVIDIA driver, `models` knows what the driver does not tell. `script` stands in for GPUs that are not
//! there.

pub mod gpu;
pub mod inventory;
pub(crate) mod models;
pub mod now;
pub(crate) mod readings;
pub(crate) mod recheck;
pub mod script;
