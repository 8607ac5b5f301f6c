//! What is known of one origin: whether it answers, and how fast. Pure, but for the clock that it is told.

/// Failures in a row after which an origin is left alone.
const FAILURES_MAX: u32 = 3;
/// How long it is, the first time; twice as long after each trial that fails.
const OPEN_MS: i64 = 1000;
/// The longest.
const OPEN_MS_MAX: i64 = 30_000;
/// Answers that the times are told from.
const SAMPLES: usize = 64;
/// Before as many answers are known, a second origin is asked after this.
const HEDGE_MS: i64 = 500;
/// Never earlier: a local store answers in a millisecond, and its next answer in five is no reason to ask twice.
const HEDGE_MS_MIN: i64 = 50;

/// One origin's last answers.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    failures: u32,
    /// Left alone until then, Unix milliseconds.
    open_until_ms: i64,
    /// How long the last time was.
    open_ms: i64,
    /// Milliseconds of the last answers, a ring.
    answers_ms: Vec<i64>,
    next: usize,
}

impl Breaker {
    /// Whether it may be asked. After its time alone it is: the next answer decides.
    pub const fn admits(&self, now_ms: i64) -> bool {
        now_ms >= self.open_until_ms
    }

    /// Whether it has not been given up lately, or has answered since: for those who choose among edges. Whoever is left
    /// alone by everybody is taken for well again after a while, or nobody would ever find out.
    pub const fn is_well(&self, now_ms: i64) -> bool {
        self.open_until_ms == 0 || now_ms >= self.open_until_ms.saturating_add(OPEN_MS_MAX)
    }

    /// Takes how long an answer took.
    pub fn answered(&mut self, took_ms: i64) {
        (self.failures, self.open_ms) = (0, 0);
        self.open_until_ms = 0;
        if self.answers_ms.len() < SAMPLES {
            self.answers_ms.push(took_ms);
        } else {
            self.answers_ms[self.next] = took_ms;
        }
        self.next = (self.next + 1) % SAMPLES;
    }

    /// Takes that it did not answer, or broke off; returns whether it is left alone from now on.
    pub fn failed(&mut self, now_ms: i64) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES_MAX {
            return false;
        }
        self.open_ms = (self.open_ms * 2).clamp(OPEN_MS, OPEN_MS_MAX);
        self.open_until_ms = now_ms.saturating_add(self.open_ms);
        true
    }

    /// Takes that it answered nobody's request, but a look at how it is: it counts from zero again, and no time is told
    /// from that, since what is looked at is small.
    pub const fn lives(&mut self, now_ms: i64) {
        if self.admits(now_ms) {
            (self.failures, self.open_ms, self.open_until_ms) = (0, 0, 0);
        }
    }

    /// After how long another origin is asked as well: when 95 of 100 answers would have come.
    pub fn hedge_ms(&self) -> i64 {
        if self.answers_ms.len() < SAMPLES / 2 {
            return HEDGE_MS;
        }
        let mut sorted = self.answers_ms.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() * 95 / 100).min(sorted.len() - 1)].max(HEDGE_MS_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_that_fails_is_left_alone_for_longer_each_time_until_it_answers() {
        let mut breaker = Breaker::default();
        assert!(!breaker.failed(0) && !breaker.failed(0) && breaker.admits(0));
        assert!(breaker.is_well(0) && breaker.failed(0));
        assert!(!breaker.is_well(1000) && breaker.is_well(1000 + OPEN_MS_MAX));
        assert!(!breaker.admits(999) && breaker.admits(1000));
        assert!(breaker.failed(1000));
        assert!(!breaker.admits(2999) && breaker.admits(3000));
        for _ in 0..9 {
            breaker.failed(3000);
        }
        assert!(breaker.admits(3000 + OPEN_MS_MAX) && !breaker.admits(2999 + OPEN_MS_MAX));
        breaker.answered(5);
        assert!(breaker.is_well(3000) && breaker.admits(3000) && !breaker.failed(3000));
    }

    #[test]
    fn a_look_that_succeeds_ends_no_time_alone_and_forgets_what_was_before_it() {
        let mut breaker = Breaker::default();
        assert!(!breaker.failed(0) && !breaker.failed(0) && breaker.failed(0));
        breaker.lives(999);
        assert!(!breaker.admits(999));
        breaker.lives(1000);
        assert!(!breaker.failed(1000) && !breaker.failed(1000) && breaker.failed(1000));
        // As long as the first time.
        assert!(breaker.admits(2000));
    }

    #[test]
    fn the_second_is_asked_when_the_first_is_slower_than_nearly_always() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.hedge_ms(), HEDGE_MS);
        for took_ms in 1..=100 {
            breaker.answered(took_ms);
        }
        // The last 64: 37 to 100.
        assert_eq!(breaker.hedge_ms(), 97);
        (0..SAMPLES).for_each(|_| breaker.answered(1));
        assert_eq!(breaker.hedge_ms(), HEDGE_MS_MIN);
    }
}
