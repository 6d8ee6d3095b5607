//! What a setting is where nothing was set and this host decides.

/// Where the files are, unless something else is set.
pub const DATA_DIR: &str = "./actormq-data";
/// RocketMQ's name for a broker whose host has none.
const NO_NAME: &str = "DEFAULT_BROKER";

/// The host's name, or `DEFAULT_BROKER` where it cannot be found or would be no name for a broker.
pub(super) fn host_name() -> String {
    let mut bytes = [0_u8; 256];
    // SAFETY: the pointer and the length are those of one live, writable array; one byte stays for the final zero.
    let status = unsafe { libc::gethostname(bytes.as_mut_ptr().cast(), bytes.len() - 1) };
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    match std::str::from_utf8(name).map(super::values::name) {
        Ok(Ok(name)) if status == 0 => name,
        _ => NO_NAME.into(),
    }
}
