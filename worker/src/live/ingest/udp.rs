//! MPEG-TS in datagrams: bare, or in RTP (RFC 2250). Unicast to this machine, or a group that is
//! joined.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use framemill_schemas::{
    failure::{Class, Failure},
    live::{LiveSource, LiveSourceKind},
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::UdpSocket, sync::mpsc};

use super::{
    Ingest,
    address::{not_bound, waited_at},
    gate::From,
};

/// Largest datagram that is taken: IP allows no more.
const DATAGRAM_BYTES_MAX: usize = 65_536;
/// What the kernel keeps while we are not looking: a third of a second at 100 Mbit/s.
pub(super) const KERNEL_BYTES: usize = 4 * 1024 * 1024;
/// How long nothing may come before the socket is made anew: a group may have to be joined again.
const SILENCE: Duration = Duration::from_secs(10);

pub(super) async fn open(_: &Ingest, source: &LiveSource, chunks: mpsc::Sender<Bytes>) -> Result<(), Failure> {
    let at = waited_at(source)?;
    let from = From::of(source);
    let socket = listen(at).map_err(|error| not_bound(source, &error))?;
    let mut buffer = BytesMut::with_capacity(DATAGRAM_BYTES_MAX * 4);
    loop {
        buffer.reserve(DATAGRAM_BYTES_MAX);
        let received = tokio::time::timeout(SILENCE, socket.recv_buf_from(&mut buffer)).await;
        let (_, peer) = match received {
            Err(_) => return Err(silent(source)),
            Ok(Ok(received)) => received,
            Ok(Err(error)) => {
                return Err(Failure::new(Class::Transient, "source-broke", format!("{source} broke off: {error}")));
            }
        };
        let datagram = buffer.split().freeze();
        if !from.lets_through(peer.ip()) {
            continue;
        }
        let packets = if source.kind == LiveSourceKind::Rtp { payload(&datagram) } else { Some(datagram) };
        let Some(packets) = packets else { continue };
        if chunks.send(packets).await.is_err() {
            return Ok(());
        }
    }
}

fn silent(source: &LiveSource) -> Failure {
    let reason = format!("nothing came at {source} for {} s", SILENCE.as_secs());
    Failure::new(Class::Transient, "source-silent", reason).mend("check that it is sent, and to this machine")
}

fn listen(at: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    // Several channels, and the two replicas of a test, may listen to one group.
    socket.set_reuse_address(true)?;
    // As much of it as the system gives.
    let _ = socket.set_recv_buffer_size(KERNEL_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    match at.ip() {
        IpAddr::V4(group) if group.is_multicast() => socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?,
        IpAddr::V6(group) if group.is_multicast() => socket.join_multicast_v6(&group, 0)?,
        _ => {}
    }
    UdpSocket::from_std(socket.into())
}

/// What an RTP packet carries (RFC 3550, clause 5.1); nothing where it is none.
fn payload(packet: &Bytes) -> Option<Bytes> {
    const HEADER_BYTES: usize = 12;
    let first = *packet.first()?;
    if first >> 6 != 2 {
        return None;
    }
    let mut start = HEADER_BYTES + 4 * usize::from(first & 0xf);
    if first & 0x10 != 0 {
        let length = packet.get(start + 2..start + 4)?;
        start += 4 + 4 * usize::from(u16::from_be_bytes([length[0], length[1]]));
    }
    let padding = if first & 0x20 != 0 { usize::from(*packet.last()?) } else { 0 };
    let end = packet.len().checked_sub(padding)?;
    (start < end).then(|| packet.slice(start..end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rtp(first: u8, rest: &[u8]) -> Option<Bytes> {
        let mut packet = vec![first, 33, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend_from_slice(rest);
        payload(&Bytes::from(packet))
    }

    #[test]
    fn an_rtp_packet_gives_what_it_carries() {
        let bytes = |text: &'static [u8]| Some(Bytes::from_static(text));
        assert_eq!(rtp(0x80, b"GTS"), bytes(b"GTS"));
        assert_eq!(rtp(0x81, b"csrcGTS"), bytes(b"GTS"), "one contributor");
        assert_eq!(rtp(0x90, &[b"ex\0\x01word".as_slice(), b"GTS"].concat()), bytes(b"GTS"), "an extension");
        assert_eq!(rtp(0xa0, b"GTS\0\0\x03"), bytes(b"GTS"), "padding");
        for (first, rest) in [(0x80, &b""[..]), (0x40, b"GTS"), (0x8f, b"short"), (0xa0, b"\xff")] {
            assert_eq!(rtp(first, rest), None, "{first:x}");
        }
    }

    proptest! {
        #[test]
        fn no_packet_breaks_it(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            payload(&Bytes::from(bytes));
        }
    }
}
