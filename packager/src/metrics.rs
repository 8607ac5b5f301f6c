//! Every metric of a packager.

use framemill_media::decode::Media;
use framemill_schemas::{
    failure::Class,
    finding::{Finding, Report, ReportState, Severity},
    job::JobKind,
};
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram},
};

/// The packager's instruments.
pub struct Metrics {
    attempts: Counter<u64>,
    attempt_seconds: Histogram<f64>,
    manifests: Counter<u64>,
    manifest_bytes: Counter<u64>,
    segments: Counter<u64>,
    frames: Counter<u64>,
    reports: Counter<u64>,
    findings: Counter<u64>,
    live_playlist_seconds: Histogram<f64>,
    live_playlist_bytes: Counter<u64>,
    live_gaps: Counter<u64>,
    live_checked: Counter<u64>,
    live_skipped: Counter<u64>,
    live_sampled: Counter<u64>,
    live_sampled_late: Counter<u64>,
}

/// What came of a sample of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampled {
    /// Nothing was found.
    Good,
    /// All of it is black, frozen or silent.
    Flawed,
    /// It cannot be decoded, or not into what it should be.
    Broken,
    /// It could not be read or decoded now.
    Unread,
    /// It took too long.
    GivenUp,
}

impl Sampled {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Flawed => "flawed",
            Self::Broken => "broken",
            Self::Unread => "unread",
            Self::GivenUp => "given-up",
        }
    }
}

impl Metrics {
    /// Registers them.
    pub fn new() -> Self {
        let meter = framemill_telemetry::meter("packager");
        let counter = |name, description| meter.u64_counter(name).with_description(description).build();
        Self {
            attempts: counter("framemill_packager_attempts", "Attempts that ended, by kind and outcome"),
            attempt_seconds: meter
                .f64_histogram("framemill_packager_attempt_seconds")
                .with_description("Time from claim to the end of an attempt, by kind")
                .with_boundaries(vec![0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0])
                .build(),
            manifests: counter("framemill_packager_manifests_stored", "Manifests stored, or found stored"),
            manifest_bytes: counter("framemill_packager_manifest_stored_bytes", "Bytes of those manifests"),
            segments: counter("framemill_packager_segments_checked", "Segments fetched and checked"),
            frames: counter("framemill_packager_frames_decoded", "Frames decoded strictly, by media"),
            reports: counter("framemill_packager_reports", "Validations that ended, by verdict"),
            findings: counter("framemill_packager_findings", "Faults found in outputs, by severity"),
            live_playlist_seconds: meter
                .f64_histogram("framemill_packager_live_playlist_seconds")
                .with_description(
                    "Time from hearing of a channel's commit to a playlist or MPD stored that tells of it",
                )
                .with_boundaries(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0])
                .build(),
            live_playlist_bytes: counter("framemill_packager_live_playlist_bytes", "Bytes of those playlists and MPDs"),
            live_gaps: counter("framemill_packager_live_gaps", "Numbers of channels that were declared gaps"),
            live_checked: counter("framemill_packager_live_numbers_checked", "Numbers of channels that were checked"),
            live_skipped: counter(
                "framemill_packager_live_numbers_skipped",
                "Numbers that were passed over by checking",
            ),
            live_sampled: counter(
                "framemill_packager_live_sampled",
                "Segments of channels that were to be decoded as samples, by outcome",
            ),
            live_sampled_late: counter(
                "framemill_packager_live_sampled_late",
                "Of those, the ones that were due for longer than a whole sample_every_s",
            ),
        }
    }

    /// An attempt ended.
    pub fn attempt(&self, kind: JobKind, outcome: Result<(), Class>, seconds: f64) {
        let kind = KeyValue::new("kind", kind.as_str());
        let outcome = KeyValue::new("outcome", outcome.map_or_else(Class::as_str, |()| "done"));
        self.attempts.add(1, &[kind.clone(), outcome]);
        self.attempt_seconds.record(seconds, &[kind]);
    }

    /// A manifest is stored.
    pub fn manifest(&self, bytes: u64) {
        self.manifests.add(1, &[]);
        self.manifest_bytes.add(bytes, &[]);
    }

    /// A segment was checked.
    pub fn checked(&self) {
        self.segments.add(1, &[]);
    }

    /// A stream was decoded.
    pub fn decoded(&self, media: Media, frames: u64) {
        let media = match media {
            Media::Video => "video",
            Media::Audio => "audio",
        };
        self.frames.add(frames, &[KeyValue::new("media", media)]);
    }

    /// A validation ended.
    pub fn report(&self, report: &Report) {
        let verdict = match report.state {
            ReportState::Passed => "passed",
            ReportState::Failed => "failed",
        };
        self.reports.add(1, &[KeyValue::new("verdict", verdict)]);
        report.findings.iter().for_each(|finding| self.finding(finding));
    }

    fn finding(&self, finding: &Finding) {
        let severity = match finding.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        self.findings.add(1, &[KeyValue::new("severity", severity)]);
    }

    /// A playlist or an MPD of a channel is stored.
    pub fn live_playlist(&self, seconds: f64, bytes: u64) {
        self.live_playlist_seconds.record(seconds, &[]);
        self.live_playlist_bytes.add(bytes, &[]);
    }

    /// A number of a channel was declared a gap.
    pub fn live_gap(&self) {
        self.live_gaps.add(1, &[]);
    }

    /// A number of a channel was checked; these faults were found.
    pub fn live_checked(&self, findings: &[Finding]) {
        self.live_checked.add(1, &[]);
        findings.iter().for_each(|finding| self.finding(finding));
    }

    /// A number of a channel was passed over.
    pub fn live_skipped(&self) {
        self.live_skipped.add(1, &[]);
    }
    /// A segment of a channel was to be decoded as a sample.
    pub fn live_sampled(&self, outcome: Sampled, late: bool) {
        self.live_sampled.add(1, &[KeyValue::new("outcome", outcome.as_str())]);
        if late {
            self.live_sampled_late.add(1, &[]);
        }
    }

    /// What was found in a sample.
    pub fn live_found(&self, findings: &[Finding]) {
        findings.iter().for_each(|finding| self.finding(finding));
    }
}
