//! What an action is in HTTP and MCP.
//!
//! In: requests. Out: `Class`. Never: a class by guess; what is not known is `Unknown`.

use super::class::classes;

classes! {
    /// What kind of request it is. Names in rules and records are `Class::name`.
    pub enum Class {
        /// GET, HEAD, OPTIONS, QUERY; resources and prompts of MCP.
        Read = plain("read"),
        /// POST, PUT, PATCH.
        Write = plain("write"),
        /// DELETE.
        Delete = plain("delete"),
        /// `tools/call` of MCP.
        Call = plain("call"),
        /// Discovery, lists, ping of MCP: what a client needs to see what it may do.
        Session = follows("session"),
        /// An upgrade: what passes afterwards is no request.
        Tunnel = named("tunnel"),
        /// Another method, or a body that could not be read.
        Unknown = plain("unknown"),
    }
}
