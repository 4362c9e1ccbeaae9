//! An open-loop load generator for PostgreSQL and HTTP endpoints, and the small clients it is made
//! of.
//!
//! In: an endpoint's URL, statements or a request, a rate. Out: latencies counted from when a
//! request should have started, not from when a busy connection let it. Never: a query parser, a
//! pool, a driver; what is measured must not be this crate.
//!
//! ```text
//! schedule --due----> drive --bytes--> endpoint     (one epoll loop per thread)
//! talk (plan, http)-/   \----latency--> outcome --> report, lake
//! ```

pub mod blocking;
pub mod channel;
pub mod endpoint;
pub mod login;
pub mod wire;

#[cfg(feature = "generator")]
pub mod connection;
#[cfg(feature = "generator")]
pub mod drive;
#[cfg(feature = "generator")]
pub mod http;
#[cfg(feature = "lake")]
pub mod lake;
#[cfg(feature = "generator")]
pub mod null;
#[cfg(feature = "generator")]
pub mod null_http;
#[cfg(feature = "generator")]
pub mod outcome;
#[cfg(feature = "generator")]
pub mod plan;
#[cfg(feature = "generator")]
pub mod report;
#[cfg(feature = "generator")]
pub mod schedule;
#[cfg(feature = "generator")]
pub mod ssh;
#[cfg(feature = "generator")]
pub mod storm;
#[cfg(feature = "generator")]
pub mod talk;
