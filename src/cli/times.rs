//! Points in time, as people write and read them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Milliseconds since 1970 of a time in RocketMQ's form (14 digits), as milliseconds, with a zone, or local.
///
/// # Errors
/// What is wanted, when `text` is no time.
pub fn moment(text: &str) -> Result<i64, String> {
    let local = |time: DateTime| Some(time.to_zoned(TimeZone::system()).ok()?.timestamp());
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    // Milliseconds have fewer than 14 digits for some centuries to come.
    let time = if digits && text.len() == 14 {
        DateTime::strptime("%Y%m%d%H%M%S", text).ok().and_then(local)
    } else if digits {
        text.parse().ok().and_then(|ms| Timestamp::from_millisecond(ms).ok())
    } else {
        text.parse::<Timestamp>().ok().or_else(|| text.parse::<DateTime>().ok().and_then(local))
    };
    let time = time.ok_or("a time such as 2026-01-31T12:00:00, or milliseconds since 1970, is wanted")?;
    Ok(time.as_millisecond())
}

/// A time of day with its date, local.
#[must_use]
pub fn shown(ms: i64) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(TimeZone::system());
    at.strftime("%F %T%.3f").to_string()
}

/// The same, to the second, and nothing for nothing.
#[must_use]
pub fn shown_if(ms: Option<i64>) -> String {
    let at = ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| "-".to_owned(), |at| at.to_zoned(TimeZone::system()).strftime("%F %T").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_several_forms() {
        assert_eq!(moment("1700000000123"), Ok(1_700_000_000_123));
        assert_eq!(moment("2023-11-14T22:13:20Z"), Ok(1_700_000_000_000));
        assert_eq!(moment("20231114221320"), moment("2023-11-14T22:13:20"));
        assert!(moment("yesterday").unwrap_err().contains("2026-01-31T12:00:00"));
        assert_eq!(shown_if(None), "-");
    }
}
