//! Moving a transport stream in time: every clock reference and timestamp less `base`. Payloads and
//! everything else stay as they are.

use framemill_schemas::live::WRAP_TICKS;

use super::ts::PACKET_BYTES;

/// Moves whole packets `base` ticks of 90 kHz back.
pub fn shift(packets: &mut [u8], base: u64) {
    for packet in packets.chunks_exact_mut(PACKET_BYTES) {
        shift_packet(packet, base);
    }
}

/// Header of a packet (ISO/IEC 13818-1, clause 2.4.3.2).
const HEADER_BYTES: usize = 4;

fn shift_packet(packet: &mut [u8], base: u64) {
    let starts_unit = packet[1] & 0x40 != 0;
    let (has_field, has_payload) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
    let mut payload = HEADER_BYTES;
    if has_field {
        let length = usize::from(packet[HEADER_BYTES]);
        payload += 1 + length;
        if payload > packet.len() {
            return;
        }
        shift_field(&mut packet[HEADER_BYTES + 1..payload], base);
    }
    if has_payload && starts_unit {
        shift_unit(&mut packet[payload..], base);
    }
}

/// An adaptation field after its length (clause 2.4.3.4): the clock reference and the original one.
fn shift_field(field: &mut [u8], base: u64) {
    const REFERENCE_BYTES: usize = 6;
    let Some(flags) = field.first().copied() else { return };
    let mut at = 1;
    for flag in [0x10, 0x08] {
        if flags & flag != 0 {
            let Some(reference) = field.get_mut(at..at + REFERENCE_BYTES) else { return };
            let mut word = [0; 8];
            word[2..].copy_from_slice(reference);
            let word = u64::from_be_bytes(word);
            // 33 bits of base, 6 reserved, 9 of extension.
            let moved = back(word >> 15, base) << 15 | word & 0x7fff;
            reference.copy_from_slice(&moved.to_be_bytes()[2..]);
            at += REFERENCE_BYTES;
        }
    }
}

/// The start of a PES packet (clause 2.4.3.6), where it has a header with timestamps.
fn shift_unit(unit: &mut [u8], base: u64) {
    const STAMPS_AT: usize = 9;
    const STAMP_BYTES: usize = 5;
    if unit.len() < STAMPS_AT || unit[..3] != [0, 0, 1] || unit[6] & 0xc0 != 0x80 {
        return;
    }
    let stamps = match unit[7] >> 6 {
        0b10 => 1,
        0b11 => 2,
        _ => 0,
    };
    for stamp in unit[STAMPS_AT..].chunks_exact_mut(STAMP_BYTES).take(stamps) {
        let value = u64::from(stamp[0] >> 1 & 0x7) << 30
            | u64::from(stamp[1]) << 22
            | u64::from(stamp[2] >> 1) << 15
            | u64::from(stamp[3]) << 7
            | u64::from(stamp[4] >> 1);
        let moved = back(value, base);
        // Three, fifteen and fifteen bits, each followed by a marker.
        stamp[0] = stamp[0] & 0xf0 | ((moved >> 30) as u8 & 0x7) << 1 | 1;
        stamp[1] = (moved >> 22) as u8;
        stamp[2] = ((moved >> 15) as u8) << 1 | 1;
        stamp[3] = (moved >> 7) as u8;
        stamp[4] = (moved as u8) << 1 | 1;
    }
}

const fn back(ticks: u64, base: u64) -> u64 {
    ticks.wrapping_sub(base) % WRAP_TICKS
}
