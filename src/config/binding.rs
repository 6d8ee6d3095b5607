//! The tie between a key and a field: how the key's text becomes the field's value, how the value is written, and when a
//! change while running takes effect.

use super::notice::{ConfigError, Notice};
use super::provenance::Provenance;

/// When a change by request 25 or 318 takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// With the new configuration.
    Now,
    /// At the next start: the running configuration keeps the old value.
    NextStart,
}

/// One key with meaning for `C`.
pub(super) struct Binding<C> {
    pub(super) key: &'static str,
    pub(super) effect: Effect,
    /// Sets the field; the error says what the text must be.
    pub(super) read: fn(&mut C, &str) -> Result<(), String>,
    /// The field as RocketMQ writes it; `None` is null.
    pub(super) show: fn(&C) -> Option<String>,
}

/// A configuration whose fields are set by keys.
pub(super) trait Keyed: Clone + Default + 'static {
    /// Letters of the RocketMQ classes that this one stands for.
    const CLASSES: &'static str;

    fn bindings() -> &'static [Binding<Self>];
    fn provenance(&self) -> &Provenance;
    fn provenance_mut(&mut self) -> &mut Provenance;
    /// Forces what RocketMQ forces, and says so; refuses values that contradict each other.
    fn check(&mut self) -> Result<Vec<Notice>, ConfigError>;

    fn binding(key: &str) -> Option<&'static Binding<Self>> {
        Self::bindings().iter().find(|binding| binding.key == key)
    }

    /// Somebody set the key to another value than its default. A file that Apache wrote sets every key, so a default that
    /// is set is nobody's choice.
    fn is_chosen(&self, key: &str) -> bool {
        let shown = |config: &Self| Self::binding(key).and_then(|binding| (binding.show)(config));
        self.provenance().entries.contains_key(key) && shown(self) != shown(&Self::default())
    }

    /// `key=value (origin)`, for messages about values that do not fit.
    fn said(&self, key: &str) -> String {
        let value = Self::binding(key).and_then(|binding| (binding.show)(self));
        format!("{key}={} ({})", value.unwrap_or_default(), self.provenance().origin(key))
    }
}

/// A configuration's keys, one a line: `"key" => Effect, group.field, rule;`, with `, shown as expression` where the field is
/// not written as it is read.
macro_rules! bindings {
    ($($key:literal => $effect:ident, $($field:ident).+, $rule:expr $(, shown as $shown:expr)?;)+) => {
        &[$($crate::config::binding::Binding {
            key: $key,
            effect: $crate::config::binding::Effect::$effect,
            read: |config, text| {
                config.$($field).+ = ($rule)(text)?;
                Ok(())
            },
            show: $crate::config::binding::bindings!(@show $($field).+ $(, $shown)?),
        }),+]
    };
    (@show $($field:ident).+) => {
        |config| $crate::config::values::Shown::shown(&config.$($field).+)
    };
    (@show $($field:ident).+, $shown:expr) => {
        |config| $crate::config::values::Shown::shown(&($shown)(config))
    };
}
pub(in crate::config) use bindings;
