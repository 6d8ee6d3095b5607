//! `actormq broker config`: settings of running brokers.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::connect::{self, Failure, PlaceArgs, ServerAddresses, with_admin};
use super::shown::{self, OutputArgs};
use crate::client::admin::Admin;

/// What to do with running brokers.
#[derive(Debug, Subcommand)]
pub enum BrokerCommand {
    /// Show or change settings of running brokers
    Config(ConfigArgs),
}

/// Flags of `actormq broker config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    #[command(flatten)]
    place: PlaceArgs,
    /// Only these settings, by RocketMQ's keys [default: all]
    keys: Vec<String>,
    /// Change a setting; may be repeated. With several brokers, say which: --broker or --cluster
    #[arg(long, value_name = "KEY=VALUE", value_parser = connect::pair, conflicts_with = "keys")]
    set: Vec<(String, String)>,
    #[command(flatten)]
    output: OutputArgs,
}

/// The settings of one broker.
#[derive(Serialize)]
struct Row {
    broker: String,
    address: String,
    settings: BTreeMap<String, String>,
}

/// Does with running brokers what `command` says.
#[must_use]
pub fn run(command: &BrokerCommand) -> ExitCode {
    let BrokerCommand::Config(args) = command;
    connect::run(with_admin(&args.servers, async |admin| config(args, admin).await))
}

async fn config(args: &ConfigArgs, admin: &Admin) -> Result<(), Failure> {
    let brokers = admin.brokers(&args.place.place()).await?;
    if !args.set.is_empty() && brokers.len() > 1 && !args.place.is_given() {
        let names: Vec<&str> = brokers.iter().map(|broker| broker.broker.as_str()).collect();
        let names = shown::list(names);
        return Err(Failure::WrongCall(format!("which of the brokers {names}? say --broker NAME or --cluster NAME")));
    }
    let wanted: BTreeMap<String, String> = args.set.iter().cloned().collect();
    let keys: Vec<&String> = args.keys.iter().chain(wanted.keys()).collect();
    let mut rows = Vec::new();
    for place in brokers {
        if !wanted.is_empty() {
            admin.update_broker_settings(&place.address, &wanted).await?;
        }
        let mut settings = admin.broker_settings(&place.address).await?;
        // Brokers pass over what they do not know without a word.
        if let Some(key) = keys.iter().find(|key| !settings.contains_key(**key)) {
            let text = format!("broker {} has no setting {key}: `actormq broker config` lists them", place.broker);
            return Err(Failure::Refused(text));
        }
        if let Some((key, value)) = wanted.iter().find(|(key, value)| settings.get(*key) != Some(*value)) {
            let held = settings.get(key).map_or("", String::as_str);
            let text = format!("broker {} took {key} = {value} for {held}: see what it allows", place.broker);
            return Err(Failure::Refused(text));
        }
        if !keys.is_empty() {
            settings.retain(|key, _| keys.contains(&key));
        }
        rows.push(Row { broker: place.broker, address: place.address, settings });
    }
    if args.output.json {
        return Ok(rows.iter().try_for_each(shown::json)?);
    }
    let lines = rows
        .iter()
        .flat_map(|row| row.settings.iter().map(|(key, value)| vec![row.broker.clone(), key.clone(), value.clone()]));
    Ok(shown::say(&shown::table(&["broker", "key", "value"], lines.collect()))?)
}
