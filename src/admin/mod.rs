//! The control plane of a running gateway: one thread that starts the shards and answers people.
//!
//! In: settings, signals, HTTP requests, messages of the shards. Out: snapshots and messages to the
//! shards, JSON to people, log lines on stderr.
//! Never: a byte of a session's traffic; it learns of sessions by messages alone.
//!
//! `control` is the life of `weir run`; `mesh` is how it talks to shards; `api` is what people and
//! the command line ask, in the words of `shape`.

pub mod api;
mod asks;
pub mod audit;
pub mod auth;
pub mod board;
pub mod catalog;
pub mod clock;
pub mod control;
pub mod disk;
pub mod exclusive;
pub mod issuer;
pub mod keys;
pub mod listen;
pub mod log;
pub mod login;
pub mod mesh;
pub mod notify;
pub mod own_code;
pub mod place;
pub mod reach;
pub mod reload;
pub mod resolve;
pub mod sealing;
pub mod shape;
pub mod ssh_visit;
pub mod state;
pub mod tokens;
pub mod unmet;
pub mod watch;
pub mod webhook;
