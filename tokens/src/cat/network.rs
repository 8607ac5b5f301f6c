//! Networks in CBOR (RFC 9164), as `catnip` has them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ciborium::Value;
use framemill_schemas::delivery::Network;

use crate::Refusal;

/// Tags of addresses (RFC 9164, clause 3).
const TAG_V4: u64 = 52;
const TAG_V6: u64 = 54;
/// What is not read: numbers of autonomous systems, and addresses with an interface.
const UNSUPPORTED: Refusal = Refusal::Unsupported("catnip");

/// Takes one entry of `catnip`. A prefix is an array of its bits and bytes (clause 3.1.2); some write a map from the one
/// to the other, which is read too.
pub(super) fn read(value: &Value) -> Result<Network, Refusal> {
    let Value::Tag(tag @ (TAG_V4 | TAG_V6), inner) = value else { return Err(UNSUPPORTED) };
    let is_v4 = *tag == TAG_V4;
    match inner.as_ref() {
        Value::Bytes(bytes) if bytes.len() == if is_v4 { 4 } else { 16 } => Ok(Network::exact(address(is_v4, bytes)?)),
        Value::Array(items) => match items.as_slice() {
            [Value::Integer(bits), Value::Bytes(bytes)] => prefix(is_v4, (*bits).try_into().ok(), bytes),
            _ => Err(UNSUPPORTED),
        },
        Value::Map(entries) => match entries.as_slice() {
            [(Value::Integer(bits), Value::Bytes(bytes))] => prefix(is_v4, (*bits).try_into().ok(), bytes),
            _ => Err(UNSUPPORTED),
        },
        _ => Err(Refusal::Malformed),
    }
}

/// Zeros at the end are left out, and what is beyond the bits has to be zero.
fn prefix(is_v4: bool, bits: Option<u8>, bytes: &[u8]) -> Result<Network, Refusal> {
    let bits = bits.ok_or(Refusal::Malformed)?;
    let address = address(is_v4, bytes)?;
    // An IPv4 address inside IPv6 is an IPv4 address to us, and its bits would be counted from elsewhere.
    let network = Network::new(address, bits).filter(|network| network.address() == address);
    network.ok_or(Refusal::Malformed)
}

fn address(is_v4: bool, bytes: &[u8]) -> Result<IpAddr, Refusal> {
    fn padded<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Refusal> {
        let mut all = [0; N];
        all.get_mut(..bytes.len()).ok_or(Refusal::Malformed)?.copy_from_slice(bytes);
        Ok(all)
    }
    Ok(if is_v4 { Ipv4Addr::from(padded::<4>(bytes)?).into() } else { Ipv6Addr::from(padded::<16>(bytes)?).into() })
}

/// Takes a network; returns its entry: an address alone, or the array.
pub(super) fn write(network: &Network) -> Value {
    let (tag, mut bytes, whole) = match network.address() {
        IpAddr::V4(v4) => (TAG_V4, v4.octets().to_vec(), 32),
        IpAddr::V6(v6) => (TAG_V6, v6.octets().to_vec(), 128),
    };
    if network.bits() == whole {
        return Value::Tag(tag, Box::new(Value::Bytes(bytes)));
    }
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    Value::Tag(tag, Box::new(Value::Array(vec![network.bits().into(), Value::Bytes(bytes)])))
}
