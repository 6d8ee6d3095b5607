//! What the other side says of itself in each header: its language and its release.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Release numbers as headers carry them: the ordinal of RocketMQ's release list, in which stable releases of
/// 4.x and 5.x are two apart.
pub mod version {
    /// From here on a consumer takes new offsets and tells its own.
    pub const V3_0_7_SNAPSHOT: i32 = 28;
    /// From here on a consumer tells how it runs, and consumes a message that it is given.
    pub const V3_1_8_SNAPSHOT: i32 = 62;
    /// From here on a client says how often a message may be consumed again.
    pub const V3_4_9: i32 = 121;
    /// From here on a broker's heartbeat answer lets Java clients use SQL92 filters.
    pub const V4_1_0_SNAPSHOT: i32 = 232;
    /// The last release whose ACL signature leaves out `_UNIQUE_KEY_QUERY`.
    pub const V4_9_3: i32 = 399;
    /// From here on a client wants routes in standard JSON.
    pub const V4_9_4: i32 = 401;
    /// From here on a compressed registration carries topic queue mappings.
    pub const V5_0_0: i32 = 413;
    /// The last release that does not know GO_AWAY.
    pub const V5_3_1: i32 = 475;
    /// The release we answer as.
    pub const V5_5_0: i32 = 513;
    /// The release we answer as.
    pub const CURRENT: i32 = V5_5_0;
    /// Its name, as runtime information shows it.
    pub const CURRENT_NAME: &str = "V5_5_0";
}

macro_rules! languages {
    ($($variant:ident = $ordinal:literal, $name:literal;)*) => {
        /// The language a client is written in. The JSON header carries the name, the binary header the ordinal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Language {
            $(#[doc = concat!("`", $name, "`, ", $ordinal)] $variant,)*
        }

        impl Language {
            /// Every language RocketMQ names, by ordinal.
            pub const ALL: &'static [Language] = &[$(Language::$variant,)*];

            /// The language of a binary header's byte; `None` for one RocketMQ does not name, which is no error.
            pub fn from_ordinal(ordinal: u8) -> Option<Self> {
                match ordinal {
                    $($ordinal => Some(Language::$variant),)*
                    _ => None,
                }
            }

            /// The byte of the binary header.
            pub fn ordinal(self) -> u8 {
                match self {
                    $(Language::$variant => $ordinal,)*
                }
            }

            /// The name of the JSON header.
            pub fn name(self) -> &'static str {
                match self {
                    $(Language::$variant => $name,)*
                }
            }
        }
    };
}

languages! {
    Java = 0, "JAVA";
    Cpp = 1, "CPP";
    Dotnet = 2, "DOTNET";
    Python = 3, "PYTHON";
    Delphi = 4, "DELPHI";
    Erlang = 5, "ERLANG";
    Ruby = 6, "RUBY";
    Other = 7, "OTHER";
    Http = 8, "HTTP";
    Go = 9, "GO";
    Php = 10, "PHP";
    Oms = 11, "OMS";
    Rust = 12, "RUST";
    NodeJs = 13, "NODE_JS";
}

impl Language {
    /// The language of a name in any case, or of an ordinal written as text; `None` for any other text.
    pub fn from_name(name: &str) -> Option<Self> {
        let named = Self::ALL.iter().copied().find(|language| language.name().eq_ignore_ascii_case(name));
        named.or_else(|| name.parse().ok().and_then(Self::from_ordinal))
    }
}

impl std::fmt::Display for Language {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Serialize for Language {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Reads a name or an ordinal; what RocketMQ does not name becomes [`Language::Other`].
impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrOrdinal;
        impl serde::de::Visitor<'_> for NameOrOrdinal {
            type Value = Language;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a language's name or ordinal")
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Language, E> {
                Ok(Language::from_name(name).unwrap_or(Language::Other))
            }
            fn visit_i64<E: serde::de::Error>(self, ordinal: i64) -> Result<Language, E> {
                let known = u8::try_from(ordinal).ok().and_then(Language::from_ordinal);
                Ok(known.unwrap_or(Language::Other))
            }
            fn visit_u64<E: serde::de::Error>(self, ordinal: u64) -> Result<Language, E> {
                self.visit_i64(i64::try_from(ordinal).unwrap_or(-1))
            }
        }
        deserializer.deserialize_any(NameOrOrdinal)
    }
}

#[cfg(test)]
mod tests {
    use super::Language;

    #[test]
    fn names_and_ordinals_agree() {
        for &language in Language::ALL {
            assert_eq!(Language::from_ordinal(language.ordinal()), Some(language));
            assert_eq!(Language::from_name(&language.name().to_lowercase()), Some(language));
        }
        assert_eq!(Language::from_ordinal(14), None);
        assert_eq!(Language::from_name("9"), Some(Language::Go));
        assert_eq!(Language::from_name("COBOL"), None);
    }
}
