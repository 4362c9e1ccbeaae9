//! What keeps records from the lake, as another thread hears of it.
//!
//! In: sentences of the threads that make segments and seal them. Out: the last one.
//! Never: a listener who is called when nothing changed, so that nobody has to look at intervals.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Called after each change, by the thread that says it.
pub type Listener = Arc<dyn Fn() + Send + Sync>;

/// The last trouble, if it is not over.
#[derive(Default)]
pub struct Trouble {
    said: Mutex<Option<String>>,
    /// Whether something is said: shards look at this one.
    any: AtomicBool,
    listener: OnceLock<Listener>,
}

impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trouble").field("said", &self.now()).finish_non_exhaustive()
    }
}

impl Trouble {
    /// What is wrong; `None` when nothing is.
    pub fn now(&self) -> Option<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether something is.
    pub fn is_some(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Says what is wrong, or that nothing is.
    pub(in crate::record) fn say(&self, trouble: Option<String>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said == trouble {
            return;
        }
        self.any.store(trouble.is_some(), Ordering::Relaxed);
        *said = trouble;
        drop(said);
        self.tell();
    }

    /// Has the listener look.
    pub(in crate::record) fn tell(&self) {
        if let Some(listener) = self.listener.get() {
            listener();
        }
    }

    /// Has one listener hear of changes from now on; the first one stays.
    pub fn listen(&self, listener: Listener) {
        let _there_is_one = self.listener.set(listener);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn changes_are_told_and_repetitions_are_not() {
        let trouble = Trouble::default();
        trouble.say(Some("before".into()));
        let told = Arc::new(AtomicU32::new(0));
        trouble.listen(Arc::new({
            let told = told.clone();
            move || {
                told.fetch_add(1, Ordering::Relaxed);
            }
        }));
        for said in [Some("before"), Some("after"), Some("after"), None, None] {
            trouble.say(said.map(str::to_owned));
            assert_eq!(trouble.now().as_deref(), said);
        }
        assert_eq!(told.load(Ordering::Relaxed), 2);
    }
}
