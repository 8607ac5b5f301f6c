//! Tokens too long, cut short, or with one bit changed.

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
