//! Channels for people: tables and lines.

use framemill_schemas::{
    finding::Finding,
    live::{
        ArchiveView, ChannelDetail, ChannelView, Diagnosis, EncoderView, OnAirChange, RenditionSample, RenditionStatus,
        SegmentFinding, SourceFormat, SourceView, SpanDocument, rfc3339,
    },
};

use crate::{
    args::Global,
    output::{self, age, printable, span},
};

/// A list of channels.
pub fn list(global: &Global, channels: &[ChannelView]) {
    if global.json {
        return output::json(&channels);
    }
    let rows = channels.iter().map(|channel| {
        vec![
            channel.channel_id.to_string(),
            channel.tenant.to_string(),
            channel.state.as_str().to_owned(),
            format!("{}/{}", channel.proven, channel.redundancy),
            channel.ladder.clone(),
            channel.edition.to_string(),
            age(channel.since_ms),
            channel.next.as_ref().map_or_else(dash, next),
            channel.why.as_ref().map_or_else(String::new, |why| why.reason.clone()),
        ]
    });
    let header = ["id", "tenant", "state", "replicas", "ladder", "edition", "for", "next", "why"];
    output::table(&header, rows.collect(), "no channels");
}

/// One channel.
pub fn show(global: &Global, detail: &ChannelDetail) {
    if global.json {
        return output::json(detail);
    }
    let channel = &detail.channel;
    let (id, tenant, state) = (&channel.channel_id, &channel.tenant, channel.state.as_str());
    output::line(format!("{id} of {tenant} {state} for {}", age(channel.since_ms)));
    if let Some(why) = &channel.why {
        output::line(format!("why: {}", printable(&why.reason)));
        if let Some(mend) = &why.mend {
            output::line(format!("mend: {}", printable(mend)));
        }
    }
    output::line(format!(
        "edition {} of ladder {}, segments of {} ms, {} replicas, window {} s, time shift {} s",
        channel.edition, channel.ladder, detail.segment_ms, channel.redundancy, detail.window_s, detail.timeshift_s
    ));
    if !detail.on_air.is_empty() {
        let next = channel.next.as_ref().map_or_else(|| "nothing".to_owned(), next);
        let spans: Vec<String> = detail.on_air.iter().map(of_span).collect();
        output::line(printable(&format!("schedule: {}; next: {next}", spans.join(", "))));
    }
    if let Some(head) = &detail.head {
        let by = head.node.as_ref().map_or_else(String::new, |node| format!(" by {node}"));
        output::line(format!("number {}: {}{by}, {} ago", head.number, head.what, ms(Some(head.age_ms))));
    }
    if !detail.aligned {
        output::line("its source gives each reader timestamps of its own: one replica publishes, the other stands by");
    }
    let sources = detail.sources.iter().map(source).collect();
    let header = ["source", "kind", "state", "kbit/s", "last packet", "format", "reconnects", "lost", "trouble"];
    output::table(&header, sources, "no sources");
    let encodes = detail.replicas.iter().any(|replica| replica.encoding == Some(true));
    let stands_by = !detail.aligned && encodes;
    let replicas = detail.replicas.iter().map(|one| replica(one, stands_by)).collect();
    let header = ["replica on", "job", "state", "number", "lag", "speed", "first", "second", "restarts", "trouble"];
    output::table(&header, replicas, "no replicas");
    if let Some(waiting) = &detail.waiting {
        output::line(printable(&format!("a replica waits: {waiting}")));
    }
    let renditions = detail.renditions.iter().map(rendition).collect();
    let header = ["rendition", "number", "gaps", "filler", "sampled", "ago", "loudness", "seen"];
    output::table(&header, renditions, "no renditions yet");
    if detail.samples_late {
        output::line("its packager falls behind with decoding samples");
    }
    for SegmentFinding { number, finding } in detail.findings.iter().take(FINDINGS_SHOWN) {
        let Finding { code, at, measured, expected, .. } = finding;
        output::line(printable(&format!("number {number}: {code} at {at}: {measured}, expected: {expected}")));
    }
    let number = detail.playlist_number.map_or_else(dash, |number| number.to_string());
    output::line(format!("playlists: up to number {number}, {} old", ms(detail.playlist_age_ms)));
    if let Some(offset) = detail.sound_offset_ms.filter(|offset| *offset != 0) {
        output::line(format!(
            "sound: {} ms {} beside its picture",
            offset.abs(),
            if offset < 0 { "early" } else { "late" }
        ));
    }
    output::line(format!("hls: {}", detail.hls));
    output::line(format!("dash: {}", detail.dash));
}

/// What a schedule does next.
fn next(next: &OnAirChange) -> String {
    format!("{} {}", if next.on { "on" } else { "off" }, rfc3339(next.at_ms))
}

fn of_span(span: &SpanDocument) -> String {
    let end = |end: &Option<String>| end.clone().unwrap_or_else(|| "...".to_owned());
    format!("{} to {}", end(&span.from), end(&span.until))
}

