use super::*;

const LINEAGE: Lineage = [1; 32];

/// A token of 60 seconds from `issued_s` on.
fn shown(token: &str, issued_s: i64) -> Shown<'_> {
    Shown { token, digest: digest_of(token), lineage: LINEAGE, times: Times::of(issued_s, issued_s + 60, None) }
}

fn next(token: &str, issued_s: i64) -> Next {
    Next { token: token.to_owned(), times: Times::of(issued_s, issued_s + 60, None) }
}

fn asks(step: &Step) -> Option<&str> {
    step.ask.as_ref().map(|ask| ask.token.as_str())
}

fn handed(step: &Step) -> Option<&str> {
    step.next.as_ref().map(|next| next.token.as_str())
}

/// A session whose first token `a` (from 0 s) was renewed as `b` at 45 s.
fn renewed() -> Chains {
    let mut chains = Chains::new(3_600_000);
    let ask = chains.asked(&shown("a", 0), 45_000).ask.unwrap();
    chains.answered(&ask, Answer::Renewed(next("b", 45)), 45_000);
    chains
}

#[test]
fn a_token_is_renewed_in_its_last_third_once_at_a_time() {
    let mut chains = Chains::new(3_600_000);
    for (now_ms, asked) in [(0, None), (40_000, None), (40_001, Some("a")), (41_000, None), (50_000, None)] {
        assert_eq!(asks(&chains.asked(&shown("a", 0), now_ms)), asked, "{now_ms}");
    }
    let ask = Ask { lineage: LINEAGE, token: "a".to_owned(), times: Times::of(0, 60, None) };
    chains.answered(&ask, Answer::Renewed(next("b", 50)), 50_000);
    // The new one is handed on until it is shown, and renewed in its turn.
    for (token, issued_s, now_ms, asked, found) in [
        ("a", 0, 51_000, None, Some("b")),
        ("b", 50, 52_000, None, None),
        ("a", 0, 90_001, Some("b"), Some("b")),
        ("b", 50, 91_000, None, None),
    ] {
        let step = chains.asked(&shown(token, issued_s), now_ms);
        assert_eq!((asks(&step), handed(&step)), (asked, found), "{token} {now_ms}");
    }
}

#[test]
fn a_scheduler_that_does_not_answer_is_asked_less_and_less_and_one_that_refuses_no_more() {
    let mut chains = Chains::new(3_600_000);
    let mut asked_ms = Vec::new();
    for now_ms in (41_000..60_000).step_by(500) {
        if let Some(ask) = chains.asked(&shown("a", 0), now_ms).ask {
            asked_ms.push(now_ms - 41_000);
            chains.answered(&ask, Answer::Failed, now_ms);
        }
    }
    assert_eq!(asked_ms, [0, 1_000, 3_000, 7_000, 15_000]);
    let mut chains = Chains::new(3_600_000);
    let ask = chains.asked(&shown("a", 0), 45_000).ask.unwrap();
    chains.answered(&ask, Answer::Refused, 45_000);
    assert_eq!(chains.asked(&shown("a", 0), 59_000), Step::default());
    assert_eq!(chains.excuse(&digest_of("a"), Carriage::Path, true, 61_000), None);
    // Unless its portal gave it another one.
    assert_eq!(asks(&chains.asked(&shown("c", 10), 59_000)), Some("c"));
}

#[test]
fn what_a_token_opens_after_its_end() {
    for (way, leads_on, now_ms, opens) in [
        (Carriage::Path, true, 61_000, true),
        (Carriage::Path, true, 100_000, true),
        // It was last shown at 45 s.
        (Carriage::Path, true, 45_000 + WATCHED_MS, false),
        (Carriage::Path, false, 71_999, true),
        (Carriage::Path, false, 72_000, false),
        (Carriage::Header, true, 71_999, true),
        (Carriage::Header, true, 72_000, false),
        (Carriage::Query, true, 72_000, false),
        (Carriage::Cookie, true, 72_000, false),
        // The next one has ended too.
        (Carriage::Path, true, 105_000, false),
    ] {
        let found = renewed().excuse(&digest_of("a"), way, leads_on, now_ms);
        assert_eq!(found, opens.then_some(60), "{way:?} {leads_on} {now_ms}");
    }
    // One that was never shown here, of whatever session.
    assert_eq!(renewed().excuse(&digest_of("z"), Carriage::Path, true, 61_000), None);
    // One that nothing follows on.
    let mut alone = Chains::new(3_600_000);
    alone.asked(&shown("a", 0), 45_000);
    assert_eq!(alone.excuse(&digest_of("a"), Carriage::Path, true, 61_000), None);
}

#[test]
fn a_session_that_is_watched_without_a_pause_goes_on_by_its_first_token_and_is_over_in_its_time() {
    let mut chains = Chains::new(600_000);
    let (mut newest_s, mut last_ms) = (0, 0);
    for now_ms in (0..900_000).step_by(4_000) {
        let has_ended = now_ms >= 60_000;
        if has_ended && chains.excuse(&digest_of("a"), Carriage::Path, true, now_ms).is_none() {
            break;
        }
        last_ms = now_ms;
        if let Some(ask) = chains.asked(&shown("a", 0), now_ms).ask {
            newest_s = now_ms / 1000;
            chains.answered(&ask, Answer::Renewed(next(&format!("n{newest_s}"), newest_s)), now_ms);
        }
    }
    // It began to be renewed at 44 s.
    assert_eq!(last_ms, 640_000);
    // And is not taken up again by the last one that it got.
    let last = format!("n{newest_s}");
    assert_eq!(chains.asked(&shown(&last, newest_s), newest_s * 1000 + 59_000), Step::default());
}

#[test]
fn what_nobody_watches_is_forgotten_and_no_session_remembers_more_tokens_than_a_few() {
    let mut chains = renewed();
    for number in 0..100_u32 {
        chains.asked(&shown(&format!("t{number}"), 0), 46_000);
    }
    assert_eq!((chains.all.len(), chains.known.len()), (1, TOKENS_MAX));
    // The one that it began with is still known.
    assert_eq!(chains.excuse(&digest_of("a"), Carriage::Path, true, 61_000), Some(60));
    let other = Shown { lineage: [2; 32], ..shown("x", 46 + 90) };
    chains.asked(&other, 46_000 + WATCHED_MS);
    assert_eq!((chains.all.len(), chains.known.len()), (0, 0));
}

#[test]
fn a_token_may_say_itself_when_it_is_renewed_and_for_how_long() {
    let way = framemill_tokens::RenewingWay::Automatic;
    let renewing = |deadline_s| Some(Renewing { way, add_s: 90, deadline_s, cookie: None, status: 307 });
    for (expires_s, renewing, before_ms, life_s) in [
        (60, None, 20_000, 60),
        (3600, None, BEFORE_MS_MAX, 3600),
        (60, renewing(None), 20_000, 90),
        (60, renewing(Some(45)), 45_000, 90),
        (60, renewing(Some(300)), 60_000, 90),
    ] {
        assert_eq!(Times::of(0, expires_s, renewing), Times { expires_s, before_ms, life_s });
    }
}
