//! How records and messages are written: MessagePack maps with field names, so that an old
//! reader skips fields it does not know and a new one fills in fields that are missing.

use std::fmt;

use serde::{
    Deserializer, Serialize,
    de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};

/// Largest record or message; NATS is configured to take a little more.
pub const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why bytes could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A value that does not fit the format.
    #[error("cannot encode the record")]
    Encode(#[from] rmp_serde::encode::Error),
    /// Bytes that are not such a record.
    #[error("cannot decode the record")]
    Decode(#[from] rmp_serde::decode::Error),
    /// A record over [`RECORD_BYTES_MAX`].
    #[error("the record has {bytes} bytes, more than {RECORD_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A record in a newer format than this program knows. It is left as it is: written back
    /// from what an old reader understands of it, it would lose the rest.
    #[error("the record has format {v}, and this program knows formats up to {newest}; bring it to the farm's version")]
    Newer {
        /// Its format.
        v: u32,
        /// The newest that is known.
        newest: u32,
    },
}

/// Writes a record.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, WireError> {
    let bytes = rmp_serde::to_vec_named(value)?;
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(WireError::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes)
}

/// Reads a record of any format up to `newest`.
pub fn decode_up_to<T: DeserializeOwned>(bytes: &[u8], newest: u32) -> Result<T, WireError> {
    // Before the record itself: a newer one may not even look like one.
    let v = format_of(bytes);
    if v > newest { Err(WireError::Newer { v, newest }) } else { decode(bytes) }
}

/// Reads a record or message, whatever its format.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    Ok(rmp_serde::from_slice(bytes)?)
}

/// The field `v` of a record; 0 where it has none.
fn format_of(bytes: &[u8]) -> u32 {
    let mut found = 0;
    // That the rest is left unread is an error to the reader, and what it is for: `v` is written
    // first, and records are large.
    let _ = Looking(&mut found).deserialize(&mut rmp_serde::Deserializer::from_read_ref(bytes));
    found
}

struct Looking<'a>(&'a mut u32);

impl<'de> DeserializeSeed<'de> for Looking<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Looking<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record with a format")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key::<&str>()? {
            if field == "v" {
                *self.0 = map.next_value()?;
                break;
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Two {
        v: u32,
        name: String,
        #[serde(default)]
        more: Vec<u32>,
    }

    /// As a version before wrote it.
    #[derive(Serialize)]
    struct One {
        name: &'static str,
        v: u32,
    }

    #[test]
    fn an_older_format_is_read_and_a_newer_one_left_alone() {
        for (v, newest, read) in [(1, 2, true), (2, 2, true), (3, 2, false), (0, 1, true), (u32::MAX, 1, false)] {
            let two = Two { v, name: "n".to_owned(), more: vec![1, 2] };
            let result = decode_up_to::<Two>(&encode(&two).unwrap(), newest);
            match result {
                Ok(found) => assert!(read && found == two, "{v} {newest}"),
                Err(WireError::Newer { v: found, newest: known }) => {
                    assert_eq!((found, known, read), (v, newest, false))
                }
                Err(error) => panic!("{v} {newest}: {error}"),
            }
        }
        let bytes = encode(&One { name: "n", v: 1 }).unwrap();
        assert_eq!(decode_up_to::<Two>(&bytes, 2).unwrap().more, [0_u32; 0]);
        let bytes = encode(&One { name: "n", v: 9 }).unwrap();
        assert!(matches!(decode_up_to::<Two>(&bytes, 2), Err(WireError::Newer { v: 9, .. })));
    }

    #[test]
    fn what_is_no_record_with_a_format_is_read_as_it_is() {
        assert_eq!(decode_up_to::<String>(&encode(&"text").unwrap(), 1).unwrap(), "text");
        assert!(matches!(decode_up_to::<Two>(b"\xc1", 1), Err(WireError::Decode(_))));
    }
}
