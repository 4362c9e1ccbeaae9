//! Kubernetes on top of HTTP: what a request line asks of an apiserver, and the frames of streams.
//!
//! In: bytes of an HTTP exchange or of an upgraded connection. Out: attributes as the apiserver
//! reads them, messages of channels and of SPDY, fields of protobuf envelopes.
//! Never: a repair. What two readers could read differently is refused.

pub mod channel;
pub mod proto;
pub mod query;
pub mod request;
pub mod schema;
pub mod selector;
pub mod spdy;
