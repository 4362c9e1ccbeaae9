//! Weir's own proof at a target: a password, a key, or a certificate made for this session.
//!
//! In: who the client is, the credential, the rules. Out: the request that proves it. Never: a
//! certificate for more than this session may come to use, or for longer than a login takes.

use std::net::IpAddr;

use crate::config::settings::{Credential, SshProof};
use crate::decide::ClassSet;
use crate::decide::rules::{Scope, Who};
use crate::decide::ssh::Class;
use crate::fault::{Fault, FaultKind};
use crate::identify::ssh_ca::Grants;
use crate::session::Stage;
use crate::wire::ssh::Broken;
use crate::wire::ssh::certificate::UserGrant;
use crate::wire::ssh::key::SignatureAlgorithm;
use crate::wire::ssh::signer::Signer;
use crate::wire::ssh::userauth::request as message;
use crate::wire::{Protocol, Side};

use super::core::Office;
use super::leg::{Leg, broken};
use super::login::{TargetLogin, Visitor};

/// Clocks differ a little.
const CLOCKS_DIFFER_S: u64 = 60;

/// Where a certificate is valid from; empty without one.
pub(super) fn sources(credential: &Credential, own: Option<IpAddr>) -> String {
    match (&credential.proof, own) {
        (Some(SshProof::Authority { sources, .. }), _) if !sources.is_empty() => sources.clone(),
        (Some(SshProof::Authority { .. }), Some(own)) => own.to_canonical().to_string(),
        _ => String::new(),
    }
}

/// The request by which weir proves itself at the target.
pub(super) fn request(
    login: &TargetLogin,
    target: &Leg,
    core: &Office,
    stage: &Stage<'_>,
) -> Result<Vec<u8>, Fault> {
    let visitor = &login.visitor;
    let Credential { role, password, proof, .. } = &visitor.credential;
    let session_id = target.transport.session_id();
    let taken = target.transport.their_extensions().signature_algorithms.as_deref();
    let internal = Fault::new(Side::Server, FaultKind::Internal);
    let made = match proof {
        None => Ok(message::password(role, password.reveal())),
        Some(SshProof::Key(key)) => {
            let takes = |algorithm: &SignatureAlgorithm| {
                taken.is_none_or(|list| list.split(',').any(|name| name == algorithm.name()))
            };
            let algorithm = key.algorithms().find(takes).or_else(|| key.algorithms().next());
            message::signed(role, key, None, algorithm.ok_or(internal)?, session_id)
        }
        Some(SshProof::Authority { key: authority, ttl_s, .. }) => {
            let id = uuid::Uuid::from_bytes(core.accepted.session_id.0);
            let order = Order {
                key_id: &format!("weir:{id}:{}", visitor.identity.user),
                role,
                sources: &login.sources,
                permits: &permits(&visitor.grants, &scope(visitor, core, stage)),
                now_s: u64::try_from(stage.now.wall_us / 1_000_000).unwrap_or(0),
                ttl_s: *ttl_s,
            };
            Signer::generate().and_then(|key| {
                let blob = order.certificate(&key, authority)?;
                let algorithm = SignatureAlgorithm::Ed25519;
                message::signed(role, &key, Some(&blob), algorithm, session_id)
            })
        }
    };
    made.map_err(|why| broken(Side::Server, why))
}

fn scope(visitor: &Visitor, core: &Office, stage: &Stage<'_>) -> Scope {
    let target = stage.snapshot.settings.targets.get(visitor.target);
    let who = Who {
        identity: &visitor.identity,
        target: target.map_or("", |target| &target.name),
        role: &visitor.credential.role,
        source: core.accepted.client_addr.ip(),
        wall_us: stage.now.wall_us,
    };
    stage.snapshot.rules.scope(&who)
}

/// What a certificate permits: what the client's own login grants and some rule may let it do.
/// sshd asks for no permit for commands.
fn permits(grants: &Grants, scope: &Scope) -> Vec<&'static str> {
    let may = |class: ClassSet| scope.may_permit(Protocol::Ssh, class);
    let forwards = Class::ForwardLocal.only();
    let forwards = forwards.and(Class::ForwardSocket.only()).and(Class::ForwardRemote.only());
    // Sorted by name: OpenSSH writes them so.
    let all = [
        ("permit-X11-forwarding", grants.x11 && may(Class::X11.only())),
        ("permit-agent-forwarding", grants.agent && may(Class::Agent.only())),
        ("permit-port-forwarding", grants.forwards && may(forwards)),
        ("permit-pty", grants.terminal),
    ];
    all.into_iter().filter_map(|(name, granted)| granted.then_some(name)).collect()
}

