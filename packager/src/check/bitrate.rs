//! Bitrates against what was asked for.

use framemill_schemas::finding::Finding;

use crate::{
    bitrate::average,
    check::{Findings, code},
    title::Title,
};

/// Warns of a rendition whose average is more than 10 % above what was asked for. A warning: in a
/// short clip an encoder cannot even out what its first pictures cost. Below is no fault: an easy
/// title needs less.
pub fn averages(title: &Title, findings: &mut Findings) {
    let pictures =
        title.pictures().filter_map(|(rendition, track)| Some((&rendition.name, rendition.bitrate_kbps?, track)));
    let sounds = title.sounds().map(|(rendition, track)| (&rendition.name, rendition.bitrate_kbps, track));
    for (name, asked_kbps, track) in pictures.chain(sounds) {
        let measured = average(&track.stretches());
        let most = u64::from(asked_kbps) * 1100;
        if measured > most {
            findings.push(Finding::warning(
                code::BITRATE,
                name,
                format!("{} kbit/s on average", measured.div_ceil(1000)),
                format!("{asked_kbps} kbit/s and at most 10 % more"),
            ));
        }
    }
}
