//! MPEG transport streams (ISO/IEC 13818-1) as packets: finds the program that has pictures, where
//! each picture starts and when it is shown, and drops everything else. Pure: bytes in, spans out.
//!
//! Payloads are never looked into, but for the first bytes of a picture.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, Bytes, BytesMut};
use mpeg2ts_reader::{
    StreamType,
    packet::Packet,
    pes::{PesContents, PesHeader, PtsDts, Timestamp},
    psi::{
        BufferSectionSyntaxParser, CrcCheckWholeSectionSyntaxPayloadParser, SectionCommonHeader, SectionPacketConsumer,
        SectionSyntaxSectionProcessor, TableSyntaxHeader, WholeSectionSyntaxPayloadParser, pat::PatSection,
        pmt::PmtSection,
    },
};

/// Bytes of a packet.
pub const PACKET_BYTES: usize = Packet::SIZE;
const SYNC: u8 = Packet::SYNC_BYTE;
/// Packets of nothing, that only keep a rate.
const NULL_PID: u16 = 0x1fff;
/// Most packets a map of a program may take: its section is at most 1024 bytes long.
const MAP_PACKETS_MAX: usize = 8;

/// What a stream is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TsItem {
    /// The tables that a decoder needs first, as packets: they changed.
    Tables(Bytes),
    /// Packets.
    Span(Span),
}

/// Consecutive packets of the program; a picture starts with the first of them, or none does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Whole packets.
    pub bytes: Bytes,
    /// The picture that starts here.
    pub picture: Option<Picture>,
}

/// The start of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// When it is shown, in ticks of 90 kHz, 33 bits.
    pub pts: u64,
    /// When it is decoded.
    pub dts: u64,
    /// Whether a decoder may start here.
    pub entry: bool,
}

/// Reads a stream as it comes, from any byte on and across damage.
#[derive(Default)]
pub struct TsReader {
    buffer: BytesMut,
    in_step: bool,
    tables: Tables,
    counters: BTreeMap<u16, u8>,
    span: BytesMut,
    picture: Option<Picture>,
    lost: u64,
}

impl TsReader {
    /// Takes bytes, appends what they complete.
    pub fn push(&mut self, bytes: &[u8], items: &mut Vec<TsItem>) {
        self.buffer.extend_from_slice(bytes);
        while self.find_step() {
            let packet = self.buffer.split_to(PACKET_BYTES);
            self.take(&packet, items);
        }
        self.flush(items);
    }

    /// Packets that were lost or broken on the way, by their counters.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether a whole packet stands at the start of the buffer; what is none is dropped.
    fn find_step(&mut self) -> bool {
        loop {
            if self.buffer.len() < PACKET_BYTES {
                return false;
            }
            let next = self.buffer.get(PACKET_BYTES);
            // Out of step, one byte that looks right proves nothing.
            let proven = next.map_or(self.in_step, |next| *next == SYNC);
            if self.buffer[0] == SYNC && (proven || self.in_step) {
                self.in_step = true;
                return true;
            }
            if self.buffer[0] == SYNC && next.is_none() {
                return false;
            }
            self.in_step = false;
            let found = self.buffer[1..].iter().position(|byte| *byte == SYNC);
            self.buffer.advance(found.map_or(self.buffer.len(), |at| at + 1));
        }
    }

    fn take(&mut self, bytes: &[u8], items: &mut Vec<TsItem>) {
        let Some(packet) = Packet::try_new(bytes) else { return };
        let pid = u16::from(packet.pid());
        if pid == NULL_PID {
            return;
        }
        if packet.transport_error_indicator() {
            self.lost += 1;
            return;
        }
        self.count(&packet, pid);
        if let Some(tables) = self.tables.take(&packet, pid) {
            self.flush(items);
            items.push(TsItem::Tables(tables));
        }
        let Some(program) = &self.tables.program else { return };
        if pid == program.video && packet.payload_unit_start_indicator() {
            let picture = picture(&packet, program.video_type);
            self.flush(items);
            self.picture = picture;
        }
        let program = self.tables.program.as_ref().expect("it was there a moment ago");
        if pid == 0 || program.pids.contains(&pid) {
            self.span.extend_from_slice(bytes);
        }
    }

