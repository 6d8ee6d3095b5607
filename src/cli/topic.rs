//! `actormq topic`: topics made, changed, deleted, listed and looked into.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use super::connect::{self, Failure, PlaceArgs, ServerAddresses, with_admin};
use super::shown::{self, OutputArgs, list, permission};
use super::times;
use crate::client::admin::{Admin, AttributeChange, Place, Placed, QueueStatus, RoutePart, TopicConfig, TopicKind};
use crate::client::{ClientError, NEW_TOPIC_QUEUES};

/// Topics that are asked about at once.
const AT_ONCE: usize = 16;
/// The attribute that says what kind of messages a topic takes.
const MESSAGE_TYPE: &str = "message.type";

/// What to do with topics.
#[derive(Debug, Args)]
pub struct TopicArgs {
    #[command(subcommand)]
    command: TopicCommand,
}

#[derive(Debug, Subcommand)]
enum TopicCommand {
    /// List topics and where they are
    List(ListArgs),
    /// Show one topic: settings, queues, the groups that read it
    Show(ShowArgs),
    /// Make a new topic
    Create(CreateArgs),
    /// Change a topic; what is not named stays
    Update(UpdateArgs),
    /// Delete topics and their messages
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// The brokers' own topics, retry and dead letter topics too
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
    topic: String,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// Its name
    topic: String,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct UpdateArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// Its name
    topic: String,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    settings: SettingArgs,
    /// An attribute to take away; may be repeated
    #[arg(long = "remove-attribute", value_name = "NAME")]
    removed: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// Their names
    #[arg(required = true)]
    topics: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Settings of a topic.
#[derive(Debug, Args)]
struct SettingArgs {
    /// Queues to read and to write on each broker [default of a new topic: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    queues: Option<u16>,
    /// Queues to read, where they differ
    #[arg(long, value_name = "N")]
    read_queues: Option<u16>,
    /// Queues to write, where they differ
    #[arg(long, value_name = "N")]
    write_queues: Option<u16>,
    /// What clients may do [default of a new topic: rw]
    #[arg(long)]
    perm: Option<Perm>,
    /// Whether producers keep to the queues of brokers that are away [default of a new topic: false]
    #[arg(long, value_name = "true|false")]
    order: Option<bool>,
    /// What kind of messages it takes
    #[arg(long = "type", value_name = "TYPE", ignore_case = true)]
    message_type: Option<MessageType>,
    /// Another attribute; may be repeated
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = connect::pair)]
    attributes: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Perm {
    Rw,
    R,
    W,
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MessageType {
    Normal,
    Fifo,
    Delay,
    Transaction,
    Mixed,
}

impl SettingArgs {
    fn apply(&self, config: &mut TopicConfig) {
        let read = self.read_queues.or(self.queues);
        let write = self.write_queues.or(self.queues);
        config.read_queue_nums = read.map_or(config.read_queue_nums, i32::from);
        config.write_queue_nums = write.map_or(config.write_queue_nums, i32::from);
        if let Some(perm) = self.perm {
            let bits = match perm {
                Perm::Rw => 6,
                Perm::R => 4,
                Perm::W => 2,
                Perm::None => 0,
            };
            config.perm = config.perm & !6 | bits;
        }
        config.order = self.order.unwrap_or(config.order);
    }

    fn changes(&self) -> Vec<AttributeChange> {
        let kind = self.message_type.map(|kind| (MESSAGE_TYPE.to_owned(), format!("{kind:?}").to_uppercase()));
        let all = kind.into_iter().chain(self.attributes.iter().cloned());
        all.map(|(name, value)| AttributeChange::Set { name, value }).collect()
    }
}

/// Does with topics what `args` says.
#[must_use]
pub fn run(args: &TopicArgs) -> ExitCode {
    connect::run(async {
        match &args.command {
            TopicCommand::List(args) => with_admin(&args.servers, async |admin| list_all(args, admin).await).await,
            TopicCommand::Show(args) => with_admin(&args.servers, async |admin| show(args, admin).await).await,
            TopicCommand::Create(args) => with_admin(&args.servers, async |admin| create(args, admin).await).await,
            TopicCommand::Update(args) => with_admin(&args.servers, async |admin| update(args, admin).await).await,
            TopicCommand::Delete(args) => with_admin(&args.servers, async |admin| delete(args, admin).await).await,
        }
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    topic: String,
    kind: TopicKind,
    brokers: Vec<RoutePart>,
}

async fn list_all(args: &ListArgs, admin: &Admin) -> Result<(), Failure> {
    let cluster = admin.cluster().await?;
    // Each broker and each cluster has a topic of its name.
    let own = |name: &str| cluster.brokers.iter().any(|broker| broker.broker == name || broker.cluster == name);
    let kind = |name: &str| if own(name) { TopicKind::System } else { TopicKind::of(name) };
    let names = admin.topics().await?.into_iter().map(|topic| (kind(&topic), topic));
    let wanted = names.filter(|(kind, _)| args.all || *kind == TopicKind::Normal);
    let topics: Vec<Listed> = stream::iter(wanted)
        .map(|(kind, topic)| async move {
            match admin.topic_route(&topic).await {
                Ok(brokers) => Ok(Some(Listed { topic, kind, brokers })),
                // Deleted a moment ago.
                Err(ClientError::TopicNotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .buffered(AT_ONCE)
        .try_filter_map(|listed| async { Ok(listed) })
        .try_collect()
        .await?;
    let columns = ["topic", "kind", "brokers", "read queues", "write queues", "may"];
    let cells = |listed: &Listed| {
        let sum = |of: fn(&RoutePart) -> i32| listed.brokers.iter().map(of).sum::<i32>().to_string();
        vec![
            listed.topic.clone(),
            kind_name(listed.kind).to_owned(),
            list(listed.brokers.iter().map(|part| &part.broker)),
            sum(|part| part.read_queues),
            sum(|part| part.write_queues),
            permission(listed.brokers.iter().fold(0, |bits, part| bits | part.perm)).to_owned(),
        ]
    };
    let nothing = "no topics yet: make one with `actormq topic create NAME`; --all shows the brokers' own";
    Ok(args.output.rows(&topics, &columns, cells, nothing)?)
}

fn kind_name(kind: TopicKind) -> &'static str {
    match kind {
        TopicKind::Normal => "normal",
        TopicKind::Retry => "retry",
        TopicKind::DeadLetters => "dead letters",
        TopicKind::System => "system",
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    topic: String,
    brokers: Vec<Placed<TopicConfig>>,
    queues: Vec<QueueStatus>,
    messages: i64,
    put_rate: f64,
    groups: Vec<String>,
}

async fn show(args: &ShowArgs, admin: &Admin) -> Result<(), Failure> {
    let brokers = admin.topic(&args.topic).await?;
    let status = admin.topic_status(&args.topic).await?;
    let groups = admin.groups_of_topic(&args.topic).await?;
    let messages = status.messages();
    let topic = args.topic.clone();
    let shown = Shown { topic, brokers, queues: status.queues, messages, put_rate: status.put_rate, groups };
    if args.output.json {
        return Ok(shown::json(&shown)?);
    }
    let settings = shown.brokers.iter().map(|placed| {
        let config = &placed.config;
        let attributes = config.attributes.iter().map(|(name, value)| format!("{name}={value}"));
        vec![
            placed.broker.clone(),
            config.read_queue_nums.to_string(),
            config.write_queue_nums.to_string(),
            permission(config.perm).to_owned(),
            config.order.to_string(),
            list(attributes),
        ]
    });
    let columns = ["broker", "read queues", "write queues", "may", "order", "attributes"];
    shown::say(&shown::table(&columns, settings.collect()))?;
    let queues = shown.queues.iter().map(|queue| {
        vec![
            format!("{}/{}", queue.broker, queue.queue),
            queue.min_offset.to_string(),
            queue.max_offset.to_string(),
            times::shown_if(queue.last_stored_ms),
        ]
    });
    shown::say("")?;
    shown::say(&shown::table(&["queue", "first", "next", "last stored"], queues.collect()))?;
    let (messages, rate) = (shown.messages, shown::rate(shown.put_rate));
    Ok(shown::say(&format!("\n{messages} messages, {rate}/s in; groups: {}", list(&shown.groups)))?)
}

#[derive(Serialize)]
struct Put<'a> {
    topic: &'a str,
    brokers: Vec<String>,
}

async fn create(args: &CreateArgs, admin: &Admin) -> Result<(), Failure> {
    let topic = &args.topic;
    match admin.topic_route(topic).await {
        Ok(_) => {
            let text = format!("topic {topic} exists already: change it with `actormq topic update {topic}`");
            return Err(Failure::Refused(text));
        }
        Err(ClientError::TopicNotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut config = TopicConfig {
        topic_name: topic.clone(),
        read_queue_nums: NEW_TOPIC_QUEUES,
        write_queue_nums: NEW_TOPIC_QUEUES,
        ..TopicConfig::default()
    };
    args.settings.apply(&mut config);
    let brokers = admin.put_topic(&config, &args.settings.changes(), &args.place.place()).await?;
    let brokers: Vec<String> = brokers.into_iter().map(|broker| broker.broker).collect();
    let text = format!(
        "topic {topic} is there on {}: send to it with `actormq send --topic {topic} --body hello`",
        list(&brokers)
    );
    Ok(args.output.done(&Put { topic, brokers }, &text)?)
}

async fn update(args: &UpdateArgs, admin: &Admin) -> Result<(), Failure> {
    let topic = &args.topic;
    let mut changes = args.settings.changes();
    changes.extend(args.removed.iter().map(|name| AttributeChange::Remove { name: name.clone() }));
    let wanted = admin.brokers(&args.place.place()).await?;
    let mut brokers = Vec::new();
    for Placed { broker, mut config } in admin.topic(topic).await? {
        if wanted.iter().any(|place| place.broker == broker) {
            args.settings.apply(&mut config);
            admin.put_topic(&config, &changes, &Place::Broker(broker.clone())).await?;
            brokers.push(broker);
        }
    }
    if brokers.is_empty() {
        return Err(Failure::Refused(format!(
            "topic {topic} is on none of these brokers: see `actormq topic show {topic}`"
        )));
    }
    let text = format!("topic {topic} is changed on {}", list(&brokers));
    Ok(args.output.done(&Put { topic, brokers }, &text)?)
}

#[derive(Serialize)]
struct Deleted<'a> {
    topic: &'a str,
    deleted: bool,
}

async fn delete(args: &DeleteArgs, admin: &Admin) -> Result<(), Failure> {
    for topic in &args.topics {
        admin.delete_topic(topic).await?;
        args.output.done(&Deleted { topic, deleted: true }, &format!("topic {topic} is deleted"))?;
    }
    Ok(())
}
