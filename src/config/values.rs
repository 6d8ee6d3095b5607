//! How the text of a setting becomes a value, and back: one rule per kind of value. A rule's error is the second half of a
//! sentence, "it must be …", for [`super::ConfigError::BadValue`].

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

/// Longest text of one value, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Bounds of a segment of the log in bytes; RocketMQ's type for it has 31 bits.
const SEGMENT_BYTES: RangeInclusive<u32> = 64 * 1024..=i32::MAX as u32 / 4096 * 4096;
/// Most name servers, black-listed keys, hours or delay levels in one value.
const ITEMS_MAX: usize = 256;

/// What a rule makes of a text: the value, or what would have been allowed.
pub(super) type Read<T> = Result<T, String>;

/// A value that can be written as RocketMQ writes it; `None` is RocketMQ's null.
pub(super) trait Shown {
    fn shown(&self) -> Option<String>;
}

/// One name server: `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamesrvAddress(String);

impl NamesrvAddress {
    /// Reads `host:port`, `[v6]:port` or `v6:port`.
    ///
    /// # Errors
    /// What is allowed, when the text is none of these or the port is not 1 to 65535.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = || "host:port, several of them separated by ;".to_string();
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(allowed)?;
        let port: u16 = port.parse().map_err(|_| allowed())?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if port == 0 || !is_host(host) {
            return Err(allowed());
        }
        Ok(Self(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }))
    }

    /// `host:port`, as a resolver takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NamesrvAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The delays of the levels of SCHEDULE_TOPIC_XXXX, level 1 first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayLevels {
    text: String,
    millis: Vec<u64>,
}

impl DelayLevels {
    /// Delay of each level in milliseconds; the first is level 1's.
    #[must_use]
    pub fn millis(&self) -> &[u64] {
        &self.millis
    }

    /// Reads delays such as `1s 5m 2h`.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = || format!("1 to {ITEMS_MAX} delays such as 1s 5m 2h 1d, separated by blanks");
        let millis: Option<Vec<u64>> = text.split_ascii_whitespace().map(delay_millis).collect();
        match millis {
            Some(millis) if (1..=ITEMS_MAX).contains(&millis.len()) => Ok(Self { text: text.to_string(), millis }),
            _ => Err(allowed()),
        }
    }
}

impl Default for DelayLevels {
    fn default() -> Self {
        let text = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h";
        Self { text: text.into(), millis: text.split(' ').filter_map(delay_millis).collect() }
    }
}

fn delay_millis(text: &str) -> Option<u64> {
    let unit_ms = match text.as_bytes().last()? {
        b's' => 1_000,
        b'm' => 60_000,
        b'h' => 3_600_000,
        b'd' => 86_400_000,
        _ => return None,
    };
    let count: u32 = text.get(..text.len() - 1)?.parse().ok()?;
    Some(u64::from(count) * unit_ms)
}

/// A whole number of `unit` within `range`.
pub(super) fn number<T>(unit: &'static str, range: RangeInclusive<T>) -> impl Fn(&str) -> Read<T>
where
    T: FromStr + PartialOrd + fmt::Display,
{
    move |text| match text.parse::<T>() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => Err(format!("a whole number{unit} from {} to {}", range.start(), range.end())),
    }
}

/// `true` or `false`, in any case.
pub(super) fn switch(text: &str) -> Read<bool> {
    if text.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err("true or false".into())
    }
}

/// Any text on one line that is not empty.
pub(super) fn text(text: &str) -> Read<String> {
    if text.is_empty() { Err("a text that is not empty".into()) } else { Ok(text.into()) }
}

/// A name that can be a topic's name and a directory's: no blank, no slash, not `.` or `..`, at most 127 bytes.
pub(super) fn name(text: &str) -> Read<String> {
    let fits = (1..=127).contains(&text.len())
        && !text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | '\\' | ':' | ';' | ','))
        && !matches!(text, "." | "..");
    if fits {
        Ok(text.into())
    } else {
        Err("a name of 1 to 127 bytes without blanks and without any of / \\ : ; ,".into())
    }
}

