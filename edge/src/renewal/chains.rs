//! The sessions that this edge renews: which token follows on which, and what one that has ended still opens. Pure, but
//! for the time that it is told.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use framemill_tokens::{Renewing, Verified};

use crate::http::Carriage;

/// Sessions that are renewed at once; beyond it the tokens of others end as they say.
const CHAINS_MAX: usize = 50_000;
/// How often those are forgotten that nobody watches any more, milliseconds.
const PRUNE_MS: i64 = 10_000;
/// How long a session counts as watched after it asked for a playlist, milliseconds.
const WATCHED_MS: i64 = 90_000;
/// Tokens of one session that are known at once: the one a player began with, and those it was given since.
const TOKENS_MAX: usize = 8;
/// What a token that was renewed opens after its end, seconds: two target durations of six seconds, for the segments of
/// the last playlist that it opened.
const GRACE_S: i64 = 12;
/// Longest time before its end that a token is renewed which does not say, milliseconds: one that lives for an hour is
/// followed by one that does for minutes, and that has to end later.
const BEFORE_MS_MAX: i64 = 100_000;
/// Shortest and longest pause before a session is asked for again, milliseconds.
const PAUSE_MS: i64 = 1_000;
const PAUSE_MS_MAX: i64 = 15_000;

/// A token's digest: nobody reads one out of memory that was not there before.
pub type Digest = [u8; 32];

/// What the tokens of one session share: all that they say, but for their times and how many sessions there may be.
pub type Lineage = [u8; 32];

/// The digest of a token.
pub fn digest_of(token: &str) -> Digest {
    *blake3::hash(token.as_bytes()).as_bytes()
}

/// What the next token of this one's session has to be like. Two tokens of a session for other paths or from another
/// address are none of each other's: whoever shows one must not be handed the other.
pub fn lineage_of(verified: &Verified) -> Lineage {
    let mut claims = verified.claims.clone();
    (claims.not_before_s, claims.expires_s, claims.sessions_max) = (0, 0, 0);
    let Verified { methods, more_networks, more, format, .. } = verified;
    // Written for people, with every text in quotes: no two that differ are written alike.
    *blake3::hash(format!("{claims:?} {methods:?} {more_networks:?} {more:?} {format:?}").as_bytes()).as_bytes()
}

/// When a token is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it ends, Unix seconds.
    pub expires_s: i64,
    /// How long before that it is renewed, milliseconds.
    pub before_ms: i64,
    /// How long the next one is to be valid, seconds.
    pub life_s: i64,
}

impl Times {
    /// Takes when a token was issued and ends, Unix seconds, and what it says itself: it is renewed in the last third
    /// of its life, for as long again.
    pub fn of(issued_s: i64, expires_s: i64, renewing: Option<Renewing>) -> Self {
        let life_s = expires_s.saturating_sub(issued_s);
        let next_s = renewing.map_or(life_s, |renewing| renewing.add_s);
        let deadline_s = renewing.and_then(|renewing| renewing.deadline_s);
        let before_ms = match deadline_s {
            None => (life_s.saturating_mul(1000) / 3).min(BEFORE_MS_MAX),
            // Not all its life long: the next one, which says the same, would have to be renewed at once.
            Some(deadline_s) => deadline_s.saturating_mul(1000).min(next_s.saturating_mul(2000) / 3),
        };
        Self { expires_s, before_ms, life_s: next_s }
    }

    const fn is_due(&self, now_ms: i64) -> bool {
        self.expires_s.saturating_mul(1000).saturating_sub(now_ms) < self.before_ms
    }
}

/// A token that let a request in.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The token.
    pub token: &'a str,
    /// Its digest.
    pub digest: Digest,
    /// Its session's.
    pub lineage: Lineage,
    /// When it is renewed.
    pub times: Times,
}

/// A token that the scheduler issued for a session.
#[derive(PartialEq, Eq)]
pub struct Next {
    /// The token.
    pub token: String,
    /// When it is renewed in its turn.
    pub times: Times,
}

