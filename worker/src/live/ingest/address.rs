//! Which addresses a channel may be read from: the rules of all sources, asked of what a name means
//! at the moment of opening.

use std::net::SocketAddr;

use framemill_schemas::{
    failure::{Class, Failure},
    live::LiveSource,
};

use super::Ingest;
use crate::source::may_read_from;

/// The address of a source that is called, judged.
///
/// Fails as `input` (`source-refused`, `source-unknown-host`).
pub(super) async fn called(ingest: &Ingest, source: &LiveSource) -> Result<SocketAddr, Failure> {
    let (host, port) = host_port(source)?;
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|_| {
            Failure::input("source-unknown-host", format!("{source}: the name {host:?} has no address"))
                .mend("correct the name, or wait for its owner to")
        })?
        .collect();
    let allowed = found.iter().copied().find(|address| may_read_from(&ingest.sources, host, address.ip()));
    allowed.ok_or_else(|| {
        Failure::input("source-refused", format!("{source} is refused: {host} is not on a public address")).mend(
            format!("give an address on the public internet, or let the operator add {host:?} to sources.allow_hosts"),
        )
    })
}

/// The address that we wait at: one of this machine's own, a group, or all of them.
pub(super) fn waited_at(source: &LiveSource) -> Result<SocketAddr, Failure> {
    let (host, port) = host_port(source)?;
    host.parse().map(|host| SocketAddr::new(host, port)).map_err(|_| {
        Failure::input("source-bad-address", format!("{source}: {host:?} is no IP address"))
            .mend("give the address of a group or of this machine, or 0.0.0.0")
    })
}

/// Why nothing can be listened for at the address of a source.
pub(super) fn not_bound(source: &LiveSource, error: &std::io::Error) -> Failure {
    Failure::new(Class::Resource, "source-not-bound", format!("{source} cannot be listened at: {error}"))
        .mend("free the port, or give the channel an address of this machine")
}

fn host_port(source: &LiveSource) -> Result<(&str, u16), Failure> {
    source.host_port().ok_or_else(|| Failure::input("source-bad-address", format!("{source} has no host and port")))
}
