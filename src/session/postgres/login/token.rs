//! A token as the proof of who the client is: as its password, or by OAUTHBEARER.
//!
//! In: `p` messages, newer keys of an issuer. Out: an identity.
//! Never: a token asked for in clear, recorded, or kept once it was judged; a SASLFinal.
//!
//! ```text
//!   Password ---- token ----+                 good
//!   Oauth(None) -- token ---+--> verify ------------------> admit
//!      |                    |    |   |
//!      |          snapshot  |    |   | unknown key
//!      |                Keys <-------+
//!      |                         | bad
//!      +-- no token --> Oauth(Some(fault)) --0x01--> the fault      (Password: at once)
//! ```

use crate::config::settings::TokenLogin;
use crate::fault::{Fault, FaultKind, Login as LoginFault, Malformed, Token};
use crate::identify::oauthbearer::{BearerStep, MECHANISM, ServerExchange};
use crate::identify::{Identity, Method, api_token, token};
use crate::limits;
use crate::wire::postgres::reply;

use super::proof::{Proof, initial_response};
use super::{Asked, CLIENT, Login, State, client_fault, malformed};
use crate::session::postgres::core::Office;
use crate::session::{Output, Refresh, Stage};

/// A token that was given, and the exchange it came in, if that has to be told of a refusal.
pub struct Offer {
    token: Vec<u8>,
    exchange: Option<ServerExchange>,
}

/// A token that only newer keys of its issuer could verify.
pub struct Waiting {
    offer: Offer,
    /// What is said when they do not come, or do not help.
    fault: Token,
    /// How many such questions had been answered when the wait began.
    answers: u64,
    /// The deadline of the login as a whole.
    deadline_us: u64,
}

fn token_fault(kind: Token) -> Fault {
    client_fault(FaultKind::Login(LoginFault::Token(kind)))
}

