use proptest::prelude::*;

use super::*;
use crate::live::shift::shift;

/// A packet with this payload at its end, stuffed with an adaptation field.
fn packet(pid: u16, start: bool, counter: u8, entry: bool, pcr: Option<u64>, payload: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    let space = PACKET_BYTES - 4 - payload.len();
    if space > 0 {
        let mut flags = 0;
        let mut body = Vec::new();
        if entry {
            flags |= 0x40;
        }
        if let Some(pcr) = pcr {
            flags |= 0x10;
            body.extend_from_slice(&(pcr << 15 | 0x7e00).to_be_bytes()[2..]);
        }
        field.push((space - 1) as u8);
        if space > 1 {
            field.push(flags);
            field.extend_from_slice(&body);
            field.resize(space, 0xff);
        }
    }
    let control = if field.is_empty() { 0x10 } else { 0x30 };
    let mut bytes = vec![SYNC, (u8::from(start) << 6) | (pid >> 8) as u8, pid as u8, control | counter & 0xf];
    bytes.extend_from_slice(&field);
    bytes.extend_from_slice(payload);
    assert_eq!(bytes.len(), PACKET_BYTES);
    bytes
}

fn stamp(prefix: u8, ticks: u64) -> [u8; 5] {
    [
        prefix << 4 | ((ticks >> 30) as u8 & 7) << 1 | 1,
        (ticks >> 22) as u8,
        ((ticks >> 15) as u8) << 1 | 1,
        (ticks >> 7) as u8,
        (ticks as u8) << 1 | 1,
    ]
}

fn pes(pts: u64, dts: Option<u64>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 1, 0xe0, 0, 0, 0x80];
    match dts {
        None => {
            bytes.extend([0x80, 5]);
            bytes.extend(stamp(2, pts));
        }
        Some(dts) => {
            bytes.extend([0xc0, 10]);
            bytes.extend(stamp(3, pts));
            bytes.extend(stamp(1, dts));
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

fn section(table: u8, body: &[u8]) -> Vec<u8> {
    let length = 5 + body.len() + 4;
    let mut bytes = vec![table, 0xb0 | (length >> 8) as u8, length as u8, 0, 1, 0xc1, 0, 0];
    bytes.extend_from_slice(body);
    let crc = crc(&bytes);
    bytes.extend(crc.to_be_bytes());
    let mut payload = vec![0];
    payload.extend(bytes);
    payload.resize(PACKET_BYTES - 4, 0xff);
    payload
}

fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8)
            .fold(crc ^ u32::from(*byte) << 24, |crc, _| if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 })
    })
}

fn tables(video: u16, kind: u8) -> Vec<u8> {
    [packet(0, true, 0, false, None, &section(0, &[0, 1, 0xe1, 0x00])), map(0x100, video, kind)].concat()
}

fn map(pid: u16, video: u16, kind: u8) -> Vec<u8> {
    let mut map = vec![0xe0 | (video >> 8) as u8, video as u8, 0xf0, 0];
    map.extend([kind, 0xe0 | (video >> 8) as u8, video as u8, 0xf0, 0, 0x0f, 0xe1, 0x02, 0xf0, 0]);
    packet(pid, true, 0, false, None, &section(2, &map))
}

fn read(bytes: &[u8], step: usize) -> (Vec<TsItem>, u64) {
    let mut reader = TsReader::default();
    let mut items = Vec::new();
    bytes.chunks(step).for_each(|chunk| reader.push(chunk, &mut items));
    (items, reader.lost())
}

fn pictures(items: &[TsItem]) -> Vec<Picture> {
    let picture = |item: &TsItem| match item {
        TsItem::Span(span) => span.picture,
        TsItem::Tables(_) => None,
    };
    items.iter().filter_map(picture).collect()
}

fn stream() -> Vec<u8> {
    let mut bytes = tables(0x101, 0x1b);
    for number in 0..6_u64 {
        let (pts, entry) = (WRAP - 9000 + number * 3600, number % 3 == 0);
        let unit = pes(pts % WRAP, Some((pts - 3600) % WRAP), b"picture");
        let counter = (number * 2) as u8;
        bytes.extend(packet(0x101, true, counter, entry, Some(pts % WRAP), &unit));
        bytes.extend(packet(0x101, false, counter + 1, false, None, b"and more"));
        bytes.extend(packet(0x1fff, false, 0, false, None, &[0; 100]));
        bytes.extend(packet(0x1f0, false, number as u8, false, None, b"of another program"));
    }
    bytes
}

const WRAP: u64 = 1 << 33;