// A token is never printed.
impl std::fmt::Debug for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Next").field("times", &self.times).finish_non_exhaustive()
    }
}

/// A token to be renewed.
#[derive(PartialEq, Eq)]
pub struct Ask {
    /// Whose.
    pub lineage: Lineage,
    /// The token.
    pub token: String,
    /// When it ends, and how long the next one is to be valid.
    pub times: Times,
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ask").field("times", &self.times).finish_non_exhaustive()
    }
}

/// What a playlist that was asked for leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The token to hand on.
    pub next: Option<Arc<Next>>,
    /// What to ask of the scheduler.
    pub ask: Option<Ask>,
    /// There is no room for one more session.
    pub full: bool,
}

/// How a request for the next token ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// With the next token.
    Renewed(Next),
    /// It may not watch any more: its token ends.
    Refused,
    /// With none that can be used; it is asked for again.
    Failed,
}

/// One session.
#[derive(Debug)]
struct Chain {
    /// Since when this edge renews it, Unix milliseconds.
    began_ms: i64,
    /// When a playlist was last asked for, Unix milliseconds.
    asked_ms: i64,
    /// The newest token that the scheduler gave.
    next: Option<Arc<Next>>,
    /// Tokens that were shown for playlists: the first one, and the last ones.
    tokens: Vec<Digest>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is under way; the scheduler is not asked before `again_ms`, and `pause_ms` was how long it was left
    /// alone.
    Idle { again_ms: i64, pause_ms: i64 },
    /// The scheduler is asked; how long it was left alone before.
    Asking { pause_ms: i64 },
    /// The scheduler refused the token with this end.
    Refused { expires_s: i64 },
}

/// A token that was shown for a playlist.
#[derive(Debug)]
struct Known {
    lineage: Lineage,
    expires_s: i64,
    /// When it was last shown for one, Unix milliseconds.
    asked_ms: i64,
}

/// The sessions.
#[derive(Debug)]
pub struct Chains {
    all: HashMap<Lineage, Chain>,
    known: HashMap<Digest, Known>,
    /// Longest time that a session is renewed, milliseconds.
    session_ms_max: i64,
    pruned_ms: i64,
}

impl Chains {
    /// None, each to be renewed for so long at most.
    pub fn new(session_ms_max: i64) -> Self {
        Self { all: HashMap::new(), known: HashMap::new(), session_ms_max, pruned_ms: 0 }
    }

    /// Takes the token that a playlist was asked for with, when everything else let it in.
    pub fn asked(&mut self, shown: &Shown<'_>, now_ms: i64) -> Step {
        self.prune(now_ms);
        let room = self.all.len() < CHAINS_MAX;
        let chain = match self.all.entry(shown.lineage) {
            Entry::Occupied(chain) => chain.into_mut(),
            // Nearly every request: there is time.
            Entry::Vacant(_) if !shown.times.is_due(now_ms) => return Step::default(),
            Entry::Vacant(_) if !room => return Step { full: true, ..Step::default() },
            Entry::Vacant(place) => place.insert(Chain {
                began_ms: now_ms,
                asked_ms: now_ms,
                next: None,
                tokens: Vec::new(),
                state: State::Idle { again_ms: now_ms, pause_ms: 0 },
            }),
        };
        chain.asked_ms = now_ms;
        note(&mut self.known, chain, shown, now_ms);
        if is_over(chain, self.session_ms_max, now_ms) {
            return Step::default();
        }
        let expires_s = shown.times.expires_s;
        let newer = chain.next.clone().filter(|next| next.times.expires_s > expires_s);
        let (latest, times) =
            newer.as_ref().map_or((shown.token, shown.times), |next| (next.token.as_str(), next.times));
        let ask = match chain.state {
            State::Idle { again_ms, pause_ms } if again_ms <= now_ms => Some(pause_ms),
            // Its portal gave it another one meanwhile.
            State::Refused { expires_s: refused_s } if times.expires_s > refused_s => Some(0),
            _ => None,
        };
        let ask = ask.filter(|_| times.is_due(now_ms)).map(|pause_ms| {
            chain.state = State::Asking { pause_ms };
            Ask { lineage: shown.lineage, token: latest.to_owned(), times }
        });
        Step { next: newer.filter(|next| !has_ended(next, now_ms)), ask, full: false }
    }

