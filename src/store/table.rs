//! Small tables as whole files: written anew each time, never half.
//!
//! A table `x.json` is three names in one directory. A reader that finds `x.json` absent or unreadable takes `x.json.bak`,
//! as RocketMQ does, so either broker opens what the other left:
//!
//! | name | content |
//! |---|---|
//! | `x.json` | the newest table |
//! | `x.json.bak` | the one before |
//! | `x.json.tmp` | a write that was cut off; of no meaning |
//! | `x.json.bad` | what `x.json` was when it could not be read and the one before was taken |
//!
//! Order of a write: `tmp` is written and synced, `x.json` becomes `bak`, `tmp` becomes `x.json`, the directory is synced.
//! After a crash between any two of these steps a whole table is found, the new or the old one.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Longest table that is read, in bytes.
pub const TABLE_BYTES_MAX: u64 = 1 << 30;

/// Why a table was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("{action} {path} failed: {source}")]
    Disk { action: &'static str, path: PathBuf, source: io::Error },
    /// Neither the file nor the one before it is of the table's form. Nothing was changed on disk.
    #[error(
        "{path} cannot be read ({reason}), nor can its backup; mend it, or move it away to begin with an empty table"
    )]
    Unreadable { path: PathBuf, reason: String },
}

/// One table on disk. Not for two writers at once.
#[derive(Debug)]
pub struct TableFile {
    path: PathBuf,
}

impl TableFile {
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest table that `parse` understands; `None` when there is no file yet. Where the file is not understood but
    /// the one before it is, the file is set aside under `.bad`, so that the next write does not lose the good one.
    ///
    /// # Errors
    /// [`TableError::Unreadable`] when neither is understood, [`TableError::Disk`] when a file cannot be set aside.
    pub fn load<T, E: Display>(&self, parse: impl Fn(&str) -> Result<T, E>) -> Result<Option<T>, TableError> {
        let reason = match read(&self.path, &parse) {
            Found::Table(table) => return Ok(Some(table)),
            Found::Nothing => None,
            Found::Broken(reason) => Some(reason),
        };
        let before = read(&self.beside("bak"), &parse);
        match (reason, before) {
            (None, Found::Nothing) => Ok(None),
            (None, Found::Table(table)) => Ok(Some(table)),
            (Some(_), Found::Table(table)) => {
                let bad = self.beside("bad");
                fs::rename(&self.path, &bad).map_err(disk("setting aside", &self.path))?;
                Ok(Some(table))
            }
            (None, Found::Broken(reason)) => Err(TableError::Unreadable { path: self.beside("bak"), reason }),
            (Some(reason), _) => Err(TableError::Unreadable { path: self.path.clone(), reason }),
        }
    }

    /// Makes `content` the table. On return it is on disk; on an error the table is the new one or the one before.
    ///
    /// # Errors
    /// [`TableError::Disk`] names the step that failed. The next call may succeed.
    pub fn save(&self, content: &[u8]) -> Result<(), TableError> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory).map_err(disk("making", directory))?;
        let fresh = self.beside("tmp");
        write_synced(&fresh, content).map_err(disk("writing", &fresh))?;
        match fs::rename(&self.path, self.beside("bak")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk("keeping", &self.path)(error)),
            _ => {}
        }
        fs::rename(&fresh, &self.path).map_err(disk("replacing", &self.path))?;
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(disk("syncing", directory))
    }

    fn beside(&self, extension: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(extension);
        name.into()
    }
}

enum Found<T> {
    Table(T),
    /// No file, or one of no bytes, which is what a crash leaves of a file that was never synced.
    Nothing,
    Broken(String),
}

fn read<T, E: Display>(path: &Path, parse: &impl Fn(&str) -> Result<T, E>) -> Found<T> {
    let mut text = String::new();
    let result = File::open(path).and_then(|file| file.take(TABLE_BYTES_MAX + 1).read_to_string(&mut text));
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
        Err(error) => Found::Broken(error.to_string()),
        Ok(length) if length as u64 > TABLE_BYTES_MAX => {
            Found::Broken(format!("it is longer than {TABLE_BYTES_MAX} bytes"))
        }
        Ok(_) if text.trim_matches(['\0', ' ', '\n', '\r', '\t']).is_empty() => Found::Nothing,
        Ok(_) => match parse(&text) {
            Ok(table) => Found::Table(table),
            Err(reason) => Found::Broken(reason.to_string()),
        },
    }
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TableError {
    let path = path.to_owned();
    move |source| TableError::Disk { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<u32, String> {
        text.trim().parse().map_err(|_| format!("{text:?} is no number"))
    }

    #[test]
    fn the_newest_table_is_read_and_the_one_before_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let file = TableFile::new(directory.path().join("config/n.json"));
        assert_eq!(file.load(number).unwrap(), None);
        file.save(b"1").unwrap();
        file.save(b"2").unwrap();
        assert_eq!(file.load(number).unwrap(), Some(2));
        assert_eq!(fs::read(file.beside("bak")).unwrap(), b"1");
        assert!(!file.beside("tmp").exists());
    }

    #[test]
    fn a_broken_or_empty_file_gives_way_to_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let file = TableFile::new(directory.path().join("n.json"));
        file.save(b"1").unwrap();
        file.save(b"2").unwrap();
        for broken in [&b"{"[..], b"", b"\0\0\0", &[0xff, 0xfe]] {
            fs::write(&file.path, broken).unwrap();
            assert_eq!(file.load(number).unwrap(), Some(1), "{broken:?}");
        }
        fs::remove_file(&file.path).unwrap_or_default();
        assert_eq!(file.load(number).unwrap(), Some(1));
    }

    #[test]
    fn a_broken_file_is_set_aside_so_that_a_write_keeps_the_good_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = TableFile::new(directory.path().join("n.json"));
        file.save(b"1").unwrap();
        file.save(b"2").unwrap();
        fs::write(&file.path, b"{").unwrap();
        assert_eq!(file.load(number).unwrap(), Some(1));
        assert_eq!(fs::read(file.beside("bad")).unwrap(), b"{");
        file.save(b"3").unwrap();
        assert_eq!(file.load(number).unwrap(), Some(3));
    }

    #[test]
    fn two_broken_files_are_an_error_that_touches_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = TableFile::new(directory.path().join("n.json"));
        fs::write(&file.path, b"{").unwrap();
        fs::write(file.beside("bak"), b"}").unwrap();
        let error = file.load(number).unwrap_err().to_string();
        assert!(error.contains("n.json cannot be read"), "{error}");
        assert_eq!(fs::read(&file.path).unwrap(), b"{");
    }

    #[test]
    fn a_directory_in_the_way_is_an_error_not_a_loss() {
        let directory = tempfile::tempdir().unwrap();
        let file = TableFile::new(directory.path().join("n.json"));
        file.save(b"1").unwrap();
        fs::create_dir(file.beside("tmp")).unwrap();
        assert!(file.save(b"2").is_err());
        assert_eq!(file.load(number).unwrap(), Some(1));
    }
}