/// What a certificate is for.
struct Order<'o> {
    key_id: &'o str,
    role: &'o str,
    sources: &'o str,
    permits: &'o [&'static str],
    now_s: u64,
    ttl_s: u64,
}

impl Order<'_> {
    fn certificate(&self, key: &Signer, authority: &Signer) -> Result<Vec<u8>, Broken> {
        let source = [("source-address", self.sources)];
        let grant = UserGrant {
            key,
            serial: 0,
            key_id: self.key_id,
            principal: self.role,
            after: self.now_s.saturating_sub(CLOCKS_DIFFER_S),
            before: self.now_s + self.ttl_s,
            // Without an address of its own end weir cannot say where it comes from.
            critical: if self.sources.is_empty() { &[] } else { &source },
            extensions: self.permits,
        };
        grant.sign(authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{Effect, RuleSpec};
    use crate::decide::Commands;
    use crate::decide::rules::Rules;
    use crate::identify::{Identity, Method};
    use crate::wire::ssh::certificate::Certificate;

    fn scope(rules: &[(&[&str], Effect)]) -> Scope {
        let specs: Vec<RuleSpec> = rules
            .iter()
            .map(|(words, then)| {
                let mut commands = Commands::default();
                words.iter().for_each(|word| commands.add(word).expect("a class"));
                RuleSpec {
                    name: "r".to_owned(),
                    users: Vec::new(),
                    groups: Vec::new(),
                    targets: Vec::new(),
                    roles: Vec::new(),
                    sources: Vec::new(),
                    commands,
                    touches: Vec::new(),
                    facts: Vec::new(),
                    minutes_utc: None,
                    then: then.clone(),
                }
            })
            .collect();
        let identity =
            Identity { user: "alice".to_owned(), groups: Vec::new(), method: Method::SshKey };
        let source = IpAddr::from([127, 0, 0, 1]);
        let who = Who { identity: &identity, target: "t", role: "r", source, wall_us: 0 };
        Rules::compile(&specs).scope(&who)
    }

    #[test]
    fn a_certificate_permits_what_the_client_may_come_to_use() {
        let held = || Effect::Hold { approvers: Vec::new(), quorum: 1, timeout_us: 1 };
        let deny = || Effect::Deny(None);
        let none = Grants { terminal: false, forwards: false, agent: false, x11: false };
        let all = "permit-X11-forwarding permit-agent-forwarding permit-port-forwarding permit-pty";
        for (grants, rules, expect) in [
            (Grants::ALL, vec![(&[][..], Effect::Allow)], "permit-pty"),
            (Grants::ALL, vec![(&[][..], held())], all),
            (
                Grants::ALL,
                vec![(&["exec", "agent"][..], Effect::Allow)],
                "permit-agent-forwarding permit-pty",
            ),
            (
                Grants::ALL,
                vec![(&["ssh:forward-socket"][..], held())],
                "permit-port-forwarding permit-pty",
            ),
            (
                Grants::ALL,
                vec![(&["x11"][..], deny()), (&["exec"][..], Effect::Allow)],
                "permit-pty",
            ),
            (
                Grants { agent: false, ..Grants::ALL },
                vec![(&["agent", "x11"][..], Effect::Allow)],
                "permit-X11-forwarding permit-pty",
            ),
            (none, vec![(&["agent", "x11", "forward-local"][..], Effect::Allow)], ""),
        ] {
            assert_eq!(permits(&grants, &scope(&rules)).join(" "), expect, "{rules:?}");
        }
    }

    #[test]
    fn a_certificate_says_where_it_comes_from_and_for_how_long() {
        let (key, authority) = (Signer::generate(), Signer::generate());
        let (key, authority) = (key.expect("random bytes"), authority.expect("random bytes"));
        for (sources, expect) in [("127.0.0.1", "source-address=127.0.0.1"), ("", "")] {
            let permits = &["permit-pty"][..];
            let (key_id, role) = ("weir:1:alice", "root");
            let order = Order { key_id, role, sources, permits, now_s: 1_000, ttl_s: 120 };
            let blob = order.certificate(&key, &authority).expect("signed");
            let read = Certificate::parse(&blob).expect("a certificate");
            let critical: Vec<String> =
                read.critical.iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(
                (critical.join(" ").as_str(), read.before, read.after),
                (expect, 1_120, 940)
            );
            assert!(read.user && read.principals == ["root"] && read.permits("permit-pty"));
            assert!(!read.permits("permit-port-forwarding"));
        }
    }
}
