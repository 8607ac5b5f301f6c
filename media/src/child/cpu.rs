//! Processor time of a running child, as the kernel counts it.

use std::{fs, time::Duration};

/// Length of the kernel's tick: `USER_HZ` is 100 wherever Framemill runs.
const TICK: Duration = Duration::from_millis(10);
/// Places of the user's and the system's share behind the command's name (proc(5), fields 14, 15).
const USER: usize = 11;

/// What all threads of the process took so far; `None` when it is gone.
pub(super) fn used(id: u32) -> Option<Duration> {
    parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

fn parse(stat: &str) -> Option<Duration> {
    // The name may hold anything, spaces and parentheses too.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(USER);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(TICK * u32::try_from(user.checked_add(system)?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shares_count_whatever_the_name_is() {
        for (stat, expected) in [
            ("7 (ffmpeg) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 9 9 20 0", Some(2000)),
            ("7 (a) b) R 1 7 7 0 -1 4194560 1 2 3 4 1 0 9 9 20 0", Some(10)),
            ("7 (ffmpeg) S 1 7 7 0 -1 4194560 1 2 3 4 150", None),
            ("", None),
        ] {
            assert_eq!(parse(stat), expected.map(Duration::from_millis), "{stat}");
        }
        assert!(used(std::process::id()).is_some());
        assert_eq!(used(u32::MAX), None);
    }
}
