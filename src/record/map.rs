//! The few calls into libc that the journal needs; the only file of `record` with unsafe code.
//!
//! In: files. Out: memory that is the page cache of a file; free space; a thread's priority.
//! Never: a mapping that outlives its unmapping.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

/// A file mapped shared and writable, whole. A store into it is a write to the page cache: it
/// survives the death of the process. The file's blocks are allocated before (see `pool`), so a
/// full disk is met there and not by a signal here; a disk that fails to read a page back kills
/// the process with SIGBUS, which loses nothing that was acknowledged.
#[derive(Debug)]
pub struct Map {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to this value alone; nothing about it is tied to a thread.
unsafe impl Send for Map {}

// SAFETY: through a shared reference its bytes are only read.
unsafe impl Sync for Map {}

impl Map {
    /// Maps the first `length` bytes of the file, which has at least as many.
    ///
    /// # Errors
    /// What mmap says.
    pub fn new(file: &File, length: usize) -> io::Result<Map> {
        if length == 0 || file.metadata()?.len() < length as u64 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // A fault reads its page alone: read-ahead would fill the page cache with large folios, and
        // later each store into one of them makes all of it dirty. `will_need` reads in pages.
        // SAFETY: the range is the mapping, whose bytes the advice does not change.
        unsafe { libc::madvise(start, length, libc::MADV_RANDOM) };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Map { start, length })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is `length` bytes long and lives as long as `self`. weir locks its
        // data directory, so no other process writes to the file or shortens it.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    /// The bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`; `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the range is exactly the mapping, and no reference to it can be left.
        let done = unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
        debug_assert_eq!(done, 0);
    }
}

/// Bytes that this user may still write to the file system of an open file or directory.
///
/// # Errors
/// What fstatvfs says.
pub fn free_bytes(file: &File) -> io::Result<u64> {
    let facts = facts(file)?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// Whether a quarter of the file system of an open file or directory is free.
///
/// # Errors
/// What fstatvfs says.
pub fn is_quarter_free(file: &File) -> io::Result<bool> {
    let facts = facts(file)?;
    Ok(facts.f_bavail >= facts.f_blocks / 4)
}

/// Whether the file system of an open file or directory may need room for a store into a page that
/// has its block already: it copies blocks when they are written (btrfs, ZFS, bcachefs), or the
/// file is of another one below it (overlay). Without room such a store is a SIGBUS.
///
/// # Errors
/// What fstatfs says.
pub fn copies_on_write(file: &File) -> io::Result<bool> {
    let mut facts = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the call writes one `statfs` to the address, or fails.
    let done = unsafe { libc::fstatfs(file.as_raw_fd(), facts.as_mut_ptr()) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it succeeded, so all of it is written.
    let kind = unsafe { facts.assume_init() }.f_type;
    Ok(COPYING.contains(&(kind as u32)))
}

/// Magic numbers of btrfs, bcachefs, ZFS and overlay (statfs(2)).
const COPYING: [u32; 4] = [0x9123_683e, 0xca45_1a4e, 0x2fc1_2fc1, 0x794c_7630];

fn facts(file: &File) -> io::Result<libc::statvfs> {
    let mut facts = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the call writes one `statvfs` to the address, or fails.
    let done = unsafe { libc::fstatvfs(file.as_raw_fd(), facts.as_mut_ptr()) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it succeeded, so all of it is written.
    Ok(unsafe { facts.assume_init() })
}

/// Begins to read a range into the page cache, page by page, what of it is not there. Best effort:
/// without it the first use of a page waits for the disk.
pub fn will_need(file: &File, offset: u64, bytes: usize) {
    // SAFETY: no memory is involved.
    unsafe {
        libc::posix_fadvise(
            file.as_raw_fd(),
            offset as libc::off_t,
            bytes as libc::off_t,
            libc::POSIX_FADV_WILLNEED,
        );
    }
}

/// Has a file read into the page cache page by page, wherever this handle reads it. Best effort.
pub fn read_by_page(file: &File) {
    // SAFETY: no memory is involved.
    unsafe {
        libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM);
    }
}

/// Drops what the page cache holds of a file, as far as it is on the disk. Best effort.
pub fn forget(file: &File) {
    // SAFETY: no memory is involved.
    unsafe {
        libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED);
    }
}

/// Asks the processor for what is read soon, its first half kilobyte. Best effort.
pub fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(64).take(8) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that reads nothing and cannot fault; every x86-64 processor has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

/// Lets every other thread run before this one. Best effort: the work is the same without it.
pub fn lower_priority() {
    // SAFETY: both calls take no memory; on Linux a nice value belongs to the thread.
    unsafe {
        let thread = libc::syscall(libc::SYS_gettid) as libc::id_t;
        libc::setpriority(libc::PRIO_PROCESS, thread, 19);
    }
}
