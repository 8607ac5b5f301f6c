//! A whole farm in one process tree: its own NATS and store where no others are named, and every
//! role. Also the roles one by one.

pub mod data;
pub mod machine;
pub mod nats;
mod nats_config;
pub mod node;
pub mod roles;
pub mod start;
pub mod startup;
