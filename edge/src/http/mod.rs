//! HTTP: the listener, what a request asks for, and what it gets.

mod access_log;
mod answer;
mod asked;
mod body;
mod cors;
mod crowd;
mod guard;
mod handle;
mod peer;
mod renewed;
mod report;
mod serve;
mod tag_header;
mod tarpit;
mod tls;

pub use access_log::{AccessLog, Addresses};
pub use answer::{Body, content};
pub use asked::{Carriage, ROUTE};
pub use cors::Cors;
pub use crowd::Crowd;
pub use guard::Guard;
pub use handle::Edge;
pub use peer::Proxies;
pub use renewed::address;
pub use report::REPORTS_MAX;
pub use serve::serve;
pub use tag_header::TagHeader;
pub use tarpit::Tarpit;
pub use tls::Certificate;
