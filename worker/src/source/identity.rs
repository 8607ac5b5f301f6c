//! What identifies a source's bytes without reading them all. Pure.

/// blake3 (hexadecimal) of the kind of source, its size, and the marks that change with its bytes.
pub(super) fn identity(kind: &str, bytes: u64, marks: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    // Each part with its length, so that no two lists of parts read the same.
    for part in [kind, &bytes.to_string()].iter().chain(marks) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let identities = [
            identity("http", 1, &["ab", "c"]),
            identity("http", 1, &["a", "bc"]),
            identity("http", 1, &["abc"]),
            identity("http", 2, &["abc"]),
            identity("s3", 2, &["abc"]),
        ];
        for (i, one) in identities.iter().enumerate() {
            assert_eq!(one.len(), 64);
            assert!(identities.iter().skip(i + 1).all(|other| other != one));
        }
    }
}
