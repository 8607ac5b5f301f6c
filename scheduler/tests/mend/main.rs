//! What keeps a farm in order: repairs, collection, races between schedulers, restores from old
//! copies. A real nats-server and the embedded store; the workers are hands that put small
//! objects where segments would be.
#![allow(clippy::unwrap_used)]

mod garbage;
mod gpus;
mod hands;
mod races;
mod repair;
mod restore;
mod world;
