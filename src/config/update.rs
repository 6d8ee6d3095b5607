//! Settings while running: what requests 25 and 318 change, what 26 and 319 answer, and what is kept for the next start.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::binding::{Effect, Keyed};
use super::broker::BrokerConfig;
use super::file::{self, Form};
use super::keys::{self, Key};
use super::layer::{Given, Layer, Role, Rules, Scope, Setting, Spelling, Twice, Unknown, shortened};
use super::namesrv::NamesrvConfig;
use super::notice::{ConfigError, Notice};
use super::properties;
use super::provenance::{Entry, State};
use super::toml;

/// Most settings in one update.
const PAIRS_MAX: usize = 4_096;
/// Keys that no update may touch, whatever `configBlackList` says.
const BROKER_BLACK_LIST: [&str; 3] = ["brokerConfigPath", "rocketmqHome", "configBlackList"];
const NAMESRV_BLACK_LIST: [&str; 4] = ["configBlackList", "configStorePath", "kvConfigPath", "rocketmqHome"];
/// Those of both that hold secrets: an update travels in plain text and is logged.
const SECRETS: [&str; 2] = ["tls.server.keyPassword", "tls.client.keyPassword"];

/// What an update did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateReport {
    /// Keys whose value became another.
    pub changed: Vec<Change>,
    /// Keys of RocketMQ without meaning here: kept, answered by 26 and 319, written to the file.
    pub without_meaning: Vec<&'static str>,
    /// Keys that nobody knows: ignored.
    pub unknown: Vec<String>,
    /// What is to be logged.
    pub notices: Vec<Notice>,
    /// All that was set, as it is to be written to the file.
    set: BTreeMap<&'static str, String>,
}

/// One key whose value became another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: &'static str,
    pub old: String,
    pub new: String,
    pub effect: Effect,
}

/// Where an update was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    To(PathBuf),
    /// No `-c` file was given: it is forgotten at the next start.
    Nowhere,
}

impl UpdateReport {
    /// The key's value became another.
    #[must_use]
    pub fn has_changed(&self, key: &str) -> bool {
        self.changed.iter().any(|change| change.key == key)
    }
}

impl BrokerConfig {
    /// The configuration with these settings (request 25), all or none of them. Values that are only read at the start
    /// stay as they are in the fields and are [`Effect::NextStart`] in the report.
    ///
    /// # Errors
    /// [`ConfigError::BlackListed`] (to be answered with code 16), too many pairs, a value that is not allowed or that
    /// contradicts another, with `--strict` an unknown key.
    pub fn apply_update(&self, pairs: &[(String, String)]) -> Result<(Self, UpdateReport), ConfigError> {
        refuse_black_listed(pairs, &BROKER_BLACK_LIST, &self.identity.update_black_list)?;
        updated(self, pairs, Scope::Broker)
    }

    /// Every key that Apache's broker answers (request 26), sorted, one `key=value` a line: effective values, and defaults
    /// of keys without meaning here. Keys that are null are left out, as there.
    #[must_use]
    pub fn to_properties(&self) -> String {
        listed(self)
    }

    /// Keeps an update in the `-c` file, other lines untouched.
    ///
    /// # Errors
    /// The file cannot be read, rewritten or written; the update itself holds.
    pub fn save(&self, report: &UpdateReport) -> Result<Saved, ConfigError> {
        save(self.provenance.file.clone(), report, Scope::Broker)
    }
}

impl NamesrvConfig {
    /// As [`BrokerConfig::apply_update`], for request 318.
    ///
    /// # Errors
    /// The same.
    pub fn apply_update(&self, pairs: &[(String, String)]) -> Result<(Self, UpdateReport), ConfigError> {
        refuse_black_listed(pairs, &NAMESRV_BLACK_LIST, &self.update_black_list)?;
        updated(self, pairs, Scope::Namesrv)
    }

    /// As [`BrokerConfig::to_properties`], for request 319.
    #[must_use]
    pub fn to_properties(&self) -> String {
        listed(self)
    }

    /// Keeps an update in the `-c` file, else in the file of `configStorePath`, which `-c` can be given at the next start.
    ///
    /// # Errors
    /// As [`BrokerConfig::save`].
    pub fn save(&self, report: &UpdateReport) -> Result<Saved, ConfigError> {
        let path = self.provenance.file.clone().unwrap_or_else(|| self.files.config_store_path());
        save(Some(path), report, Scope::Namesrv)
    }
}

fn refuse_black_listed(pairs: &[(String, String)], fixed: &[&str], set: &[String]) -> Result<(), ConfigError> {
    let is_listed =
        |key: &str| fixed.contains(&key) || SECRETS.contains(&key) || set.iter().any(|listed| listed == key);
    match pairs.iter().find(|(key, _)| is_listed(key)) {
        Some((key, _)) => Err(ConfigError::BlackListed { key: key.clone() }),
        None => Ok(()),
    }
}

fn updated<C: Keyed>(config: &C, pairs: &[(String, String)], scope: Scope) -> Result<(C, UpdateReport), ConfigError> {
    if pairs.len() > PAIRS_MAX {
        return Err(ConfigError::TooMany { count: pairs.len(), count_max: PAIRS_MAX });
    }
    let mut report = UpdateReport::default();
    let layer = read_pairs(config, pairs, scope, &mut report)?;
    let mut update = Update { next: config.clone(), at_next_start: started_again(config), report };
    for setting in layer.0 {
        update.take(setting)?;
    }
    let Update { mut next, mut at_next_start, mut report } = update;
    let said_before = config.clone().check()?;
    let said = next.check()?.into_iter().chain(at_next_start.check()?);
    for notice in said.filter(|notice| !said_before.contains(notice)) {
        if !report.notices.contains(&notice) {
            report.notices.push(notice);
        }
    }
    for key in report.set.keys() {
        report.changed.extend(change(config, &next, key));
    }
    Ok((next, report))
}

