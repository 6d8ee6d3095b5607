//! `actormq connections`: who is connected.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::connect::{self, Failure, ServerAddresses, with_admin};
use super::shown::{OutputArgs, list};
use crate::client::admin::{Admin, ConsumerGroup, Member, Subscribed};

/// Flags of `actormq connections`.
#[derive(Debug, Args)]
pub struct ConnectionsArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// Only clients of this group
    #[arg(long)]
    group: Option<String>,
    /// Only producers
    #[arg(long)]
    producers: bool,
    /// Only consumers
    #[arg(long, conflicts_with = "producers")]
    consumers: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// One client in one group at one broker.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    kind: &'static str,
    group: String,
    #[serde(flatten)]
    member: Member,
    #[serde(skip_serializing_if = "Option::is_none")]
    consume_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_model: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions: Vec<Subscribed>,
}

/// Shows who is connected.
#[must_use]
pub fn run(args: &ConnectionsArgs) -> ExitCode {
    connect::run(with_admin(&args.servers, async |admin| show(args, admin).await))
}

async fn show(args: &ConnectionsArgs, admin: &Admin) -> Result<(), Failure> {
    let mut rows = Vec::new();
    if !args.producers {
        let groups = match &args.group {
            Some(group) => admin.consumers(group).await?.into_iter().collect(),
            None => admin.all_consumers().await?,
        };
        rows.extend(groups.into_iter().flat_map(consumers));
    }
    if !args.consumers {
        let producers = admin.producers().await?.into_iter();
        let wanted = producers.filter(|of| args.group.as_deref().is_none_or(|group| of.group == group));
        rows.extend(wanted.map(|of| Row {
            kind: "producer",
            group: of.group,
            member: of.member,
            consume_type: None,
            message_model: None,
            subscriptions: Vec::new(),
        }));
    }
    let columns = ["kind", "group", "client", "from", "language", "version", "broker", "topics"];
    let cells = |row: &Row| {
        let Member { client_id, address, language, version, broker } = row.member.clone();
        let topics = list(row.subscriptions.iter().map(|of| &of.topic));
        vec![row.kind.to_owned(), row.group.clone(), client_id, address, language, version, broker, topics]
    };
    let nothing = "nobody of that kind is connected";
    Ok(args.output.rows(&rows, &columns, cells, nothing)?)
}

fn consumers(found: ConsumerGroup) -> Vec<Row> {
    let row = |member| Row {
        kind: "consumer",
        group: found.group.clone(),
        member,
        consume_type: found.consume_type.clone(),
        message_model: found.message_model.clone(),
        subscriptions: found.subscriptions.clone(),
    };
    found.members.iter().cloned().map(row).collect()
}
