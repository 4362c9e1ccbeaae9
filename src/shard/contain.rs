//! Panics: which end a session, and which end the process.
//!
//! In: calls into code that may be wrong about one session. Out: its result, or that it panicked.
//! Never: a shard that is gone in a process that still accepts clients for it.
//!
//! A panic in a session's own code is caught here and ends that session. Any other panic on a
//! shard's thread leaves its sessions without a loop: clients would wait for ever, so the process
//! ends at once. The journal is a mapping and loses nothing; the next start recovers it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Calls, and catches a panic.
///
/// # Errors
/// It panicked. What it was about to change may be half changed.
pub fn contain<T>(call: impl FnOnce() -> T) -> std::thread::Result<T> {
    let outer = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    CONTAINED.set(outer);
    result
}

/// From now on a panic on a shard's thread that nobody catches ends the process. Once a process.
pub fn end_process_with_a_shard() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default();
        if name.starts_with(super::THREAD_NAME) && !CONTAINED.get() {
            eprintln!("{name} panicked outside of a session: weir ends, to be started again");
            std::process::abort();
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_is_contained_and_one_after_it_is_not() {
        assert!(contain(|| panic!("wrong")).is_err());
        assert!(!CONTAINED.get());
        assert!(matches!(contain(|| contain(|| CONTAINED.get())), Ok(Ok(true))));
        assert!(!CONTAINED.get());
    }
}
