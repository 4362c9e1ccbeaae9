//! Who the client is, and weir's own login at the target.
//!
//! In: authentication messages of both. Out: an identity, a connection that is open on both legs.
//! Never: a difference between users that exist and others; a host key that is not configured; a
//! USERAUTH_SUCCESS before the target's.

use std::sync::Arc;

use crate::config::settings::{Credential, SshProof, Target as TargetSettings, User};
use crate::decide::Permit;
use crate::decide::ssh::Plumbing;
use crate::fault::{self, Fault, FaultKind, Login as LoginFault, Malformed, Unsupported};
use crate::forward::dial::{Dial, Endpoint, patience_us, shuffle};
use crate::identify::ssh_ca::{self, Circumstances, Grants};
use crate::identify::{Identity, Method as IdentityMethod, role};
use crate::limits::{NAME_BYTES_MAX, SSH_FAILURES_MAX, SSH_PROBES_MAX, SSH_REKEY_BYTES};
use crate::record::entry::{self, SessionStart};
use crate::record::{Entry, SessionContext};
use crate::session::{Lease, Leased, Output, Stage};
use crate::wire::ssh::certificate::Certificate;
use crate::wire::ssh::cipher::{Cipher, Mac};
use crate::wire::ssh::fields::Fields;
use crate::wire::ssh::kex;
use crate::wire::ssh::kexinit::Offer;
use crate::wire::ssh::key::{self, Algorithm};
use crate::wire::ssh::signer::Signer;
use crate::wire::ssh::transport::{Step, Terms};
use crate::wire::ssh::userauth::{self, Answer, Method, Proven, Request, reply, request};
use crate::wire::ssh::{Role, number};
use crate::wire::{LegId, Protocol, Side};

use super::ground::{Ground, Standing};
use super::leg::{Leg, broken};
use super::open::{Link, Open};
use super::token::Waiting;
use super::{Machine, Phase, own_proof};

/// The dial ends by itself; this much later the session does.
const GRACE_US: u64 = 1_000_000;
/// Banners and rounds of questions of a target's login.
const ROUNDS_MAX: u32 = 16;
/// What weir takes as a proof; the last one where there are tokens.
const METHODS: [&str; 2] = ["publickey", "password"];

/// Whether a password may be a token: of an issuer, or of weir.
fn takes_tokens(stage: &Stage<'_>) -> bool {
    !stage.snapshot.settings.issuers.is_empty() || !stage.snapshot.tokens.is_empty()
}

