//! One file or folder per subcommand of the binary.

pub mod bench;
