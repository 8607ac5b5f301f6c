//! Server-sent events (the WHATWG's "event stream" format) as they arrive in pieces. Pure.

/// Longest line and longest message that are kept: a server gone wild cannot fill memory.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// One message of an event stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its type; empty means `message`.
    pub event: String,
    /// Its data, lines joined.
    pub data: String,
    /// Where to resume after it.
    pub id: String,
}

/// Why a stream was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Cuts a byte stream into messages.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    message: Message,
    has_data: bool,
    /// The last byte was a carriage return: a line feed after it belongs to the same line end.
    after_return: bool,
}

impl Parser {
    /// Takes the next bytes and hands out what they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Message>, TooLong> {
        let mut complete = Vec::new();
        for &byte in bytes {
            let skip = byte == b'\n' && std::mem::take(&mut self.after_return);
            self.after_return = byte == b'\r';
            if skip {
                continue;
            }
            if byte != b'\n' && byte != b'\r' {
                if self.line.len() == MESSAGE_BYTES_MAX {
                    return Err(TooLong);
                }
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if line.is_empty() {
                let id = self.message.id.clone();
                let message = std::mem::replace(&mut self.message, Message { id, ..Message::default() });
                if std::mem::take(&mut self.has_data) {
                    complete.push(message);
                }
            } else {
                self.field(&String::from_utf8_lossy(&line))?;
            }
        }
        Ok(complete)
    }

    fn field(&mut self, line: &str) -> Result<(), TooLong> {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => self.message.event = value.to_owned(),
            "id" if !value.contains('\0') => self.message.id = value.to_owned(),
            "data" => {
                if self.message.data.len() + value.len() >= MESSAGE_BYTES_MAX {
                    return Err(TooLong);
                }
                if std::mem::replace(&mut self.has_data, true) {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            // Comments keep connections open; other fields are for browsers.
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(event: &str, data: &str, id: &str) -> Message {
        Message { event: event.to_owned(), data: data.to_owned(), id: id.to_owned() }
    }

    #[test]
    fn messages_are_the_same_however_they_are_cut() {
        let text = ": hello\n\nevent: progress\ndata: {\"a\":1}\nid: 7\n\ndata: x\r\ndata:y\r\n\r\nretry: 5\n\n";
        let want = [message("progress", "{\"a\":1}", "7"), message("", "x\ny", "7")];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let got: Vec<_> =
                text.as_bytes().chunks(size).flat_map(|piece| parser.push(piece).expect("short")).collect();
            assert_eq!(got, want, "pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; MESSAGE_BYTES_MAX];
        assert!(parser.push(&piece).is_ok());
        assert_eq!(parser.push(b"x"), Err(TooLong));
    }
}