/// What a client has tried.
#[derive(Debug, Default)]
pub(super) struct Proof {
    service: bool,
    probes: u32,
    pub failures: u32,
    /// Why the last proof was none, and what it was: JSON.
    pub refused: Option<(&'static str, serde_json::Value)>,
    /// A token whose keys are asked for: the client's messages wait.
    pub waiting: Option<Box<Waiting>>,
}

/// A client that proved who it is, on its way to a target.
#[derive(Debug)]
pub(super) struct Visitor {
    pub identity: Identity,
    pub grants: Grants,
    /// What the proof was: JSON.
    detail: String,
    pub target: usize,
    pub credential: Credential,
}

/// Somebody who has proven who they are.
pub(super) struct Found {
    pub identity: Identity,
    pub grants: Grants,
    /// What the proof was: JSON.
    pub detail: String,
    pub ground: Ground,
}

impl TargetLogin {
    /// Why the target may refuse a certificate of weir's.
    pub fn limited(&self) -> Option<(&'static str, serde_json::Value)> {
        let certified = matches!(self.visitor.credential.proof, Some(SshProof::Authority { .. }));
        certified.then(|| {
            let why = "the certificate is valid from `source_address` only, which is weir's end of \
                       the connection unless the configuration says otherwise";
            (why, serde_json::json!({ "source_address": self.sources }))
        })
    }
}

impl Visitor {
    /// For lists of sessions.
    pub fn seen(&self, stage: &Stage<'_>) -> (&str, String, &str, &'static str) {
        let target = stage.snapshot.settings.targets.get(self.target);
        let name = target.map(|target| target.name.clone()).unwrap_or_default();
        (&self.identity.user, name, &self.credential.role, "login")
    }
}

/// Weir's login at a target.
#[derive(Debug)]
pub(super) struct TargetLogin {
    pub visitor: Box<Visitor>,
    endpoint: Endpoint,
    /// Where a certificate of weir's is valid from.
    pub sources: String,
    rounds: u32,
    asked_questions: bool,
}

fn client_fault(kind: FaultKind) -> Fault {
    Fault::new(Side::Client, kind)
}

fn target_fault(kind: FaultKind) -> Fault {
    Fault::new(Side::Server, kind)
}

fn out_of_order(side: Side) -> Fault {
    Fault::new(side, FaultKind::Malformed(Malformed::MessageType))
}

/// What weir offers to clients of a listener.
pub(super) fn client_terms(listener: usize, stage: &Stage<'_>) -> Arc<Terms> {
    let listen = stage.snapshot.settings.listeners.get(listener);
    let host_keys: Vec<Arc<Signer>> =
        listen.map(|listen| listen.host_keys.clone()).unwrap_or_default();
    let algorithms = host_keys.iter().flat_map(|key| key.algorithms()).map(Algorithm::plain);
    Arc::new(Terms {
        role: Role::Server,
        offer: Offer {
            methods: kex::Method::ALL.to_vec(),
            host_keys: algorithms.collect(),
            ciphers: Cipher::ALL.to_vec(),
            macs: Mac::ALL.to_vec(),
        },
        host_keys,
        strict_required: listen.is_some_and(|listen| listen.strict_kex),
        rekey_bytes: SSH_REKEY_BYTES,
    })
}

/// What weir asks of a target: only what one of its known keys can answer.
fn target_terms(target: &TargetSettings) -> Arc<Terms> {
    let ciphers = [
        Cipher::Aes128Gcm,
        Cipher::ChaCha20Poly1305,
        Cipher::Aes256Gcm,
        Cipher::Aes128Ctr,
        Cipher::Aes256Ctr,
    ];
    Arc::new(Terms {
        role: Role::Client,
        offer: Offer {
            methods: kex::Method::ALL.to_vec(),
            host_keys: target.host_keys.algorithms(),
            ciphers: ciphers.to_vec(),
            macs: Mac::ALL.to_vec(),
        },
        host_keys: Vec::new(),
        strict_required: target.strict_kex,
        rekey_bytes: SSH_REKEY_BYTES,
    })
}

/// The user of the configuration that a key belongs to.
fn of_key(user: &User, blob: &[u8]) -> Found {
    let (user, groups) = (user.name.clone(), user.groups.clone());
    let detail = key_shown(blob).to_string();
    let identity = Identity { user, groups, method: IdentityMethod::SshKey };
    Found { identity, grants: Grants::ALL, detail, ground: Ground::Key(blob.to_vec()) }
}

fn key_shown(blob: &[u8]) -> serde_json::Value {
    serde_json::json!({ "key": key::fingerprint(blob) })
}

/// A certificate in the record. Its text is the peer's until the CA is known.
fn certificate_shown(certificate: &Certificate) -> serde_json::Value {
    let key_id: String = certificate.key_id.chars().take(NAME_BYTES_MAX).collect();
    serde_json::json!({
        "key": key::fingerprint(&certificate.key_blob),
        "key_id": key_id,
        "serial": certificate.serial.to_string(),
        "ca": key::fingerprint(&certificate.authority_blob),
    })
}

/// Whoever a certificate names, unless that is a user of the configuration, who proves a key.
pub(super) fn of_certificate(
    certificate: &Certificate,
    proof: key::Proof,
    source: std::net::IpAddr,
    stage: &Stage<'_>,
) -> Result<Found, &'static str> {
    let settings = &stage.snapshot.settings;
    let now_s = u64::try_from(stage.now.wall_us / 1_000_000).unwrap_or(0);
    let there = Circumstances { proof, source, now_s };
    let (identity, grants) = ssh_ca::identity(&settings.ssh_authorities, certificate, &there)?;
    if settings.users.iter().any(|user| user.name == identity.user) {
        return Err("the certificate names a user of the configuration, who proves a key");
    }
    let detail = certificate_shown(certificate).to_string();
    let ground = Ground::Certificate(Box::new(certificate.clone()), proof);
    Ok(Found { identity, grants, detail, ground })
}

