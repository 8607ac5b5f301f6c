//! Channels for people: tables and lines.

use framemill_schemas::live::{
    ArchiveView, ChannelDetail, ChannelView, Diagnosis, EncoderView, SourceFormat, SourceView,
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
            channel.why.as_ref().map_or_else(String::new, |why| why.reason.clone()),
        ]
    });
    let header = ["id", "tenant", "state", "replicas", "ladder", "edition", "for", "why"];
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
    let replicas = detail.replicas.iter().map(replica).collect();
    let header = ["replica on", "job", "state", "number", "lag", "speed", "first", "second", "restarts", "trouble"];
    output::table(&header, replicas, "no replicas");
    if let Some(waiting) = &detail.waiting {
        output::line(printable(&format!("a replica waits: {waiting}")));
    }
    let renditions = detail.renditions.iter().map(|rendition| {
        let number = rendition.number.map_or_else(dash, |number| number.to_string());
        vec![rendition.name.clone(), number, rendition.gaps.to_string(), rendition.filler.to_string()]
    });
    output::table(&["rendition", "number", "gaps", "filler"], renditions.collect(), "no renditions yet");
    let number = detail.playlist_number.map_or_else(dash, |number| number.to_string());
    output::line(format!("playlists: up to number {number}, {} old", ms(detail.playlist_age_ms)));
    output::line(format!("hls: {}", detail.hls));
    output::line(format!("dash: {}", detail.dash));
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

fn replica(replica: &EncoderView) -> Vec<String> {
    let state = match (replica.state, replica.encoding) {
        (_, Some(true)) if replica.proven => "encodes",
        (_, Some(true)) => "starts",
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
