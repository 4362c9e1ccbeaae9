//! One core: executor, ring, buffers, timers, mailboxes.
pub mod mail;
