//! Settings from the `-c` file: TOML where its name ends in `.toml`, else Java properties.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::layer::{Given, Scope};
use super::notice::{ConfigError, at};
use super::{properties, toml};

/// Longest configuration file in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The two forms of a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Toml,
    Properties,
}

impl Form {
    pub(super) fn of(path: &Path) -> Self {
        let is_toml = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
        if is_toml { Self::Toml } else { Self::Properties }
    }
}

/// What the file says, in its order.
pub(super) fn given(path: &Path) -> Result<Vec<Given>, ConfigError> {
    let text = read(path)?;
    match Form::of(path) {
        Form::Toml => toml::given(&text, path),
        Form::Properties => in_properties(&text, path),
    }
}

/// The file's text.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.into(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::TooLong { path: path.into(), bytes_max: FILE_BYTES_MAX });
    }
    Ok(properties::decode(&bytes))
}

fn in_properties(text: &str, path: &Path) -> Result<Vec<Given>, ConfigError> {
    let found = properties::parse(text)
        .map_err(|error| ConfigError::Syntax { origin: at(path, Some(error.line)), what: error.to_string() })?;
    let given = |property: properties::Property| Given {
        scope: Scope::Any,
        key: property.key,
        text: property.value,
        origin: at(path, Some(property.line)),
    };
    Ok(found.into_iter().map(given).collect())
}
