//! A multivariant playlist with pathways (RFC 8216bis, clause 4.4.6; HLS Content Steering 1.2b1): its variants become this
//! edge's pathway, and come again for others. Pure.

use super::compose::{MANIFEST, Pathway, Pathways};

/// Largest playlist that is composed.
const BYTES_MAX: usize = 256 * 1024;
/// Lines of a playlist that are read to find out what it is.
const HEAD_LINES: usize = 64;

/// Whether a playlist lists variants, and not segments.
pub fn is_multivariant(playlist: &[u8]) -> bool {
    let decisive = |line: &[u8]| {
        let is = |tags: &[&str]| tags.iter().any(|tag| line.starts_with(tag.as_bytes()));
        if is(&["#EXT-X-STREAM-INF:", "#EXT-X-MEDIA:", "#EXT-X-I-FRAME-STREAM-INF:"]) {
            return Some(true);
        }
        is(&["#EXTINF:", "#EXT-X-TARGETDURATION:", "#EXT-X-MEDIA-SEQUENCE:"]).then_some(false)
    };
    playlist.split(|byte| *byte == b'\n').take(HEAD_LINES).find_map(decisive).unwrap_or(false)
}

/// Takes a playlist and the pathways; returns it with them, or `None` where it is none that this can be done to: it has a
/// steering of its own, variables, or addresses that are not relative.
pub fn compose(playlist: &str, pathways: &Pathways) -> Option<String> {
    if playlist.len() > BYTES_MAX || !is_multivariant(playlist.as_bytes()) {
        return None;
    }
    let mut own = String::with_capacity(playlist.len() * 2);
    let mut others = vec![String::new(); pathways.others.len()];
    let mut steered = false;
    let mut lines = playlist.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("#EXT-X-CONTENT-STEERING:") || line.starts_with("#EXT-X-DEFINE:") {
            return None;
        }
        let Some(tag) = Tag::read(line) else {
            own += line;
            own.push('\n');
            continue;
        };
        if !steered {
            own += &format!(
                "#EXT-X-CONTENT-STEERING:SERVER-URI=\"{}{MANIFEST}\",PATHWAY-ID=\"{}\"\n",
                pathways.own.prefix, pathways.own.id
            );
            steered = true;
        }
        // The address of a variant is on the next line that is no comment.
        let address = if tag.name == STREAM_INF { Some(lines.find(|line| is_address(line))?) } else { None };
        if !address.or_else(|| tag.get("URI")).is_none_or(is_relative) {
            return None;
        }
        own += &tag.on(address, &pathways.own, false);
        for (text, pathway) in others.iter_mut().zip(&pathways.others) {
            *text += &tag.on(address, pathway, true);
        }
    }
    others.iter().for_each(|text| own += text);
    Some(own)
}

const STREAM_INF: &str = "#EXT-X-STREAM-INF:";
const MEDIA: &str = "#EXT-X-MEDIA:";
const IFRAMES: &str = "#EXT-X-I-FRAME-STREAM-INF:";
/// Attributes of a variant that name a group of renditions; those of closed captions have no address, and are shared.
const GROUPS: [&str; 3] = ["AUDIO", "VIDEO", "SUBTITLES"];

/// A tag that belongs to a pathway.
struct Tag<'a> {
    name: &'static str,
    /// Names and values as they are written, quotes and all.
    attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Tag<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (name, list) =
            [STREAM_INF, MEDIA, IFRAMES].into_iter().find_map(|name| Some((name, line.strip_prefix(name)?)))?;
        Some(Self { name, attributes: attributes(list) })
    }

    /// The value of an attribute, without quotes.
    fn get(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.attributes.iter().find(|(own, _)| *own == name)?;
        Some(value.trim_matches('"'))
    }

    /// The tag, and its address where that has a line of its own, as they are on a pathway; `again` where they come a
    /// second time.
    fn on(&self, address: Option<&str>, pathway: &Pathway, again: bool) -> String {
        let is_media = self.name == MEDIA;
        if is_media && again && !self.get("TYPE").is_some_and(|kind| GROUPS.contains(&kind)) {
            return String::new();
        }
        let mut list: Vec<String> = self
            .attributes
            .iter()
            .map(|(name, value)| {
                let plain = value.trim_matches('"');
                match *name {
                    "URI" => format!("URI=\"{}{plain}\"", pathway.prefix),
                    "GROUP-ID" if is_media && again => format!("GROUP-ID=\"{plain}.{}\"", pathway.id),
                    group if !is_media && again && GROUPS.contains(&group) => {
                        format!("{group}=\"{plain}.{}\"", pathway.id)
                    }
                    _ => format!("{name}={value}"),
                }
            })
            .collect();
        // Whatever pathway a player is on, it is the same variant (the same rendition).
        let (name, stable) = match is_media {
            true => ("STABLE-RENDITION-ID", self.get("URI").map(ToOwned::to_owned)),
            false => ("STABLE-VARIANT-ID", self.stable(address)),
        };
        if let Some(stable) = stable.filter(|stable| self.get(name).is_none() && is_stable(stable)) {
            list.push(format!("{name}=\"{stable}\""));
        }
        if !is_media {
            list.push(format!("PATHWAY-ID=\"{}\"", pathway.id));
        }
        let line = format!("{}{}\n", self.name, list.join(","));
        match address {
            Some(address) => format!("{line}{}{address}\n", pathway.prefix),
            None => line,
        }
    }

    /// What a variant is, whichever edge it is on: its address, with the sound and text that it goes with.
    fn stable(&self, address: Option<&str>) -> Option<String> {
        let address = address.or_else(|| self.get("URI"))?;
        let groups = GROUPS.iter().filter_map(|group| self.get(group));
        Some(std::iter::once(address).chain(groups).collect::<Vec<_>>().join("+"))
    }
}