/// An update under way.
struct Update<C> {
    /// What will be run with.
    next: C,
    /// What the next start will find: values for it are checked here, in a copy that nobody runs with.
    at_next_start: C,
    report: UpdateReport,
}

impl<C: Keyed> Update<C> {
    fn take(&mut self, setting: Setting) -> Result<(), ConfigError> {
        let Setting { key, text, origin, .. } = setting;
        let state = self.put(key, &text).map_err(|allowed| ConfigError::BadValue {
            origin: origin.clone(),
            key: key.name,
            text: shortened(&text),
            allowed,
        })?;
        if state == State::WithoutMeaning {
            self.report.without_meaning.push(key.name);
        }
        let entry = Entry { text: text.clone(), origin, state };
        for config in [&mut self.next, &mut self.at_next_start] {
            config.provenance_mut().entries.insert(key.name, entry.clone());
        }
        self.report.set.insert(key.name, text);
        Ok(())
    }

    fn put(&mut self, key: &Key, text: &str) -> Result<State, String> {
        let Some(binding) = C::binding(key.name) else {
            key.kind.check(text)?;
            return Ok(State::WithoutMeaning);
        };
        (binding.read)(&mut self.at_next_start, text)?;
        match binding.effect {
            Effect::Now => (binding.read)(&mut self.next, text).map(|()| State::Applied),
            Effect::NextStart => Ok(State::Pending),
        }
    }
}

/// The configuration as the next start would find it, with what is pending.
fn started_again<C: Keyed>(config: &C) -> C {
    let mut next = config.clone();
    let pending = config.provenance().entries.iter().filter(|(_, entry)| entry.state == State::Pending);
    for (key, entry) in pending {
        if let Some(binding) = C::binding(key) {
            // It was read without error when it was set.
            let _ = (binding.read)(&mut next, &entry.text);
        }
    }
    next
}

fn read_pairs<C: Keyed>(
    config: &C,
    pairs: &[(String, String)],
    scope: Scope,
    report: &mut UpdateReport,
) -> Result<Layer, ConfigError> {
    let strict = config.provenance().strict;
    let rules = Rules {
        role: if scope == Scope::Broker { Role::Broker } else { Role::Namesrv },
        spelling: Spelling::Exact,
        unknown: if strict { Unknown::Refused } else { Unknown::Said },
        twice: Twice::LastCounts,
    };
    let given = pairs.iter().map(|(key, text)| Given {
        scope,
        key: key.clone(),
        text: text.clone(),
        origin: "update while running".into(),
    });
    let unknown = pairs.iter().filter(|(key, _)| keys::find(key).is_none());
    report.unknown = unknown.map(|(key, _)| shortened(key)).collect();
    Layer::read(given.collect(), rules, &mut report.notices)
}

fn change<C: Keyed>(old: &C, new: &C, key: &'static str) -> Option<Change> {
    let effect = C::binding(key).map_or(Effect::Now, |binding| binding.effect);
    C::binding(key)?;
    let (old, new) = (effective(old, key).unwrap_or_default(), effective(new, key).unwrap_or_default());
    (old != new).then_some(Change { key, old, new, effect })
}

/// The key's value as 26 and 319 answer it: what the next start will have where that is pending, else the field's, else
/// what was set, else the default.
fn effective<C: Keyed>(config: &C, name: &str) -> Option<String> {
    let entry = config.provenance().entries.get(name);
    match (entry, C::binding(name)) {
        (Some(entry), _) if entry.state == State::Pending => Some(entry.text.clone()),
        (_, Some(binding)) => (binding.show)(config),
        (Some(entry), None) => Some(entry.text.clone()),
        (None, None) => keys::find(name)?.default.map(String::from),
    }
}

fn listed<C: Keyed>(config: &C) -> String {
    let answered = keys::all().iter().filter(|key| key.is_in(C::CLASSES));
    let lines = answered.filter_map(|key| Some(format!("{}={}\n", key.name, effective(config, key.name)?)));
    lines.collect()
}

fn save(path: Option<PathBuf>, report: &UpdateReport, scope: Scope) -> Result<Saved, ConfigError> {
    let Some(path) = path else {
        return Ok(Saved::Nowhere);
    };
    if report.set.is_empty() {
        return Ok(Saved::To(path));
    }
    let text = if path.exists() { file::read(&path)? } else { String::new() };
    let changes: Vec<(&str, &str)> = report.set.iter().map(|(key, text)| (*key, text.as_str())).collect();
    let refused = |what: String| ConfigError::NotRewritable { path: path.clone(), what };
    let rewritten = match Form::of(&path) {
        Form::Properties => properties::rewrite(&text, &changes).map_err(|error| refused(error.to_string()))?,
        Form::Toml => toml::rewrite(&text, &changes, scope).map_err(refused)?,
    };
    write_whole(&path, &rewritten).map_err(|source| ConfigError::Unwritable { path: path.clone(), source })?;
    Ok(Saved::To(path))
}

/// Replaces the file by one with this text, so that a crash leaves the old or the new one.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    // A link stays a link: what it points to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".actormq-new");
    let fresh = path.with_file_name(name);
    let mut file = fs::File::create(&fresh)?;
    if let Ok(old) = fs::metadata(&path) {
        file.set_permissions(old.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, &path)
}
