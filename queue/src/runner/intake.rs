//! Which lanes to pull from, and which of the hints that arrive to take. Pure: no clock, no I/O.
//!
//! With room, the runner first sweeps: it asks every lane it knows nothing of whether it has a
//! hint now, up to the first lane that is likely to have one, and takes the most urgent of the
//! answers. Lanes that answered "nothing" get a pull that waits. Pulls that wait cannot be called
//! back when the room is gone; what they bring then is refused at once, before any claim. A job that is
//! too large for the room there is goes back too, and its lane is left alone for a moment.

use std::time::{Duration, Instant};

use super::room::Decision;

/// How long the answers to a sweep are waited for.
const SWEEP_MAX: Duration = Duration::from_secs(2);
/// How long a lane is left alone after the server refused a pull.
const BLOCKED: Duration = Duration::from_secs(2);
/// How long a pull waits at the server. Long, because a thousand idle runners with some thirty
/// lanes each renew them all.
pub(super) const STANDING: Duration = Duration::from_secs(120);
/// How long a job that there is no room for is hidden from everybody, so that what waits behind it in
/// its lane is seen.
const PASS: Duration = Duration::from_millis(1500);
/// How long its lane is left alone here, doubled with each in a row, until something ends.
const PASS_SHORTEST: Duration = Duration::from_millis(200);
const PASS_DOUBLINGS: u32 = 3;
/// How much later a pull that was never answered is taken for lost.
const STANDING_GRACE: Duration = Duration::from_secs(5);

/// What the shell is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<M> {
    /// Run the hint's job, on this device.
    Take(M, Option<u32>),
    /// Hold on to the hint until there is room for its job.
    Keep(M),
    /// Give the hint back, to be delivered to others after a pause.
    Refuse(M, Option<Duration>),
    /// Ask the lane for a hint it has now.
    Try { lane: usize, serial: u64 },
    /// Leave a pull on the lane.
    Stand { lane: usize, serial: u64 },
}

/// What the server says instead of a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The lane has nothing now, or the pull's time ran out.
    Nothing,
    /// The pull was refused or dropped.
    Refused,
}

/// What there is room for now; taking a hint changes it.
pub(super) trait Admit<M> {
    /// Whether some job of the lane might be taken.
    fn opens(&self, lane: usize) -> bool;
    /// What becomes of a hint.
    fn decide(&mut self, lane: usize, hint: &M) -> Decision;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is known.
    Idle,
    /// It had nothing a moment ago.
    Empty,
    /// It was asked.
    Trying { serial: u64 },
    /// A pull waits.
    Standing { serial: u64, until: Instant },
    /// It is left alone.
    Blocked { until: Instant },
}

struct LaneState {
    state: State,
    /// Whether it had more when it was last heard of.
    likely: bool,
    /// Jobs of it in a row that there was no room for.
    passed: u32,
}

/// Decides for one runner.
pub(super) struct Intake<M> {
    lanes: Vec<LaneState>,
    found: Vec<(usize, M)>,
    sweep_until: Option<Instant>,
    serial: u64,
}

impl<M> Intake<M> {
    /// For lanes `0..lanes`, the most urgent first.
    pub fn new(lanes: usize) -> Self {
        let lanes = (0..lanes).map(|_| LaneState { state: State::Idle, likely: false, passed: 0 }).collect();
        Self { lanes, found: Vec::new(), sweep_until: None, serial: 0 }
    }

    /// A hint arrived; `more` tells whether its lane had others behind it.
    pub fn hint(&mut self, lane: usize, more: bool, hint: M) {
        let of = &mut self.lanes[lane];
        (of.state, of.likely) = (State::Idle, more);
        self.found.push((lane, hint));
    }

