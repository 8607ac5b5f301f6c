//! What has been fetched: in memory, and on disk where there is one. Many who ask for one thing wait for one fetch.

mod entry;
mod flights;
mod shelf;

pub use entry::{Age, Entry, Object};
pub use flights::{Answer, Cache, Served};
pub use shelf::{Shelf, ShelfError};
