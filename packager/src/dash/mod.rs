//! The DASH manifest (ISO/IEC 23009-1) from a title: static, one period, segment templates with
//! timelines. Pure; the same title gives the same bytes.

use std::io;

use quick_xml::{
    Writer,
    events::{BytesDecl, Event},
};

use crate::{
    bitrate::{min_buffer_micros, peak},
    decimal::{MICROS, micros, xml_duration},
    title::Title,
};

pub(crate) mod set;
pub(crate) mod timeline;

/// Where XML goes.
pub(crate) type Xml = Writer<Vec<u8>>;

/// What both kinds of manifests follow.
pub(crate) const PROFILES: &str = "urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019";

/// Writes the manifest. `prefix` stands before every address: empty for the one in the
/// generation's folder, [`Title::entry_prefix`] for the one that lies a folder up. There is no
/// BaseURL: relative addresses resolve against wherever the manifest was fetched from.
pub fn mpd(title: &Title, prefix: &str) -> Vec<u8> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    write(&mut xml, title, prefix).expect("writing to memory cannot fail");
    let mut bytes = xml.into_inner();
    bytes.push(b'\n');
    bytes
}

fn write(xml: &mut Xml, title: &Title, prefix: &str) -> io::Result<()> {
    let target_s = title.target_duration_s();
    let duration = xml_duration(micros(title.spec.grid.duration_ticks(title.spec.timescale), title.spec.timescale));
    let segment_max = title.tracks().flat_map(|(_, track)| track.stretches()).map(|s| s.micros).max().unwrap_or(0);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    xml.create_element("MPD")
        .with_attributes([
            ("xmlns", "urn:mpeg:dash:schema:mpd:2011"),
            ("profiles", PROFILES),
            ("type", "static"),
            ("mediaPresentationDuration", &duration),
            ("maxSegmentDuration", &xml_duration(segment_max)),
            ("minBufferTime", &xml_duration(min_buffer(title, target_s))),
        ])
        .write_inner_content(|xml| {
            xml.create_element("Period")
                .with_attributes([("id", "0"), ("start", "PT0S"), ("duration", &duration)])
                .write_inner_content(|xml| {
                    let mut id = 0;
                    for set in set::video(title) {
                        id += 1;
                        set.write(xml, title, id, prefix)?;
                    }
                    for set in set::audio(title) {
                        id += 1;
                        set.write(xml, title, id, prefix)?;
                    }
                    Ok(())
                })?;
            Ok(())
        })?;
    Ok(())
}

/// The shortest buffer, rounded up to a millisecond, with which every representation keeps its
/// declared bandwidth.
fn min_buffer(title: &Title, target_s: u64) -> u64 {
    let longest = title
        .tracks()
        .map(|(_, track)| {
            let stretches = track.stretches();
            min_buffer_micros(&stretches, peak(&stretches, target_s))
        })
        .max()
        .unwrap_or(0);
    longest.div_ceil(MICROS / 1000) * (MICROS / 1000)
}
