//! First bytes to protocol, and login to identity.
//!
//! In: prefix bytes, SASL messages, tokens, facts of TLS. Out: `Protocol`, `Identity`.
//! Never: a guess; what is unknown is closed and recorded.

mod json;
pub mod jwk;
pub mod oauthbearer;
pub mod scram;
pub mod token;

/// Who sits at the client side of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of the person or machine, as weir knows it.
    pub user: String,
    /// Groups, as the source of the identity states them.
    pub groups: Vec<String>,
    /// How the identity was proven: `scram-sha-256`, `certificate`, `oidc`.
    pub method: &'static str,
}
