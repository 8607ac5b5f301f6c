//! What is recorded of an object, at the end of its file: JSON, its length, and a mark. The
//! object's bytes come first, so that a player or a person can look at the file as it is.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use serde::{Deserialize, Serialize};

/// Ends every object file of this format.
const MARK: [u8; 8] = *b"FMOBJ\0\0\x01";
/// Length of the JSON, big endian, and the mark.
const TAIL_BYTES: usize = 4 + MARK.len();
/// Longest JSON: headers of a request are bounded far below.
const JSON_BYTES_MAX: usize = 64 * 1024;
/// Read at once from the end of a file: enough for nearly every record.
const PEEK_BYTES: usize = 4096;

/// What is recorded of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Size of its bytes.
    pub bytes: u64,
    /// Entity tag without quotes.
    pub etag: String,
    /// Its headers.
    #[serde(flatten)]
    pub headers: Headers,
    /// Checksums that came with it and were right, by algorithm, in base64.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub checksums: BTreeMap<String, String>,
}

/// Headers that come back with an object as they came with its put.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Headers {
    /// Content-Type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Cache-Control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// Content-Encoding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// Content-Disposition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    /// Content-Language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_language: Option<String>,
    /// The storage class it was put with. Here all are stored alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// `x-amz-meta-*` without the prefix.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub user: BTreeMap<String, String>,
}

/// What follows an object's bytes in its file.
pub fn tail(facts: &Facts) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(facts)?;
    if bytes.len() > JSON_BYTES_MAX {
        return Err(io::Error::other("the headers of the object are too long"));
    }
    let length = u32::try_from(bytes.len()).expect("bounded above");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&MARK);
    Ok(bytes)
}

/// Reads what is recorded in an object's file.
pub fn read(file: &mut File) -> io::Result<Facts> {
    let size = file.metadata()?.len();
    let end = last(file, size, PEEK_BYTES)?;
    let json = json_length(&end)?;
    let facts = if json + TAIL_BYTES <= end.len() {
        parse(&end[end.len() - TAIL_BYTES - json..end.len() - TAIL_BYTES])?
    } else {
        let end = last(file, size, json + TAIL_BYTES)?;
        parse(end.get(..json).ok_or_else(damaged)?)?
    };
    if facts.bytes.checked_add((json + TAIL_BYTES) as u64) != Some(size) {
        return Err(damaged());
    }
    Ok(facts)
}

fn last(file: &mut File, size: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let bytes = size.min(bytes as u64);
    file.seek(SeekFrom::Start(size - bytes))?;
    let mut end = Vec::new();
    file.take(bytes).read_to_end(&mut end)?;
    Ok(end)
}

fn json_length(end: &[u8]) -> io::Result<usize> {
    let rest = end.strip_suffix(&MARK).ok_or_else(damaged)?;
    let length = rest.last_chunk::<4>().ok_or_else(damaged)?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > JSON_BYTES_MAX { Err(damaged()) } else { Ok(length) }
}

fn parse(json: &[u8]) -> io::Result<Facts> {
    serde_json::from_slice(json).map_err(|_| damaged())
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the object's file is damaged")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn facts(bytes: u64, note: usize) -> Facts {
        let headers = Headers {
            content_type: Some("video/mp4".to_owned()),
            user: BTreeMap::from([("index".to_owned(), "\"".repeat(note))]),
            ..Headers::default()
        };
        Facts { bytes, etag: "e".to_owned(), headers, checksums: BTreeMap::new() }
    }

    #[test]
    fn what_is_written_is_read() {
        for (bytes, note) in [(0, 0), (1, 10), (10_000, 10), (3, PEEK_BYTES)] {
            let facts = facts(bytes as u64, note);
            let mut file = vec![7; bytes];
            file.extend(tail(&facts).unwrap());
            assert_eq!(read(&mut file_of(&file)).unwrap(), facts);
        }
        assert!(tail(&facts(0, JSON_BYTES_MAX)).is_err());
    }

    #[test]
    fn a_cut_file_is_not_an_object() {
        let mut file = vec![7; 100];
        file.extend(tail(&facts(100, 5)).unwrap());
        for cut in 1..file.len() {
            assert!(read(&mut file_of(&file[..file.len() - cut])).is_err(), "cut by {cut}");
            assert!(read(&mut file_of(&file[cut..])).is_err(), "without the first {cut}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_do_no_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..64), marked: bool) {
            if marked {
                bytes.extend_from_slice(&MARK);
            }
            let _ = read(&mut file_of(&bytes));
        }
    }
}
