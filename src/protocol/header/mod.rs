//! The typed headers of requests and answers, one file a family. Plain serde structs: [`super::fields`] and
//! MessagePack give them their bytes.