impl Login {
    /// Asks for a token in the way of the configuration. `false`: there are neither issuers nor API
    /// tokens that could be given here.
    pub(super) fn ask_for_token(
        &mut self,
        asked: &mut Box<Asked>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<bool, Fault> {
        let Some(first) = stage.snapshot.settings.issuers.first() else {
            if self.tls.is_none() || stage.snapshot.tokens.is_empty() {
                return Ok(false);
            }
            core.say(reply::auth_cleartext);
            self.state = State::Proof(std::mem::take(asked), Proof::Password);
            return Ok(true);
        };
        if self.tls.is_none() {
            self.name(asked, (&asked.user, ""), core, stage);
            return Err(token_fault(Token::Plaintext));
        }
        let proof = match first.login {
            TokenLogin::Password => {
                core.say(reply::auth_cleartext);
                Proof::Password
            }
            TokenLogin::OauthBearer => {
                core.say(|out| reply::auth_sasl(out, &[MECHANISM]));
                Proof::OauthFirst(ServerExchange::new(&first.policy.issuer, &first.scope))
            }
        };
        self.state = State::Proof(std::mem::take(asked), proof);
        Ok(true)
    }

    /// A PasswordMessage: the token, ended by a zero.
    pub(super) fn password(
        &mut self,
        asked: Box<Asked>,
        body: &[u8],
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let token = match body.split_last() {
            Some((0, token)) if !token.contains(&0) => token.to_vec(),
            _ => return Err(malformed(CLIENT, Malformed::MessageBody)),
        };
        self.judge(asked, Offer { token, exchange: None }, core, stage)
    }

    /// The SASLInitialResponse of OAUTHBEARER.
    pub(super) fn oauth_first(
        &mut self,
        asked: Box<Asked>,
        exchange: ServerExchange,
        body: &[u8],
        (core, stage): (&mut Office, &mut Stage<'_>),
    ) -> Result<(), Fault> {
        let initial = initial_response(body).filter(|(name, _)| *name == MECHANISM.as_bytes());
        let sasl = client_fault(FaultKind::Login(LoginFault::Sasl));
        let (_, data) = initial.ok_or(sasl)?;
        self.oauth((asked, exchange, None), data, core, stage)
    }

    /// Data of the client. A fault besides is the one that a failed exchange ends with.
    pub(super) fn oauth(
        &mut self,
        (asked, mut exchange, ends): (Box<Asked>, ServerExchange, Option<Token>),
        data: Option<&[u8]>,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let step = exchange.handle(data).map_err(|_| {
            self.name(&asked, (&asked.user, ""), core, stage);
            ends.map_or(client_fault(FaultKind::Login(LoginFault::Sasl)), token_fault)
        })?;
        let ends = match step {
            BearerStep::Continue(bytes) => {
                core.say(|out| reply::auth_sasl_data(out, 11, &bytes));
                None
            }
            BearerStep::Discovery(bytes) => {
                self.name(&asked, (&asked.user, ""), core, stage);
                core.say(|out| reply::auth_sasl_data(out, 11, &bytes));
                Some(Token::Discovery)
            }
            BearerStep::Token(token) => {
                let offer = Offer { token, exchange: Some(exchange) };
                return self.judge(asked, offer, core, stage);
            }
            BearerStep::Over => return Err(token_fault(ends.unwrap_or(Token::Malformed))),
        };
        self.state = State::Proof(asked, Proof::Oauth(exchange, ends));
        Ok(())
    }

    /// Newer keys may have come.
    pub fn snapshot_arrived(
        &mut self,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Proof(asked, Proof::Keys(waiting)) => {
                let until_us = std::mem::replace(&mut self.deadline_us, waiting.deadline_us);
                self.judge_again(asked, (waiting, until_us), core, stage)
            }
            state => {
                self.state = state;
                Ok(())
            }
        }
    }

    fn judge(
        &mut self,
        asked: Box<Asked>,
        offer: Offer,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if api_token::is_one(&offer.token) {
            let snapshot = stage.snapshot;
            let given = (asked.user.as_str(), snapshot.settings.users.as_slice());
            return match snapshot.tokens.bearer(&offer.token, given, stage.now.wall_us) {
                Ok((identity, _)) => self.admit(asked, identity, core, stage),
                Err(fault) => self.refuse(asked, offer, fault, (core, stage)),
            };
        }
        let refused = match verify(&offer.token, stage) {
            Ok(bearer) => return self.admit_bearer((asked, offer), bearer, core, stage),
            Err(refused) => refused,
        };
        let Some(index) = refused.stale else {
            return self.refuse(asked, offer, refused.fault, (core, stage));
        };
        let snapshot = stage.snapshot;
        let issuer = snapshot.settings.issuers.get(index);
        let name = issuer.map(|issuer| issuer.policy.issuer.clone()).unwrap_or_default();
        self.name(&asked, (&asked.user, ""), core, stage);
        core.output(Output::Refresh(Refresh::Keys(name)));
        let waiting = Waiting {
            offer,
            fault: refused.fault,
            answers: snapshot.keys.get(index).map_or(0, |published| published.answers),
            deadline_us: self.deadline_us,
        };
        self.deadline_us = self.deadline_us.min(stage.now.mono_us + limits::KEYS_WAIT_US);
        self.state = State::Proof(asked, Proof::Keys(waiting));
        Ok(())
    }

    /// With a snapshot that is newer, though perhaps for another reason.
    fn judge_again(
        &mut self,
        asked: Box<Asked>,
        (waiting, until_us): (Waiting, u64),
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        let refused = match verify(&waiting.offer.token, stage) {
            Ok(bearer) => return self.admit_bearer((asked, waiting.offer), bearer, core, stage),
            Err(refused) => refused,
        };
        let published = refused.stale.and_then(|index| stage.snapshot.keys.get(index));
        if published.is_some_and(|published| published.answers <= waiting.answers) {
            self.deadline_us = until_us;
            self.state = State::Proof(asked, Proof::Keys(waiting));
            return Ok(());
        }
        self.refuse(asked, waiting.offer, refused.fault, (core, stage))
    }

    fn admit_bearer(
        &mut self,
        (asked, offer): (Box<Asked>, Offer),
        bearer: token::Bearer,
        core: &mut Office,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        // The issuer decides what its claims say, the configuration who its own users are: rules
        // and approvals must not take one for the other.
        let users = &stage.snapshot.settings.users;
        if users.iter().any(|user| user.name == bearer.user) {
            return self.refuse(asked, offer, Token::NameTaken, (core, stage));
        }
        let token::Bearer { user, groups, issuer: _, until_us: _ } = bearer;
        self.admit(asked, Identity { user, groups, method: Method::Oidc }, core, stage)
    }

    /// Tells the client in the way it can understand. OAUTHBEARER's error follows when the client
    /// has taken note.
    fn refuse(
        &mut self,
        asked: Box<Asked>,
        offer: Offer,
        fault: Token,
        (core, stage): (&mut Office, &mut Stage<'_>),
    ) -> Result<(), Fault> {
        self.name(&asked, (&asked.user, ""), core, stage);
        let Some(mut exchange) = offer.exchange else { return Err(token_fault(fault)) };
        core.say(|out| reply::auth_sasl_data(out, 11, &exchange.refuse()));
        self.state = State::Proof(asked, Proof::Oauth(exchange, Some(fault)));
        Ok(())
    }

    /// What the login has failed with already, though the client was not told yet: it is recorded
    /// however the connection ends.
    pub fn decided(&self) -> Option<Fault> {
        match &self.state {
            State::Proof(_, Proof::Oauth(_, ends)) => ends.map(token_fault),
            State::Proof(_, Proof::Keys(waiting)) => Some(token_fault(waiting.fault)),
            _ => None,
        }
    }
}

fn verify(token: &[u8], stage: &Stage<'_>) -> Result<token::Bearer, token::Refused> {
    let snapshot = stage.snapshot;
    let known = snapshot.settings.issuers.iter().enumerate().map(|(index, issuer)| {
        let keys = snapshot.keys.get(index).and_then(|published| published.keys.as_deref());
        token::Issuer { policy: &issuer.policy, keys }
    });
    token::verify(token, &known.collect::<Vec<_>>(), stage.now.wall_us)
}