    /// The server answered pull `serial` of a lane without a hint.
    pub fn answer(&mut self, lane: usize, serial: u64, answer: Answer, now: Instant) {
        let asked = &mut self.lanes[lane];
        let current = match asked.state {
            State::Trying { serial } | State::Standing { serial, .. } => Some(serial),
            _ => None,
        };
        if current == Some(serial) {
            asked.likely = false;
            asked.state = match answer {
                Answer::Nothing => State::Empty,
                Answer::Refused => State::Blocked { until: now + BLOCKED },
            };
        }
    }

    /// The connection came back: what was pulled before may never be answered.
    pub fn reset(&mut self) {
        for lane in &mut self.lanes {
            lane.state = State::Idle;
        }
        self.sweep_until = None;
    }

    /// Something ended: what there was no room for may have it now.
    pub fn freed(&mut self) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.passed > 0) {
            lane.passed = 0;
            if matches!(lane.state, State::Blocked { .. }) {
                lane.state = State::Idle;
            }
        }
    }

    /// What to do with the room there is.
    pub fn plan(&mut self, room: &mut impl Admit<M>, now: Instant) -> Vec<Step<M>> {
        self.expire(now);
        let mut steps = Vec::new();
        if self.sweep_until.is_some() && self.is_sweeping() {
            return steps;
        }
        self.sweep_until = None;
        self.found.sort_by_key(|(lane, _)| *lane);
        for (index, hint) in std::mem::take(&mut self.found) {
            let lane = &mut self.lanes[index];
            if !room.opens(index) {
                lane.likely = true;
                steps.push(Step::Refuse(hint, None));
                continue;
            }
            match room.decide(index, &hint) {
                Decision::Take(device) => {
                    lane.passed = 0;
                    steps.push(Step::Take(hint, device));
                }
                Decision::Keep => steps.push(Step::Keep(hint)),
                Decision::Pass => {
                    let block = PASS_SHORTEST * 2_u32.pow(lane.passed.min(PASS_DOUBLINGS));
                    (lane.likely, lane.passed) = (true, lane.passed + 1);
                    lane.state = State::Blocked { until: now + block };
                    steps.push(Step::Refuse(hint, Some(PASS)));
                }
            }
        }
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            // By the time there is room again, nothing is known of these.
            if lane.state == State::Empty && !room.opens(index) {
                lane.state = State::Idle;
            }
        }
        if !self.sweep(&mut steps, room, now) {
            self.stand(&mut steps, now);
        }
        steps
    }

    /// When `plan` is due even if nothing happens.
    pub fn wake(&self) -> Option<Instant> {
        let lanes = self.lanes.iter().filter_map(|lane| match lane.state {
            State::Standing { until, .. } | State::Blocked { until } => Some(until),
            _ => None,
        });
        lanes.chain(self.sweep_until).min()
    }

    fn is_sweeping(&self) -> bool {
        self.lanes.iter().any(|lane| matches!(lane.state, State::Trying { .. }))
    }

    fn sweep(&mut self, steps: &mut Vec<Step<M>>, room: &impl Admit<M>, now: Instant) -> bool {
        let mut asked = false;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if lane.state != State::Idle || !room.opens(index) {
                continue;
            }
            self.serial += 1;
            lane.state = State::Trying { serial: self.serial };
            steps.push(Step::Try { lane: index, serial: self.serial });
            asked = true;
            if lane.likely {
                break;
            }
        }
        if asked {
            self.sweep_until = Some(now + SWEEP_MAX);
        }
        asked
    }

    fn stand(&mut self, steps: &mut Vec<Step<M>>, now: Instant) {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if lane.state == State::Empty {
                self.serial += 1;
                lane.state = State::Standing { serial: self.serial, until: now + STANDING + STANDING_GRACE };
                steps.push(Step::Stand { lane: index, serial: self.serial });
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        let swept = self.sweep_until.is_some_and(|until| until <= now);
        for lane in &mut self.lanes {
            lane.state = match lane.state {
                State::Standing { until, .. } | State::Blocked { until } if until <= now => State::Idle,
                State::Trying { .. } if swept => State::Blocked { until: now + BLOCKED },
                state => state,
            };
        }
    }
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