/// Splits an attribute list (RFC 8216, clause 4.2) at the commas that stand in no quotes.
fn attributes(list: &str) -> Vec<(&str, &str)> {
    let mut quoted = false;
    list.split(|letter: char| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    })
    .filter_map(|pair| pair.split_once('='))
    .map(|(name, value)| (name.trim(), value.trim()))
    .collect()
}

fn is_address(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

fn is_relative(address: &str) -> bool {
    !address.starts_with('/') && !address.contains(':')
}

/// Letters that such an identifier may have.
fn is_stable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=.-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio-stereo\",NAME=\"a, b\",DEFAULT=YES,URI=\"audio-stereo.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"cc\",INSTREAM-ID=\"CC1\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.64001e,mp4a.40.2\",AUDIO=\"audio-stereo\",CLOSED-CAPTIONS=\"cc\"\n\
        video-360p.m3u8\n\
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"iframe-360p.m3u8\"\n";

    fn pathways(own: &str, others: &[(&str, &str)]) -> Pathways {
        let pathway = |id: &str, prefix: &str| Pathway { id: id.to_owned(), prefix: prefix.to_owned() };
        Pathways { own: pathway("a", own), others: others.iter().map(|(id, prefix)| pathway(id, prefix)).collect() }
    }

    #[test]
    fn variants_become_this_edges_pathway() {
        assert_eq!(
            compose(MASTER, &pathways("", &[])).unwrap(),
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-CONTENT-STEERING:SERVER-URI=\"steering.json\",PATHWAY-ID=\"a\"\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio-stereo\",NAME=\"a, b\",DEFAULT=YES,URI=\"audio-stereo.m3u8\",\
             STABLE-RENDITION-ID=\"audio-stereo.m3u8\"\n\
             #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"cc\",INSTREAM-ID=\"CC1\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.64001e,mp4a.40.2\",AUDIO=\"audio-stereo\",\
             CLOSED-CAPTIONS=\"cc\",STABLE-VARIANT-ID=\"video-360p.m3u8+audio-stereo\",PATHWAY-ID=\"a\"\n\
             video-360p.m3u8\n\
             #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"iframe-360p.m3u8\",STABLE-VARIANT-ID=\"iframe-360p.m3u8\",\
             PATHWAY-ID=\"a\"\n"
        );
    }

    #[test]
    fn others_come_after_it_with_groups_of_their_own_and_the_same_stable_names() {
        let composed = compose(MASTER, &pathways("/t/T/live/x/", &[("b", "https://b.example/t/T/live/x/")])).unwrap();
        let (own, other) = composed.rsplit_once("PATHWAY-ID=\"a\"\n#EXT-X-MEDIA").unwrap();
        assert!(own.contains("SERVER-URI=\"/t/T/live/x/steering.json\""), "{own}");
        assert!(own.contains("URI=\"/t/T/live/x/audio-stereo.m3u8\"") && own.contains("\n/t/T/live/x/video-360p"));
        assert_eq!(
            other,
            ":TYPE=AUDIO,GROUP-ID=\"audio-stereo.b\",NAME=\"a, b\",DEFAULT=YES,\
             URI=\"https://b.example/t/T/live/x/audio-stereo.m3u8\",STABLE-RENDITION-ID=\"audio-stereo.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.64001e,mp4a.40.2\",AUDIO=\"audio-stereo.b\",\
             CLOSED-CAPTIONS=\"cc\",STABLE-VARIANT-ID=\"video-360p.m3u8+audio-stereo\",PATHWAY-ID=\"b\"\n\
             https://b.example/t/T/live/x/video-360p.m3u8\n\
             #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"https://b.example/t/T/live/x/iframe-360p.m3u8\",\
             STABLE-VARIANT-ID=\"iframe-360p.m3u8\",PATHWAY-ID=\"b\"\n"
        );
    }

    #[test]
    fn what_cannot_be_done_to_a_playlist_is_left_alone() {
        for other in [
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n1.m4s\n",
            "#EXTM3U\n",
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n",
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttps://other.example/a.m3u8\n",
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n/a.m3u8\n",
            "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"s\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n",
            "#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n",
        ] {
            assert_eq!(compose(other, &pathways("", &[])), None, "{other}");
        }
    }
}
