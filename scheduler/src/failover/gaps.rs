//! Numbers that came to nothing: told of once they are over, with how many they were.

use framemill_schemas::{
    failure::{Class, Failure},
    live::ChannelRecord,
};

use super::{Facts, tell};
use crate::{ops::channel::Told, view::Outcome};

/// Notes gaps that begin, and tells of those that are over.
pub(super) fn look(next: &mut ChannelRecord, facts: &Facts<'_>) {
    let log = &facts.known.log;
    loop {
        match next.upkeep.gap_from {
            None => {
                let mut new = log.range(next.upkeep.told..);
                let Some((from, _)) = new.find(|(_, noted)| noted.what == Outcome::Gap) else { return };
                next.upkeep.gap_from = Some(*from);
            }
            Some(from) => {
                let mut after = log.range(from..);
                let Some((until, _)) = after.find(|(_, noted)| noted.what != Outcome::Gap) else { return };
                close(next, from, *until, facts);
            }
        }
    }
}

/// The channel goes off air: a gap that goes on ends with it.
pub(super) fn end(next: &mut ChannelRecord, facts: &Facts<'_>) {
    look(next, facts);
    if let Some(from) = next.upkeep.gap_from {
        let until = facts.known.log.last_key_value().map_or(from, |(number, _)| *number).max(from) + 1;
        close(next, from, until, facts);
    }
}

fn close(next: &mut ChannelRecord, from: u64, until: u64, facts: &Facts<'_>) {
    (next.upkeep.gap_from, next.upkeep.told) = (None, until);
    let count = until.saturating_sub(from);
    let numbers = if count == 1 { format!("number {from}") } else { format!("{count} numbers from {from} on") };
    let failure = Failure::new(Class::Transient, "gap", format!("{numbers} came to nothing, and viewers skip that"));
    tell(next, "gap", &from.to_string(), Told { why: Some(&failure), ..Told::default() }, facts);
}
