//! CBOR (RFC 8949) from people nobody knows. What is here looks over the bytes before anything is built from them, so
//! that no length that is only claimed and no nesting costs memory or stack. Never here: what the values mean.

use ciborium::Value;

use crate::Refusal;

/// Deepest nesting: a token has six (two tags, an array; in its payload a map with a map with a map).
const DEPTH_MAX: usize = 8;
/// Most items of one structure.
const ITEMS_MAX: usize = 512;
/// Most entries of one map.
const ENTRIES_MAX: usize = 64;
/// Additional information that stands for a length to come (RFC 8949, clause 3): none is allowed.
const INDEFINITE: u8 = 31;

/// Takes bytes; returns the one value that they are. Guards: definite lengths, all there; depth and number of items;
/// nothing after it; no key twice in any map.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, Refusal> {
    look_over(bytes).ok_or(Refusal::Malformed)?;
    let value = ciborium::from_reader(bytes).map_err(|_| Refusal::Malformed)?;
    if is_unambiguous(&value) { Ok(value) } else { Err(Refusal::Malformed) }
}

/// Takes a value; returns its bytes, in the one form (RFC 8949, clause 4.2) when its maps are in order.
pub(crate) fn write(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    ciborium::into_writer(value, &mut bytes).expect("a vector takes all");
    bytes
}

/// Walks over the bytes once without keeping anything but how many items each level waits for.
fn look_over(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes;
    let mut waiting = [0_usize; DEPTH_MAX];
    let mut depth = 0;
    for _ in 0..ITEMS_MAX {
        let (major, argument) = head(&mut rest)?;
        let inside = match major {
            // Integers, and simple values and floats.
            0 | 1 | 7 => 0,
            // Bytes and text.
            2 | 3 => {
                rest = rest.get(argument..)?;
                0
            }
            // Every item has a byte at least.
            4 if argument <= rest.len() => argument,
            5 if argument <= rest.len() / 2 => argument * 2,
            6 => 1,
            _ => return None,
        };
        if inside > 0 {
            *waiting.get_mut(depth)? = inside;
            depth += 1;
            continue;
        }
        // That was the last of its level, and maybe of those above.
        while depth > 0 {
            waiting[depth - 1] -= 1;
            if waiting[depth - 1] > 0 {
                break;
            }
            depth -= 1;
        }
        if depth == 0 {
            return rest.is_empty().then_some(());
        }
    }
    None
}

/// The head of an item (RFC 8949, clause 3): its major type and argument.
fn head(rest: &mut &[u8]) -> Option<(u8, usize)> {
    let (&first, after) = rest.split_first()?;
    *rest = after;
    let (major, short) = (first >> 5, first & INDEFINITE);
    let more = match short {
        0..=23 => return Some((major, short.into())),
        24..=27 => 1 << (short - 24),
        _ => return None,
    };
    let (bytes, after) = rest.split_at_checked(more)?;
    *rest = after;
    let argument = bytes.iter().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
    match major {
        // A number or float, and no length.
        0 | 1 | 6 | 7 => Some((major, 0)),
        _ => Some((major, argument.try_into().ok()?)),
    }
}

/// Whether no map in it has a key twice: which of two counts is the reader's taste.
fn is_unambiguous(value: &Value) -> bool {
    match value {
        Value::Map(entries) => {
            entries.len() <= ENTRIES_MAX
                && entries.iter().enumerate().all(|(index, (key, value))| {
                    entries[..index].iter().all(|(earlier, _)| earlier != key)
                        && is_unambiguous(key)
                        && is_unambiguous(value)
                })
        }
        Value::Array(items) => items.iter().all(is_unambiguous),
        Value::Tag(_, inner) => is_unambiguous(inner),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bombs_are_not_built() {
        let deep = |byte: u8, times: usize| [vec![byte; times], vec![0]].concat();
        let mut many = vec![0x99, 0x03, 0xe8];
        many.extend([0; 1000]);
        for (what, bytes) in [
            ("nothing", vec![]),
            ("deep arrays", deep(0x81, 3000)),
            ("deep tags", deep(0xc1, 3000)),
            ("deep maps", vec![0xa1; 3000]),
            ("nine deep", deep(0x81, DEPTH_MAX + 1)),
            ("many items", many),
            ("long bytes", vec![0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            ("long text", vec![0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            ("long array", vec![0x9b, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff]),
            ("long map", vec![0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            ("indefinite bytes", vec![0x5f, 0x41, 0, 0xff]),
            ("indefinite array", vec![0x9f, 0, 0xff]),
            ("indefinite map", vec![0xbf, 0, 0, 0xff]),
            ("a break alone", vec![0xff]),
            ("reserved lengths", vec![0x1c]),
            ("cut short", vec![0x82, 0x00]),
            ("a head cut short", vec![0x19, 0x00]),
            ("more after it", vec![0x00, 0x00]),
            ("text that is none", vec![0x61, 0xff]),
            ("a key twice", vec![0xa2, 1, 1, 1, 2]),
            ("a key twice, once longer", vec![0xa2, 1, 1, 0x18, 1, 2]),
            ("a key twice, once as a big number", vec![0xa2, 1, 1, 0xc2, 0x41, 1, 2]),
            ("a key twice below", vec![0x81, 0xa1, 0, 0xa2, 0x61, b'a', 1, 0x61, b'a', 2]),
        ] {
            assert_eq!(read(&bytes), Err(Refusal::Malformed), "{what}");
        }
    }

    #[test]
    fn what_is_well_formed_is_read() {
        for bytes in [
            &[0x00][..],
            &[0x80],
            &[0xa0],
            &[0x82, 0x80, 0xa0],
            &[0xa2, 1, 0x81, 0x81, 0x80, 2, 0xa1, 0x61, b'a', 0xf6],
            &[0xd8, 61, 0xd1, 0x81, 0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
        ] {
            let value = read(bytes).unwrap();
            assert_eq!(write(&value), if bytes.len() == 13 { write(&value) } else { bytes.to_vec() });
        }
    }
}
