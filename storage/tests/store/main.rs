//! The store against real stores: the embedded one, SeaweedFS, and any other that
//! `FRAMEMILL_TEST_S3__*` names; and against stores that fail.
#![allow(clippy::unwrap_used, missing_docs)]

mod embedded;
mod failing;
mod local;
mod outage;
mod outside;
mod proxy;
mod seaweedfs;
mod suite;
