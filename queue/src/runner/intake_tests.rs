use proptest::prelude::*;

use super::*;

type Intake = super::Intake<&'static str>;

/// Room for so many, of whatever lane.
struct Slots(usize);

impl<M> Admit<M> for Slots {
    fn opens(&self, _lane: usize) -> bool {
        self.0 > 0
    }

    fn decide(&mut self, _lane: usize, _hint: &M) -> Decision {
        self.0 -= 1;
        Decision::Take(None)
    }
}

/// Lanes that are asked now.
fn tried<M: std::fmt::Debug>(steps: &[Step<M>]) -> Vec<(usize, u64)> {
    steps
        .iter()
        .filter_map(|step| match step {
            Step::Try { lane, serial } => Some((*lane, *serial)),
            _ => None,
        })
        .collect()
}

fn standing<M: std::fmt::Debug>(steps: &[Step<M>]) -> Vec<(usize, u64)> {
    steps
        .iter()
        .filter_map(|step| match step {
            Step::Stand { lane, serial } => Some((*lane, *serial)),
            _ => None,
        })
        .collect()
}

/// An intake whose lanes are all empty and have pulls that wait.
fn idle(lanes: usize, now: Instant) -> (Intake, Vec<(usize, u64)>) {
    let mut intake = Intake::new(lanes);
    for (lane, serial) in tried(&intake.plan(&mut Slots(1), now)) {
        intake.answer(lane, serial, Answer::Nothing, now);
    }
    let steps = intake.plan(&mut Slots(1), now);
    let pulls = standing(&steps);
    assert_eq!((pulls.len(), steps.len()), (lanes, lanes));
    (intake, pulls)
}

#[test]
fn an_idle_runner_sweeps_once_and_then_waits() {
    let now = Instant::now();
    let (mut intake, _) = idle(33, now);
    assert!(intake.plan(&mut Slots(1), now).is_empty());
    assert_eq!(intake.wake(), Some(now + STANDING + STANDING_GRACE));
}

#[test]
fn of_what_a_sweep_finds_the_most_urgent_is_taken() {
    let now = Instant::now();
    let mut intake = Intake::new(3);
    let asked = tried(&intake.plan(&mut Slots(1), now));
    intake.hint(2, false, "bulk");
    assert!(intake.plan(&mut Slots(1), now).is_empty(), "the other answers are waited for");
    intake.hint(0, true, "urgent");
    intake.answer(1, asked[1].1, Answer::Nothing, now);
    assert_eq!(intake.plan(&mut Slots(1), now), [Step::Take("urgent", None), Step::Refuse("bulk", None)]);
}

#[test]
fn the_next_sweep_stops_at_the_first_lane_that_likely_has_more() {
    let now = Instant::now();
    let mut intake = Intake::new(3);
    let asked = tried(&intake.plan(&mut Slots(1), now));
    intake.hint(1, true, "standard");
    intake.answer(0, asked[0].1, Answer::Nothing, now);
    intake.answer(2, asked[2].1, Answer::Nothing, now);
    assert_eq!(intake.plan(&mut Slots(1), now)[0], Step::Take("standard", None));
    assert!(intake.plan(&mut Slots(0), now).is_empty());
    let lanes: Vec<_> = tried(&intake.plan(&mut Slots(1), now)).into_iter().map(|(lane, _)| lane).collect();
    assert_eq!(lanes, [0, 1]);
}

#[test]
fn what_a_waiting_pull_brings_without_room_is_refused_at_once() {
    let now = Instant::now();
    let (mut intake, _) = idle(2, now);
    intake.hint(1, false, "first");
    assert_eq!(intake.plan(&mut Slots(1), now)[0], Step::Take("first", None));
    intake.hint(0, false, "second");
    assert_eq!(intake.plan(&mut Slots(0), now), [Step::Refuse("second", None)]);
    assert!(intake.plan(&mut Slots(0), now).is_empty(), "nothing is pulled without room");
    let lanes: Vec<_> = tried(&intake.plan(&mut Slots(1), now)).into_iter().map(|(lane, _)| lane).collect();
    assert_eq!(lanes, [0], "the lane that had something is asked first, and alone");
}

#[test]
fn a_pull_whose_time_ran_out_is_renewed_without_a_sweep() {
    let now = Instant::now();
    let (mut intake, pulls) = idle(2, now);
    intake.answer(1, pulls[1].1, Answer::Nothing, now);
    assert!(matches!(intake.plan(&mut Slots(1), now)[..], [Step::Stand { lane: 1, .. }]));
}

#[test]
fn an_answer_to_an_older_pull_changes_nothing() {
    let now = Instant::now();
    let (mut intake, pulls) = idle(1, now);
    intake.reset();
    let asked = tried(&intake.plan(&mut Slots(1), now));
    assert_eq!(asked.len(), 1);
    intake.answer(0, pulls[0].1, Answer::Nothing, now);
    assert!(intake.plan(&mut Slots(1), now).is_empty(), "the sweep still waits for its own answer");
}

