//! What has been purged, and following what is.

pub mod follow;
pub mod table;

pub use table::Table;
