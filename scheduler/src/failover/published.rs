//! What viewers get, as the packager that writes a channel's playlists finds it: sampled pictures that are black or
//! stand still, sound that is silent, and playlists that stand still.

use std::time::Duration;

use framemill_schemas::{
    failure::{Class, Failure},
    live::{ChannelRecord, Flaw, PlaylistStatus, SAMPLES_TO_TELL},
};

use super::{Facts, state::alert_ms};

/// What can be seen of what is published.
const SEEN: [Flaw; 3] = [Flaw::Black, Flaw::Frozen, Flaw::Silent];
/// A word older than this says nothing of now.
const FRESH: Duration = Duration::from_secs(5);

/// Notes flaws that stay, and those that are over. Where nobody says anything, what was noted stays.
pub(super) fn look(next: &mut ChannelRecord, facts: &Facts<'_>) {
    let Some((status, at)) = &facts.known.playlist else { return };
    if facts.now.saturating_duration_since(*at) > FRESH {
        return;
    }
    for flaw in SEEN {
        let was = next.upkeep.shown.contains(&flaw);
        let is = is_shown(flaw, was, status);
        if was && !is {
            next.upkeep.shown.retain(|shown| *shown != flaw);
        } else if !was && is {
            next.upkeep.shown.push(flaw);
        }
    }
}

/// Whether a flaw is shown now: it begins with some samples of a rendition in a row, and ends when no rendition's
/// last sample has it.
fn is_shown(flaw: Flaw, was: bool, status: &PlaylistStatus) -> bool {
    if status.sample_every_s == 0 {
        return false;
    }
    let mut streaks = status.samples.iter().filter(|sample| sample.says(flaw)).map(|sample| sample.streak(flaw));
    let longest = streaks.by_ref().max();
    match longest {
        // Another packager has taken over, and has not sampled yet.
        None => was,
        Some(longest) if was => longest > 0,
        Some(longest) => longest >= SAMPLES_TO_TELL,
    }
}

/// Why a channel that shows flaws is not as it should be.
pub(super) fn why(next: &ChannelRecord) -> Option<Failure> {
    let shown: Vec<&str> =
        SEEN.iter().filter(|flaw| next.upkeep.shown.contains(flaw)).map(|flaw| flaw.as_str()).collect();
    if shown.is_empty() {
        return None;
    }
    let reason = format!("what viewers get is {}", shown.join(" and "));
    let mend = "look at its source; framemill channel show has what was seen of each rendition";
    Some(Failure::new(Class::Input, "published-flawed", reason).mend(mend))
}

/// Whether its playlists are known to have stood still for as long as its owner bears it. That nobody was ever
/// heard says nothing.
pub(super) fn stands_still(next: &ChannelRecord, facts: &Facts<'_>) -> bool {
    let Some((status, at)) = &facts.known.playlist else { return false };
    let Some(age_ms) = status.age_ms else { return false };
    let since = facts.now.saturating_duration_since(*at);
    // What is said each second and was not heard is not known.
    if !facts.listening {
        return false;
    }
    let age = Duration::from_millis(age_ms).saturating_add(since);
    age.as_millis() > alert_ms(next).unsigned_abs().into()
}

/// Why a channel whose playlists stand still is not as it should be.
pub(super) fn still() -> Failure {
    Failure::new(Class::Transient, "playlists-stale", "its playlists stand still, though numbers are committed")
        .mend("see whether a packager runs and the store answers: framemill doctor")
}
