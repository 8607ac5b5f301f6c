//! Sources that one ffmpeg copies: SRT, RTMP, RTSP.

use std::time::Duration;

use bytes::Bytes;
use framemill_media::live::ingest::{Opening, Patience, ingest as copy};
use framemill_schemas::{
    failure::{Class, Failure},
    live::{LiveSource, LiveSourceKind},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Ingest,
    address::{called, waited_at},
    gate::{From, Gate},
};

/// How long a source may be silent before it is called again, or its caller may call again.
const SILENCE: Duration = Duration::from_secs(10);
/// How long we wait to be called before the port is opened anew.
const WAIT: Duration = Duration::from_secs(3600);
/// Longest secret that is read: an SRT passphrase has at most 79 characters.
const SECRET_BYTES_MAX: usize = 512;
/// How long SRT may repeat what was lost, microseconds.
const SRT_LATENCY_US: u32 = 200_000;

pub(super) async fn open(ingest: &Ingest, source: &LiveSource, chunks: mpsc::Sender<Bytes>) -> Result<(), Failure> {
    let from = From::of(source);
    // It stands for as long as the source is open.
    let gate = if source.listen && !from.is_anybody() { Some(Gate::before(source, from).await?) } else { None };
    let address = match &gate {
        Some(gate) => gate.behind,
        None if source.listen => waited_at(source)?,
        None => called(ingest, source).await?,
    };
    let secret = match &source.secret {
        Some(name) => Some(secret(ingest, name).await?),
        None => None,
    };
    let opening = opening(source, &address.to_string(), secret.as_deref());
    // A caller whose line broke never hangs up: it must be able to call again.
    let patience = Patience { call: source.listen.then_some(WAIT), stall: SILENCE };
    copy(&ingest.tools, &opening, chunks, patience, &CancellationToken::new()).await
}

/// Reads a secret by its name. What is said of it never holds it.
async fn secret(ingest: &Ingest, name: &str) -> Result<String, Failure> {
    let lacking = |why: String| {
        Failure::new(Class::Resource, "secret-missing", format!("the secret {name:?} {why} on this node"))
            .mend("set live.secrets on all workers, and put a file of that name into it")
    };
    let folder =
        ingest.config.secrets.as_ref().ok_or_else(|| lacking("cannot be looked up: none are kept".to_owned()))?;
    let text = tokio::fs::read_to_string(folder.join(name)).await;
    let text = text.map_err(|error| lacking(format!("cannot be read ({})", error.kind())))?;
    let text = text.trim().to_owned();
    if text.is_empty() || text.len() > SECRET_BYTES_MAX || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(lacking("is empty, too long, or holds spaces".to_owned()));
    }
    Ok(text)
}

/// What ffmpeg is told. Pure.
fn opening(source: &LiveSource, address: &str, secret: Option<&str>) -> Opening {
    let secret = secret.map(escaped);
    match source.kind {
        LiveSourceKind::Srt => {
            let mode = if source.listen { "listener" } else { "caller" };
            let mut url = format!("srt://{address}?mode={mode}&latency={SRT_LATENCY_US}&transtype=live");
            if let Some(secret) = &secret {
                url.push_str(&format!("&passphrase={secret}"));
            }
            Opening::Packets { url, protocols: "srt", secret }
        }
        LiveSourceKind::Rtsp => {
            let url = format!("rtsp://{address}{}", path(source));
            let options = ["-rtsp_transport", "tcp"].map(str::to_owned).into();
            Opening::Streams { url, protocols: "rtsp,tcp,rtp", format: "rtsp", options, secret }
        }
        _ => {
            let mut url = format!("rtmp://{address}{}", path(source));
            if let Some(secret) = &secret {
                url.push_str(&format!("/{secret}"));
            }
            let mut options = Vec::new();
            if source.listen {
                options.extend(["-listen", "1"].map(str::to_owned));
            }
            Opening::Streams { url, protocols: "rtmp,tcp", format: "flv,live_flv", options, secret }
        }
    }
}

/// An address from its path on.
fn path(source: &LiveSource) -> &str {
    let rest = source.uri.split_once("://").map_or("", |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..])
}

/// As it stands in an address (RFC 3986, clause 2.1).
fn escaped(secret: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    secret.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(uri: &str, listen: bool, secret: Option<&str>) -> String {
        let source = LiveSource::parse(uri, listen).unwrap();
        match opening(&source, "192.0.2.7:9000", secret) {
            Opening::Packets { url, .. } | Opening::Streams { url, .. } | Opening::File { url } => url,
        }
    }

    #[test]
    fn ffmpeg_is_given_the_number_and_the_secret_and_nothing_of_the_name() {
        assert_eq!(
            url("srt://h:9000", false, Some("a&b?")),
            "srt://192.0.2.7:9000?mode=caller&latency=200000&transtype=live&passphrase=a%26b%3F"
        );
        assert!(url("srt://0.0.0.0:9000", true, None).contains("mode=listener"));
        assert_eq!(url("rtmp://h/app/stream", false, Some("k")), "rtmp://192.0.2.7:9000/app/stream/k");
        assert_eq!(url("rtsp://h/cam/1", false, None), "rtsp://192.0.2.7:9000/cam/1");
    }
}
