//! Where a message goes that a consumer could not take: to its group's retry topic again, or to its dead letters.

use crate::protocol::code::version;

/// What is to become of a message that is handed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the retry topic, after the delay of this level.
    Again {
        level: i32,
    },
    DeadLetters,
}

/// How often a message is consumed again at most: as the request says, where the client's version has that field, else as
/// the group has it.
#[must_use]
pub fn times_max(asked: Option<i32>, client_version: i32, group: i32) -> i32 {
    asked.filter(|_| client_version >= version::V3_4_9).unwrap_or(group)
}

/// The way of a message that was consumed again `times` times before. The consumer's wish, `level`: below 0 for the dead
/// letters, 0 for longer each time.
#[must_use]
pub fn handed_back(level: i32, times: i32, times_max: i32) -> Way {
    if level < 0 || times >= times_max {
        return Way::DeadLetters;
    }
    Way::Again { level: if level == 0 { times.saturating_add(3) } else { level } }
}

/// Whether a message that a client itself sends to a retry topic belongs to the dead letters instead. A group that holds
/// locks consumes in order, and sends a message there only when it gives it up.
#[must_use]
pub fn is_given_up(times: i32, times_max: i32, holds_locks: bool) -> bool {
    times > times_max || holds_locks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_a_level_longer_until_the_last() {
        assert_eq!(handed_back(0, 0, 16), Way::Again { level: 3 });
        assert_eq!(handed_back(0, 15, 16), Way::Again { level: 18 });
        assert_eq!(handed_back(5, 15, 16), Way::Again { level: 5 });
        assert_eq!(handed_back(5, 16, 16), Way::DeadLetters);
        assert_eq!(handed_back(-1, 0, 16), Way::DeadLetters);
        assert_eq!(handed_back(0, 0, 0), Way::DeadLetters);
        assert_eq!(handed_back(0, i32::MAX - 1, i32::MAX), Way::Again { level: i32::MAX });
    }

    #[test]
    fn the_request_goes_before_the_group_in_versions_that_have_the_field() {
        assert_eq!((times_max(Some(3), 121, 16), times_max(Some(3), 120, 16), times_max(None, 500, 16)), (3, 16, 16));
        assert!(is_given_up(17, 16, false) && is_given_up(0, 16, true));
        assert!(!is_given_up(16, 16, false));
    }
}
