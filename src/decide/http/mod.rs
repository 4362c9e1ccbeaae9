//! What an action is in HTTP and MCP.
//!
//! In: requests. Out: `Class`. Never: a class by guess; what is not known is `Unknown`.

mod argument;
mod call;
mod exception;
mod likeness;
mod request;
mod spelling;
pub mod vouched;

use super::Plumbing;
use super::class::classes;

pub(super) use argument::says as argument_says;
pub use call::{call, calls, stream, tool, unread};
pub use exception::Exception;
pub(super) use likeness::path_like;
pub use request::{action, operation, unclear_path, under, without_path};

/// What passes under the permit of a request that was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Content of a request, or its end.
    Content,
    /// The same request once more, on a fresh connection.
    Again,
    /// An interim answer.
    Interim,
    /// The head of an answer, its content or its end.
    Answer,
    /// What a client is told while people are asked, and what it is told in the end.
    Progress,
    /// A frame of a WebSocket that was opened.
    Frame,
}

impl Plumbing for Part {}

classes! {
    /// What kind of request it is. Names in rules and records are `Class::name`.
    pub enum Class {
        /// GET, HEAD, OPTIONS, QUERY; resources and prompts of MCP.
        Read = plain("read"),
        /// POST, PUT, PATCH.
        Write = plain("write"),
        /// DELETE.
        Delete = plain("delete"),
        /// `tools/call` of MCP, methods of JSON-RPC.
        Call = plain("call"),
        /// Discovery, lists, ping of MCP: what a client needs to see what it may do.
        Session = follows("session"),
        /// An upgrade: what passes afterwards is no request.
        Tunnel = named("tunnel"),
        /// Another method, or a body that could not be read.
        Unknown = plain("unknown"),
    }
}
