//! Which host keys are a target's: keys, and CAs of hosts. Nothing is ever learned.
//!
//! In: keys of the configuration, texts of `known_hosts` files (sshd(8), SSH_KNOWN_HOSTS FILE
//! FORMAT), what a target shows. Out: whether it is the target's, which algorithms to ask it for.
//! Never: a key or a CA that a line revokes; a certificate of a user, for other names, for every
//! name, out of its time, or with a condition.

use ssh_key::known_hosts::{Entry, HostPatterns, KnownHosts, Marker};

use super::certificate::Certificate;
use super::key::{Algorithm, PublicKey, SignatureAlgorithm};

/// The port that names in `known_hosts` do not carry.
const PORT_DEFAULT: u16 = 22;

/// The host keys of a target, as they stand in messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostTrust {
    /// Its own.
    pub keys: Vec<Vec<u8>>,
    /// Of CAs that certify hosts.
    pub authorities: Vec<Vec<u8>>,
    /// Neither of those, whatever else is said.
    pub revoked: Vec<Vec<u8>>,
}

/// Why what a server shows is not taken for the target's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untrusted {
    /// A key that is none of the target's, or a certificate that cannot be read.
    Unknown,
    /// The key is revoked.
    Revoked,
    /// The certificate's CA is revoked.
    AuthorityRevoked,
    /// The certificate is by a CA that is not trusted, this key.
    AuthorityUnknown(Vec<u8>),
    /// The certificate is a user's.
    OfUser,
    /// The certificate begins then, in seconds since 1970.
    Early(u64),
    /// The certificate ended then.
    Late(u64),
    /// The certificate has a condition, this one.
    Conditional(String),
    /// The certificate is for these names.
    Named(Vec<String>),
}

/// What a line of a `known_hosts` file says that weir cannot follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadLine {
    /// Its number, from 1.
    pub number: usize,
}

impl HostTrust {
    /// Trusts these keys alone.
    pub const fn of(keys: Vec<Vec<u8>>) -> HostTrust {
        HostTrust { keys, authorities: Vec::new(), revoked: Vec::new() }
    }

    /// Whether nothing is trusted.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.authorities.is_empty()
    }

    /// Takes the lines of a `known_hosts` file that mean a server, and all that are revoked for it.
    /// Kinds of keys that weir does not have are left out: it never asks for them.
    ///
    /// # Errors
    /// A line that is none.
    pub fn add_lines(&mut self, text: &str, host: &str, port: u16) -> Result<(), UnreadLine> {
        let name = match port {
            PORT_DEFAULT => host.to_ascii_lowercase(),
            port => format!("[{}]:{port}", host.to_ascii_lowercase()),
        };
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let Some(entry) = entry(line).map_err(|()| UnreadLine { number })? else { continue };
            if !is_meant(entry.host_patterns(), &name) {
                continue;
            }
            let blob = entry.public_key().to_bytes().map_err(|_| UnreadLine { number })?;
            let known = PublicKey::parse(&blob).is_ok();
            match entry.marker() {
                Some(Marker::Revoked) => self.revoked.push(blob),
                Some(Marker::CertAuthority) if known => self.authorities.push(blob),
                None if known => self.keys.push(blob),
                Some(Marker::CertAuthority) | None => {}
            }
        }
        Ok(())
    }

    /// What to ask a target for: only what something that is trusted can answer.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let keys: Vec<PublicKey> =
            self.keys.iter().filter_map(|blob| PublicKey::parse(blob).ok()).collect();
        let known =
            |algorithm: &SignatureAlgorithm| keys.iter().any(|key| key.kind() == algorithm.kind());
        let certified = SignatureAlgorithm::ALL.into_iter().filter(|_| self.certifies());
        let certified = certified.map(|signature| Algorithm { signature, certified: true });
        let plain = SignatureAlgorithm::ALL.into_iter().filter(known).map(Algorithm::plain);
        certified.chain(plain).collect()
    }

    const fn certifies(&self) -> bool {
        !self.authorities.is_empty()
    }

    /// Whether what a server shows, and has proven to have, is the target's.
    pub fn trusts(&self, shown: &[u8], host: &str, now_s: u64) -> bool {
        self.judge(shown, host, now_s).is_ok()
    }

    /// The same, and why not.
    ///
    /// # Errors
    /// The first reason.
    pub fn judge(&self, shown: &[u8], host: &str, now_s: u64) -> Result<(), Untrusted> {
        if let Ok(certificate) = Certificate::parse(shown) {
            return self.judge_certificate(&certificate, host, now_s);
        }
        match self.keys.iter().any(|key| key == shown) {
            _ if self.revokes(shown) => Err(Untrusted::Revoked),
            true => Ok(()),
            false => Err(Untrusted::Unknown),
        }
    }

    fn judge_certificate(
        &self,
        certificate: &Certificate,
        host: &str,
        now_s: u64,
    ) -> Result<(), Untrusted> {
        let authority = &certificate.authority_blob;
        let host = host.to_ascii_lowercase();
        let is_named = certificate.principals.iter().any(|name| glob(name, &host));
        Err(if self.revokes(&certificate.key_blob) {
            Untrusted::Revoked
        } else if self.revokes(authority) {
            Untrusted::AuthorityRevoked
        } else if !self.authorities.contains(authority) {
            Untrusted::AuthorityUnknown(authority.clone())
        } else if certificate.user {
            Untrusted::OfUser
        } else if now_s < certificate.after {
            Untrusted::Early(certificate.after)
        } else if now_s >= certificate.before {
            Untrusted::Late(certificate.before)
        } else if let Some((name, _)) = certificate.critical.first() {
            // Hosts have no conditions (PROTOCOL.certkeys, "Critical options").
            Untrusted::Conditional(name.clone())
        } else if !is_named {
            Untrusted::Named(certificate.principals.clone())
        } else {
            return Ok(());
        })
    }

    fn revokes(&self, blob: &[u8]) -> bool {
        self.revoked.iter().any(|key| key == blob)
    }
}

