//! The client's side of PostgreSQL's protocol, as small as a load generator can have it.
//!
//! In: an endpoint's URL. Out: logged-in connections, requests as bytes, answers counted.
//! Never: a query parser, a pool, a driver; what is measured must not be this crate.

pub mod blocking;
pub mod endpoint;
pub mod login;
pub mod wire;
