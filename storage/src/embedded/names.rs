//! Object keys as file names. Pure.
//!
//! `vod/x/1.m4s` is the file `vod/x/1.m4s.obj`. What a file system or a person could misread is
//! percent-encoded, so that every key has one path, no path leaves the bucket's folder, and `a`
//! and `a/b` can both exist.

use std::path::{Path, PathBuf};

/// Ends the names of object files; a folder's name never ends in it.
pub const SUFFIX: &str = ".obj";
/// Longest file name of common file systems.
const NAME_BYTES_MAX: usize = 255;

/// Path of a key's file below its bucket's folder; an error says why the key is refused.
pub fn path_of(key: &str) -> Result<PathBuf, &'static str> {
    if let Some(why) = crate::key::refusal(key) {
        return Err(why);
    }
    let (folders, name) = key.rsplit_once('/').map_or((None, key), |(folders, name)| (Some(folders), name));
    let mut path = PathBuf::new();
    for folder in folders.into_iter().flat_map(|folders| folders.split('/')) {
        path.push(fitting(folder_name(folder))?);
    }
    path.push(fitting(encode(name) + SUFFIX)?);
    Ok(path)
}

/// Name of the folder of one part of a key.
pub fn folder_name(part: &str) -> String {
    let name = encode(part);
    match name.strip_suffix('j') {
        Some(start) if name.ends_with(SUFFIX) => format!("{start}%6A"),
        _ => name,
    }
}

/// Last part of the key of a file; `None` for a file that is no object.
pub fn part_of_file(name: &str) -> Option<String> {
    decode(name.strip_suffix(SUFFIX)?)
}

/// Part of the key of a folder.
pub fn part_of_folder(name: &str) -> Option<String> {
    decode(name)
}

/// Text as `encoding-type=url` wants it in listings.
pub fn url_encode(text: &str) -> String {
    text.split('/').map(encode).collect::<Vec<_>>().join("/")
}

fn fitting(name: String) -> Result<String, &'static str> {
    if name.len() > NAME_BYTES_MAX {
        return Err("a part between its slashes is too long for a file name (251 bytes where it is plain ASCII)");
    }
    Ok(name)
}

fn encode(part: &str) -> String {
    let mut name = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    name
}

fn decode(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let (code, tail) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Folders of a path that may have become empty, innermost first, without the bucket's own.
pub fn folders_of(path: &Path) -> impl Iterator<Item = &Path> {
    path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_have_readable_paths() {
        let cases = [
            ("vod/default/g1-00000000/720p/1.m4s", "vod/default/g1-00000000/720p/1.m4s.obj"),
            ("a b/å%", "a%20b/%C3%A5%25.obj"),
            ("x.obj/y.obj", "x.ob%6A/y.obj.obj"),
            ("...", "....obj"),
        ];
        for (key, path) in cases {
            assert_eq!(path_of(key), Ok(PathBuf::from(path)), "{key}");
        }
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        assert!(path_of(&"k".repeat(251)).is_ok());
        assert!(path_of(&"k".repeat(252)).is_err());
        assert!(path_of(&format!("{}/x", "k".repeat(256))).is_err());
        assert!(path_of("../x").is_err());
    }

    proptest! {
        #[test]
        fn every_key_comes_back_and_stays_below_its_bucket(key in "[a-zA-Z0-9./%å ~*\\\\-]{1,60}") {
            let Ok(path) = path_of(&key) else { return Ok(()) };
            prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
            let names: Vec<_> = path.iter().map(|name| name.to_str().unwrap()).collect();
            let (file, folders) = names.split_last().unwrap();
            let mut parts: Vec<_> = folders.iter().map(|name| part_of_folder(name).unwrap()).collect();
            prop_assert!(folders.iter().all(|name| !name.ends_with(SUFFIX)));
            parts.push(part_of_file(file).unwrap());
            prop_assert_eq!(parts.join("/"), key);
        }

        #[test]
        fn foreign_file_names_do_no_harm(name in ".{0,40}") {
            let _ = part_of_file(&name);
            let _ = part_of_folder(&name);
        }
    }
}
