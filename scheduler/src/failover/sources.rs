//! Sources that no replica reaches. That is no replica's fault: nothing is replaced for it.

use std::time::Duration;

use framemill_schemas::{
    failure::{Class, Failure},
    live::{ChannelRecord, LiveSource},
};

use super::{Facts, memory::Memory, tell};
use crate::ops::channel::Told;

/// How long replicas may take to reach their sources.
const GRACE: Duration = Duration::from_secs(10);
/// How long none may reach a source before that is told.
const DARK: Duration = Duration::from_secs(2);
/// How long one must reach it again before it counts as back: what comes and goes is told of once.
const BACK: Duration = Duration::from_secs(10);

/// Notes sources that were lost or are back, and tells of those that were lost.
pub(super) fn look(next: &mut ChannelRecord, facts: &Facts<'_>, memory: &Memory) {
    let runs = memory.runs_since().map(|since| facts.now.saturating_duration_since(since));
    // Whoever sends it may begin with the span.
    let is_ahead = next.on_air.is_ahead(facts.now_ms);
    if is_ahead || !facts.listening || runs.is_none_or(|runs| runs < GRACE) {
        return;
    }
    for index in 0..next.edition.sources.len() {
        let Some(light) = memory.source(index) else { continue };
        let for_long = facts.now.saturating_duration_since(light.since);
        let place = u32::try_from(index).unwrap_or(u32::MAX);
        let was_dark = next.upkeep.dark.contains(&place);
        if was_dark && light.on && for_long >= BACK {
            next.upkeep.dark.retain(|dark| *dark != place);
        } else if !was_dark && !light.on && for_long >= DARK {
            next.upkeep.dark.push(place);
            let failure = lost(&next.edition.sources[index], index, facts);
            tell(next, "source_lost", &index.to_string(), Told { why: Some(&failure), ..Told::default() }, facts);
        }
    }
}

/// What a lost source is told as, in the words of a replica where one has any.
pub(super) fn lost(source: &LiveSource, index: usize, facts: &Facts<'_>) -> Failure {
    let words = facts.known.words.values();
    let trouble = words.filter_map(|word| word.status.sources.get(index)?.trouble.as_ref()).min_by_key(|t| &t.reason);
    let why = trouble.map_or_else(String::new, |trouble| format!(": {}", trouble.reason));
    Failure::new(Class::Input, "source-lost", format!("no replica gets anything of {source}{why}"))
        .mend("look at whoever sends it, at the way here, and at its address")
}
