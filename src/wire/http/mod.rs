//! HTTP.

pub mod h2;
