//! A token of an issuer, or of weir, in the place of a password: libraries and automation can give
//! nothing else.
//!
//! In: the password of a client, keys of issuers, API tokens. Out: an identity, or a failure as for
//! a wrong password. Never: a token kept longer than its keys are waited for; a password of weir's
//! own, which would be guessed at over SSH all day.

use crate::config::settings::User;
use crate::fault::Fault;
use crate::identify::ssh_ca::Grants;
use crate::identify::{Identity, Method, api_token, token};
use crate::limits::KEYS_WAIT_US;
use crate::session::{Output, Refresh, Stage};
use crate::wire::ssh::userauth::reply;

use super::ground::Ground;
use super::login::Found;
use super::{Machine, Phase};

/// What OpenSSH's prompts and SSH_ASKPASS pass on of a longer one (readpass.c).
const CUT_BYTES: usize = 1023;

/// A token whose issuer may have newer keys.
pub(super) struct Waiting {
    name: Vec<u8>,
    token: Vec<u8>,
    answers: u64,
    pub deadline_us: u64,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiting(until {})", self.deadline_us)
    }
}

impl Machine {
    /// The password of a login.
    pub(super) fn by_token(
        &mut self,
        (name, token): (&[u8], &[u8]),
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if api_token::is_one(token) {
            let snapshot = stage.snapshot;
            // The name of a login is a role and a target; whose it is, the token says.
            let given = ("", snapshot.settings.users.as_slice());
            return match snapshot.tokens.bearer(token, given, stage.now.wall_us) {
                Ok((identity, _)) => {
                    let detail = identity.method.detail();
                    self.admit(name, of_token(identity, detail), stage)
                }
                Err(_) => self.token_refused(token, stage),
            };
        }
        let refused = match verify(token, stage) {
            Ok(bearer) => return self.bearer(name, bearer, stage),
            Err(refused) => refused,
        };
        let Some(index) = refused.stale else { return self.token_refused(token, stage) };
        let snapshot = stage.snapshot;
        let issuer = snapshot.settings.issuers.get(index);
        let issuer = issuer.map(|issuer| issuer.policy.issuer.clone()).unwrap_or_default();
        self.core.output(Output::Refresh(Refresh::Keys(issuer)));
        if let Phase::Proof(proof) = &mut self.phase {
            proof.waiting = Some(Box::new(Waiting {
                name: name.to_vec(),
                token: token.to_vec(),
                answers: snapshot.keys.get(index).map_or(0, |published| published.answers),
                deadline_us: stage.now.mono_us + KEYS_WAIT_US,
            }));
        }
        Ok(())
    }

    /// Newer keys may have come, or the time for them is over.
    pub(super) fn token_again(&mut self, stage: &mut Stage<'_>) -> Result<(), Fault> {
        let Phase::Proof(proof) = &mut self.phase else { return Ok(()) };
        let Some(waiting) = proof.waiting.take() else { return Ok(()) };
        let over = stage.now.mono_us >= waiting.deadline_us;
        match verify(&waiting.token, stage) {
            Ok(bearer) => self.bearer(&waiting.name, bearer, stage)?,
            Err(refused) => {
                let published = refused.stale.and_then(|index| stage.snapshot.keys.get(index));
                let same = published.is_some_and(|keys| keys.answers <= waiting.answers);
                if same && !over {
                    proof.waiting = Some(waiting);
                    return Ok(());
                }
                self.token_refused(&waiting.token, stage)?;
            }
        }
        self.proof_messages(stage)
    }

    fn bearer(
        &mut self,
        name: &[u8],
        bearer: token::Bearer,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        // The issuer decides what its claims say, the configuration who its own users are.
        let own = |user: &User| user.name == bearer.user;
        if stage.snapshot.settings.users.iter().any(own) {
            return self.token_refused(b"", stage);
        }
        let token::Bearer { user, groups, issuer: _, until_us: _ } = bearer;
        let identity = Identity { user, groups, method: Method::Oidc };
        self.admit(name, of_token(identity, String::new()), stage)
    }

    fn token_refused(&mut self, token: &[u8], stage: &Stage<'_>) -> Result<(), Fault> {
        if token.len() == CUT_BYTES {
            let hint = "weir: this token has 1023 bytes: ssh cuts longer ones that are typed or \
                        come from SSH_ASKPASS; use a key or a certificate\r\n";
            self.client.say(&reply::banner(hint), &mut self.core);
        }
        if let Phase::Proof(proof) = &mut self.phase {
            proof.failures += 1;
            proof.refused = Some(("the token is refused", serde_json::json!({})));
        }
        self.failed(stage)
    }
}

fn of_token(identity: Identity, detail: String) -> Found {
    Found { identity, grants: Grants::ALL, detail, ground: Ground::Token }
}

fn verify(token: &[u8], stage: &Stage<'_>) -> Result<token::Bearer, token::Refused> {
    let snapshot = stage.snapshot;
    let known = snapshot.settings.issuers.iter().enumerate().map(|(index, issuer)| {
        let keys = snapshot.keys.get(index).and_then(|published| published.keys.as_deref());
        token::Issuer { policy: &issuer.policy, keys }
    });
    token::verify(token, &known.collect::<Vec<_>>(), stage.now.wall_us)
}
