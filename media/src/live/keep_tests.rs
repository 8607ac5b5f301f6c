use super::*;

/// Where the channel's sound begins: fifty years of samples after the epoch.
const START: u64 = 86_160_000_000_000 / 1024 * 1024;

fn frames(count: u8) -> Vec<Bytes> {
    (0..count).map(|n| Bytes::from(vec![n; usize::from(n) + 1])).collect()
}

/// A segment as a channel has it, of two fragments.
fn segment() -> Bytes {
    let all = frames(7);
    let (first, _) = sound(90, START, &all[..3]).unwrap();
    let (second, _) = sound(91, START + 3 * 1024, &all[3..]).unwrap();
    [first, second].concat().into()
}

#[test]
fn frames_of_sound_come_out_as_they_went_in() {
    assert_eq!(sound_frames(&segment()).unwrap(), frames(7));
    let (bytes, facts) = sound(3, 500, &frames(7)).unwrap();
    assert_eq!((facts.sequence, facts.start_ticks, facts.duration_ticks, facts.samples), (3, 500, 7 * 1024, 7));
    assert_eq!(sound_frames(&bytes).unwrap(), frames(7));
}

#[test]
fn every_fragment_is_moved_by_the_same() {
    let before = segment();
    let (bytes, facts) = pictures(&before, 5, 7000).unwrap();
    assert_eq!((facts.sequence, facts.start_ticks, facts.samples), (5, 7000, 7));
    // Nothing but two sequence numbers and two decode times differs.
    let differing = before.iter().zip(&bytes).filter(|(before, after)| before != after).count();
    assert!(bytes.len() == before.len() && differing <= 2 * (4 + 8), "{differing} bytes differ");
    assert_eq!(sound_frames(&bytes).unwrap(), frames(7));
    // And back again.
    assert_eq!(pictures(&bytes, 90, START).unwrap().0, before);
}

#[test]
fn what_is_no_segment_is_refused() {
    for bad in [&b""[..], b"moof", b"\0\0\0\x08mdat", &segment()[..40]] {
        assert!(pictures(bad, 1, 0).is_err() && sound_frames(&Bytes::copy_from_slice(bad)).is_err());
    }
}