    /// Counters rise by one with each packet that carries something; a packet may be sent twice.
    fn count(&mut self, packet: &Packet<'_>, pid: u16) {
        if !packet.adaptation_control().has_payload() {
            return;
        }
        let now = packet.continuity_counter().count();
        let jump = packet.adaptation_field().is_some_and(|field| field.discontinuity_indicator());
        if let Some(before) = self.counters.insert(pid, now)
            && !jump
            && now != before
        {
            self.lost += u64::from((now.wrapping_sub(before).wrapping_sub(1)) & 0xf);
        }
    }

    fn flush(&mut self, items: &mut Vec<TsItem>) {
        if !self.span.is_empty() {
            let bytes = self.span.split().freeze();
            items.push(TsItem::Span(Span { bytes, picture: self.picture.take() }));
        }
    }
}

fn picture(packet: &Packet<'_>, video_type: StreamType) -> Option<Picture> {
    let header = PesHeader::from_bytes(packet.payload()?)?;
    let PesContents::Parsed(Some(contents)) = header.contents() else { return None };
    let stamp = |found: Result<Timestamp, _>| found.ok().map(Timestamp::value);
    let (pts, dts) = match contents.pts_dts().ok()? {
        PtsDts::PtsOnly(pts) => (stamp(pts)?, None),
        PtsDts::Both { pts, dts } => (stamp(pts)?, stamp(dts)),
        PtsDts::None | PtsDts::Invalid => return None,
    };
    let marked = packet.adaptation_field().is_some_and(|field| field.random_access_indicator());
    let entry = marked || starts_sequence(contents.payload(), video_type);
    Some(Picture { pts, dts: dts.unwrap_or(pts), entry })
}

/// Whether the first bytes of a picture hold what a decoder needs first: parameter sets, or a sequence
/// header. For streams that do not mark their entries.
fn starts_sequence(payload: &[u8], video_type: StreamType) -> bool {
    let starts = payload.windows(4).filter(|window| window[..3] == [0, 0, 1]).map(|window| window[3]);
    let wanted = |byte: u8| match video_type {
        // A sequence parameter set (Rec. ITU-T H.264, table 7-1).
        StreamType::H264 => byte & 0x1f == 7,
        // The same of Rec. ITU-T H.265, table 7-1.
        StreamType::H265 => byte >> 1 & 0x3f == 33,
        // A sequence header (ISO/IEC 13818-2, clause 6.2.2.1).
        _ => byte == 0xb3,
    };
    starts.into_iter().any(wanted)
}

/// What is known of the program that is taken.
struct Program {
    /// Where its map is.
    map: u16,
    video: u16,
    video_type: StreamType,
    pids: BTreeSet<u16>,
}

type Sections<P> = SectionPacketConsumer<
    SectionSyntaxSectionProcessor<BufferSectionSyntaxParser<CrcCheckWholeSectionSyntaxPayloadParser<P>>>,
>;

fn sections<P: WholeSectionSyntaxPayloadParser>(parser: P) -> Sections<P> {
    let whole = CrcCheckWholeSectionSyntaxPayloadParser::new(parser);
    SectionPacketConsumer::new(SectionSyntaxSectionProcessor::new(BufferSectionSyntaxParser::new(whole)))
}

/// The association table, and the map of each program.
#[derive(Default)]
struct Tables {
    pat: Option<Sections<PatReader>>,
    pat_packet: Bytes,
    maps: BTreeMap<u16, Map>,
    program: Option<Program>,
}

struct Map {
    sections: Sections<MapReader>,
    packets: Vec<u8>,
}

