//! The command line, and what it says as settings.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::bench::BenchArgs;
use super::broker::BrokerCommand;
use super::cluster::ClusterArgs;
use super::completion::CompletionArgs;
use super::connections::ConnectionsArgs;
use super::consume::ConsumeArgs;
use super::demo::DemoArgs;
use super::group::GroupArgs;
use super::message::MessageArgs;
use super::send::SendArgs;
use super::top::TopArgs;
use super::topic::TopicArgs;
use crate::config::{ConfigError, Given, Role, Scope, Sources};

/// A message broker that takes the place of Apache RocketMQ.
#[derive(Debug, Parser)]
#[command(name = "actormq", version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch messages go through a broker and its consumers; needs nothing, leaves nothing
    Demo(DemoArgs),
    /// Run a name server and a broker in one process
    Standalone(StandaloneArgs),
    /// Run a name server
    Namesrv(NamesrvArgs),
    /// Run a broker, or look at the settings of running ones (`broker config`)
    Broker(Box<BrokerArgs>),
    /// Send messages
    Send(SendArgs),
    /// Receive messages as a member of a consumer group
    Consume(ConsumeArgs),
    /// Make, change, delete and show topics
    Topic(TopicArgs),
    /// Make, change, delete and show consumer groups, and how far they are
    Group(GroupArgs),
    /// Show the brokers and how they are
    Cluster(ClusterArgs),
    /// Show single messages
    Message(MessageArgs),
    /// Show who is connected
    Connections(ConnectionsArgs),
    /// Watch topics, groups and brokers
    Top(TopArgs),
    /// Measure a broker over the remoting protocol
    Bench(BenchArgs),
    /// Print a script that completes commands and flags in a shell
    Completion(CompletionArgs),
}

/// Flags of `actormq namesrv`.
#[derive(Debug, Args)]
pub struct NamesrvArgs {
    /// Address and port to listen on; port 0 is any free port [default: 0.0.0.0:9876]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `actormq broker`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BrokerArgs {
    #[command(subcommand)]
    pub command: Option<BrokerCommand>,
    /// Name servers to register at; also from NAMESRV_ADDR
    #[arg(short = 'n', long = "namesrv", value_name = "ADDR;ADDR…")]
    namesrv: Option<String>,
    /// Name of the broker; a master and its slaves share it [default: the host's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Name of the cluster [default: DefaultCluster]
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// 0 for a master, above 0 for a slave [default: 0]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    id: Option<String>,
    /// Address and port to listen on; port 0 is any free port [default: 0.0.0.0:10911]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `actormq standalone`.
#[derive(Debug, Args)]
pub struct StandaloneArgs {
    /// Where the name server listens; port 0 is any free port [default: 0.0.0.0:9876]
    #[arg(long, value_name = "ADDR:PORT")]
    namesrv_listen: Option<String>,
    /// Where the broker listens; port 0 is any free port [default: 0.0.0.0:10911]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags that every server has.
#[derive(Debug, Args)]
pub struct CommonArgs {
    /// Directory of all data [default: ./actormq-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Settings file: TOML when it ends in .toml, else RocketMQ's properties (broker.conf, namesrv.conf)
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting by RocketMQ's key; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Show each effective value and where it came from, then exit
    #[arg(long)]
    pub print_config: bool,
    /// Refuse unknown keys in properties files and in updates, too
    #[arg(long)]
    strict: bool,
    /// error, warn, info, debug, trace or off, or target=level pairs [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Log into a file in this directory, a new one each day [default: standard error]
    #[arg(long, value_name = "DIR")]
    log_file: Option<String>,
}

/// A server's command line.
pub trait ServerArgs {
    fn common(&self) -> &CommonArgs;
    fn role(&self) -> Role;

    /// What the role's own flags say.
    ///
    /// # Errors
    /// [`ConfigError::BadFlag`], when a flag's value holds more than one setting and cannot be taken apart.
    fn own_settings(&self) -> Result<Vec<Given>, ConfigError>;

