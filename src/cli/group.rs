//! `actormq group`: consumer groups made, changed, deleted and listed; how far they are, and setting that.

mod dead_letters;
mod offsets;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use self::dead_letters::DeadLettersArgs;
use self::offsets::{OffsetsArgs, PROGRESS_COLUMNS, ResetArgs, progress_cells};
use super::connect::{self, Failure, PlaceArgs, ServerAddresses, with_admin};
use super::shown::{self, OutputArgs, list};
use crate::client::admin::{Admin, ConsumerGroup, GroupConfig, Place, Placed, QueueProgress, is_system_group};

/// Groups that are asked about at once.
const AT_ONCE: usize = 8;

/// What to do with consumer groups.
#[derive(Debug, Args)]
pub struct GroupArgs {
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Debug, Subcommand)]
enum GroupCommand {
    /// List groups, their members and what they have to go
    List(ListArgs),
    /// Show one group: settings, members, subscriptions, offsets
    Show(ShowArgs),
    /// Make a new group
    Create(PutArgs),
    /// Change a group; what is not named stays
    Update(PutArgs),
    /// Delete groups
    Delete(DeleteArgs),
    /// Show how far a group is, queue by queue
    Offsets(OffsetsArgs),
    /// Show how far a group is, topic by topic
    Lag(OffsetsArgs),
    /// Let a group go on elsewhere
    Reset(ResetArgs),
    /// List, show and send again what a group could not consume
    DeadLetters(DeadLettersArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// The brokers' own groups too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// Its name
    group: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Attributes of a group at our brokers.
const FILTER: &str = "actormq.filter";
const FILTER_EXPRESSION: &str = "actormq.filter.expression";

#[derive(Debug, Args)]
struct PutArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// Its name
    group: String,
    #[command(flatten)]
    place: PlaceArgs,
    /// Whether it may consume
    #[arg(long, value_name = "true|false")]
    enabled: Option<bool>,
    /// Whether each of its members may get every message
    #[arg(long, value_name = "true|false")]
    broadcast: Option<bool>,
    /// Whether it consumes in order
    #[arg(long, value_name = "true|false")]
    orderly: Option<bool>,
    /// Deliveries after the first before a message is a dead letter [default of a new group: 16]
    #[arg(long, value_name = "N")]
    retries: Option<u16>,
    /// Queues of its retry topic [default of a new group: 1]
    #[arg(long, value_name = "N")]
    retry_queues: Option<u16>,
    /// Custom filter of the broker that its messages have to pass; '' for none
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// What that filter is told
    #[arg(long, value_name = "EXPR")]
    filter_expression: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// Their names
    #[arg(required = true)]
    groups: Vec<String>,
    /// A group of that name goes on where this one ended
    #[arg(long)]
    keep_offsets: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Does with groups what `args` says.
#[must_use]
pub fn run(args: &GroupArgs) -> ExitCode {
    connect::run(async {
        match &args.command {
            GroupCommand::List(args) => with_admin(&args.servers, async |admin| list_all(args, admin).await).await,
            GroupCommand::Show(args) => with_admin(&args.servers, async |admin| show(args, admin).await).await,
            GroupCommand::Create(args) => with_admin(&args.servers, async |admin| create(args, admin).await).await,
            GroupCommand::Update(args) => with_admin(&args.servers, async |admin| update(args, admin).await).await,
            GroupCommand::Delete(args) => with_admin(&args.servers, async |admin| delete(args, admin).await).await,
            GroupCommand::Offsets(args) => {
                with_admin(&args.servers, async |admin| offsets::offsets(args, admin).await).await
            }
            GroupCommand::Lag(args) => with_admin(&args.servers, async |admin| offsets::lag(args, admin).await).await,
            GroupCommand::DeadLetters(args) => dead_letters::run(args).await,
            GroupCommand::Reset(args) => {
                with_admin(&args.servers, async |admin| offsets::reset(args, admin).await).await
            }
        }
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    group: String,
    brokers: Vec<String>,
    enabled: bool,
    members: usize,
    topics: Vec<String>,
    lag: i64,
}

async fn list_all(args: &ListArgs, admin: &Admin) -> Result<(), Failure> {
    let mut groups: BTreeMap<String, (Vec<String>, bool)> = BTreeMap::new();
    for Placed { broker, config } in admin.all_groups().await? {
        let group = groups.entry(config.group_name).or_insert((Vec::new(), false));
        group.0.push(broker);
        group.1 |= config.consume_enable;
    }
    let wanted = groups.into_iter().filter(|(group, _)| args.all || !is_system_group(group));
    let listed: Vec<Listed> = stream::iter(wanted)
        .map(|(group, (brokers, enabled))| async move {
            let members = admin.consumers(&group).await?.map_or(0, |found| found.clients());
            let progress = admin.progress(&group, None).await?;
            let lag = progress.iter().map(|queue| queue.lag).sum();
            let mut topics: Vec<String> = progress.into_iter().map(|queue| queue.topic).collect();
            topics.dedup();
            Ok::<_, Failure>(Listed { group, brokers, enabled, members, topics, lag })
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let columns = ["group", "brokers", "members", "lag", "topics"];
    let cells = |listed: &Listed| {
        let group = if listed.enabled { listed.group.clone() } else { format!("{} (disabled)", listed.group) };
        let (members, lag) = (listed.members.to_string(), listed.lag.to_string());
        vec![group, list(&listed.brokers), members, lag, list(&listed.topics)]
    };
    let nothing = "no groups yet: a first `actormq consume` makes one, or `actormq group create NAME`; --all shows the \
                   brokers' own";
    Ok(args.output.rows(&listed, &columns, cells, nothing)?)
}

#[derive(Serialize)]
struct Shown {
    group: String,
    brokers: Vec<Placed<GroupConfig>>,
    consumers: Option<ConsumerGroup>,
    offsets: Vec<QueueProgress>,
}

/// The settings of a group that must be there.
async fn existing(admin: &Admin, group: &str) -> Result<Vec<Placed<GroupConfig>>, Failure> {
    let found = admin.group(group).await?;
    if found.is_empty() {
        let advice = format!("make it with `actormq group create {group}`, or see `actormq group list`");
        return Err(Failure::Refused(format!("group {group} does not exist: {advice}")));
    }
    Ok(found)
}

async fn show(args: &ShowArgs, admin: &Admin) -> Result<(), Failure> {
    let group = args.group.clone();
    let brokers = existing(admin, &group).await?;
    let consumers = admin.consumers(&group).await?;
    let offsets = admin.progress(&group, None).await?;
    let shown = Shown { group, brokers, consumers, offsets };
    if args.output.json {
        return Ok(shown::json(&shown)?);
    }
    let settings = shown.brokers.iter().map(|Placed { broker, config }| {
        vec![
            broker.clone(),
            config.consume_enable.to_string(),
            config.consume_broadcast_enable.to_string(),
            config.consume_message_orderly.to_string(),
            config.retry_max_times.to_string(),
            config.retry_queue_nums.to_string(),
        ]
    });
    let columns = ["broker", "enabled", "broadcast", "orderly", "retries", "retry queues"];
    shown::say(&shown::table(&columns, settings.collect()))?;
    shown::say("")?;
    match &shown.consumers {
        None => shown::say("no member is connected")?,
        Some(consumers) => {
            let topics = consumers.subscriptions.iter().map(|of| format!("{} ({})", of.topic, of.expression));
            shown::say(&format!("subscribes to {}", list(topics)))?;
            let members = consumers.members.iter().map(|of| {
                vec![
                    of.client_id.clone(),
                    of.address.clone(),
                    of.language.clone(),
                    of.version.clone(),
                    of.broker.clone(),
                ]
            });
            shown::say(&shown::table(&["member", "from", "language", "version", "broker"], members.collect()))?;
        }
    }
    if shown.offsets.is_empty() {
        return Ok(());
    }
    shown::say("")?;
    Ok(args.output.rows(&shown.offsets, PROGRESS_COLUMNS, progress_cells, "")?)
}

impl PutArgs {
    fn apply(&self, config: &mut GroupConfig) {
        config.consume_enable = self.enabled.unwrap_or(config.consume_enable);
        config.consume_broadcast_enable = self.broadcast.unwrap_or(config.consume_broadcast_enable);
        config.consume_message_orderly = self.orderly.unwrap_or(config.consume_message_orderly);
        config.retry_max_times = self.retries.map_or(config.retry_max_times, i32::from);
        config.retry_queue_nums = self.retry_queues.map_or(config.retry_queue_nums, i32::from);
        for (name, value) in [(FILTER, &self.filter), (FILTER_EXPRESSION, &self.filter_expression)] {
            let Some(value) = value else { continue };
            config.attributes.remove(name);
            let sign = if value.is_empty() { '-' } else { '+' };
            config.attributes.insert(format!("{sign}{name}"), value.clone());
        }
    }
}

#[derive(Serialize)]
struct Put<'a> {
    group: &'a str,
    brokers: Vec<String>,
}

async fn create(args: &PutArgs, admin: &Admin) -> Result<(), Failure> {
    let group = &args.group;
    if !admin.group(group).await?.is_empty() {
        let text = format!("group {group} exists already: change it with `actormq group update {group}`");
        return Err(Failure::Refused(text));
    }
    let mut config = GroupConfig { group_name: group.clone(), ..GroupConfig::default() };
    args.apply(&mut config);
    let brokers = admin.put_group(&config, &args.place.place()).await?;
    let brokers: Vec<String> = brokers.into_iter().map(|broker| broker.broker).collect();
    let text = format!("group {group} is there on {}", list(&brokers));
    Ok(args.output.done(&Put { group, brokers }, &text)?)
}

async fn update(args: &PutArgs, admin: &Admin) -> Result<(), Failure> {
    let group = &args.group;
    let wanted = admin.brokers(&args.place.place()).await?;
    let mut brokers = Vec::new();
    for Placed { broker, mut config } in existing(admin, group).await? {
        if wanted.iter().any(|place| place.broker == broker) {
            args.apply(&mut config);
            admin.put_group(&config, &Place::Broker(broker.clone())).await?;
            brokers.push(broker);
        }
    }
    if brokers.is_empty() {
        return Err(Failure::Refused(format!(
            "group {group} is on none of these brokers: see `actormq group show {group}`"
        )));
    }
    let text = format!("group {group} is changed on {}", list(&brokers));
    Ok(args.output.done(&Put { group, brokers }, &text)?)
}

#[derive(Serialize)]
struct Deleted<'a> {
    group: &'a str,
    deleted: bool,
}

async fn delete(args: &DeleteArgs, admin: &Admin) -> Result<(), Failure> {
    for group in &args.groups {
        existing(admin, group).await?;
        admin.delete_group(group, args.keep_offsets).await?;
        args.output.done(&Deleted { group, deleted: true }, &format!("group {group} is deleted"))?;
    }
    Ok(())
}