impl Tables {
    /// Takes a packet of a table; the tables as packets when they are whole and not as before.
    fn take(&mut self, packet: &Packet<'_>, pid: u16) -> Option<Bytes> {
        if pid == 0 {
            self.associate(packet);
            return None;
        }
        // Of several programs the first that has pictures is taken, for as long as it is there.
        if self.program.as_ref().is_some_and(|program| program.map != pid && self.maps.contains_key(&program.map)) {
            return None;
        }
        let map = self.maps.get_mut(&pid)?;
        if packet.payload_unit_start_indicator() {
            map.packets.clear();
        }
        if map.packets.len() < MAP_PACKETS_MAX * PACKET_BYTES {
            map.packets.extend_from_slice(packet.buffer());
        }
        let mut streams = None;
        map.sections.consume(&mut streams, packet);
        let streams: Vec<(u16, StreamType)> = streams?;
        // Counters differ from one repetition to the next; the tables themselves do not.
        let (video, video_type) = streams.iter().copied().find(|(_, kind)| is_picture(*kind))?;
        let mut pids: BTreeSet<u16> = streams.iter().map(|(pid, _)| *pid).collect();
        pids.insert(pid);
        let same = self
            .program
            .as_ref()
            .is_some_and(|program| (program.video, program.video_type, &program.pids) == (video, video_type, &pids));
        self.program = Some(Program { map: pid, video, video_type, pids });
        (!same).then(|| Bytes::from([&self.pat_packet[..], &map.packets].concat()))
    }

    fn associate(&mut self, packet: &Packet<'_>) {
        if packet.payload_unit_start_indicator() {
            self.pat_packet = Bytes::copy_from_slice(packet.buffer());
        }
        let mut maps = None;
        self.pat.get_or_insert_with(|| sections(PatReader)).consume(&mut maps, packet);
        let Some(pids): Option<Vec<u16>> = maps else { return };
        self.maps.retain(|pid, _| pids.contains(pid));
        for pid in pids {
            self.maps.entry(pid).or_insert_with(|| Map { sections: sections(MapReader), packets: Vec::new() });
        }
    }
}

const fn is_picture(kind: StreamType) -> bool {
    matches!(kind, StreamType::H262 | StreamType::H264 | StreamType::H265 | StreamType::ISO_11172_VIDEO)
}

struct PatReader;

impl WholeSectionSyntaxPayloadParser for PatReader {
    type Context = Option<Vec<u16>>;

    fn section<'a>(
        &mut self,
        maps: &mut Self::Context,
        _: &SectionCommonHeader,
        _: &TableSyntaxHeader<'a>,
        data: &'a [u8],
    ) {
        let programs = body(data).map(PatSection::new);
        let pids = programs
            .iter()
            .flat_map(PatSection::programs)
            .filter(|program| matches!(program, mpeg2ts_reader::psi::pat::ProgramDescriptor::Program { .. }));
        *maps = Some(pids.map(|program| u16::from(program.pid())).collect());
    }
}

struct MapReader;

impl WholeSectionSyntaxPayloadParser for MapReader {
    type Context = Option<Vec<(u16, StreamType)>>;

    fn section<'a>(
        &mut self,
        streams: &mut Self::Context,
        _: &SectionCommonHeader,
        _: &TableSyntaxHeader<'a>,
        data: &'a [u8],
    ) {
        let Some(map) = body(data).and_then(|body| PmtSection::from_bytes(body).ok()) else { return };
        *streams = Some(map.streams().map(|info| (u16::from(info.elementary_pid()), info.stream_type())).collect());
    }
}

/// A section without its headers and its checksum.
fn body(section: &[u8]) -> Option<&[u8]> {
    const CHECKSUM_BYTES: usize = 4;
    let end = section.len().checked_sub(CHECKSUM_BYTES)?;
    section.get(SectionCommonHeader::SIZE + TableSyntaxHeader::SIZE..end)
}

#[cfg(test)]
#[path = "ts_tests.rs"]
mod tests;
