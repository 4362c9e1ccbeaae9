//! Who a client is by its OpenSSH certificate.
//!
//! In: a certificate whose own signature and whose key's proof are right, the authorities of the
//! configuration, the address and the time. Out: an identity, and what the certificate grants.
//! Never: a certificate that its CA has taken back, of a host, without principals, outside of its
//! time or its addresses, of a CA that is not configured, or with a critical option that weir does
//! not know.

use std::net::IpAddr;

use super::{Identity, Method};
use crate::config::settings::{SshAuthority, SshName};
use crate::limits::NAME_BYTES_MAX;
use crate::wire::cells::is_unseen;
use crate::wire::ssh::certificate::Certificate;
use crate::wire::ssh::key::Proof;

/// What a login may ask for beside its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grants {
    /// A terminal.
    pub terminal: bool,
    /// Forwards of all kinds.
    pub forwards: bool,
    /// The agent.
    pub agent: bool,
    /// The screen.
    pub x11: bool,
}

impl Grants {
    /// What a plain key has: the rules decide alone.
    pub const ALL: Grants = Grants { terminal: true, forwards: true, agent: true, x11: true };
}

/// What the login stands on besides the certificate.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// What the signature of the key says.
    pub proof: Proof,
    /// The client's address.
    pub source: IpAddr,
    /// Seconds since 1970.
    pub now_s: u64,
}

/// The identity of a certificate.
///
/// # Errors
/// Why it proves none.
pub fn identity(
    authorities: &[SshAuthority],
    certificate: &Certificate,
    circumstances: &Circumstances,
) -> Result<(Identity, Grants), &'static str> {
    let authority = authorities
        .iter()
        .find(|authority| authority.keys.contains(&certificate.authority_blob))
        .ok_or("no configured CA has signed the certificate")?;
    if let Some(why) = refusal(authority, certificate, circumstances) {
        return Err(why);
    }
    let user = match authority.name {
        SshName::KeyId => Some(&certificate.key_id),
        SshName::Principal => certificate.principals.first(),
    };
    let named = user.filter(|user| {
        // What looks like another name is none: blanks at an end, signs that nobody sees.
        let seen = !user.chars().any(is_unseen) && user.trim() == user.as_str();
        !user.is_empty() && user.len() <= NAME_BYTES_MAX && seen
    });
    let user = named.ok_or("the certificate's name is none that weir takes")?.clone();
    let grants = Grants {
        terminal: certificate.permits("permit-pty"),
        forwards: certificate.permits("permit-port-forwarding"),
        agent: certificate.permits("permit-agent-forwarding"),
        x11: certificate.permits("permit-X11-forwarding"),
    };
    let groups = authority.groups.clone();
    Ok((Identity { user, groups, method: Method::SshCertificate }, grants))
}

fn refusal(
    authority: &SshAuthority,
    certificate: &Certificate,
    circumstances: &Circumstances,
) -> Option<&'static str> {
    let Circumstances { proof, now_s, .. } = circumstances;
    let unmet = |option: &(String, String)| !is_met(option, circumstances);
    if !certificate.user {
        Some("the certificate is one of a host")
    } else if *now_s < certificate.after {
        Some("the certificate is not valid yet")
    } else if *now_s >= certificate.before {
        Some("the certificate is not valid any more")
    } else if !proof.present && !certificate.permits("no-touch-required") {
        Some("the security key was not touched")
    } else if certificate.principals.is_empty() {
        Some("the certificate has no principals")
    } else if certificate.critical.iter().any(unmet) {
        Some("a critical option of the certificate is not met, or not known")
    } else if authority.revoked.as_ref().is_some_and(|list| list.revokes(certificate)) {
        Some("the certificate is revoked")
    } else {
        None
    }
}

/// Whether a critical option is one of weir's, and met. `force-command` is not: it would replace
/// what the rules were asked about.
fn is_met((name, value): &(String, String), circumstances: &Circumstances) -> bool {
    match name.as_str() {
        "source-address" => value.split(',').any(|network| is_in(network, circumstances.source)),
        "verify-required" => circumstances.proof.verified,
        _ => false,
    }
}

