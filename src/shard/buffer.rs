//! Receive buffers that the kernel picks from when bytes arrive, so idle connections hold none.
//!
//! In: buffers given back. Out: leases on filled buffers.
//! Never: a buffer in the kernel's hands and in ours at the same time.
//!
//! Two rings: small buffers for everybody, large ones for peers that stream. Memory is mapped at
//! once and touched only when used.
#![allow(unsafe_code)]

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// Which buffers a receive takes one from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 4 KiB.
    Small,
    /// 64 KiB.
    Large,
}

impl Size {
    /// Bytes of one buffer.
    pub const fn bytes(self) -> usize {
        match self {
            Size::Small => 4 << 10,
            Size::Large => 64 << 10,
        }
    }

    /// Buffers at most; a power of two. Each is given back within the turn that filled it, so this
    /// bounds the receives that complete in one turn.
    const fn count(self) -> u16 {
        match self {
            Size::Small => 1024,
            Size::Large => 64,
        }
    }

    /// Buffers to begin with. The kernel takes them in turn, so what is not needed would only
    /// push other things out of the processor's caches.
    const fn count_initial(self) -> u16 {
        match self {
            Size::Small => 64,
            Size::Large => 4,
        }
    }

    /// The kernel's name for the group.
    pub const fn group(self) -> u16 {
        match self {
            Size::Small => 0,
            Size::Large => 1,
        }
    }
}

/// A filled buffer, ours until released.
#[derive(Debug)]
#[must_use = "a lease that is not released loses its buffer"]
pub struct Lease {
    size: Size,
    id: u16,
    filled: usize,
    /// Whether the socket has more bytes.
    pub more: bool,
}

impl Lease {
    /// Bytes that arrived.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Never: the end of a stream has no lease.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }
}

/// The buffer rings of a shard.
#[derive(Debug)]
pub struct Buffers {
    small: BufferRing,
    large: BufferRing,
}

/// Large buffers have ids from here on, so that a completion tells the ring by its id alone.
const LARGE_IDS: u16 = Size::Small.count();

impl Buffers {
    /// Makes the buffers and hands them to the kernel.
    pub(super) fn register(io: &IoUring) -> io::Result<Buffers> {
        Ok(Buffers {
            small: BufferRing::register(io, Size::Small, 0)?,
            large: BufferRing::register(io, Size::Large, LARGE_IDS)?,
        })
    }

    pub(super) fn lease(&self, id: u16, filled: usize, more: bool) -> Lease {
        let size = if id < LARGE_IDS { Size::Small } else { Size::Large };
        assert!(filled <= size.bytes(), "the kernel filled more than a buffer");
        Lease { size, id, filled, more }
    }

    /// The bytes that arrived.
    pub fn bytes(&self, lease: &Lease) -> &[u8] {
        self.ring(lease.size).bytes(lease.id, lease.filled)
    }

    /// Gives a buffer back to the kernel.
    pub fn release(&mut self, lease: Lease) {
        match lease.size {
            Size::Small => self.small.give(lease.id),
            Size::Large => self.large.give(lease.id),
        }
    }

    /// Receives found no buffer: hands more to the kernel, up to the maximum.
    pub fn grow(&mut self, size: Size) {
        match size {
            Size::Small => self.small.grow(),
            Size::Large => self.large.grow(),
        }
    }

    /// Never frees the memory.
    pub(super) fn leak(&mut self) {
        self.small.leaked = true;
        self.large.leaked = true;
    }

    fn ring(&self, size: Size) -> &BufferRing {
        match size {
            Size::Small => &self.small,
            Size::Large => &self.large,
        }
    }
}

/// One group: the ring of entries, shared with the kernel, and the buffers they name.
#[derive(Debug)]
struct BufferRing {
    entries: Memory,
    buffers: Memory,
    size: Size,
    first_id: u16,
    /// Buffers in use; the others are not touched yet.
    used: u16,
    tail: u16,
    leaked: bool,
}

impl BufferRing {
    fn register(io: &IoUring, size: Size, first_id: u16) -> io::Result<BufferRing> {
        let count = usize::from(size.count());
        let entries = Memory::map(count * size_of::<BufRingEntry>())?;
        let buffers = Memory::map(count * size.bytes())?;
        let address = entries.start.as_ptr() as u64;
        let submitter = io.submitter();
        // SAFETY: the entries are page-aligned, zeroed, and live until the ring is gone (`Ring`
        // drops its io_uring before its buffers, and leaks them if operations are outstanding).
        unsafe { submitter.register_buf_ring_with_flags(address, size.count(), size.group(), 0)? };
        let mut ring =
            BufferRing { entries, buffers, size, first_id, used: 0, tail: 0, leaked: false };
        ring.extend_to(size.count_initial());
        Ok(ring)
    }

    fn grow(&mut self) {
        self.extend_to(self.size.count().min(self.used * 2));
    }

    fn extend_to(&mut self, count: u16) {
        for offset in self.used..count {
            self.give(self.first_id + offset);
        }
        self.used = count;
    }

    fn bytes(&self, id: u16, filled: usize) -> &[u8] {
        let start = self.offset(id);
        // SAFETY: the buffer lies inside `buffers`, and the kernel does not write it between its
        // completion and `give`, which takes the lease.
        unsafe { std::slice::from_raw_parts(self.buffers.start.as_ptr().add(start), filled) }
    }

    fn give(&mut self, id: u16) {
        let offset = self.offset(id);
        let index = usize::from(self.tail & (self.size.count() - 1));
        // SAFETY: `index` is below the count of entries, `offset` inside the buffers; the kernel
        // reads the entry only after the tail below says so.
        unsafe {
            let base = self.entries.start.as_ptr().cast::<BufRingEntry>();
            let entry = &mut *base.add(index);
            entry.set_addr(self.buffers.start.as_ptr().add(offset) as u64);
            entry.set_len(self.size.bytes() as u32);
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(base).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }

    fn offset(&self, id: u16) -> usize {
        let index = id.wrapping_sub(self.first_id);
        assert!(index < self.size.count(), "a buffer id of another group");
        usize::from(index) * self.size.bytes()
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        if !self.leaked {
            self.entries.free();
            self.buffers.free();
        }
    }
}

/// Zeroed pages of our own.
#[derive(Debug)]
struct Memory {
    start: NonNull<u8>,
    bytes: usize,
}

impl Memory {
    fn map(bytes: usize) -> io::Result<Memory> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh anonymous mapping, placed by the kernel.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Memory { start, bytes })
    }

    fn free(&mut self) {
        // SAFETY: mapped in `map` with this size; the owner calls it once, when it is dropped.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