/// An IP address; `localhost` is one too.
pub(super) fn ip(text: &str) -> Read<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if bare == "localhost" {
        return Ok(IpAddr::from([127, 0, 0, 1]));
    }
    bare.parse().map_err(|_| "an IP address such as 0.0.0.0, 192.168.0.5 or ::".into())
}

/// An IP address or a host name, without port; empty is unset.
pub(super) fn host(text: &str) -> Read<Option<String>> {
    match text {
        "" => Ok(None),
        _ if is_host(text) && !text.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) => Ok(Some(text.into())),
        _ => Err("an IP address or a host name that others can reach, without port".into()),
    }
}

/// `host:port`; empty is unset.
pub(super) fn host_port(text: &str) -> Read<Option<String>> {
    if text.is_empty() {
        return Ok(None);
    }
    match NamesrvAddress::parse(text) {
        Ok(address) => Ok(Some(address.0)),
        Err(_) => Err("host:port".into()),
    }
}

/// A host, with or without a port; empty is unset.
pub(super) fn host_or_port(text: &str) -> Read<Option<String>> {
    if text.is_empty() || is_host(text) {
        return Ok(Some(text.to_owned()).filter(|text| !text.is_empty()));
    }
    host_port(text).map_err(|_| "an IP address or a host name, with a port or without".into())
}

/// One part of a URL's path; empty is unset.
pub(super) fn path_part(text: &str) -> Read<Option<String>> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    if text.chars().all(fits) {
        Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
    } else {
        Err("letters, digits and any of - _ . ~".into())
    }
}

/// A broker's main port: with room for the fast port two below.
pub(super) fn main_port(text: &str) -> Read<u16> {
    match text.parse::<u16>() {
        Ok(port) if port == 0 || port > 2 => Ok(port),
        _ => Err("0 (any free port) or 3 to 65535, for the fast port is two below".into()),
    }
}

/// Bytes of a segment of the log: whole pages.
pub(super) fn segment_bytes(text: &str) -> Read<u32> {
    const PAGE_BYTES: u32 = 4096;
    match number("", SEGMENT_BYTES)(text) {
        Ok(bytes) if bytes.is_multiple_of(PAGE_BYTES) => Ok(bytes),
        _ => {
            let (least, most) = (SEGMENT_BYTES.start(), SEGMENT_BYTES.end());
            Err(format!("a multiple of {PAGE_BYTES} from {least} to {most} (bytes)"))
        }
    }
}

/// A port that stays unset for 0.
pub(super) fn optional_port(text: &str) -> Read<Option<u16>> {
    let port = number("", 0..=65_535_u16)(text)?;
    Ok(Some(port).filter(|port| *port > 0))
}

/// A directory or file.
pub(super) fn path(text: &str) -> Read<PathBuf> {
    if text.is_empty() { Err("a path".into()) } else { Ok(PathBuf::from(text)) }
}

/// One directory or file; empty is unset.
pub(super) fn optional_path(text: &str) -> Read<Option<PathBuf>> {
    if text.contains(',') {
        return Err("one path (several, separated by commas, are not supported)".into());
    }
    Ok(Some(text).filter(|text| !text.is_empty()).map(PathBuf::from))
}

/// `host:port;host:port`; empty is none.
pub(super) fn addresses(text: &str) -> Read<Vec<NamesrvAddress>> {
    let mut found = Vec::new();
    for part in text.split([';', ',']).map(str::trim).filter(|part| !part.is_empty()) {
        let address = NamesrvAddress::parse(part)?;
        if !found.contains(&address) {
            found.push(address);
        }
    }
    if found.len() > ITEMS_MAX { Err(format!("at most {ITEMS_MAX} addresses")) } else { Ok(found) }
}

/// Names separated by `;`.
pub(super) fn names(text: &str) -> Read<Vec<String>> {
    let found: Vec<String> = text.split(';').map(str::trim).filter(|part| !part.is_empty()).map(String::from).collect();
    if found.len() > ITEMS_MAX { Err(format!("at most {ITEMS_MAX} names")) } else { Ok(found) }
}

