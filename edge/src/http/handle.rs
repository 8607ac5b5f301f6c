//! One request from its beginning to its end: the path, whether the edge may serve, the token, the cache.

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use framemill_storage::Secret;
use framemill_tokens::Method as Way;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
};
use tokio::{sync::Semaphore, time::timeout};

use super::{
    access_log::{AccessLog, Line},
    answer::{self, Body, PRIVATE, Terms},
    asked::{self, Asked, COOKIE, Carriage},
    cors::Cors,
    guard::{Denied, Guard, leads_on},
    peer::Proxies,
    renewed::{self, HandOver, hand_over},
    report,
    tag_header::TagHeader,
    tarpit::Tarpit,
};
use crate::{
    cache::{Cache, Served},
    clock::now_ms,
    cmcd::Viewers,
    fence::Fence,
    metrics::Metrics,
    origin::{PURGED_HEADER, SHIELD_HEADER},
    purge::Table,
    renewal::{Next, Renewal},
    steering::{Gauge, Steering, Watching, is_manifest},
    trace::{self, Traces},
};

/// How long an edge that asks waits until this one has heard of the same purges.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// How late a refusal is for whoever has had many.
const SLOWLY: Duration = Duration::from_secs(1);

/// Everything that a request meets.
pub struct Edge {
    /// What is served.
    pub cache: Arc<Cache>,
    /// Who is let in.
    pub guard: Guard,
    /// Who gets a next token before the last one ends.
    pub renewal: Option<Arc<Renewal>>,
    /// Whether this edge may serve.
    pub fence: Fence,
    /// What is purged.
    pub table: Arc<Table>,
    /// Which pages may read.
    pub cors: Cors,
    /// Whose word on addresses counts.
    pub proxies: Proxies,
    /// In which header those are told tags.
    pub tag_header: Option<TagHeader>,
    /// Who shows too many tokens that open nothing.
    pub tarpit: Tarpit,
    /// What edges show that ask this one.
    pub shield_secret: Option<Secret>,
    /// Which edge serves whom.
    pub steering: Steering,
    /// What happens here, for those who choose among edges.
    pub gauge: Arc<Gauge>,
    /// Whether viewers come by TLS.
    pub secure: bool,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Places for reports of players that are being read.
    pub reports: Semaphore,
    /// Where each request is written down.
    pub access_log: Option<AccessLog>,
    /// What players tell.
    pub viewers: Viewers,
    /// Which requests are traced.
    pub traces: Arc<Traces>,
}