    /// All that settings are read from: these flags and this environment.
    ///
    /// # Errors
    /// As [`ServerArgs::own_settings`], and for a `--set` without `=`.
    fn sources(&self, environment: Vec<(String, String)>) -> Result<Sources, ConfigError> {
        let mut flags = self.own_settings()?;
        flags.extend(self.common().settings()?);
        let (file, strict) = (self.common().config.clone(), self.common().strict);
        Ok(Sources { role: self.role(), flags, environment, file, strict })
    }
}

impl ServerArgs for NamesrvArgs {
    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn role(&self) -> Role {
        Role::Namesrv
    }

    fn own_settings(&self) -> Result<Vec<Given>, ConfigError> {
        listen("--listen", Scope::Any, self.listen.as_deref())
    }
}

impl ServerArgs for BrokerArgs {
    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn role(&self) -> Role {
        Role::Broker
    }

    fn own_settings(&self) -> Result<Vec<Given>, ConfigError> {
        let texts = [
            ("-n", "namesrvAddr", &self.namesrv),
            ("--name", "brokerName", &self.name),
            ("--cluster", "brokerClusterName", &self.cluster),
            ("--id", "brokerId", &self.id),
        ];
        let mut settings = listen("--listen", Scope::Any, self.listen.as_deref())?;
        settings.extend(flags(Scope::Any, &texts));
        Ok(settings)
    }
}

impl ServerArgs for StandaloneArgs {
    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn role(&self) -> Role {
        Role::Standalone
    }

    fn own_settings(&self) -> Result<Vec<Given>, ConfigError> {
        let mut settings = listen("--namesrv-listen", Scope::Namesrv, self.namesrv_listen.as_deref())?;
        settings.extend(listen("--listen", Scope::Broker, self.listen.as_deref())?);
        Ok(settings)
    }
}

impl CommonArgs {
    fn settings(&self) -> Result<Vec<Given>, ConfigError> {
        let texts = [
            ("--data", "storePathRootDir", &self.data),
            ("--log-level", "actormqLogLevel", &self.log_level),
            ("--log-format", "actormqLogFormat", &self.log_format),
            ("--log-file", "actormqLogDir", &self.log_file),
        ];
        let mut settings = flags(Scope::Any, &texts);
        for pair in &self.set {
            let Some((key, text)) = pair.split_once('=') else {
                let allowed = "KEY=VALUE, such as brokerName=broker-a".into();
                return Err(ConfigError::BadFlag { flag: "--set", text: pair.clone(), allowed });
            };
            let (key, origin) = (key.trim().to_string(), format!("--set {}", key.trim()));
            settings.push(Given { scope: Scope::Any, key, text: text.into(), origin });
        }
        Ok(settings)
    }
}

fn flags(scope: Scope, texts: &[(&str, &str, &Option<String>)]) -> Vec<Given> {
    let given = |(flag, key, text): &(&str, &str, &Option<String>)| {
        let text = text.as_ref()?.clone();
        Some(Given { scope, key: (*key).into(), text, origin: (*flag).into() })
    };
    texts.iter().filter_map(given).collect()
}

/// `ADDR:PORT` as the two keys that it sets.
fn listen(flag: &'static str, scope: Scope, text: Option<&str>) -> Result<Vec<Given>, ConfigError> {
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    let given = |key: &str, text: &str| Given { scope, key: key.into(), text: text.into(), origin: flag.into() };
    match text.rsplit_once(':') {
        Some((address, port)) if !address.is_empty() && !port.is_empty() => {
            Ok(vec![given("bindAddress", address), given("listenPort", port)])
        }
        _ => {
            let allowed = "ADDR:PORT, such as 0.0.0.0:10911, 127.0.0.1:0 or [::]:10911".into();
            Err(ConfigError::BadFlag { flag, text: text.into(), allowed })
        }
    }
}
