//! Buffers for bytes on their way out, shared by the sessions of a shard.
//!
//! In: buffers that nobody needs. Out: empty buffers. Never: more memory than the bounds below.

/// Larger buffers are freed: they were needed for a burst.
const BUFFER_BYTES_MAX: usize = 256 << 10;
/// All buffers together.
const POOL_BYTES_MAX: usize = 8 << 20;
/// What a new buffer starts with: most answers fit.
const BUFFER_BYTES_INITIAL: usize = 4 << 10;

/// The pool.
#[derive(Debug, Default)]
pub struct Pool {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pool {
    /// An empty buffer.
    pub fn take(&mut self) -> Vec<u8> {
        match self.buffers.pop() {
            Some(buffer) => {
                self.bytes -= buffer.capacity();
                buffer
            }
            None => Vec::with_capacity(BUFFER_BYTES_INITIAL),
        }
    }

    /// Gives a buffer back.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if capacity == 0 || capacity > BUFFER_BYTES_MAX || self.bytes + capacity > POOL_BYTES_MAX {
            return;
        }
        buffer.clear();
        self.bytes += capacity;
        self.buffers.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_a_bounded_amount() {
        let mut pool = Pool::default();
        pool.give(Vec::with_capacity(BUFFER_BYTES_MAX + 1));
        assert_eq!(pool.bytes, 0);
        for _ in 0..1000 {
            pool.give(vec![1; BUFFER_BYTES_MAX]);
        }
        assert!(pool.bytes <= POOL_BYTES_MAX);
        assert_eq!(pool.buffers.len(), POOL_BYTES_MAX / BUFFER_BYTES_MAX);
        assert!(pool.take().is_empty());
    }
}
