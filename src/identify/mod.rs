//! First bytes to protocol, and login to identity.
//!
//! In: prefix bytes, SASL messages, tokens, facts of TLS. Out: `Protocol`, `Identity`.
//! Never: a guess; what is unknown is closed and recorded.

pub mod api_token;
pub mod certificate;
pub mod glob;
mod json;
pub mod jwk;
pub mod oauthbearer;
pub mod role;
pub mod scram;
pub mod ssh_ca;
#[cfg(test)]
pub mod testing;
pub mod throttle;
pub mod token;

/// Who sits at the client side of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of the person or machine, as weir knows it.
    pub user: String,
    /// Groups, as the source of the identity states them.
    pub groups: Vec<String>,
    /// How the identity was proven.
    pub method: Method,
}

/// How an identity was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A password that weir has a verifier of.
    Scram,
    /// A password that weir has a verifier of, bound to the TLS connection.
    ScramPlus,
    /// A password that weir has a verifier of, as HTTP gives it.
    Basic,
    /// A certificate of the client.
    Certificate,
    /// A token of an issuer.
    Oidc,
    /// An SSH key.
    SshKey,
    /// An OpenSSH certificate.
    SshCertificate,
    /// An API token of weir: this one.
    Token(api_token::TokenId),
}

impl Method {
    /// The word in records.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Scram => "scram-sha-256",
            Method::ScramPlus => "scram-sha-256-plus",
            Method::Basic => "basic",
            Method::Certificate => "certificate",
            Method::Oidc => "oidc",
            Method::SshKey => "ssh-key",
            Method::SshCertificate => "ssh-certificate",
            Method::Token(_) => "token",
        }
    }

    /// Whether the login says by itself who the client is, so that the `user` of the start-up
    /// packet is free to ask for a role at the target.
    pub const fn leaves_user_free(self) -> bool {
        match self {
            Method::Scram | Method::ScramPlus | Method::Basic => false,
            Method::Certificate | Method::Oidc | Method::SshKey | Method::SshCertificate => true,
            Method::Token(_) => true,
        }
    }

    /// What the proof was, as far as records say so beside its kind: JSON, or nothing.
    pub fn detail(self) -> String {
        match self {
            Method::Token(id) => serde_json::json!({ "token": id.to_string() }).to_string(),
            _ => String::new(),
        }
    }
}
