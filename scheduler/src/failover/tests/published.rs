//! What the packager finds of what viewers get, and what becomes of the channel then.

use framemill_schemas::live::{Flaw, PLAYLIST_STATUS_VERSION, PlaylistStatus, RenditionSample, SeenFlaw};

use super::*;

fn sample(sound: bool, seen: &[(Flaw, u32)]) -> RenditionSample {
    RenditionSample {
        rendition: if sound { "stereo" } else { "360p" }.to_owned(),
        sound,
        number: 7,
        at_ms: 0,
        fault: None,
        seen: seen.iter().map(|(flaw, samples)| SeenFlaw { flaw: *flaw, samples: *samples }).collect(),
        loudness_lufs_centi: None,
        loudest_lufs_centi: None,
    }
}

impl World {
    fn playlist(&self, samples: Vec<RenditionSample>, age_ms: u64) -> PlaylistStatus {
        PlaylistStatus {
            v: PLAYLIST_STATUS_VERSION,
            tenant: self.channel.tenant.clone(),
            channel_id: self.channel.id.clone(),
            node: node("p"),
            at_ms: self.now_ms(),
            number: Some(self.head()),
            age_ms: Some(age_ms),
            gaps: 0,
            commit_ms: Some(20),
            checked: 1,
            skipped: 0,
            findings: Vec::new(),
            sound_offset_ms: None,
            sample_every_s: 30,
            samples_late: false,
            samples,
            trouble: None,
        }
    }

    /// Some seconds in which all is well but for what the packager says each second.
    fn hear(&mut self, seconds: u64, says: impl Fn(&Self) -> PlaylistStatus) {
        for second in 0..seconds {
            self.later();
            if second % (SEGMENT_MS / 1000) == 0 {
                self.commit(Outcome::Segment, Some(0));
            }
            (0..self.channel.replicas.len()).for_each(|index| self.say(self.status(index)));
            self.known.playlist = Some((says(self), self.now()));
            self.look();
        }
    }
}

#[test]
fn a_flaw_that_stays_is_told_once_and_its_end_once() {
    let mut world = World::live(&["a", "b"]);
    let says = |sound, seen: &'static [(Flaw, u32)]| move |world: &World| world.playlist(vec![sample(sound, seen)], 10);
    world.hear(4, says(false, &[(Flaw::Black, 1)]));
    world.hear(4, says(false, &[(Flaw::Black, 2)]));
    assert!(world.told.is_empty());
    world.hear(8, says(false, &[(Flaw::Black, 3)]));
    assert_eq!((world.channel.state, world.code()), (ChannelState::Degraded, "published-flawed"));
    assert_eq!(world.told, ["channel.degraded"]);
    assert!(world.channel.why.as_ref().unwrap().reason.contains("what viewers get is black"));
    // Another packager takes over, and has not sampled yet; then it is at its first sample; nobody says anything.
    world.hear(4, |world| world.playlist(Vec::new(), 10));
    world.hear(4, says(false, &[(Flaw::Black, 1)]));
    // Sound says nothing of a picture.
    world.hear(4, says(true, &[]));
    world.run(10, |_, _| {});
    assert_eq!((world.channel.state, world.told.len()), (ChannelState::Degraded, 1));
    world.hear(4, says(false, &[]));
    assert_eq!((world.channel.state, world.channel.why.is_none()), (ChannelState::Live, true));
    world.hear(4, says(true, &[(Flaw::Silent, 9)]));
    assert_eq!(world.told, ["channel.degraded", "channel.recovered", "channel.degraded"]);
    // Nobody samples any more.
    world.hear(2, |world| PlaylistStatus { sample_every_s: 0, ..world.playlist(Vec::new(), 10) });
    assert_eq!(world.told.last().unwrap(), "channel.recovered");
}

#[test]
fn a_channel_that_is_stopped_forgets_what_it_showed() {
    let mut world = World::live(&["a", "b"]);
    world.hear(2, |world| world.playlist(vec![sample(false, &[(Flaw::Frozen, 3)])], 10));
    assert_eq!(world.channel.upkeep.shown, [Flaw::Frozen]);
    world.channel.wanted = Wanted::Stopped;
    world.look();
    assert!(world.channel.upkeep.shown.is_empty());
}

#[test]
fn playlists_that_stand_still_are_told_once_and_so_is_their_end() {
    let mut world = World::live(&["a", "b"]);
    world.hear(4, |world| world.playlist(Vec::new(), 12_000));
    assert!(world.told.is_empty());
    world.hear(8, |world| world.playlist(Vec::new(), 12_001));
    assert_eq!((world.channel.state, world.code()), (ChannelState::Down, "playlists-stale"));
    assert_eq!(world.told, ["channel.degraded"]);
    world.hear(4, |world| world.playlist(Vec::new(), 40));
    assert_eq!(world.channel.state, ChannelState::Live);
    assert_eq!(world.told, ["channel.degraded", "channel.recovered"]);
    // The packager is gone, and numbers go on; nothing is replaced for it.
    let replicas = world.channel.replicas.clone();
    world.run(11, |_, _| {});
    assert_eq!(world.told.len(), 2);
    world.run(3, |_, _| {});
    assert_eq!((world.channel.state, world.code()), (ChannelState::Down, "playlists-stale"));
    assert_eq!(world.channel.replicas, replicas);
    // While this scheduler hears nothing, it blames nobody.
    world.hear(4, |world| world.playlist(Vec::new(), 40));
    world.listening = false;
    world.run(60, |_, _| {});
    assert_eq!(world.channel.state, ChannelState::Live);
}