#[test]
fn a_sweep_without_answers_ends() {
    let now = Instant::now();
    let mut intake = Intake::new(2);
    intake.plan(&mut Slots(1), now);
    intake.hint(1, false, "late");
    let later = intake.wake().unwrap();
    assert_eq!(intake.plan(&mut Slots(1), later)[0], Step::Take("late", None));
}

#[test]
fn a_lane_that_refuses_pulls_is_left_alone_for_a_while() {
    let now = Instant::now();
    let mut intake = Intake::new(1);
    let asked = tried(&intake.plan(&mut Slots(1), now));
    intake.answer(0, asked[0].1, Answer::Refused, now);
    assert!(intake.plan(&mut Slots(1), now).is_empty());
    let later = intake.wake().unwrap();
    assert_eq!(later, now + BLOCKED);
    assert_eq!(tried(&intake.plan(&mut Slots(1), later)).len(), 1);
}

/// Lane 0 is closed; of the others, jobs named "large" are too large, and "old" ones are kept.
struct Picky;

impl Admit<&'static str> for Picky {
    fn opens(&self, lane: usize) -> bool {
        lane != 0
    }

    fn decide(&mut self, _lane: usize, hint: &&'static str) -> Decision {
        match *hint {
            "large" => Decision::Pass,
            "old" => Decision::Keep,
            _ => Decision::Take(Some(1)),
        }
    }
}

#[test]
fn a_lane_that_is_closed_is_not_pulled_from() {
    let mut intake = Intake::new(3);
    let lanes: Vec<_> = tried(&intake.plan(&mut Picky, Instant::now())).into_iter().map(|(lane, _)| lane).collect();
    assert_eq!(lanes, [1, 2]);
}

#[test]
fn what_is_too_large_holds_up_neither_other_lanes_nor_for_long_its_own() {
    let now = Instant::now();
    let (mut intake, _) = idle(3, now);
    intake.hint(1, true, "large");
    intake.hint(2, true, "small");
    let steps = intake.plan(&mut Picky, now);
    assert_eq!(steps[..2], [Step::Refuse("large", Some(PASS)), Step::Take("small", Some(1))]);
    assert_eq!(tried(&steps).iter().map(|(lane, _)| *lane).collect::<Vec<_>>(), [2]);
    // In a row the pause grows, and an end here ends it.
    let mut intake = Intake::new(2);
    let mut at = now;
    for pause in [1, 2, 4, 8, 8] {
        intake.plan(&mut Picky, at);
        intake.hint(1, true, "large");
        intake.plan(&mut Picky, at);
        let until = at + PASS_SHORTEST * pause;
        assert_eq!(intake.wake(), Some(until));
        at = until;
    }
    intake.plan(&mut Picky, at);
    intake.hint(1, true, "large");
    intake.plan(&mut Picky, at);
    intake.freed();
    assert_eq!(tried(&intake.plan(&mut Picky, at)).len(), 1);
    intake.hint(1, true, "old");
    assert_eq!(intake.plan(&mut Picky, at)[0], Step::Keep("old"));
}

proptest! {
    /// Whatever arrives in whatever order: never more is taken than there is room for, every
    /// hint is taken or refused exactly once, and no lane has two pulls of ours.
    #[test]
    fn hints_are_neither_lost_nor_overbooked(events in prop::collection::vec((0_u8..6, 0_usize..4, 0_usize..3), 1..200)) {
        let mut now = Instant::now();
        let mut intake: super::Intake<u32> = super::Intake::new(4);
        let mut pulls: Vec<Option<u64>> = vec![None; 4];
        let (mut arrived, mut handled) = (0_u32, Vec::new());
        for (event, lane, room) in events {
            match event {
                0 | 1 => {
                    pulls[lane] = None;
                    intake.hint(lane, event == 0, arrived);
                    arrived += 1;
                }
                2 | 3 => if let Some(serial) = pulls[lane].take() {
                    let answer = if event == 2 { Answer::Nothing } else { Answer::Refused };
                    intake.answer(lane, serial, answer, now);
                },
                4 => now += Duration::from_secs(1),
                _ => {
                    intake.reset();
                    pulls = vec![None; 4];
                }
            }
            let mut taken = 0;
            for step in intake.plan(&mut Slots(room), now) {
                match step {
                    Step::Take(hint, _) => { taken += 1; handled.push(hint); }
                    Step::Keep(hint) | Step::Refuse(hint, _) => handled.push(hint),
                    Step::Try { lane, serial } | Step::Stand { lane, serial } => {
                        prop_assert!(room > taken, "pulled without room");
                        pulls[lane] = Some(serial);
                    }
                }
            }
            prop_assert!(taken <= room);
        }
        intake.reset();
        handled.extend(intake.plan(&mut Slots(0), now).into_iter().filter_map(|step| match step {
            Step::Refuse(hint, _) => Some(hint),
            _ => None,
        }));
        handled.sort_unstable();
        prop_assert_eq!(handled, (0..arrived).collect::<Vec<_>>());
    }
}
