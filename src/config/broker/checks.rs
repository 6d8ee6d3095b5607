//! What must hold between a broker's settings: RocketMQ's forced values are forced and said, contradictions are refused.
//! Two values contradict each other only if somebody chose both, or chose one against a bound that is always there; a value
//! chosen against a default is said.

use super::{BrokerConfig, BrokerRole, Registration};
use crate::config::binding::Keyed;
use crate::config::notice::{ConfigError, Notice};
use crate::config::tls;

/// What a frame and a record hold beside the body: header, properties, names.
const BESIDE_BODY_BYTES: u32 = 64 * 1024;
/// Slots that a timer can have, in milliseconds.
const TIMER_PRECISIONS_MS: [u32; 4] = [1_000, 500, 200, 100];
/// A ConsumeQueue's entry in bytes.
const QUEUE_ENTRY_BYTES: u32 = 20;

type Checked = Result<(), ConfigError>;

pub(super) fn check(config: &mut BrokerConfig) -> Result<Vec<Notice>, ConfigError> {
    let mut notices = tls::check(config, &config.network.tls)?;
    check_role(config, &mut notices)?;
    check_ports(config)?;
    check_sizes(config, &mut notices)?;
    check_disk_percents(config, &mut notices)?;
    force_steps(config, &mut notices);
    Ok(notices)
}

fn contradiction(what: String) -> Checked {
    Err(ConfigError::Contradiction { what })
}

fn changed(notices: &mut Vec<Notice>, what: String) {
    notices.push(Notice::Changed { what });
}

fn check_role(config: &mut BrokerConfig, notices: &mut Vec<Notice>) -> Checked {
    let is_on =
        |key: &str| config.provenance.entries.get(key).is_some_and(|entry| entry.text.eq_ignore_ascii_case("true"));
    if is_on("enableControllerMode") && is_on("enableDLegerCommitLog") {
        let origin = |key: &str| config.provenance.origin(key).to_string();
        return contradiction(format!(
            "enableControllerMode=true ({}) and enableDLegerCommitLog=true ({}) exclude each other",
            origin("enableControllerMode"),
            origin("enableDLegerCommitLog")
        ));
    }
    let (role, id) = (config.said("brokerRole"), config.said("brokerId"));
    match (config.identity.role, config.identity.broker_id) {
        (BrokerRole::Slave, 0) => contradiction(format!(
            "{id} and {role} contradict each other: a slave's id is 1 or above, 0 is the master's"
        )),
        (BrokerRole::Slave, _) | (_, 0) => Ok(()),
        (BrokerRole::AsyncMaster | BrokerRole::SyncMaster, _) => {
            config.identity.broker_id = 0;
            config.provenance.force("brokerId");
            changed(notices, format!("{id} becomes 0, for {role} is a master; a slave needs brokerRole=SLAVE"));
            Ok(())
        }
    }
}

fn check_ports(config: &BrokerConfig) -> Checked {
    let network = &config.network;
    let Some(fast) = network.fast_port() else {
        return Ok(());
    };
    if network.ha_port() == network.listen_port || network.ha_port() == fast {
        return contradiction(format!(
            "{} and {} contradict each other: haListenPort must differ from listenPort and from the fast port {fast}",
            config.said("haListenPort"),
            config.said("listenPort"),
        ));
    }
    Ok(())
}

fn check_sizes(config: &mut BrokerConfig, notices: &mut Vec<Notice>) -> Checked {
    let body = config.send.max_body_bytes;
    if body > config.network.frame_bytes_max.saturating_sub(BESIDE_BODY_BYTES) {
        return contradiction(format!(
            "{} and {} contradict each other: a frame must hold the message and {BESIDE_BODY_BYTES} bytes more",
            config.said("maxMessageSize"),
            config.said("actormqFrameMaxBytes"),
        ));
    }
    if u64::from(body) + u64::from(BESIDE_BODY_BYTES) > u64::from(config.store.commit_log_segment_bytes) {
        let what = format!(
            "{} and {} contradict each other: a segment must hold the longest message and {BESIDE_BODY_BYTES} bytes more",
            config.said("mappedFileSizeCommitLog"),
            config.said("maxMessageSize"),
        );
        if config.is_chosen("maxMessageSize") && config.is_chosen("mappedFileSizeCommitLog") {
            return contradiction(what);
        }
        changed(notices, format!("{what}; longer ones will be refused"));
    }
    let rest = config.store.consume_queue_segment_bytes % QUEUE_ENTRY_BYTES;
    if rest > 0 {
        let said = config.said("mappedFileSizeConsumeQueue");
        config.store.consume_queue_segment_bytes += QUEUE_ENTRY_BYTES - rest;
        config.provenance.force("mappedFileSizeConsumeQueue");
        let bytes = config.store.consume_queue_segment_bytes;
        changed(notices, format!("{said} becomes {bytes}, a multiple of {QUEUE_ENTRY_BYTES}"));
    }
    Ok(())
}

fn check_disk_percents(config: &BrokerConfig, notices: &mut Vec<Notice>) -> Checked {
    let retention = &config.retention;
    let order = [
        ("diskMaxUsedSpaceRatio", retention.disk_used_percent_max),
        ("diskSpaceCleanForciblyRatio", retention.disk_forced_percent),
        ("diskSpaceWarningLevelRatio", retention.disk_full_percent),
    ];
    for (index, (low_key, low)) in order.iter().enumerate() {
        for (high_key, high) in order.iter().skip(index + 1).filter(|(_, high)| low > high) {
            let what = format!(
                "{} and {} contradict each other: the first must not be above the second ({low} > {high})",
                config.said(low_key),
                config.said(high_key),
            );
            if config.is_chosen(low_key) && config.is_chosen(high_key) {
                return contradiction(what);
            }
            changed(notices, format!("{what}; the lower one acts first"));
        }
    }
    Ok(())
}

fn force_steps(config: &mut BrokerConfig, notices: &mut Vec<Notice>) {
    let (period, said) = (config.registration.period_ms, config.said("registerNameServerPeriod"));
    let bounds = Registration::PERIOD_MS;
    let clamped = period.clamp(*bounds.start(), *bounds.end());
    if clamped != period {
        config.registration.period_ms = clamped;
        config.provenance.force("registerNameServerPeriod");
        changed(notices, format!("{said} becomes {clamped}: it is kept from {} to {}", bounds.start(), bounds.end()));
    }
    let (precision, said) = (config.delay.timer_precision_ms, config.said("timerPrecisionMs"));
    let step = TIMER_PRECISIONS_MS.into_iter().find(|step| *step <= precision);
    if let Some(step) = step.filter(|step| *step != precision) {
        config.delay.timer_precision_ms = step;
        config.provenance.force("timerPrecisionMs");
        changed(notices, format!("{said} becomes {step}: it can be 100, 200, 500 or 1000"));
    }
}
