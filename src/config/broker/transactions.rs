//! What a broker is told of transactions.

/// How half messages are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRules {
    /// Half messages are refused with 16.
    pub rejected: bool,
    /// Milliseconds after its birth in which nobody is asked about a half message that has no such time of its own.
    pub timeout_ms: u64,
    /// How often producers are asked about one message, before it is put aside.
    pub checks_max: u32,
    /// Milliseconds between two searches for half messages to ask about.
    pub check_interval_ms: u64,
    /// Bytes of an op message, about; so many are not waited with.
    pub op_bytes_max: u32,
    /// Milliseconds in which ends of transactions are gathered into one op message.
    pub op_interval_ms: u32,
}

impl Default for TransactionRules {
    fn default() -> Self {
        Self {
            rejected: false,
            timeout_ms: 6_000,
            checks_max: 15,
            check_interval_ms: 30_000,
            op_bytes_max: 4_096,
            op_interval_ms: 3_000,
        }
    }
}
