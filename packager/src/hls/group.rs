//! Audio groups: the sound renditions of one rung, one for each language.

use std::collections::BTreeSet;

use crate::{
    bitrate::{average, peak},
    hls::{Attributes, audio_playlist},
    language,
    title::Title,
};

/// The renditions of one audio rung.
pub struct Group {
    /// GROUP-ID.
    pub id: String,
    /// Largest measured peak of its members, bits per second: a variant declares the worst
    /// combination a player may choose.
    pub peak: u64,
    /// Largest average of its members.
    pub average: u64,
    /// RFC 6381 codecs of its members, sorted, each once.
    pub codecs: BTreeSet<String>,
    /// Its EXT-X-MEDIA tags without the address prefix.
    members: Vec<Member>,
}

struct Member {
    name: String,
    language: String,
    default: bool,
    autoselect: bool,
    channels: u8,
    playlist: String,
}

/// The groups of a title: stereo first, because every device plays it, then in the ladder's order.
pub fn groups(title: &Title) -> Vec<Group> {
    let mut rungs: Vec<(&str, u8)> = Vec::new();
    for rendition in &title.spec.audio {
        if !rungs.iter().any(|(rung, _)| *rung == rendition.rung) {
            rungs.push((&rendition.rung, rendition.channels));
        }
    }
    rungs.sort_by_key(|&(_, channels)| channels != 2);
    rungs.into_iter().map(|(rung, _)| group(title, rung)).collect()
}

fn group(title: &Title, rung: &str) -> Group {
    let target_s = title.target_duration_s();
    let of_rung: Vec<_> = title.sounds().filter(|(rendition, _)| rendition.rung == rung).collect();
    // At most one default in a group; where the source marks none, its first track.
    let default = of_rung.iter().position(|(rendition, _)| rendition.default).unwrap_or(0);
    let mut group =
        Group { id: format!("audio-{rung}"), peak: 0, average: 0, codecs: BTreeSet::new(), members: Vec::new() };
    let default_language = language::tag(of_rung.get(default).and_then(|(rendition, _)| rendition.language.as_deref()));
    let mut selectable = BTreeSet::from([default_language]);
    let mut names = BTreeSet::new();
    for (index, (rendition, track)) in of_rung.into_iter().enumerate() {
        let stretches = track.stretches();
        group.peak = group.peak.max(peak(&stretches, target_s));
        group.average = group.average.max(average(&stretches));
        group.codecs.insert(track.facts.codecs.clone());
        let language = language::tag(rendition.language.as_deref());
        group.members.push(Member {
            name: unique(&rendition.label, &mut names),
            // Players choose by language alone: of two tracks of one language only the first, or
            // the default one, may be chosen without asking.
            autoselect: selectable.insert(language.clone()) || index == default,
            language,
            default: index == default,
            channels: rendition.channels,
            playlist: audio_playlist(&rendition.name),
        });
    }
    group
}

/// NAME must differ inside a group (RFC 8216, clause 4.3.4.1.1); labels come from sources.
fn unique(label: &str, names: &mut BTreeSet<String>) -> String {
    let mut name = label.to_owned();
    let mut count = 1;
    while !names.insert(name.clone()) {
        count += 1;
        name = format!("{label} ({count})");
    }
    name
}

impl Group {
    /// Its EXT-X-MEDIA tags.
    pub fn tags(&self, prefix: &str) -> String {
        let yes_no = |yes: bool| if yes { "YES" } else { "NO" };
        self.members
            .iter()
            .map(|member| {
                Attributes::of("EXT-X-MEDIA")
                    .plain("TYPE", "AUDIO")
                    .quoted("GROUP-ID", &self.id)
                    .quoted("LANGUAGE", &member.language)
                    .quoted("NAME", &member.name)
                    .plain("DEFAULT", yes_no(member.default))
                    .plain("AUTOSELECT", yes_no(member.autoselect))
                    .quoted("CHANNELS", &member.channels.to_string())
                    .quoted("URI", &format!("{prefix}{}", member.playlist))
                    .end()
            })
            .collect()
    }
}