/// Whether an address is in a network such as `10.0.0.0/8`, or is the one that is written.
fn is_in(network: &str, address: IpAddr) -> bool {
    let (base, bits) = match network.split_once('/') {
        None => (network, None),
        Some((base, bits)) => match bits.parse::<u32>() {
            Ok(bits) => (base, Some(bits)),
            Err(_) => return false,
        },
    };
    let Ok(base) = base.parse::<IpAddr>() else { return false };
    let (base, address, width) = match (base, address.to_canonical()) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            (u128::from(base.to_bits()), u128::from(address.to_bits()), 32)
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => (base.to_bits(), address.to_bits(), 128),
        _ => return false,
    };
    let bits = bits.unwrap_or(width);
    if bits > width {
        return false;
    }
    (base ^ address).checked_shr(width - bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ssh::certificate::UserGrant;
    use crate::wire::ssh::signer::Signer;

    const TOUCHED: Proof = Proof { present: true, verified: false };

    fn here(now_s: u64) -> Circumstances {
        Circumstances { proof: TOUCHED, source: IpAddr::from([10, 1, 2, 3]), now_s }
    }

    struct Case<'c> {
        critical: &'c [(&'c str, &'c str)],
        extensions: &'c [&'c str],
    }

    /// A certificate for the principal `sre`, with the key id `alice`, valid from 100 to 200.
    fn made(authority: &Signer, case: &Case<'_>) -> Certificate {
        let key = Signer::generate().expect("random bytes");
        let grant = UserGrant {
            key: &key,
            serial: 1,
            key_id: "alice",
            principal: "sre",
            after: 100,
            before: 200,
            critical: case.critical,
            extensions: case.extensions,
        };
        let blob = grant.sign(authority).expect("a key");
        Certificate::parse(&blob).expect("a certificate")
    }

    fn authority(key: &Signer, name: SshName) -> SshAuthority {
        SshAuthority {
            keys: vec![key.blob().to_vec()],
            name,
            groups: vec!["g".to_owned()],
            revoked: None,
            revoked_file: None,
        }
    }

    const PLAIN: Case<'_> = Case { critical: &[], extensions: &["permit-pty"] };

    #[test]
    fn a_certificate_of_a_configured_authority_says_who_it_is() {
        let key = Signer::generate().expect("random bytes");
        let certificate = made(&key, &PLAIN);
        for (name, expect) in [(SshName::KeyId, "alice"), (SshName::Principal, "sre")] {
            let found = identity(&[authority(&key, name)], &certificate, &here(100));
            let (found, grants) = found.expect("an identity");
            assert_eq!((found.user.as_str(), found.groups.len()), (expect, 1));
            assert!(grants.terminal && !grants.forwards && !grants.agent && !grants.x11);
        }
        let endless = Certificate { before: u64::MAX, ..certificate.clone() };
        assert!(identity(&[authority(&key, SshName::KeyId)], &endless, &here(1 << 40)).is_ok());
        let other = Signer::generate().expect("random bytes");
        let authorities = [authority(&other, SshName::KeyId)];
        assert_eq!(identity(&authorities, &certificate, &here(100)).ok(), None, "another CA");
    }

    #[test]
    fn it_must_be_its_time() {
        let key = Signer::generate().expect("random bytes");
        let certificate = made(&key, &PLAIN);
        let authorities = [authority(&key, SshName::KeyId)];
        for (now_s, expect) in [(99, false), (100, true), (199, true), (200, false)] {
            let found = identity(&authorities, &certificate, &here(now_s));
            assert_eq!(found.is_ok(), expect, "{now_s}");
        }
    }

    #[test]
    fn critical_options_are_met_or_refuse() {
        let key = Signer::generate().expect("random bytes");
        let authorities = [authority(&key, SshName::KeyId)];
        for (name, value, expect) in [
            ("source-address", "10.0.0.0/8", true),
            ("source-address", "192.0.2.1,10.1.2.3", true),
            ("source-address", "10.1.2.4/31", false),
            ("source-address", "10.1.2.2/31", true),
            ("source-address", "::/0", false),
            ("source-address", "0.0.0.0/0", true),
            ("source-address", "10.0.0.0/33", false),
            ("source-address", "", false),
            ("force-command", "uptime", false),
            ("verify-required", "", false),
            ("new@example.com", "", false),
        ] {
            let case = Case { critical: &[(name, value)], extensions: &[] };
            let certificate = made(&key, &case);
            let found = identity(&authorities, &certificate, &here(150));
            assert_eq!(found.is_ok(), expect, "{name} {value}");
        }
    }

    #[test]
    fn a_security_key_must_be_touched_unless_the_certificate_says_otherwise() {
        let key = Signer::generate().expect("random bytes");
        let authorities = [authority(&key, SshName::KeyId)];
        let untouched = Proof { present: false, verified: false };
        let there = Circumstances { proof: untouched, ..here(150) };
        for (extensions, expect) in [(&[][..], false), (&["no-touch-required"], true)] {
            let certificate = made(&key, &Case { critical: &[], extensions });
            assert_eq!(identity(&authorities, &certificate, &there).is_ok(), expect);
        }
    }

    #[test]
    fn a_host_and_a_certificate_for_everybody_are_nobody() {
        let key = Signer::generate().expect("random bytes");
        let authorities = [authority(&key, SshName::KeyId)];
        let host = Certificate { user: false, ..made(&key, &PLAIN) };
        assert_eq!(identity(&authorities, &host, &here(150)).ok(), None);
        let all = Certificate { principals: Vec::new(), ..made(&key, &PLAIN) };
        assert_eq!(identity(&authorities, &all, &here(150)).ok(), None);
        for name in ["", "a\nb", "alice ", " alice", "alice\u{200b}", "al\u{ad}ice", "a\u{a0}b"] {
            let nameless = Certificate { key_id: name.to_owned(), ..made(&key, &PLAIN) };
            assert_eq!(identity(&authorities, &nameless, &here(150)).ok(), None, "{name:?}");
        }
        let two = Certificate { key_id: "Alice Doe".to_owned(), ..made(&key, &PLAIN) };
        assert!(identity(&authorities, &two, &here(150)).is_ok());
    }
}
