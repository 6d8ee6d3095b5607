//! How a connection to a broker stands.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::remoting::channel::Channel;
use crate::remoting::error::ChannelError;

/// Wait after a first failure to connect; it doubles with each further one.
pub(super) const BACK_OFF_MIN: Duration = Duration::from_millis(100);
pub(super) const BACK_OFF_MAX: Duration = Duration::from_secs(3);

pub(super) type Waiter = oneshot::Sender<Result<Channel, ChannelError>>;

pub(super) enum Link {
    Connecting {
        waiters: Vec<Waiter>,
        failures: u32,
    },
    Up(Channel),
    /// Who asks before `until` hears the last reason, so that a dead broker is not connected to by every send.
    Down {
        until: Instant,
        failures: u32,
        reason: ChannelError,
    },
}

impl Link {
    /// After so many failures before this one.
    pub(super) fn down(failures: u32, reason: ChannelError) -> Self {
        let wait = BACK_OFF_MIN.saturating_mul(1 << failures.min(8)).min(BACK_OFF_MAX);
        Self::Down { until: Instant::now() + wait, failures: failures.saturating_add(1), reason }
    }
}