/// How a request ended, and for metrics in one word.
pub type Ended = (Response<Body>, &'static str);

impl Edge {
    /// Answers one request.
    pub async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> Result<Response<Body>, Infallible> {
        let (at_ms, began) = (now_ms(), Instant::now());
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, ());
        let asked = asked::read(request.uri(), request.headers()).ok();
        let viewer = self.proxies.viewer(peer, request.headers());
        let mut session = None;
        let (mut response, outcome) = self.respond(&request, body, asked.as_ref(), viewer, &mut session).await;
        let origin = request.headers().get(header::ORIGIN);
        if request.method() == Method::OPTIONS && response.status() == StatusCode::NO_CONTENT {
            self.cors.add_preflight(origin, response.headers_mut());
        } else {
            self.cors.add(origin, response.headers_mut());
        }
        if let Some((tags, asked)) = self.tag_header.zip(asked.as_ref()).filter(|_| self.proxies.believes(peer)) {
            tags.add(asked.key(), response.status(), response.headers_mut());
        }
        let bytes = if request.method() == Method::HEAD { 0 } else { length(response.headers()) };
        self.metrics.answered(outcome, bytes);
        self.gauge.answered(response.status().as_u16(), bytes);
        self.hear(&request, asked.as_ref(), session.as_deref(), response.status(), outcome);
        // Whoever is not let in names what it likes.
        let status = response.status();
        if let Some(asked) = asked.as_ref().filter(|_| session.is_some() || status.is_server_error()) {
            let (key, end_ms) = (asked.key(), now_ms());
            self.traces.ended(&trace::Ended { key, at_ms, end_ms, status, outcome, bytes });
        }
        if let Some(log) = &self.access_log {
            log.write(&Line {
                viewer,
                session: session.as_deref(),
                at_ms,
                method: request.method(),
                path: asked.as_ref().map(|asked| asked.path),
                version: request.version(),
                headers: request.headers(),
                status: response.status().as_u16(),
                bytes,
                outcome,
                took_ms: began.elapsed().as_millis(),
            });
        }
        Ok(response)
    }

    /// The answer to a request; `session` is whose it turned out to be.
    async fn respond(
        &self,
        request: &Request<()>,
        body: Incoming,
        asked: Option<&Asked<'_>>,
        viewer: IpAddr,
        session: &mut Option<String>,
    ) -> Ended {
        let (method, headers) = (request.method(), request.headers());
        let way = match *method {
            Method::GET => Way::Get,
            Method::HEAD => Way::Head,
            Method::OPTIONS => {
                let mut preflight = Response::new(Body::default());
                *preflight.status_mut() = StatusCode::NO_CONTENT;
                return (preflight, "preflight");
            }
            // Whoever may have what a report is about may make it.
            Method::POST if asked.is_some_and(report::is_place) => Way::Get,
            _ => return refuse(StatusCode::METHOD_NOT_ALLOWED, "method", "only GET, HEAD and OPTIONS are answered"),
        };
        let Some(asked) = asked else {
            return refuse(StatusCode::NOT_FOUND, "path", "there is nothing for viewers at such a path");
        };
        let now_ms = now_ms();
        let (mut shown, mut next) = (None, None);
        let terms = if self.is_edge(headers) {
            Terms { carriage: None, valid_s: i64::MAX }
        } else {
            let page = headers.get(header::ORIGIN).map(|page| page.to_str().unwrap_or("null"));
            match self.guard.admit(asked, way, viewer, page, now_ms) {
                Ok(admitted) => {
                    shown = Some(admitted.token);
                    let renewal = self.renewal.as_ref().filter(|_| leads_on(asked.path));
                    let newer = renewal.and_then(|renewal| renewal.next(&admitted.shown(), now_ms));
                    next = newer.map(|newer| (newer, hand_over(admitted.carriage, admitted.renewing)));
                    *session = Some(admitted.session);
                    let valid_s = admitted.expires_s.saturating_sub(now_ms.div_euclid(1000));
                    Terms { carriage: Some(admitted.carriage), valid_s }
                }
                Err(denied) => {
                    if self.tarpit.refused(viewer, now_ms.div_euclid(1000)) {
                        tokio::time::sleep(SLOWLY).await;
                    }
                    return deny(&denied);
                }
            }
        };
        if *method == Method::POST {
            return self.take_report(asked, session.as_deref(), body).await;
        }
        let newest = next.as_ref().map(|(next, _)| next.token.as_str());
        let watching = shown.zip(terms.carriage).zip(session.as_deref()).map(|((token, carriage), session)| Watching {
            viewer,
            session,
            carriage,
            token: newest.unwrap_or(token),
            renewed: newest.is_some(),
        });
        // Also of an edge that may not serve: who is there leads its viewers to others.
        if let Some(watching) = watching.as_ref().filter(|_| asked.routed) {
            return (self.steering.route(method, request.uri(), headers, asked.path, watching), "route");
        }
        if let Some((next, HandOver::Redirect(status))) = &next {
            return (renewed::redirect(*status, &next.token, asked.path, request.uri()), "renewed");
        }
        if let Some(watching) = watching.as_ref().filter(|_| is_manifest(asked.key())) {
            return (self.steering.manifest(method, request.uri().query(), watching), "steering");
        }
        if !self.fence.is_open() {
            return refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "fenced",
                "this edge is finding out what it must not serve",
            );
        }
        if terms.carriage.is_none() && !self.has_come_to(headers).await {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "behind", "this edge has not heard of a purge yet");
        }
        if self.table.is_refused(asked.key(), now_ms) {
            return (answer::missing(terms), "taken-down");
        }
        let (mut response, outcome) = self.serve(method, headers, asked, terms, watching.as_ref()).await;
        match (next, shown) {
            (Some((next, way)), _) => self.hand_on(&next, way, asked.path, now_ms, &mut response),
            (None, Some(token)) => self.keep_token(token, asked.path, terms, &mut response),
            (None, None) => {}
        }
        (response, outcome)
    }

    async fn serve(
        &self,
        method: &Method,
        headers: &HeaderMap,
        asked: &Asked<'_>,
        terms: Terms,
        watching: Option<&Watching<'_>>,
    ) -> Ended {
        // An edge that asks has a list of its own.
        if asked.routed || is_manifest(asked.key()) {
            return (answer::missing(terms), "missing");
        }
        let found = match self.cache.get(asked.key()).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(key = asked.key(), %error, "nothing to show");
                return refuse(StatusCode::BAD_GATEWAY, "origin", "no origin has an answer at the moment");
            }
        };
        // An edge that asks has other origins, or something stale of its own.
        if found.served == Served::Stale && terms.carriage.is_none() {
            return refuse(StatusCode::BAD_GATEWAY, "origin", "no origin has an answer at the moment");
        }
        let Some(object) = found.entry.object() else { return (answer::missing(terms), "missing") };
        let outcome = match found.served {
            Served::Hit => "hit",
            Served::Miss => "miss",
            Served::Stale => "stale",
        };
        let age_s = found.entry.age_s(now_ms());
        // What is kept names no edge and no token; what is sent may.
        let composed = watching
            .and_then(|watching| self.steering.composed(asked.key(), object, watching, answer::takes_gzip(headers)));
        let Some(composed) = composed else {
            return (answer::object(method, headers, object, &found, age_s, terms), outcome);
        };
        let mut response = answer::object(method, headers, &composed.object, &found, age_s, terms);
        if composed.is_private {
            response.headers_mut().insert(header::CACHE_CONTROL, PRIVATE);
        }
        (response, outcome)
    }

    /// A token of a query is not carried on by relative addresses: it becomes a cookie of its paths.
    fn keep_token(&self, token: &str, path: &str, terms: Terms, response: &mut Response<Body>) {
        if terms.carriage != Some(Carriage::Query) {
            return;
        }
        // A cache in between must not hand one viewer's cookie to another.
        if response.headers().get(header::CACHE_CONTROL) != Some(&PRIVATE) {
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        }
        if !response.status().is_success() || terms.valid_s <= 0 {
            return;
        }
        renewed::in_cookie(COOKIE, token, path, terms.valid_s, self.secure, response.headers_mut());
    }

    /// The next token of a session, with what its viewer asked for.
    fn hand_on(&self, next: &Next, way: HandOver, path: &str, now_ms: i64, response: &mut Response<Body>) {
        if !response.status().is_success() && response.status() != StatusCode::NOT_MODIFIED {
            return;
        }
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, PRIVATE);
        match way {
            HandOver::Header => renewed::in_header(&next.token, headers),
            HandOver::Cookie(name) => {
                let valid_s = next.times.expires_s.saturating_sub(now_ms.div_euclid(1000));
                renewed::in_cookie(name, &next.token, path, valid_s, self.secure, headers);
            }
            // Its player was led on before anything was looked for.
            HandOver::Redirect(_) => {}
        }
    }

    /// Whether another edge asks, which has let its viewers in itself.
    fn is_edge(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(SHIELD_HEADER).map(HeaderValue::as_bytes);
        // Digests: how long they take to compare says nothing of the secret.
        self.shield_secret
            .as_ref()
            .zip(shown)
            .is_some_and(|(secret, shown)| blake3::hash(secret.expose().as_bytes()) == blake3::hash(shown))
    }

    /// Whether this edge has applied what the edge that asks has; it waits a little for that.
    async fn has_come_to(&self, headers: &HeaderMap) -> bool {
        let place = headers.get(PURGED_HEADER).and_then(|place| place.to_str().ok()?.parse::<u64>().ok());
        let Some(place) = place else { return true };
        let mut reached = self.table.reached();
        matches!(timeout(BEHIND_MAX, reached.wait_for(|own| *own >= place)).await, Ok(Ok(_)))
    }
}

/// A refusal, and its word.
pub fn refuse(status: StatusCode, reason: &'static str, title: &'static str) -> Ended {
    (answer::problem(status, reason, title), reason)
}

fn deny(denied: &Denied) -> Ended {
    let reason = denied.why.reason();
    if let Some(instead) = &denied.instead {
        return (answer::instead(instead, reason), "denied");
    }
    let (status, title) = match denied.why.is_mended_by_another_token() {
        true => (StatusCode::UNAUTHORIZED, "a valid token is needed"),
        false => (StatusCode::FORBIDDEN, "this token does not open this"),
    };
    (answer::problem(status, reason, title), "denied")
}

fn length(headers: &HeaderMap) -> u64 {
    headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0)
}
