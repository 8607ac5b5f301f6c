//! Tokens that no honest issuer makes, well signed with a key of the world.
#![allow(dead_code)]

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ciborium::{Value, cbor};
use ring::hmac;

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn mac(secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
}

/// A JSON web token of this header and payload.
pub fn jwt(secret: &[u8], header: &str, payload: &str) -> String {
    let message = format!("{}.{}", b64(header), b64(payload));
    format!("{message}.{}", b64(mac(secret, message.as_bytes())))
}

/// A compact token of these fields.
pub fn compact(secret: &[u8], message: &str) -> String {
    let hex: String = mac(secret, message.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{message}~hmac={hex}")
}

pub fn cbor_bytes(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// `COSE_Mac0` of these headers and payload, without tags.
pub fn mac0(secret: &[u8], protected: &[u8], unprotected: Value, payload: &[u8]) -> Value {
    let to_be_maced =
        cbor!(["MAC0", Value::Bytes(protected.to_vec()), Value::Bytes(vec![]), Value::Bytes(payload.to_vec())]);
    let tag = mac(secret, &cbor_bytes(&to_be_maced.unwrap()));
    Value::Array(vec![Value::Bytes(protected.to_vec()), unprotected, Value::Bytes(payload.to_vec()), Value::Bytes(tag)])
}

pub fn tagged(tag: u64, value: Value) -> Value {
    Value::Tag(tag, Box::new(value))
}

/// A Common Access Token with this payload and the usual headers.
pub fn cat(secret: &[u8], kid: &str, payload: &[u8]) -> String {
    let protected = cbor_bytes(&Value::Map(vec![(1.into(), 5.into()), (4.into(), Value::Bytes(kid.into()))]));
    b64(cbor_bytes(&tagged(61, tagged(17, mac0(secret, &protected, Value::Map(vec![]), payload)))))
}
