//! Where one HTTP/1.1 request ends and the next begins, as far as a proxy must know. Pure.

/// Longest head that is looked at.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What is known of a request once its head has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// `PUT`, `GET`, ...
    pub method: String,
    /// Path, with the query.
    pub path: String,
    /// Whether the client waits for a word before it sends the body.
    pub expects: bool,
}

/// Follows one connection's requests.
#[derive(Debug)]
pub struct Requests {
    state: State,
}

#[derive(Debug)]
enum State {
    /// The bytes of a head so far.
    Head(Vec<u8>),
    /// Bytes of a body that are still to come.
    Body(u64),
    /// A shape this proxy does not follow; everything passes.
    Opaque,
}

impl Default for Requests {
    fn default() -> Self {
        Self { state: State::Head(Vec::new()) }
    }
}

impl Requests {
    /// Takes what the client sent; returns the heads that were completed by it.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Vec<Head> {
        let mut heads = Vec::new();
        while !bytes.is_empty() {
            match &mut self.state {
                State::Opaque => return heads,
                State::Body(left) => {
                    let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= taken as u64;
                    bytes = &bytes[taken..];
                    if *left == 0 {
                        self.state = State::Head(Vec::new());
                    }
                }
                State::Head(head) => {
                    let before = head.len();
                    head.extend_from_slice(bytes);
                    let searched = before.saturating_sub(3);
                    let Some(end) = head[searched..].windows(4).position(|four| four == b"\r\n\r\n") else {
                        if head.len() > HEAD_BYTES_MAX {
                            self.state = State::Opaque;
                        }
                        return heads;
                    };
                    let end = searched + end + 4;
                    bytes = &bytes[end - before..];
                    self.state = match read(&head[..end]) {
                        Some((head, body)) => {
                            heads.push(head);
                            if body == 0 { State::Head(Vec::new()) } else { State::Body(body) }
                        }
                        None => State::Opaque,
                    };
                }
            }
        }
        heads
    }

    /// Whether nothing of a next request has come.
    pub fn is_between(&self) -> bool {
        matches!(&self.state, State::Head(head) if head.is_empty())
    }
}

/// A head and the length of its body; nothing for what has no length.
fn read(head: &[u8]) -> Option<(Head, u64)> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let (mut body, mut expects) = (0, false);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "content-length" => body = value.trim().parse().ok()?,
            "transfer-encoding" => return None,
            "expect" => expects = true,
            _ => {}
        }
    }
    Some((Head { method, path, expects }, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] =
        b"PUT /b/1.m4s HTTP/1.1\r\nContent-Length: 6\r\n\r\nGET /xGET /c?d=e HTTP/1.1\r\nhost: h\r\n\r\n";

    #[test]
    fn requests_are_told_apart_however_they_arrive() {
        for size in 1..=TWO.len() {
            let mut requests = Requests::default();
            let heads: Vec<_> = TWO.chunks(size).flat_map(|part| requests.feed(part)).collect();
            let seen: Vec<_> = heads.iter().map(|head| (head.method.as_str(), head.path.as_str())).collect();
            assert_eq!(seen, [("PUT", "/b/1.m4s"), ("GET", "/c?d=e")], "in pieces of {size}");
            assert!(requests.is_between());
        }
    }

    #[test]
    fn a_body_without_a_length_passes_unread() {
        let mut requests = Requests::default();
        requests.feed(b"PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        assert!(requests.feed(b"PUT /c HTTP/1.1\r\n\r\n").is_empty());
        assert!(!requests.is_between());
    }
}