/// The client's proof.
impl Machine {
    pub(super) fn proof_messages(&mut self, stage: &mut Stage<'_>) -> Result<(), Fault> {
        while matches!(&self.phase, Phase::Proof(proof) if proof.waiting.is_none()) {
            match self.client.next(stage.now.mono_us, &mut self.core)? {
                Step::Need => return Ok(()),
                Step::HostKey => return Err(client_fault(FaultKind::Internal)),
                Step::Ready => {}
                Step::Message(place) => {
                    let message = self.client.message(&place).to_vec();
                    self.proof_message(&message, stage)?;
                }
            }
        }
        Ok(())
    }

    fn proof_message(&mut self, message: &[u8], stage: &mut Stage<'_>) -> Result<(), Fault> {
        let Phase::Proof(proof) = &mut self.phase else { return Ok(()) };
        match message.first().copied() {
            Some(number::DISCONNECT) => Err(client_fault(FaultKind::Terminate)),
            Some(number::SERVICE_REQUEST) => {
                let name = userauth::service(message).map_err(|why| broken(Side::Client, why))?;
                if name != userauth::USERAUTH.as_bytes() {
                    return Err(out_of_order(Side::Client));
                }
                proof.service = true;
                self.client.say(&reply::service_accept(userauth::USERAUTH), &mut self.core);
                Ok(())
            }
            Some(number::USERAUTH_REQUEST) if proof.service => {
                let asked = Request::parse(message).map_err(|why| broken(Side::Client, why))?;
                self.asked(&asked, stage)
            }
            _ => Err(out_of_order(Side::Client)),
        }
    }

    fn asked(&mut self, asked: &Request<'_>, stage: &mut Stage<'_>) -> Result<(), Fault> {
        let Phase::Proof(proof) = &mut self.phase else { return Ok(()) };
        let settings = &stage.snapshot.settings;
        let owner = |blob: &[u8]| {
            settings.users.iter().find(|user| user.keys.iter().any(|key| key == blob))
        };
        match &asked.method {
            Method::Probe(offered) => {
                proof.probes += 1;
                let authorities = &settings.ssh_authorities;
                let known = |read: &(_, _, Option<Box<Certificate>>)| match &read.2 {
                    None => owner(offered.blob).is_some(),
                    Some(certificate) => authorities
                        .iter()
                        .any(|authority| authority.keys.contains(&certificate.authority_blob)),
                };
                if proof.probes <= SSH_PROBES_MAX && offered.read().is_ok_and(|read| known(&read)) {
                    self.client.say(&reply::key_is_ok(offered), &mut self.core);
                    return Ok(());
                }
            }
            Method::Signed(offered, signed) => {
                let transport = &self.client.transport;
                let proven = signed.verify(offered, transport.session_id(), transport.host_key());
                let found = match &proven {
                    Ok(Proven::Key { blob, proof }) if proof.present => {
                        let user = owner(blob).map(|user| of_key(user, blob));
                        user.ok_or(("the key belongs to nobody", key_shown(blob)))
                    }
                    Ok(Proven::Key { blob, .. }) => {
                        Err(("the security key was not touched", key_shown(blob)))
                    }
                    Ok(Proven::Certificate { certificate, proof }) => {
                        let source = self.core.accepted.client_addr.ip();
                        let found = of_certificate(certificate, *proof, source, stage);
                        found.map_err(|why| (why, certificate_shown(certificate)))
                    }
                    Err(_) => Err(("the signature is wrong", key_shown(offered.blob))),
                };
                match found {
                    Ok(found) => return self.admit(asked.user, found, stage),
                    Err(why) => proof.refused = Some(why),
                }
                proof.failures += 1;
            }
            // A client asks so which methods there are.
            Method::None => {}
            Method::Password(token) if takes_tokens(stage) => {
                return self.by_token((asked.user, token), stage);
            }
            Method::Password(_) | Method::KeyboardInteractive | Method::Other => {
                proof.refused = Some(("no such way to log in", serde_json::json!({})));
                proof.failures += 1;
            }
        }
        self.failed(stage)
    }

