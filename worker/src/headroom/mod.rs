//! Headroom: what a node can still take without hurting what it runs.
//!
//! `ceilings` is what an operator sets, `device` what a GPU can do, `cost` what a job takes of it.
//! `choose` decides (pure), `learn` corrects predictions, `starts` keeps processes from starting at once,
//! `xid` knows what a GPU's errors mean. `devices` is what a job meets. `room` is the shell: it hands the queue's questions on with the
//! readings of now.

mod ceilings;
mod choose;
mod cost;
mod device;
mod devices;
mod learn;
mod room;
mod starts;
mod xid;

pub use ceilings::HeadroomConfig;
pub(crate) use cost::WHOLE;
pub use cost::{Cost, Grant};
pub use device::{Device, Node};
pub use devices::Devices;
pub(crate) use devices::FULL;
pub use room::{Headroom, Seated};
