//! A request that holds several messages.

use super::{Message, illegal};
use crate::actors::commitlog_writer::Batch;
use crate::protocol::{batch, properties};
use crate::server::requests::Refusal;

/// Records of a batch for which room is made ahead, at most.
const RESERVED_MAX: usize = 1024;

impl Message<'_> {
    /// Turns each message of `body` into an entry of `out`.
    pub(super) fn put_all(&self, body: &[u8], out: &mut Batch) -> Result<(), Refusal> {
        let (puts_before, bytes_before) = (out.puts.len(), out.bytes.len());
        for entry in batch::entries(body) {
            let entry = entry.map_err(|error| illegal(error.to_string()))?;
            self.put((entry.flag, entry.body), (entry.properties, properties::scan(entry.properties)), out)?;
            if out.puts.len() == puts_before + 1 {
                let more = (body.len() / entry.size()).min(RESERVED_MAX);
                out.bytes.reserve(more * (out.bytes.len() - bytes_before));
                out.puts.reserve(more);
                out.keys.reserve(more);
            }
        }
        match out.puts.len() - puts_before {
            0 => Err(illegal("the batch holds no message".into())),
            messages => {
                self.entry.counters.count(messages, out.bytes.len() - bytes_before);
                Ok(())
            }
        }
    }
}
