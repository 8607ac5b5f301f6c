//! The access log: a line for each request, in the combined format that log tools read, with what became of it and how
//! long it took behind. Never a token: the path is the plain one, of a page that asks only its origin is told.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    net::IpAddr,
    path::Path,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError, SyncSender},
    },
    time::Duration,
};

use framemill_schemas::delivery::Network;
use hyper::{HeaderMap, Method, Version, header};
use serde::{Deserialize, Serialize};

/// Lines that wait to be written; beyond it they are dropped, and counted.
const LINES_MAX: usize = 8192;
/// Longest name of a player.
const AGENT_CHARS_MAX: usize = 200;
/// How long a line may wait before it is in the file.
const FLUSH: Duration = Duration::from_secs(1);

/// What is written of a viewer's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Addresses {
    /// All of it.
    Full,
    /// Its /24, or /64 of IPv6.
    #[default]
    Prefix,
    /// Nothing.
    None,
}

/// One request that ended.
pub struct Line<'a> {
    /// The viewer's address.
    pub viewer: IpAddr,
    /// The viewer's session, of one that was let in.
    pub session: Option<&'a str>,
    /// When it came, Unix milliseconds.
    pub at_ms: i64,
    /// How it asked.
    pub method: &'a Method,
    /// For what; `None`: a path that is not plain, which may hold anything.
    pub path: Option<&'a str>,
    /// In which version of HTTP.
    pub version: Version,
    /// Headers of the request.
    pub headers: &'a HeaderMap,
    /// Status of the answer.
    pub status: u16,
    /// Bytes of its body.
    pub bytes: u64,
    /// What became of it, in one word.
    pub outcome: &'static str,
    /// Milliseconds until the answer began.
    pub took_ms: u128,
}

/// Where lines go.
pub struct AccessLog {
    lines: SyncSender<String>,
    addresses: Addresses,
    dropped: AtomicU64,
}

impl AccessLog {
    /// Appends to a file, or writes to standard output where it is called `-`.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(path: &Path, addresses: Addresses) -> io::Result<Self> {
        let out: Box<dyn Write + Send> = if path.as_os_str() == "-" {
            Box::new(io::stdout())
        } else {
            Box::new(OpenOptions::new().create(true).append(true).open(path)?)
        };
        let (lines, taken) = mpsc::sync_channel(LINES_MAX);
        // A thread of its own: a disk that is slow must not hold up a viewer.
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || write(BufWriter::new(out), &taken))?;
        Ok(Self { lines, addresses, dropped: AtomicU64::new(0) })
    }

    /// Writes a line, or drops it when too many wait.
    pub fn write(&self, line: &Line<'_>) {
        if self.lines.try_send(text(line, self.addresses)).is_err() && self.dropped.fetch_add(1, Ordering::Relaxed) == 0
        {
            tracing::warn!("the access log cannot be written as fast as viewers ask: lines are dropped");
        }
    }
}

/// Until nobody sends any more.
fn write(mut out: BufWriter<Box<dyn Write + Send>>, lines: &mpsc::Receiver<String>) {
    let mut failed = false;
    loop {
        let done = match lines.recv_timeout(FLUSH) {
            Ok(line) => out.write_all(line.as_bytes()),
            Err(RecvTimeoutError::Timeout) => out.flush(),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if let Err(error) = done
            && !std::mem::replace(&mut failed, true)
        {
            tracing::error!(%error, "the access log cannot be written");
        }
    }
    // There is nobody left to tell.
    let _ = out.flush();
}

/// One line, with its end.
fn text(line: &Line<'_>, addresses: Addresses) -> String {
    let mut text = String::with_capacity(256);
    let _ = match addresses {
        Addresses::Full => write!(text, "{}", line.viewer),
        Addresses::Prefix => write!(text, "{}", Network::prefix(line.viewer).address()),
        Addresses::None => write!(text, "-"),
    };
    let time = jiff::Timestamp::from_millisecond(line.at_ms).unwrap_or_default().strftime("%d/%b/%Y:%H:%M:%S +0000");
    let header = |name| line.headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let page = header(header::REFERER).and_then(origin_of).unwrap_or("-");
    let agent: String = header(header::USER_AGENT)
        .unwrap_or("-")
        .chars()
        .take(AGENT_CHARS_MAX)
        .map(|letter| if letter == '"' || letter == '\\' || letter.is_control() { '_' } else { letter })
        .collect();
    let _ = writeln!(
        text,
        " - {} [{time}] \"{} {} {:?}\" {} {} \"{page}\" \"{agent}\" {} {}",
        line.session.unwrap_or("-"),
        line.method.as_str(),
        line.path.unwrap_or("-"),
        line.version,
        line.status,
        line.bytes,
        line.outcome,
        line.took_ms,
    );
    text
}

/// Scheme and host of an address: what stands behind them may hold a token.
fn origin_of(address: &str) -> Option<&str> {
    let host = address.find("://")? + 3;
    let end = address[host..].find(['/', '?', '#']).map_or(address.len(), |at| host + at);
    let origin = &address[..end];
    origin.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/.-[]".contains(&byte)).then_some(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_log_tools_read_and_tells_no_token() {
        let mut headers = HeaderMap::new();
        headers.insert(header::REFERER, "https://tv.example/watch?token=SECRET".parse().unwrap());
        headers.insert(header::USER_AGENT, "player \"1\"".parse().unwrap());
        let line = Line {
            viewer: "203.0.113.7".parse().unwrap(),
            session: Some("s-1"),
            at_ms: 1_764_450_000_000,
            method: &Method::GET,
            path: Some("/live/acme/news/master.m3u8"),
            version: Version::HTTP_11,
            headers: &headers,
            status: 200,
            bytes: 1200,
            outcome: "hit",
            took_ms: 3,
        };
        let rest = " - s-1 [29/Nov/2025:21:00:00 +0000] \"GET /live/acme/news/master.m3u8 HTTP/1.1\" 200 1200 \
                    \"https://tv.example\" \"player _1_\" hit 3\n";
        for (addresses, shown) in
            [(Addresses::Full, "203.0.113.7"), (Addresses::Prefix, "203.0.113.0"), (Addresses::None, "-")]
        {
            assert_eq!(text(&line, addresses), format!("{shown}{rest}"));
        }
        let mut others = HeaderMap::new();
        others.insert(header::REFERER, "https://a\"b/".parse().unwrap());
        let unknown = Line { session: None, path: None, headers: &others, ..line };
        assert!(text(&unknown, Addresses::None).contains("\"GET - HTTP/1.1\" 200 1200 \"-\""));
    }
}