/// A line's entry; none for an empty line, a comment, and a key of a kind that is none of weir's.
fn entry(line: &str) -> Result<Option<Entry>, ()> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    match KnownHosts::new(line).next() {
        Some(Ok(entry)) => Ok(Some(entry)),
        // Whether it is the kind that is unknown: then the line has its form all the same.
        _ if line.starts_with("@revoked") => Err(()),
        _ => {
            let words = line.split_ascii_whitespace().filter(|word| !word.starts_with('@'));
            let kind = words.clone().nth(1).unwrap_or_default();
            let known = Algorithm::of(kind.as_bytes()).is_some() || kind == "ssh-rsa";
            if known || words.count() < 3 { Err(()) } else { Ok(None) }
        }
    }
}

fn is_meant(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            ring::hmac::sign(&key, name.as_bytes()).as_ref() == hash.as_slice()
        }
        HostPatterns::Patterns(patterns) => {
            let meets = |pattern: &str| glob(&pattern.to_ascii_lowercase(), name);
            let refused =
                patterns.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(meets);
            let named = patterns.iter().filter(|pattern| !pattern.starts_with('!'));
            !refused && named.into_iter().any(|pattern| meets(pattern))
        }
    }
}

/// `*` is any text, `?` one character (ssh_config(5), PATTERNS).
fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut taken) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(taken) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, taken));
                at += 1;
            }
            Some(own) if *own == b'?' || own == byte => {
                at += 1;
                taken += 1;
            }
            _ => {
                let Some((back, from)) = star else { return false };
                star = Some((back, from + 1));
                (at, taken) = (back + 1, from + 1);
            }
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::super::key::line_of_blob;
    use super::super::signer::Signer;
    use super::*;

    fn key() -> (Vec<u8>, String) {
        let blob = Signer::generate().expect("random bytes").blob().to_vec();
        let line = line_of_blob(&blob).expect("a key");
        (blob, line)
    }

    fn read(text: &str, host: &str, port: u16) -> HostTrust {
        let mut trust = HostTrust::default();
        trust.add_lines(text, host, port).expect("lines");
        trust
    }

    #[test]
    fn lines_mean_hosts_by_name_pattern_and_hash() {
        let (blob, line) = key();
        for (names, host, port, meant) in [
            ("web-1", "web-1", 22, true),
            ("WEB-1", "Web-1", 22, true),
            ("web-1", "web-1", 2222, false),
            ("[web-1]:2222", "web-1", 2222, true),
            ("a,web-?", "web-1", 22, true),
            ("web-*,!web-1", "web-1", 22, false),
            ("*", "web-1", 22, true),
            ("web", "web-1", 22, false),
        ] {
            let trust = read(&format!("# c\n\n{names} {line}\n"), host, port);
            assert_eq!(trust.trusts(&blob, host, 0), meant, "{names} {host}:{port}");
        }
        let salt = [7u8; 20];
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
        let hash = ring::hmac::sign(&key, b"[web-1]:2222");
        let encode = |bytes: &[u8]| {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(bytes)
        };
        let hashed = format!("|1|{}|{} {line}", encode(&salt), encode(hash.as_ref()));
        assert!(read(&hashed, "web-1", 2222).trusts(&blob, "web-1", 0));
        assert!(read(&hashed, "web-1", 22).is_empty());
    }

    #[test]
    fn revoked_keys_are_trusted_by_nobody() {
        let (blob, line) = key();
        let trust = read(&format!("web-1 {line}\n@revoked * {line}\n"), "web-1", 22);
        assert_eq!(trust.judge(&blob, "web-1", 0), Err(Untrusted::Revoked));
        let trust = read(&format!("@revoked * {line}\n"), "web-1", 22);
        assert_eq!(trust.judge(&blob, "web-1", 0), Err(Untrusted::Revoked), "nothing is known");
        assert_eq!(trust.judge(b"none", "web-1", 0), Err(Untrusted::Unknown));
    }

    #[test]
    fn lines_that_are_none_are_not_passed_over() {
        let (_, line) = key();
        let mut trust = HostTrust::default();
        let unread = |number| Err(UnreadLine { number });
        assert_eq!(trust.add_lines(&format!("a {line}\nb ssh-ed25519 AAA"), "a", 22), unread(2));
        assert_eq!(trust.add_lines("@revoked a ssh-dss AAAA", "a", 22), unread(1));
        assert_eq!(trust.add_lines("a", "a", 22), unread(1));
        assert_eq!(trust.add_lines("a ssh-new@example.com AAAA", "a", 22), Ok(()));
    }

    #[test]
    fn globs() {
        for (pattern, name, meets) in [
            ("", "", true),
            ("a*c", "abbc", true),
            ("a*c*", "abcd", true),
            ("*?", "", false),
            ("a*b", "aab", true),
            ("a", "ab", false),
        ] {
            assert_eq!(glob(pattern, name), meets, "{pattern} {name}");
        }
    }
}
