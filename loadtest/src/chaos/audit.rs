//! Whether the farm kept its promises, judged from outside: records, events, bytes in the store,
//! and processes of the system. Every breach is one finding; nothing is mended here.

pub mod commits;
pub mod fates;
pub mod output;
pub mod remains;
