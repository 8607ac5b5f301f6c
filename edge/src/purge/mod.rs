//! What has been purged, and following what is.

mod follow;
mod table;

pub use follow::{acknowledge, apply};
pub use table::Table;