    /// The client is told which methods there are, unless it has tried too often.
    pub(super) fn failed(&mut self, stage: &Stage<'_>) -> Result<(), Fault> {
        let Phase::Proof(proof) = &mut self.phase else { return Ok(()) };
        let [key, token] = METHODS;
        let methods = if takes_tokens(stage) { &[key, token][..] } else { &[key] };
        if proof.failures > SSH_FAILURES_MAX || proof.probes > SSH_PROBES_MAX {
            return Err(client_fault(FaultKind::Login(LoginFault::Credentials)));
        }
        self.client.say(&reply::failure(methods), &mut self.core);
        Ok(())
    }

    /// The client proved who it is: find its target and role, and dial.
    pub(super) fn admit(
        &mut self,
        name: &[u8],
        found: Found,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let Found { identity, grants, detail, ground } = found;
        let source = self.core.accepted.client_addr.ip();
        self.standing = Some(Standing::new(identity.clone(), ground, source, stage.now));
        let refused = |fault| client_fault(FaultKind::Login(fault));
        let name = String::from_utf8_lossy(name).into_owned();
        let listener = stage.snapshot.settings.listeners.get(self.core.accepted.listener);
        let (asked, target_name) = match listener.and_then(|listen| listen.target.as_deref()) {
            Some(only) => (name.as_str(), only),
            // Roles may be `name@domain`; names of targets hold no `@`.
            None => name.rsplit_once('@').unwrap_or(("", &name)),
        };
        let context = SessionContext {
            user_name: identity.user.clone(),
            user_groups: identity.groups.clone(),
            auth_method: identity.method.name().to_owned(),
            target: target_name.to_owned(),
            client_app: self.client.transport.their_version().to_owned(),
            ..self.core.anonymous()
        };
        self.core.identify(&context, stage);
        let targets = &stage.snapshot.settings.targets;
        let found = targets
            .iter()
            .enumerate()
            .find(|(_, target)| target.name == target_name && target.protocol == Protocol::Ssh);
        let (target, settings) = found.ok_or(refused(LoginFault::UnknownTarget))?;
        if !asked.is_empty() && !settings.credentials.iter().any(|own| own.role == asked) {
            return Err(refused(LoginFault::RoleNotOpen));
        }
        let asked = if asked.is_empty() { &identity.user } else { asked };
        let credential =
            role::credential(&settings.credentials, &identity, asked).map_err(refused)?.clone();
        let context = SessionContext { role: credential.role.clone(), ..context };
        self.core.identify(&context, stage);
        self.dial(Box::new(Visitor { identity, grants, detail, target, credential }), stage)
    }

    fn dial(&mut self, visitor: Box<Visitor>, stage: &mut Stage<'_>) -> Result<(), Fault> {
        let target = stage.snapshot.settings.targets.get(visitor.target);
        let reach = &target.ok_or(target_fault(FaultKind::Internal))?.reach;
        let mut endpoints =
            stage.snapshot.addresses.get(visitor.target).cloned().unwrap_or_default();
        if reach.shuffled {
            shuffle(&mut endpoints, stage.random);
        }
        let now_us = stage.now.mono_us;
        let all_us = patience_us(endpoints.len(), reach.connect_timeout_us);
        self.deadline_us = now_us.saturating_add(all_us + GRACE_US);
        let dial = Dial::new(visitor.target, endpoints, reach.connect_timeout_us, now_us);
        let lease =
            Lease { leg: LegId::FIRST, dial: Box::new(dial), reuse: None, waited_us_max: 0 };
        self.core.output(Output::Lease(lease));
        self.phase = Phase::Dialing(visitor);
        Ok(())
    }
}