#[test]
fn pictures_are_found_whatever_the_pieces() {
    let whole = stream();
    for step in [1, 7, 187, 188, 189, 1316, 100_000] {
        let (items, lost) = read(&whole, step);
        let found = pictures(&items);
        assert_eq!(lost, 0, "{step}");
        assert_eq!(found.len(), 6, "{step}");
        assert_eq!(
            found.iter().map(|picture| picture.entry).collect::<Vec<_>>(),
            [true, false, false, true, false, false]
        );
        assert_eq!((found[0].pts, found[0].dts), (WRAP - 9000, WRAP - 12_600));
        assert_eq!((found[5].pts, found[5].dts), (9000, 5400));
        assert!(matches!(&items[0], TsItem::Tables(bytes) if bytes.len() == 2 * PACKET_BYTES));
        assert_eq!(items.iter().filter(|item| matches!(item, TsItem::Tables(_))).count(), 1, "said once");
        let bytes: usize =
            items.iter().map(|item| if let TsItem::Span(span) = item { span.bytes.len() } else { 0 }).sum();
        assert!(bytes >= 12 * PACKET_BYTES && bytes < whole.len() - 10 * PACKET_BYTES, "others are left out: {bytes}");
    }
}

#[test]
fn damage_costs_what_it_hits_and_is_counted() {
    let whole = stream();
    let cut = [&whole[..400], &whole[401..]].concat();
    let (items, lost) = read(&cut, 50);
    assert!(pictures(&items).len() >= 4 && lost > 0, "{lost}");
    let lead = [b"GGGno packets at allG".as_slice(), &whole].concat();
    assert_eq!(pictures(&read(&lead, 64).0).len(), 6);
    let mut missing = whole.clone();
    missing.drain(7 * PACKET_BYTES..8 * PACKET_BYTES);
    assert_eq!(read(&missing, 188).1, 1);
}

#[test]
fn another_program_is_said() {
    let both = [stream(), tables(0x111, 0x24)].concat();
    let said: Vec<_> = read(&both, 188).0.into_iter().filter(|item| matches!(item, TsItem::Tables(_))).collect();
    assert_eq!(said.len(), 2);
}

#[test]
fn of_several_programs_the_first_is_taken() {
    let pat = packet(0, true, 0, false, None, &section(0, &[0, 1, 0xe1, 0x00, 0, 2, 0xe2, 0x00]));
    let maps = [pat, map(0x100, 0x101, 0x1b), map(0x200, 0x201, 0x1b)].concat();
    let twice = [maps.clone(), packet(0x201, true, 0, true, None, &pes(9, None, b"other")), maps].concat();
    let items = read(&twice, 188).0;
    assert_eq!(items.iter().filter(|item| matches!(item, TsItem::Tables(_))).count(), 1);
    assert!(pictures(&items).is_empty());
}

#[test]
fn unmarked_entries_are_known_by_their_parameter_sets() {
    for (kind, payload, entry) in [
        (0x1b, &[0, 0, 0, 1, 0x67, 1][..], true),
        (0x1b, &[0, 0, 0, 1, 0x41, 1], false),
        (0x24, &[0, 0, 0, 1, 0x42, 1], true),
        (0x02, &[0, 0, 1, 0xb3, 1], true),
        (0x02, &[0, 0, 1, 0x00, 1], false),
    ] {
        let bytes = [tables(0x101, kind), packet(0x101, true, 0, false, None, &pes(9, None, payload))].concat();
        assert_eq!(pictures(&read(&bytes, 188).0)[0].entry, entry, "{kind:x} {payload:?}");
    }
}

#[test]
fn a_stream_is_moved_with_all_its_clocks_and_nothing_else() {
    let whole = stream();
    let mut moved = whole.clone();
    shift(&mut moved, WRAP - 20_000);
    let found = pictures(&read(&moved, 188).0);
    assert_eq!((found[0].pts, found[0].dts), (11_000, 7400));
    assert_eq!((found[5].pts, found[5].dts), (29_000, 25_400));
    let packets = moved.chunks(PACKET_BYTES).filter_map(Packet::try_new);
    let first_clock = packets.filter_map(|packet| packet.adaptation_field()?.pcr().ok()).next();
    assert_eq!(first_clock.map(|clock| clock.base()), Some(11_000));
    shift(&mut moved, 20_000);
    assert_eq!(moved, whole);
}

proptest! {
    #[test]
    fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..4000), aligned: bool) {
        let mut bytes = bytes;
        if aligned {
            bytes.iter_mut().step_by(PACKET_BYTES).for_each(|byte| *byte = SYNC);
        }
        let with_tables = [tables(0x101, 0x1b), bytes].concat();
        read(&with_tables, 333);
        let whole = with_tables.len() / PACKET_BYTES * PACKET_BYTES;
        shift(&mut with_tables.clone()[..whole], 77);
    }

    #[test]
    fn no_table_breaks_it(body in proptest::collection::vec(any::<u8>(), 0..160), table in 0..3_u8) {
        let pid = if table == 0 { 0 } else { 0x100 };
        let bytes = [tables(0x101, 0x1b), packet(pid, true, 1, false, None, &section(table, &body))].concat();
        read(&bytes, 188);
    }
}
