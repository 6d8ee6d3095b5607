//! A layer is what one source says: the flags, the environment, the file. Here its keys are recognised; `merged` then puts
//! the layers on top of each other with the `config` crate, each value carrying where it came from.

use std::collections::{BTreeMap, HashMap};

use config::{Config, Map, Source, Value};

use super::keys::{self, Key};
use super::notice::{ConfigError, Notice};
use super::values::TEXT_BYTES_MAX;

/// Most unknown keys of one source that are said one by one.
const UNKNOWN_SAID_MAX: usize = 16;

/// What a process is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Namesrv,
    Broker,
    /// Name server and broker in one process.
    Standalone,
}

/// Which role's settings are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Whichever role of the process knows the key.
    Any,
    Broker,
    Namesrv,
}

/// One setting as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub scope: Scope,
    pub key: String,
    pub text: String,
    /// Where it was written, as messages and `--print-config` name it: `--name`, `broker.conf:3`.
    pub origin: String,
}

/// How a source spells its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Exactly as RocketMQ.
    Exact,
    /// Also in snake case, and our own without prefix.
    Snake,
}

/// What an unknown key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    Refused,
    Said,
}

/// What a key that a source sets twice does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Twice {
    /// Refused, unless both values are the same.
    Refused,
    LastCounts,
}

/// The rules of one source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) role: Role,
    pub(super) spelling: Spelling,
    pub(super) unknown: Unknown,
    pub(super) twice: Twice,
}

/// One setting whose key is known.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) scope: Scope,
    pub(super) key: &'static Key,
    pub(super) text: String,
    pub(super) origin: String,
}

/// What one source says.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer(pub(super) Vec<Setting>);

impl Layer {
    /// Recognises the keys.
    ///
    /// # Errors
    /// An unknown key or a key set twice, as `rules` has it; a text that is too long or not on one line.
    pub(super) fn read(given: Vec<Given>, rules: Rules, notices: &mut Vec<Notice>) -> Result<Self, ConfigError> {
        let mut settings: Vec<Setting> = Vec::with_capacity(given.len());
        let mut places: HashMap<(Scope, &'static str), usize> = HashMap::new();
        let mut unknown = 0;
        for one in given {
            let known = match rules.spelling {
                Spelling::Exact => keys::find(&one.key),
                Spelling::Snake => keys::find_spelled(&one.key),
            };
            let Some(key) = known else {
                unknown += 1;
                say_unknown(one, rules.unknown, unknown, notices)?;
                continue;
            };
            let setting = Setting::new(one, key, rules.role)?;
            match places.get(&(setting.scope, setting.key.name)).and_then(|place| settings.get_mut(*place)) {
                Some(first) => first.replace(setting, rules.twice, notices)?,
                None => {
                    places.insert((setting.scope, setting.key.name), settings.len());
                    settings.push(setting);
                }
            }
        }
        if unknown > UNKNOWN_SAID_MAX {
            notices.push(Notice::MoreUnknownKeys { count: unknown - UNKNOWN_SAID_MAX });
        }
        Ok(Self(settings))
    }

    /// What the layer says of a key that all roles share.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|setting| setting.key.name == name).map(|setting| setting.text.as_str())
    }

    /// What the layer says to `scope`: what is meant for it alone goes before what is meant for any.
    fn told(&self, scope: Scope) -> Told {
        let any = self.0.iter().filter(|setting| setting.scope == Scope::Any);
        let own = self.0.iter().filter(|setting| setting.scope == scope && scope != Scope::Any);
        Told(any.chain(own).cloned().collect())
    }
}

fn say_unknown(given: Given, unknown: Unknown, count: usize, notices: &mut Vec<Notice>) -> Result<(), ConfigError> {
    let Given { key, origin, .. } = given;
    if unknown == Unknown::Refused {
        let nearest = keys::nearest(&key);
        return Err(ConfigError::UnknownKey { origin, key: shortened(&key), nearest });
    }
    if count <= UNKNOWN_SAID_MAX {
        let nearest = keys::nearest(&key);
        notices.push(Notice::UnknownKey { origin, key: shortened(&key), nearest });
    }
    Ok(())
}

/// The beginning of a text, for messages.
pub(super) fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_string(),
    }
}

impl Setting {
    fn new(given: Given, key: &'static Key, role: Role) -> Result<Self, ConfigError> {
        let text = given.text.trim().to_string();
        let (origin, mut scope) = (given.origin, given.scope);
        if text.len() > TEXT_BYTES_MAX || text.contains(char::is_control) {
            let allowed = format!("one line of at most {TEXT_BYTES_MAX} bytes without control characters");
            return Err(ConfigError::BadValue { origin, key: key.name, text: shortened(&text), allowed });
        }
        let key = match key.name {
            "actormqNamesrvListenPort" => namesrv_key(&mut scope, "listenPort", key),
            "actormqNamesrvBindAddress" => namesrv_key(&mut scope, "bindAddress", key),
            _ => key,
        };
        // Two roles cannot share one port: in one process the plain key is the broker's.
        if role == Role::Standalone && scope == Scope::Any && key.name == "listenPort" {
            scope = Scope::Broker;
        }
        Ok(Self { scope, key, text, origin })
    }

    fn replace(&mut self, later: Self, twice: Twice, notices: &mut Vec<Notice>) -> Result<(), ConfigError> {
        if self.text == later.text {
            return Ok(());
        }
        if twice == Twice::Refused {
            return Err(ConfigError::SetTwice {
                key: self.key.name,
                first: self.origin.clone(),
                first_text: shortened(&self.text),
                second: later.origin,
                second_text: shortened(&later.text),
            });
        }
        let (first, last) = (self.origin.clone(), later.origin.clone());
        notices.push(Notice::SetTwice { key: self.key.name, first, last });
        *self = later;
        Ok(())
    }
}

fn namesrv_key(scope: &mut Scope, name: &str, own: &'static Key) -> &'static Key {
    *scope = Scope::Namesrv;
    keys::find(name).unwrap_or(own)
}

/// What a layer says to one role, as a source of the `config` crate. Each value's origin travels in the value.
#[derive(Clone, Debug)]
struct Told(Vec<Setting>);

impl Source for Told {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let value = |setting: &Setting| Value::new(Some(&setting.origin), setting.text.clone());
        // A dot in a name would mean a table to the `config` crate.
        Ok(self.0.iter().map(|setting| (setting.key.toml_name(), value(setting))).collect())
    }
}

/// The strongest text of each key, with its origin. `layers` are given the weakest first.
///
/// # Errors
/// [`ConfigError::Syntax`], when the `config` crate refuses a value; no value that [`Layer::read`] passed is.
pub(super) fn merged(layers: &[Layer], scope: Scope) -> Result<BTreeMap<&'static str, (String, String)>, ConfigError> {
    let failed =
        |error: config::ConfigError| ConfigError::Syntax { origin: "settings".into(), what: error.to_string() };
    let mut builder = Config::builder();
    for layer in layers {
        builder = builder.add_source(layer.told(scope));
    }
    let values = builder.build().and_then(|config| config.collect()).map_err(failed)?;
    let mut texts = BTreeMap::new();
    for (name, value) in values {
        let Some(key) = keys::find_spelled(&name) else {
            continue;
        };
        let origin = value.origin().unwrap_or_default().to_string();
        texts.insert(key.name, (value.into_string().map_err(failed)?, origin));
    }
    Ok(texts)
}