/// The target.
impl Machine {
    /// The target is connected, or cannot be.
    pub(super) fn reached(
        &mut self,
        result: Result<Leased, fault::Target>,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let leased = result.map_err(|why| target_fault(FaultKind::Target(why)))?;
        let Phase::Dialing(visitor) = std::mem::replace(&mut self.phase, Phase::Closed) else {
            return Err(target_fault(FaultKind::Internal));
        };
        let target = stage.snapshot.settings.targets.get(visitor.target);
        let terms = target.map(target_terms);
        let sources = own_proof::sources(&visitor.credential, leased.own);
        let endpoint = leased.endpoint;
        let login = TargetLogin { visitor, endpoint, sources, rounds: 0, asked_questions: false };
        self.phase = Phase::Target(Box::new(login));
        let terms = terms.ok_or(target_fault(FaultKind::Internal))?;
        self.target = Some(Leg::new(Side::Server, terms, stage.now.mono_us, &mut self.core)?);
        Ok(())
    }

    pub(super) fn target_messages(&mut self, stage: &mut Stage<'_>) -> Result<(), Fault> {
        while let (Phase::Target(login), Some(target)) = (&mut self.phase, &mut self.target) {
            match target.next(stage.now.mono_us, &mut self.core)? {
                Step::Need => return Ok(()),
                Step::HostKey => {
                    let known = stage.snapshot.settings.targets.get(login.visitor.target);
                    let own = target.transport.host_key();
                    let now_s = u64::try_from(stage.now.wall_us / 1_000_000).unwrap_or(0);
                    let host = &login.endpoint.host;
                    let known = known.is_some_and(|it| it.host_keys.trusts(own, host, now_s));
                    let trusted = target.transport.trust(known);
                    target.flush(&mut self.core);
                    let why = FaultKind::Target(fault::Target::HostKey);
                    trusted.map_err(|_| target_fault(why))?;
                }
                Step::Ready => target.say(&request::service(), &mut self.core),
                Step::Message(place) => {
                    let message = target.message(&place).to_vec();
                    self.target_message(&message, stage)?;
                }
            }
        }
        Ok(())
    }

    fn target_message(&mut self, message: &[u8], stage: &mut Stage<'_>) -> Result<(), Fault> {
        if message.first() == Some(&number::DISCONNECT) {
            self.note_farewell(message);
            return Err(target_fault(FaultKind::Target(fault::Target::Closed)));
        }
        let answer = Answer::parse(message).map_err(|why| broken(Side::Server, why))?;
        let (Phase::Target(login), Some(target)) = (&mut self.phase, &mut self.target) else {
            return Err(target_fault(FaultKind::Internal));
        };
        login.rounds += 1;
        if login.rounds > ROUNDS_MAX {
            return Err(out_of_order(Side::Server));
        }
        let credential = &login.visitor.credential;
        match answer {
            Answer::ServiceAccept => {
                let proof = own_proof::request(login, target, &self.core, stage)?;
                target.say(&proof, &mut self.core);
            }
            Answer::Banner(_) => {
                let receipt = self.core.covered(stage);
                let permit = Permit::plumbing(Plumbing::Login);
                self.client.send(permit, receipt, message, &mut self.core);
            }
            Answer::Questions(shown) => {
                let password = credential.password.reveal();
                // One hidden question is for the password (PAM); weir answers no other.
                let answers = match shown.as_slice() {
                    [] => Vec::new(),
                    [false] if credential.proof.is_none() => vec![password],
                    _ => {
                        let why = FaultKind::Unsupported(Unsupported::Authentication);
                        return Err(target_fault(why));
                    }
                };
                target.say(&request::answers(&answers), &mut self.core);
            }
            Answer::Failure { methods, partial } => {
                let asks = methods.split(',').any(|method| method == "keyboard-interactive");
                let by_password = credential.proof.is_none();
                if partial || !by_password || !asks || login.asked_questions {
                    let why = FaultKind::Login(LoginFault::TargetCredentials);
                    return Err(target_fault(why));
                }
                login.asked_questions = true;
                let role = credential.role.clone();
                target.say(&request::keyboard_interactive(&role), &mut self.core);
            }
            Answer::Success => return self.opened(stage),
        }
        Ok(())
    }