/// Until when a channel is off air by its schedule.
pub fn off_air(channel: &ChannelView) -> String {
    channel.why.as_ref().map_or_else(|| "off air by its schedule".to_owned(), |why| printable(&why.reason))
}

/// Findings that are shown, newest first; `--json` has all.
const FINDINGS_SHOWN: usize = 5;

fn rendition(rendition: &RenditionStatus) -> Vec<String> {
    let sample = rendition.sample.as_ref();
    let seen = |sample: &RenditionSample| {
        let seen = sample.seen.iter().map(|seen| match seen.samples {
            1 => seen.flaw.as_str().to_owned(),
            samples => format!("{} in {samples} samples", seen.flaw.as_str()),
        });
        sample.fault.iter().cloned().chain(seen).collect::<Vec<_>>().join(", ")
    };
    vec![
        rendition.name.clone(),
        rendition.number.map_or_else(dash, |number| number.to_string()),
        rendition.gaps.to_string(),
        rendition.filler.to_string(),
        sample.map_or_else(dash, |sample| sample.number.to_string()),
        sample.map_or_else(dash, |sample| age(sample.at_ms)),
        sample.and_then(|sample| sample.loudness_lufs_centi).map_or_else(dash, lufs),
        sample.map_or_else(String::new, seen),
    ]
}

/// Hundredths of LUFS for people, to the tenth.
fn lufs(centi: i32) -> String {
    let tenths = (centi + centi.signum() * 5) / 10;
    let sign = if tenths < 0 { "-" } else { "" };
    format!("{sign}{}.{} LUFS", tenths.abs() / 10, tenths.abs() % 10)
}

fn dash() -> String {
    "-".to_owned()
}

fn ms(millis: Option<u64>) -> String {
    millis.map_or_else(dash, |millis| span(i64::try_from(millis).unwrap_or(i64::MAX)))
}

fn source(source: &SourceView) -> Vec<String> {
    let state = match (source.active, source.reachable) {
        (_, None) => "unknown",
        (_, Some(false)) => "lost",
        (0, Some(true)) => "standby",
        (_, Some(true)) => "active",
    };
    vec![
        source.uri.clone(),
        source.kind.as_str().to_owned(),
        state.to_owned(),
        (source.bits_per_s / 1000).to_string(),
        ms(source.last_packet_ms),
        source.format.as_ref().map_or_else(dash, format_of),
        source.reconnects.to_string(),
        source.lost_packets.to_string(),
        source.trouble.as_ref().map_or_else(String::new, |trouble| trouble.reason.clone()),
    ]
}

fn format_of(format: &SourceFormat) -> String {
    let scan = if format.interlaced { "i" } else { "p" };
    let sound = format.sound.as_deref().unwrap_or("no sound");
    format!("{} {}x{}{scan} {}, {sound}", format.codec, format.width, format.height, format.rate)
}

fn replica(replica: &EncoderView, stands_by: bool) -> Vec<String> {
    let state = match (replica.state, replica.encoding) {
        (_, Some(true)) if replica.proven => "encodes",
        (_, Some(true)) => "starts",
        (_, Some(false)) if stands_by && replica.proven => "stands by",
        (_, Some(false)) => "waits for its source",
        (Some(state), None) => state.as_str(),
        (None, None) => "placed",
    };
    let flaws: Vec<_> = replica.flaws.iter().map(|flaw| flaw.as_str()).collect();
    let trouble = replica.trouble.as_ref().map(|trouble| trouble.reason.clone());
    vec![
        replica.node.as_ref().map_or_else(dash, ToString::to_string),
        replica.job_id.to_string(),
        state.to_owned(),
        replica.number.map_or_else(dash, |number| number.to_string()),
        replica.lag_ms.map_or_else(dash, |lag| format!("{lag} ms")),
        replica.speed_milli.map_or_else(dash, |speed| format!("{}.{:02}x", speed / 1000, speed % 1000 / 10)),
        replica.committed.to_string(),
        replica.yielded.to_string(),
        replica.restarts.to_string(),
        trouble.unwrap_or_else(|| flaws.join(", ")),
    ]
}

/// What a title of a span does not have: for people, beside its id.
pub fn left_out(archive: &ArchiveView) {
    for left_out in &archive.left_out {
        let length = span(left_out.to_ms - left_out.from_ms);
        let at = match left_out.from_ms - archive.from_ms {
            before if before < 0 => "before its start".to_owned(),
            after => format!("{} after its start", span(after)),
        };
        let (segments, why) = (left_out.segments, left_out.why.as_str());
        output::note(format!("left out: {segments} segments ({why}), {length} long, {at}"));
    }
}

/// Where one fails.
pub fn diagnosis(found: &Diagnosis) {
    let rows = found.stations.iter().map(|station| {
        vec![station.station.as_str().to_owned(), station.state.as_str().to_owned(), station.says.clone()]
    });
    output::table(&["station", "state", "says"], rows.collect(), "no stations");
}
