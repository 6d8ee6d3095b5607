//! `actormq cluster`: the brokers and how they are.

use std::process::ExitCode;

use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;

use super::connect::{self, Failure, ServerAddresses, with_admin};
use super::shown::{OutputArgs, rate};
use super::times;
use crate::client::admin::{Admin, BrokerPlace, BrokerStatus};

/// Flags of `actormq cluster`.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    place: BrokerPlace,
    /// Of a broker that answers.
    status: Option<BrokerStatus>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<&'static str>,
}

/// Shows the brokers that are registered. One that does not answer is shown as such, and makes for status 3.
#[must_use]
pub fn run(args: &ClusterArgs) -> ExitCode {
    connect::run(with_admin(&args.servers, async |admin| show(args, admin).await))
}

async fn show(args: &ClusterArgs, admin: &Admin) -> Result<(), Failure> {
    let places = admin.cluster().await?.brokers;
    let asked = places.iter().map(|place| admin.broker_status(&place.address));
    let mut silent = None;
    let mut rows = Vec::new();
    for (place, answer) in places.iter().zip(join_all(asked).await) {
        let place = place.clone();
        match answer {
            Ok(status) => rows.push(Row { place, status: Some(status), trouble: None }),
            Err(error) => {
                // Apache's broker refuses for the first seconds after its start.
                let trouble = if error.is_unreachable() { "no answer" } else { "refused" };
                rows.push(Row { place, status: None, trouble: Some(trouble) });
                silent = Some(error);
            }
        }
    }
    let columns =
        ["cluster", "broker", "id", "address", "version", "in/s", "out/s", "in today", "out today", "disk", "since"];
    let cells = |row: &Row| {
        let place = &row.place;
        let mut cells =
            vec![place.cluster.clone(), place.broker.clone(), place.broker_id.to_string(), place.address.clone()];
        match &row.status {
            Some(status) => cells.extend([
                status.version.clone(),
                rate(status.put.ten_seconds),
                rate(status.got.ten_seconds),
                status.put_today.to_string(),
                status.got_today.to_string(),
                status.disk_used.map_or_else(|| "-".to_owned(), |used| format!("{:.0}%", used * 100.0)),
                times::shown_if(status.started_ms),
            ]),
            None => cells.extend(row.trouble.map(str::to_owned)),
        }
        cells
    };
    let nothing = "no broker is registered: start one with `actormq broker -n ADDR` or `actormq standalone`";
    args.output.rows(&rows, &columns, cells, nothing)?;
    silent.map_or(Ok(()), |error| Err(error.into()))
}
