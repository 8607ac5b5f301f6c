//! Segment timelines: runs of equal segments.

use std::io;

use crate::{dash::Xml, title::Track};

/// `S@t`, `S@d` and one more than `S@r`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    start_ticks: u64,
    duration_ticks: u64,
    count: u64,
}

/// Segments, each with its start and its length, as runs. A hole in the timeline starts a run, so that
/// nothing is hidden by it.
fn runs(segments: impl IntoIterator<Item = (u64, u64)>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (start_ticks, duration_ticks) in segments {
        match runs.last_mut() {
            Some(run)
                if run.duration_ticks == duration_ticks
                    && run.start_ticks + run.count * run.duration_ticks == start_ticks =>
            {
                run.count += 1;
            }
            _ => runs.push(Run { start_ticks, duration_ticks, count: 1 }),
        }
    }
    runs
}

/// Writes a SegmentTimeline of segments, each with its start and its length.
pub(crate) fn write_timeline(xml: &mut Xml, segments: impl IntoIterator<Item = (u64, u64)>) -> io::Result<()> {
    xml.create_element("SegmentTimeline").write_inner_content(|xml| {
        let mut end = None;
        for run in runs(segments) {
            let mut s = xml.create_element("S");
            if end != Some(run.start_ticks) {
                s = s.with_attribute(("t", run.start_ticks.to_string().as_str()));
            }
            s = s.with_attribute(("d", run.duration_ticks.to_string().as_str()));
            if run.count > 1 {
                s = s.with_attribute(("r", (run.count - 1).to_string().as_str()));
            }
            s.write_empty()?;
            end = Some(run.start_ticks + run.count * run.duration_ticks);
        }
        Ok(())
    })?;
    Ok(())
}

/// Writes a SegmentTemplate. It is the same for every rendition on the same timeline.
pub fn write(xml: &mut Xml, track: &Track, prefix: &str) -> io::Result<()> {
    let first = track.segments.first().map_or(1, |segment| segment.number);
    xml.create_element("SegmentTemplate")
        .with_attributes([
            ("timescale", track.facts.timescale.to_string().as_str()),
            ("startNumber", &first.to_string()),
            ("initialization", &format!("{prefix}$RepresentationID$/init.mp4")),
            ("media", &format!("{prefix}$RepresentationID$/$Number$.m4s")),
        ])
        .write_inner_content(|xml| {
            let segments = track.segments.iter().map(|segment| (segment.start_ticks, segment.duration_ticks));
            write_timeline(xml, segments)
        })?;
    Ok(())
}
