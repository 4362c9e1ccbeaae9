//! HTTP/1.1 (RFC 9112), HTTP/2 (RFC 9113), WebSocket (RFC 6455) and server-sent events.
//!
//! In: bytes of either side in any split. Out: heads, pieces of bodies, messages, replies.
//! Never: sockets, clocks, decisions; a repaired message; a panic or unbounded memory on what a
//! peer sends.
//!
//! ```text
//!   head      one message head, whichever version it came in: spans into one buffer
//!   name      the field names that weir cares about, and what becomes of each
//!   auth      what a client says of who it is
//!   check     what every head must be, whichever version it came in
//!   form      fields of content that name another method
//!   json      where each value of a JSON text stands, and on which path
//!   jsonrpc   messages of JSON-RPC and what weir answers to them
//!   mcp       tools, resources and prompts, headers that mirror them, lists of tools
//!   grpc      how long clients of gRPC wait
//!   refused   the closed list of reasons for which a message is refused
//!   pass      which fields go on, in either direction
//!   reply     what weir says itself
//!   sse       events of a stream of server-sent events
//!   ws/       WebSocket: frames of both roles, its handshake
//!   h1/       heads, bodies and chunks of HTTP/1.1, read and written
//!   h2/       frames, fields, streams and windows of HTTP/2, both roles
//! ```

pub mod auth;
pub mod check;
pub mod form;
pub mod grpc;
pub mod h1;
pub mod h2;
pub mod head;
pub mod json;
pub mod jsonrpc;
pub mod mcp;
pub mod name;
pub mod pass;
pub mod refused;
pub mod reply;
pub mod sse;
pub mod ws;

pub use head::Head;
pub use refused::Refused;