    /// Both legs are logged in.
    fn opened(&mut self, stage: &mut Stage<'_>) -> Result<(), Fault> {
        let phase = std::mem::replace(&mut self.phase, Phase::Closed);
        let (Phase::Target(login), Some(target)) = (phase, &mut self.target) else {
            return Err(target_fault(FaultKind::Internal));
        };
        let TargetLogin { visitor, endpoint, .. } = *login;
        let Visitor { identity, grants, detail, target: index, credential } = *visitor;
        let link = Link { identity, grants, target: index, role: credential.role };
        let open = Open::new(link, &self.core, stage);
        let mut open = open.ok_or(client_fault(FaultKind::Login(LoginFault::UnknownTarget)))?;
        let client = self.client.transport.their_version();
        open.channels.shows_late = client.starts_with("SSH-2.0-OpenSSH_");
        self.core.attach(index, stage);
        let address = endpoint.address.to_string();
        let listener = stage.snapshot.settings.address_of(self.core.accepted.listener);
        let start = SessionStart {
            listener: &listener,
            server_addr: &address,
            server_version: target.transport.their_version(),
            durability: open.durability_name(),
            auth_detail: &detail,
            ..SessionStart::default()
        };
        let recorded = self.core.record(&Entry::SessionStart(start), stage);
        let receipt = recorded.map_err(|why| client_fault(FaultKind::Record(why)))?;
        self.core.output(Output::Settled(LegId::FIRST));
        target.transport.logged_in();
        let permit = Permit::plumbing(Plumbing::Login);
        self.client.send(permit, receipt, &reply::success(), &mut self.core);
        self.client.transport.logged_in();
        self.phase = Phase::Open(Box::new(open));
        self.note_exposed(stage)?;
        // What both sent ahead of it.
        self.messages(Side::Server, stage)
    }

    /// Writes down which peer lacks strict key exchange.
    fn note_exposed(&mut self, stage: &mut Stage<'_>) -> Result<(), Fault> {
        let target = self.target.as_ref();
        for (leg, words) in [
            (Some(&self.client), "the client has no strict key exchange (CVE-2023-48795)"),
            (target, "the target has no strict key exchange (CVE-2023-48795)"),
        ] {
            let Some(leg) = leg.filter(|leg| leg.transport.is_truncatable()) else { continue };
            let attrs = serde_json::json!({ "version": leg.transport.their_version() });
            let event = entry::Event {
                event: "no-strict-kex",
                severity: "warn",
                message: words,
                attrs: &attrs.to_string(),
            };
            self.core.event(&event, stage)?;
        }
        Ok(())
    }

    /// Keeps the words of a target that ends the connection; not where masks apply, which nobody
    /// applies to them.
    pub(super) fn note_farewell(&mut self, message: &[u8]) {
        let mut fields = Fields::new(message);
        let read = fields.u8().and_then(|_| Ok((fields.u32()?, fields.string()?)));
        let masked = matches!(&self.phase, Phase::Open(open) if !open.detectors.is_empty());
        if let (Ok((code, words)), false) = (read, masked) {
            let words = words.get(..1024).unwrap_or(words);
            let words = String::from_utf8_lossy(words);
            let shown = words.chars().map(|char| if char.is_control() { ' ' } else { char });
            self.farewell = Some((code, shown.collect()));
        }
    }
}
