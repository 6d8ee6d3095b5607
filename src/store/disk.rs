//! The door to the disk for what may fail while a broker runs, which tests can break, and the system calls that the
//! standard library has no name for.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes of a page; what the kernel maps, populates and syncs at once.
pub const PAGE_BYTES: usize = 4096;

/// The door: every file knows it from when it was opened. The default one is the disk as it is.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    faults: Option<Arc<Faults>>,
}

/// What a disk refuses that was made to be broken. All may be changed at any time.
#[derive(Debug, Default)]
pub struct Faults {
    /// There is no space: neither to take ahead nor to write into.
    pub full: AtomicBool,
    /// Syncing fails.
    pub unsynced: AtomicBool,
    /// Calls that were refused.
    pub refusals: AtomicU64,
}

impl Disk {
    /// A disk that fails as `faults` say.
    #[must_use]
    pub fn breakable(faults: Arc<Faults>) -> Self {
        Self { faults: Some(faults) }
    }

    fn check(&self, kind: impl Fn(&Faults) -> &AtomicBool, error: libc::c_int) -> io::Result<()> {
        match &self.faults {
            Some(faults) if kind(faults).load(Ordering::Acquire) => {
                faults.refusals.fetch_add(1, Ordering::AcqRel);
                Err(io::Error::from_raw_os_error(error))
            }
            _ => Ok(()),
        }
    }

    /// Takes disk space for `length` bytes from `offset` on, so that a later write to a mapping of them cannot meet a
    /// full disk. Bytes that are there stay.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn reserve(&self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        self.check(|faults| &faults.full, libc::ENOSPC)?;
        reserve(file, offset, length)
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check(|faults| &faults.full, libc::ENOSPC)?;
        file.write_all_at(bytes, offset)
    }

    /// Waits until what was written to the file is on the disk.
    ///
    /// # Errors
    /// When the disk fails; what was not synced must not be trusted afterwards.
    pub fn sync_file(&self, file: &File) -> io::Result<()> {
        self.check(|faults| &faults.unsynced, libc::EIO)?;
        file.sync_data()
    }

    /// Writes the range to the disk and waits until it is there.
    ///
    /// # Errors
    /// When the disk fails; the pages must not be trusted afterwards.
    ///
    /// # Safety
    /// The range must lie in a live mapping and begin at a page.
    pub unsafe fn sync(&self, address: *mut u8, length: usize) -> io::Result<()> {
        self.check(|faults| &faults.unsynced, libc::EIO)?;
        // SAFETY: the caller vouches for the range; syncing changes no byte of it.
        check(unsafe { libc::msync(address.cast(), length, libc::MS_SYNC) })
    }
}

fn reserve(file: &File, offset: u64, length: u64) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is handed over.
    let status = unsafe { libc::posix_fallocate(file.as_raw_fd(), offset as libc::off_t, length as libc::off_t) };
    if status == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(status)) }
}

/// Brings the pages of `length` bytes at `address` into memory, ready to be written.
///
/// # Errors
/// When the kernel cannot; one that does not know the call reports `InvalidInput`.
///
/// # Safety
/// The range must lie in a live mapping.
pub unsafe fn populate(address: *mut u8, length: usize) -> io::Result<()> {
    // SAFETY: the caller vouches for the range; populating changes no byte of it.
    check(unsafe { libc::madvise(address.cast(), length, libc::MADV_POPULATE_WRITE) })
}

/// Takes the pages of a shared file mapping out of this process's page tables, all in one go; their bytes stay in the
/// page cache, and the next look at one maps it again.
///
/// # Safety
/// The range must lie in a live shared mapping of a file and begin at a page.
pub unsafe fn release(address: *mut u8, length: usize) {
    // SAFETY: the caller vouches for the range; the bytes of a shared file mapping are not changed. Failing only costs time.
    unsafe { libc::madvise(address.cast(), length, libc::MADV_DONTNEED) };
}

/// Lets the disk begin to write what is in memory of the file, without waiting for it: syncing many files then waits for
/// all of them at once.
pub fn begin_sync(file: &File) {
    // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is handed over. Failing only costs time:
    // the sync that follows reports errors.
    unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
}

/// What an attempt to read without waiting for the disk came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadNow {
    /// This many bytes, less than asked for at the end of the file only.
    Done(usize),
    WouldBlock,
}

/// Reads from the page cache only.
///
/// # Errors
/// When the read fails for another reason than that the bytes are not in memory.
pub fn read_now(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<ReadNow> {
    let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: `part` describes `buffer`, which is borrowed mutably until the call returns.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const part, 1, offset as libc::off_t, libc::RWF_NOWAIT) };
    if read >= 0 {
        // A part of the range may be in memory; the rest would block.
        let read = read as usize;
        return Ok(if read == buffer.len() { ReadNow::Done(read) } else { ReadNow::WouldBlock });
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EOPNOTSUPP) => Ok(ReadNow::WouldBlock),
        _ => Err(error),
    }
}

/// Takes the exclusive lock on the first byte of `file`, as RocketMQ does; false when another process holds it.
///
/// # Errors
/// When the file system has no such locks.
pub fn lock(file: &File) -> io::Result<bool> {
    let mut region: libc::flock = {
        // SAFETY: `flock` is plain integers, for which zero is a value.
        unsafe { std::mem::zeroed() }
    };
    region.l_type = libc::F_WRLCK as libc::c_short;
    region.l_whence = libc::SEEK_SET as libc::c_short;
    region.l_len = 1;
    // SAFETY: `region` outlives the call; the descriptor is open.
    let taken = check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const region) });
    match taken {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn check(status: libc::c_int) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
