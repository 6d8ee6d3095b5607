//! The next version of a table, and the wall clock that it carries.

use crate::protocol::body::version::DataVersion;

/// The version after a change made now, without a controller.
pub(in crate::actors) fn next(version: DataVersion) -> DataVersion {
    version.next(0, now_ms())
}

/// Milliseconds since 1970 by the wall clock.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
