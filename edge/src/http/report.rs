//! What players tell (CMCD), as it comes: with a request, or in a report that is posted (version 2, event mode) to the
//! name `cmcd` beside the playlists of a channel or title. There whatever carries a token to them carries it too: the
//! path, a cookie, a header.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use tokio::time::timeout;

use super::{
    answer::Body,
    asked::Asked,
    handle::{Edge, Ended, refuse},
};
use crate::{
    clock::now_ms,
    cmcd::{Told, of_report, of_request},
};

/// The name that reports are posted to.
const NAME: &str = "cmcd";
/// Largest report.
const BYTES_MAX: usize = 64 * 1024;
/// Longest that one may take to come.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Reports that are read at once.
pub const REPORTS_MAX: usize = 256;

/// Whether reports are taken there: `/live/TENANT/CHANNEL/cmcd`, `/vod/TENANT/TITLE/cmcd`.
pub fn is_place(asked: &Asked<'_>) -> bool {
    let mut parts = asked.key().split('/').skip(3);
    !asked.routed && parts.next() == Some(NAME) && parts.next().is_none()
}

impl Edge {
    /// Takes a report of somebody who was let in.
    pub(super) async fn take_report(&self, asked: &Asked<'_>, session: Option<&str>, body: Incoming) -> Ended {
        let Some(session) = session else {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "method", "edges have nothing to report");
        };
        let Ok(_place) = self.reports.try_acquire() else {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many report at this moment");
        };
        let read = timeout(TIME_MAX, Limited::new(body, BYTES_MAX).collect()).await;
        let Ok(Ok(body)) = read else {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "report", "the report is too long, or was not sent in time");
        };
        let now_ms = now_ms();
        let told = Told { session, key: asked.key(), is_served: false, is_report: true };
        for record in of_report(&body.to_bytes()) {
            self.viewers.take(&told, record, now_ms);
        }
        let mut thanks = Response::new(Body::default());
        *thanks.status_mut() = StatusCode::NO_CONTENT;
        (thanks, "report")
    }

    /// Takes what a request told beside what it asked for.
    pub(super) fn hear(
        &self,
        request: &Request<()>,
        asked: Option<&Asked<'_>>,
        session: Option<&str>,
        status: StatusCode,
        outcome: &str,
    ) {
        let (Some(asked), Some(session)) = (asked, session) else { return };
        if request.method() != Method::GET {
            return;
        }
        let is_object = matches!(outcome, "hit" | "miss" | "stale");
        if !is_object || !(status.is_success() || status == StatusCode::NOT_MODIFIED) {
            return;
        }
        let Some(record) = of_request(request.uri(), request.headers()).transpose() else {
            // Whoever only reports asks for playlists all the same; each is fetched again within seconds.
            if outcome != "hit" && [".m3u8", ".mpd"].iter().any(|end| asked.key().ends_with(end)) {
                self.viewers.served(asked.key());
            }
            return;
        };
        self.viewers.take(&Told { session, key: asked.key(), is_served: true, is_report: false }, record, now_ms());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_have_one_place_for_each_channel_and_title() {
        for (path, expected) in [
            ("/live/acme/news/cmcd", true),
            ("/vod/acme/0198c0de-0000-7000-8000-000000000000/cmcd", true),
            ("/live/acme/cmcd", false),
            ("/live/acme/news/cmcd/x", false),
            ("/live/acme/news/master.m3u8", false),
            ("/live/acme/news/t1-0/cmcd", false),
        ] {
            assert_eq!(is_place(&Asked { path, routed: false, tokens: Vec::new() }), expected, "{path}");
        }
    }
}
