//! Tokens too long, cut short, or with one bit changed.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use framemill_schemas::delivery::Algorithm;
use framemill_tokens::{Format, Refusal, TOKEN_CHARS_MAX, inspect, path_form};

use crate::world::{World, claims, ways};

#[test]
fn sizes() {
    let world = World::new();
    let (most, more) = (TOKEN_CHARS_MAX, TOKEN_CHARS_MAX + 1);
    for letter in ["A", ".", "~", "é", "\0"] {
        assert_eq!(world.verify(&letter.repeat(more)).map(|_| ()), Err(Refusal::Oversized));
        assert_eq!(world.verify(&letter.repeat(most / letter.len())).map(|_| ()), Err(Refusal::Malformed));
    }
    assert_eq!(world.verify("").map(|_| ()), Err(Refusal::Missing));
}

#[test]
fn cut_short_or_one_bit_changed() {
    let world = World::new();
    for (format, algorithm) in ways() {
        let token = world.sign(format, algorithm, &claims());
        for token in [path_form(&token).into_owned(), token] {
            for end in 0..token.len() {
                assert!(world.verify(&token[..end]).is_err(), "{format:?} {algorithm:?} {end}");
                // The first four letters are the two tags, which may be left out.
                let is_untagged = format == Format::Cat && end == 3;
                assert_eq!(world.verify(&token[end + 1..]).is_ok(), is_untagged, "{format:?} {algorithm:?} from {end}");
                inspect(&token[..end]);
            }
            for bit in 0..token.len() * 8 {
                let mut bytes = token.clone().into_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                // What is no text cannot come.
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                assert!(world.verify(&changed).is_err(), "{format:?} {algorithm:?} bit {bit}: {changed}");
            }
            for more in ["A", "=", ".", "~", " ", "\n", "%00"] {
                assert!(world.verify(&format!("{token}{more}")).is_err(), "{format:?} {algorithm:?} {more:?}");
                assert!(world.verify(&format!("{more}{token}")).is_err(), "{format:?} {algorithm:?} {more:?}");
            }
        }
    }
}

/// The order of P-256 (SEC 2, clause 2.4.2).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

#[test]
fn the_twin_of_a_signature_says_the_same() {
    let world = World::new();
    let token = world.sign(Format::Jwt, Algorithm::Es256, &claims());
    let (message, signed) = token.rsplit_once('.').unwrap();
    let mut twin = URL_SAFE_NO_PAD.decode(signed).unwrap();
    // The second half taken from the order.
    let mut borrow = 0;
    for (byte, order) in twin[32..].iter_mut().zip(ORDER).rev() {
        let rest = i16::from(order) - i16::from(*byte) - borrow;
        borrow = i16::from(rest < 0);
        *byte = rest.rem_euclid(256) as u8;
    }
    let twin = format!("{message}.{}", URL_SAFE_NO_PAD.encode(twin));
    assert_ne!(twin, token);
    assert_eq!(world.verify(&twin), world.verify(&token));
    assert_eq!(world.verify(&twin).unwrap().claims, claims());
}