    /// Takes a token whose time is over, and what it is shown for; returns when it ended if it still opens that.
    /// Guards: a token that this edge has renewed, and whose session it renews still. A playlist leads its player on to
    /// the next token, and so does anything of a title, for as long as this one is shown without a pause: players ask for the address that they began
    /// with, however often they are led on. Anything else it opens for a moment.
    pub fn excuse(&self, digest: &Digest, carriage: Carriage, leads_on: bool, now_ms: i64) -> Option<i64> {
        let known = self.known.get(digest)?;
        let chain = self.all.get(&known.lineage)?;
        let next = chain.next.as_ref().filter(|next| !has_ended(next, now_ms))?;
        if next.times.expires_s <= known.expires_s || is_over(chain, self.session_ms_max, now_ms) {
            return None;
        }
        let is_followed = known.asked_ms.saturating_add(WATCHED_MS) > now_ms;
        let is_led_on = leads_on && carriage == Carriage::Path && is_followed;
        let is_near = known.expires_s.saturating_add(GRACE_S).saturating_mul(1000) > now_ms;
        (is_led_on || is_near).then_some(known.expires_s)
    }

    /// Takes how asking for a session's next token ended.
    pub fn answered(&mut self, ask: &Ask, answer: Answer, now_ms: i64) {
        let Some(chain) = self.all.get_mut(&ask.lineage) else { return };
        let State::Asking { pause_ms } = chain.state else { return };
        chain.state = match answer {
            Answer::Renewed(next) => {
                chain.next = Some(Arc::new(next));
                State::Idle { again_ms: now_ms.saturating_add(PAUSE_MS), pause_ms: 0 }
            }
            Answer::Refused => State::Refused { expires_s: ask.times.expires_s },
            Answer::Failed => {
                let pause_ms = (pause_ms * 2).clamp(PAUSE_MS, PAUSE_MS_MAX);
                State::Idle { again_ms: now_ms.saturating_add(pause_ms), pause_ms }
            }
        };
    }

    /// Forgets sessions that nobody watches.
    fn prune(&mut self, now_ms: i64) {
        if now_ms.saturating_sub(self.pruned_ms) < PRUNE_MS {
            return;
        }
        self.pruned_ms = now_ms;
        self.all.retain(|_, chain| chain.asked_ms.saturating_add(WATCHED_MS) > now_ms);
        self.known
            .retain(|digest, known| self.all.get(&known.lineage).is_some_and(|chain| chain.tokens.contains(digest)));
    }
}

/// Remembers that a token was shown for a playlist. The first one stays: it is what a player goes on with that follows
/// no redirect for good.
fn note(known: &mut HashMap<Digest, Known>, chain: &mut Chain, shown: &Shown<'_>, now_ms: i64) {
    if !chain.tokens.contains(&shown.digest) {
        if chain.tokens.len() == TOKENS_MAX {
            known.remove(&chain.tokens.remove(1));
        }
        chain.tokens.push(shown.digest);
    }
    let (lineage, expires_s) = (shown.lineage, shown.times.expires_s);
    known.insert(shown.digest, Known { lineage, expires_s, asked_ms: now_ms });
}

const fn has_ended(next: &Next, now_ms: i64) -> bool {
    next.times.expires_s.saturating_mul(1000) <= now_ms
}

const fn is_over(chain: &Chain, session_ms_max: i64, now_ms: i64) -> bool {
    now_ms.saturating_sub(chain.began_ms) >= session_ms_max
}

#[cfg(test)]
#[path = "chains_tests.rs"]
mod tests;
