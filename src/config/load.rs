//! From sources to settings: recognise each layer's keys, merge, fill the fields, check.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::binding::Keyed;
use super::broker::BrokerConfig;
use super::file::{self, Form};
use super::layer::{Given, Layer, Role, Rules, Scope, Spelling, Twice, Unknown, merged, shortened};
use super::namesrv::NamesrvConfig;
use super::notice::{ConfigError, Notice};
use super::process::ProcessConfig;
use super::provenance::{Entry, State};
use super::{environment, keys, tls};

/// Where settings come from.
#[derive(Clone, Debug)]
pub struct Sources {
    pub role: Role,
    /// What the command line says, flags and `--set` alike.
    pub flags: Vec<Given>,
    /// All variables of the environment; those that are no settings are passed over.
    pub environment: Vec<(String, String)>,
    /// The `-c` file.
    pub file: Option<PathBuf>,
    /// Unknown keys are errors in properties files and in updates, too.
    pub strict: bool,
}

/// The settings of one process, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    pub process: ProcessConfig,
    /// There when the process has a broker.
    pub broker: Option<BrokerConfig>,
    /// There when the process has a name server.
    pub namesrv: Option<NamesrvConfig>,
    /// What is to be logged about the settings.
    pub notices: Vec<Notice>,
    /// Keys of RocketMQ without meaning here that were set: name, text, origin.
    pub(super) without_meaning: Vec<(&'static str, String, String)>,
}

/// Reads, merges and checks all sources.
///
/// # Errors
/// The first thing that is wrong: where it was set, what is wrong and what is allowed.
pub fn load(sources: &Sources) -> Result<Settings, ConfigError> {
    let mut notices = Vec::new();
    let layers = read_layers(sources, &mut notices)?;
    let mut loading = Loading { sources, layers: &layers, notices, used: BTreeSet::new() };
    let process = loading.fill::<ProcessConfig>(Scope::Any)?;
    let has_broker = sources.role != Role::Namesrv;
    let has_namesrv = sources.role != Role::Broker;
    let broker = has_broker.then(|| loading.fill::<BrokerConfig>(Scope::Broker)).transpose()?;
    let namesrv = has_namesrv.then(|| loading.fill::<NamesrvConfig>(Scope::Namesrv)).transpose()?;
    let without_meaning = loading.unused()?;
    let mut notices = loading.notices;
    if !without_meaning.is_empty() {
        notices.push(Notice::WithoutMeaning { keys: without_meaning.iter().map(|(name, ..)| *name).collect() });
    }
    Ok(Settings { process, broker, namesrv, notices, without_meaning })
}

/// The layers, the weakest first.
fn read_layers(sources: &Sources, notices: &mut Vec<Notice>) -> Result<[Layer; 4], ConfigError> {
    let strict =
        Rules { role: sources.role, spelling: Spelling::Exact, unknown: Unknown::Refused, twice: Twice::Refused };
    let snake = Rules { spelling: Spelling::Snake, ..strict };
    let unknown = if sources.strict { Unknown::Refused } else { Unknown::Said };
    let properties = Rules { unknown, twice: Twice::LastCounts, ..strict };
    let in_file = match &sources.file {
        None => Layer::default(),
        Some(path) if Form::of(path) == Form::Toml => Layer::read(file::given(path)?, snake, notices)?,
        Some(path) => Layer::read(file::given(path)?, properties, notices)?,
    };
    let environment = environment::given(&sources.environment, sources.role)?;
    let environment = Layer::read(environment, snake, notices)?;
    let flags = Layer::read(sources.flags.clone(), strict, notices)?;
    let named = [&flags, &environment, &in_file].into_iter().find_map(|layer| layer.text("tls.config.file"));
    let (path, is_named) = tls::config_file(named);
    let of_tls = match file::given(path) {
        // RocketMQ, too, passes over one that it cannot read.
        Err(ConfigError::Unreadable { .. }) if !is_named => Vec::new(),
        given => given?,
    };
    let of_tls = Layer::read(of_tls, properties, notices)?;
    Ok([of_tls, in_file, environment, flags])
}

struct Loading<'a> {
    sources: &'a Sources,
    layers: &'a [Layer],
    notices: Vec<Notice>,
    /// Keys that set a field.
    used: BTreeSet<&'static str>,
}

impl Loading<'_> {
    /// The role's configuration with everything that the layers say to it.
    fn fill<C: Keyed>(&mut self, scope: Scope) -> Result<C, ConfigError> {
        let mut config = C::default();
        config.provenance_mut().file.clone_from(&self.sources.file);
        config.provenance_mut().strict = self.sources.strict;
        for (name, (text, origin)) in merged(self.layers, scope)? {
            let state = match C::binding(name) {
                Some(binding) => {
                    (binding.read)(&mut config, &text).map_err(|allowed| ConfigError::BadValue {
                        origin: origin.clone(),
                        key: name,
                        text: shortened(&text),
                        allowed,
                    })?;
                    self.used.insert(name);
                    State::Applied
                }
                None => State::WithoutMeaning,
            };
            let is_ours = keys::find(name).is_some_and(|key| key.is_in(C::CLASSES));
            if state == State::Applied || is_ours {
                config.provenance_mut().entries.insert(name, Entry { text, origin, state });
            }
        }
        for notice in config.check()? {
            // Two roles of a process may say the same.
            if !self.notices.contains(&notice) {
                self.notices.push(notice);
            }
        }
        Ok(config)
    }

    /// What was set of keys that no field here has, its values checked for RocketMQ's type.
    fn unused(&self) -> Result<Vec<(&'static str, String, String)>, ConfigError> {
        let scopes: &[Scope] = match self.sources.role {
            Role::Broker => &[Scope::Broker],
            Role::Namesrv => &[Scope::Namesrv],
            Role::Standalone => &[Scope::Namesrv, Scope::Broker],
        };
        let mut texts = BTreeMap::new();
        for scope in scopes {
            texts.extend(merged(self.layers, *scope)?);
        }
        let mut unused = Vec::new();
        for (name, (text, origin)) in texts.into_iter().filter(|(name, _)| !self.used.contains(name)) {
            let kind = keys::find(name).map_or(keys::Kind::Text, |key| key.kind);
            kind.check(&text).map_err(|allowed| ConfigError::BadValue {
                origin: origin.clone(),
                key: name,
                text: shortened(&text),
                allowed,
            })?;
            unused.push((name, text, origin));
        }
        Ok(unused)
    }
}