/// Hours of the day separated by `;`.
pub(super) fn hours(text: &str) -> Read<Vec<u8>> {
    let found: Result<Vec<u8>, String> = text
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| number("", 0..=23_u8)(part))
        .collect();
    match found {
        Ok(hours) if (1..=24).contains(&hours.len()) => Ok(hours),
        _ => Err("hours from 00 to 23, separated by ;".into()),
    }
}

/// Delays such as `1s 5m 2h`.
pub(super) fn delay_levels(text: &str) -> Read<DelayLevels> {
    DelayLevels::parse(text)
}

/// The one of `values` that is written as `text`.
pub(super) fn one_of<T: Shown + Copy>(text: &str, values: &[T]) -> Read<T> {
    let written = |value: &T| value.shown().unwrap_or_default();
    values
        .iter()
        .copied()
        .find(|value| written(value) == text)
        .ok_or_else(|| values.iter().map(written).collect::<Vec<_>>().join(" or "))
}

fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
        || ((1..=253).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')))
}

impl Shown for DelayLevels {
    fn shown(&self) -> Option<String> {
        Some(self.text.clone())
    }
}

impl Shown for PathBuf {
    fn shown(&self) -> Option<String> {
        Some(self.display().to_string())
    }
}

impl Shown for Vec<u8> {
    fn shown(&self) -> Option<String> {
        Some(self.iter().map(|hour| format!("{hour:02}")).collect::<Vec<_>>().join(";"))
    }
}

impl Shown for Vec<String> {
    fn shown(&self) -> Option<String> {
        Some(self.join(";"))
    }
}

impl Shown for Vec<NamesrvAddress> {
    fn shown(&self) -> Option<String> {
        let text = self.iter().map(NamesrvAddress::as_str).collect::<Vec<_>>().join(";");
        Some(text).filter(|text| !text.is_empty())
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> Option<String> {
        self.as_ref().and_then(Shown::shown)
    }
}

macro_rules! shown_by_display {
    ($($kind:ty),+) => {
        $(impl Shown for $kind {
            fn shown(&self) -> Option<String> {
                Some(self.to_string())
            }
        })+
    };
}

shown_by_display!(bool, u8, u16, u32, u64, String, IpAddr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_levels_are_read_in_their_units() {
        assert_eq!(delay_levels("1s 2m 3h  4d").unwrap().millis(), [1_000, 120_000, 10_800_000, 345_600_000]);
        assert_eq!(DelayLevels::default().millis().len(), 18);
        for wrong in ["", "s", "1", "1x", "-1s", "1s,2s", "99999999999s", "é"] {
            assert!(delay_levels(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_of_name_servers_are_normalised_and_checked() {
        let read = addresses("a:9876; 10.0.0.1:9876;a:9876;[::1]:9876;").unwrap();
        assert_eq!(read.shown().unwrap(), "a:9876;10.0.0.1:9876;[::1]:9876");
        for wrong in ["a", "a:", "a:0", "a:65536", ":1", "a b:1", "http://a:1", "a/b:1"] {
            assert!(addresses(wrong).is_err(), "{wrong}");
        }
        assert_eq!(addresses("").unwrap(), []);
    }

    #[test]
    fn a_broker_can_be_advertised_by_address_or_name() {
        assert_eq!(host("broker-1.example.com").unwrap().as_deref(), Some("broker-1.example.com"));
        assert_eq!(host("::1").unwrap().as_deref(), Some("::1"));
        assert_eq!(host("").unwrap(), None);
        for wrong in ["0.0.0.0", "::", "10.0.0.1:10911", "a b"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_cannot_leave_their_directory() {
        for wrong in ["", ".", "..", "a/b", "a\\b", "a b", "a;b", &"x".repeat(128)] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
        assert_eq!(name("host.example.com").unwrap(), "host.example.com");
    }

    #[test]
    fn hours_are_hours() {
        assert_eq!(hours("04").unwrap(), [4]);
        assert_eq!(hours("4;16;").unwrap().shown().unwrap(), "04;16");
        for wrong in ["", "24", "a", "-1"] {
            assert!(hours(wrong).is_err(), "{wrong}");
        }
    }
}
