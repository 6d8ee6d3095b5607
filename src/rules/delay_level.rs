//! When a message with a delay level is due. Levels are counted from 1, times are milliseconds since 1970.

use std::time::Duration;

/// The longest that is slept for a message: the wall clock may be set meanwhile.
const NAP_MAX_MS: i64 = 1_000;

/// The level that a message is given which asks for `level`, of so many; `None` when it is not to be delayed.
#[must_use]
pub fn clipped(level: i32, levels: usize) -> Option<usize> {
    let level = usize::try_from(level).ok()?.min(levels);
    (level > 0).then_some(level)
}

/// When a message is to be delivered for which `due_ms` was noted. One that seems to be due later than its level allows
/// was stored under another clock or another table of levels, and is due at once.
#[must_use]
pub fn due(due_ms: i64, now_ms: i64, delay_ms: i64) -> i64 {
    if due_ms > now_ms.saturating_add(delay_ms) { now_ms } else { due_ms }
}

/// How long to sleep until the clock is looked at again; `None` when the message is due.
#[must_use]
pub fn nap(due_ms: i64, now_ms: i64, delay_ms: i64) -> Option<Duration> {
    let left = due(due_ms, now_ms, delay_ms).saturating_sub(now_ms).min(NAP_MAX_MS);
    u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_beyond_the_last_are_the_last() {
        assert_eq!(
            [-1, 0, 1, 18, 99, i32::MAX].map(|level| clipped(level, 18)),
            [None, None, Some(1), Some(18), Some(18), Some(18)]
        );
        assert_eq!(clipped(1, 0), None);
    }

    #[test]
    fn nothing_is_due_early_and_what_lies_too_far_ahead_is_due_now() {
        assert_eq!((due(5_000, 4_000, 1_000), due(5_001, 4_000, 1_000)), (5_000, 4_000));
        assert_eq!(due(i64::MAX, i64::MAX, 1_000), i64::MAX);
        assert_eq!(nap(5_000, 4_999, 1_000), Some(Duration::from_millis(1)));
        assert_eq!((nap(5_000, 5_000, 1_000), nap(5_000, 6_000, 1_000)), (None, None));
        assert_eq!(nap(100_000, 5_000, 100_000), Some(Duration::from_secs(1)));
        assert_eq!(nap(200_000, 5_000, 100_000), None);
        assert_eq!(nap(i64::MIN, i64::MAX, 1), None);
    }
}
