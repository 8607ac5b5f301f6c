//! The machine: what it can encode with, and how loaded it is.
//!
//! `inventory` is taken once, when a worker starts; `readings` follow every second. `gpu` asks the
//! NVIDIA driver, `models` knows what the driver does not tell.

pub(crate) mod gpu;
pub mod inventory;
pub(crate) mod models;
pub(crate) mod readings;
