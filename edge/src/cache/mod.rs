//! What has been fetched: in memory, and on disk where there is one. Many who ask for one thing wait for one fetch.

mod arriving;
mod entry;
mod flights;
mod shelf;

pub use arriving::{Arriving, BrokenOff, Pouring};
pub use entry::{Age, Entry, Object};
pub use flights::{Answer, Cache, Served};
pub use shelf::{Shelf, ShelfError};
