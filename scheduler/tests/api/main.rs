//! The API as a client meets it: a real nats-server, the embedded store, and requests over TCP.
#![allow(clippy::unwrap_used)]

mod access;
mod archive;
mod caches;
mod channels;
mod diagnosing;
mod document;
mod events;
mod farm;
mod http;
mod lists;
mod nodes;
mod preview;
mod purges;
mod submission;
mod takedowns;
mod tokens;
mod transitions;
