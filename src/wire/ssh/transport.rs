//! One connection: versions, key exchanges, packets. A pure machine in either role.
//!
//! In: bytes of the peer, messages to send, the time. Out: messages of the layers above, sealed
//! bytes. Never: a message of the layers above before the first exchange, or of weir's between its
//! KEXINIT and its NEWKEYS (RFC 4253 section 7.1); keys that outlive their bound.
//!
//! ```text
//!   Hello --version--> Offered --their KEXINIT--> [client] Asked --REPLY--> Proven --trust--+
//!                       ^    |                                       (first exchange only)  |
//!   we want new keys    |    '------------------> [server] Invited --INIT-------------------+
//!                       |                                                                   v
//!                     Steady <-------------------- their NEWKEYS -------------------- Switching
//!                       '--their KEXINIT: ours is sent and theirs taken, as in Offered
//! ```

use std::ops::Range;
use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};

use super::certificate::Certificate;
use super::cipher::Keys;
use super::derive::{Derivation, Pair, Transcript};
use super::fields::{Fields, Write};
use super::kex::{Share, answer};
use super::kexinit::{Chosen, KexInit, Offer};
use super::key::{Algorithm, PublicKey, SignatureAlgorithm};
use super::packet::{Inbound, Outbound};
use super::signer::Signer;
use super::{Broken, Role, number, version};
use crate::limits::{
    SSH_EXCHANGE_TIMEOUT_US, SSH_EXCHANGES_BURST, SSH_LOGIN_EXCHANGES_MAX,
    SSH_LOGIN_PACKET_BYTES_MAX, SSH_PACKET_BYTES_MAX, SSH_PONGS_BYTES_MAX, SSH_REKEY_AGE_US,
    SSH_REKEY_FREE_BYTES, SSH_REKEY_PACKETS,
};

/// What weir brings to a connection.
#[derive(Debug)]
pub struct Terms {
    /// What it is.
    pub role: Role,
    /// What it speaks.
    pub offer: Offer,
    /// As a server: its host keys, one for each algorithm offered.
    pub host_keys: Vec<Arc<Signer>>,
    /// A peer without strict key exchange is refused where that opens the connection to prefix
    /// truncation (Terrapin).
    pub strict_required: bool,
    /// Bytes in either direction after which weir asks for new keys.
    pub rekey_bytes: u64,
}

impl Terms {
    fn signer(&self, algorithm: Algorithm) -> Option<&Signer> {
        let kind = algorithm.signature.kind();
        self.host_keys.iter().map(AsRef::as_ref).find(|signer| signer.kind() == kind)
    }
}

/// One step of taking in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Everything was taken in; more bytes are needed.
    Need,
    /// The server proved that it has [`Transport::host_key`]. Nothing goes on until
    /// [`Transport::trust`].
    HostKey,
    /// The first exchange is over: the layers above may speak.
    Ready,
    /// A message for the layers above, in [`Transport::message`]; DISCONNECT is one.
    Message(Range<usize>),
}

/// What the peer said in its EXT_INFO (RFC 8308).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Algorithms of clients' signatures that a server takes.
    pub signature_algorithms: Option<String>,
    /// The server knows `publickey-hostbound-v00@openssh.com`.
    pub hostbound: bool,
    /// EXT_INFOs so far.
    count: u8,
}

/// One connection.
#[derive(Debug)]
pub struct Transport {
    terms: Arc<Terms>,
    stage: Stage,
    inbound: Inbound,
    outbound: Outbound,
    out: Vec<u8>,
    /// Answers to PINGs that came while weir may not send them.
    pongs: Vec<Vec<u8>>,
    pongs_bytes: usize,
    their_version: String,
    /// What a server said before it.
    greeting_bytes: usize,
    their_extensions: Extensions,
    session_id: Option<Vec<u8>>,
    host_key: Vec<u8>,
    suites: Option<Chosen>,
    strict: bool,
    wants_ext_info: bool,
    logged_in: bool,
    /// When the exchange under way began, or the last one ended.
    since_us: u64,
    /// Exchanges that the peer may still ask for without having moved bytes.
    exchanges_left: u32,
    exchanges_us: u64,
    exchanges: u64,
}

#[derive(Debug)]
enum Stage {
    Hello { own_init: Vec<u8> },
    Offered { own_init: Vec<u8> },
    Asked { share: Share, terms: Agreed },
    Proven { fresh: Fresh },
    Invited { terms: Agreed, drop_guess: bool },
    Switching { inbound: Keys, first: bool },
    Steady,
    Closed(Broken),
}

/// What both KEXINITs came to.
#[derive(Debug)]
struct Agreed {
    chosen: Chosen,
    inits: Pair<Vec<u8>>,
}

/// Keys of an exchange that are not in use yet.
#[derive(Debug)]
struct Fresh {
    inbound: Keys,
    outbound: Keys,
    first: bool,
}

impl Transport {
    /// Opens a connection: weir's version and KEXINIT are the first output, because some clients
    /// wait for them.
    ///
    /// # Errors
    /// `Own` without random bytes.
    pub fn new(terms: Arc<Terms>, now_us: u64) -> Result<Transport, Broken> {
        let own_init = terms.offer.write(terms.role, cookie()?, true);
        let mut out = version::OWN.as_bytes().to_vec();
        out.extend_from_slice(b"\r\n");
        let mut outbound = Outbound::default();
        outbound.seal(&own_init, &mut out);
        Ok(Transport {
            terms,
            stage: Stage::Hello { own_init },
            inbound: Inbound::default(),
            outbound,
            out,
            pongs: Vec::new(),
            pongs_bytes: 0,
            their_version: String::new(),
            greeting_bytes: 0,
            their_extensions: Extensions::default(),
            session_id: None,
            host_key: Vec::new(),
            suites: None,
            strict: false,
            wants_ext_info: false,
            logged_in: false,
            since_us: now_us,
            exchanges_left: SSH_EXCHANGES_BURST,
            exchanges_us: now_us,
            exchanges: 0,
        })
    }

    /// Adds bytes of the peer; then [`Transport::next`] until it needs more.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.inbound.feed(bytes);
    }

    /// Takes the next step.
    ///
    /// # Errors
    /// Why the connection cannot go on; a DISCONNECT that says so is the last output.
    pub fn next(&mut self, now_us: u64) -> Result<Step, Broken> {
        if let Stage::Closed(cause) = self.stage {
            return Err(cause);
        }
        self.advance(now_us).inspect_err(|cause| self.close(*cause))
    }

    fn advance(&mut self, now_us: u64) -> Result<Step, Broken> {
        loop {
            match &self.stage {
                Stage::Hello { .. } => {
                    if self.terms.role == Role::Client && self.is_greeted()? {
                        return Ok(Step::Need);
                    }
                    let Some((text, bytes)) = version::parse(self.inbound.rest())? else {
                        return Ok(Step::Need);
                    };
                    self.their_version = text.to_owned();
                    self.inbound.skip(bytes);
                    let stage = std::mem::replace(&mut self.stage, Stage::Steady);
                    let Stage::Hello { own_init } = stage else { return Err(Broken::Own) };
                    self.stage = Stage::Offered { own_init };
                }
                Stage::Proven { .. } => return Ok(Step::Need),
                Stage::Steady if self.is_stale(now_us) => self.start_exchange(now_us)?,
                _ => {
                    let bytes_max = if self.logged_in {
                        SSH_PACKET_BYTES_MAX
                    } else {
                        SSH_LOGIN_PACKET_BYTES_MAX
                    };
                    let Some(place) = self.inbound.next(bytes_max)? else { return Ok(Step::Need) };
                    if self.inbound.volume().0 > u64::from(u32::MAX) {
                        return Err(Broken::Exhausted);
                    }
                    if let Some(step) = self.take(place, now_us)? {
                        return Ok(step);
                    }
                }
            }
        }
    }

    /// The message of a step; it stays until the next step.
    pub fn message(&self, place: &Range<usize>) -> &[u8] {
        self.inbound.payload(place)
    }

    /// Whether messages of the layers above may be sealed now.
    pub const fn may_send(&self) -> bool {
        self.session_id.is_some() && matches!(self.stage, Stage::Steady | Stage::Switching { .. })
    }

    /// Whether the peer has more to say that it cannot, or that has not come whole: new keys are
    /// agreed on, or a packet is cut.
    pub fn is_behind(&self) -> bool {
        !self.may_send() || self.inbound.is_cut()
    }

    /// Seals a message onto the output.
    ///
    /// # Panics
    /// If it may not be sent now, which is the caller's to ask.
    pub fn send(&mut self, message: &[u8]) {
        assert!(self.may_send(), "a message between KEXINIT and NEWKEYS");
        self.outbound.seal(message, &mut self.out);
    }

    /// Sealed bytes for the peer.
    pub fn output(&self) -> &[u8] {
        &self.out
    }

    /// The peer's socket took this many bytes of the output.
    pub fn sent(&mut self, count: usize) {
        self.out.drain(..count.min(self.out.len()));
    }

    /// Takes the output.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Drops the lines that a server says before its version; whether the end of one is missing.
    fn is_greeted(&mut self) -> Result<bool, Broken> {
        while let Some(bytes) = version::greeting(self.inbound.rest()) {
            self.greeting_bytes += bytes;
            self.inbound.skip(bytes);
            if self.greeting_bytes > version::GREETING_BYTES_MAX {
                return Err(Broken::Version);
            }
        }
        let rest = self.inbound.rest();
        let open = version::greets(rest);
        if open && self.greeting_bytes + rest.len() > version::GREETING_BYTES_MAX {
            return Err(Broken::Version);
        }
        Ok(open)
    }

    /// Tells the peer that its last message is not understood (RFC 4253 section 11.4).
    pub fn unimplemented(&mut self) {
        let mut message = vec![number::UNIMPLEMENTED];
        message.put_u32(self.inbound.last_sequence());
        self.outbound.seal(&message, &mut self.out);
    }

    /// Says goodbye; nothing is sent or taken after it.
    pub fn disconnect(&mut self, reason: u32, text: &str) {
        if matches!(self.stage, Stage::Closed(_)) {
            return;
        }
        let mut message = vec![number::DISCONNECT];
        message.put_u32(reason).put_string(text.as_bytes()).put_string(b"");
        self.outbound.seal(&message, &mut self.out);
        self.stage = Stage::Closed(Broken::Order);
    }

    fn close(&mut self, cause: Broken) {
        // A peer that does not speak SSH is told nothing but weir's own version.
        if cause != Broken::Version {
            self.disconnect(cause.reason(), cause.text());
        }
        self.stage = Stage::Closed(cause);
    }

    /// The hash of the first exchange, which names the connection.
    pub fn session_id(&self) -> &[u8] {
        self.session_id.as_deref().unwrap_or(&[])
    }

    /// The host key of the connection, as it stands in messages; a certificate if
    /// [`Transport::suites`] says so.
    pub fn host_key(&self) -> &[u8] {
        &self.host_key
    }

    /// What was chosen in the last exchange.
    pub const fn suites(&self) -> Option<&Chosen> {
        self.suites.as_ref()
    }

    /// The peer's version.
    pub fn their_version(&self) -> &str {
        &self.their_version
    }

    /// What the peer said in its EXT_INFO.
    pub const fn their_extensions(&self) -> &Extensions {
        &self.their_extensions
    }

    /// Whether sequence numbers start again with each exchange.
    pub const fn is_strict(&self) -> bool {
        self.strict
    }

    /// Whether somebody between the peers could have taken the first messages of the connection
    /// away (Terrapin, CVE-2023-48795).
    pub fn is_truncatable(&self) -> bool {
        let exposed = |chosen: &Chosen| {
            chosen.from_client.is_truncatable() || chosen.from_server.is_truncatable()
        };
        !self.strict && self.suites.as_ref().is_some_and(exposed)
    }

    /// Exchanges that were finished.
    pub const fn exchanges(&self) -> u64 {
        self.exchanges
    }

    /// The login is over: packets may be larger.
    pub const fn logged_in(&mut self) {
        self.logged_in = true;
    }

    /// The owner knows the host key: the exchange goes on.
    ///
    /// # Errors
    /// `Untrusted` if not.
    pub fn trust(&mut self, known: bool) -> Result<(), Broken> {
        match std::mem::replace(&mut self.stage, Stage::Closed(Broken::Untrusted)) {
            Stage::Proven { fresh } if known => {
                self.switch(fresh);
                Ok(())
            }
            stage => {
                self.stage = stage;
                self.close(Broken::Untrusted);
                Err(Broken::Untrusted)
            }
        }
    }

    /// When [`Transport::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<u64> {
        match self.stage {
            Stage::Steady => Some(self.since_us + SSH_REKEY_AGE_US),
            Stage::Closed(_) => None,
            _ => Some(self.since_us + SSH_EXCHANGE_TIMEOUT_US),
        }
    }

    /// Asks for new keys when the present ones are old; ends an exchange that takes too long.
    ///
    /// # Errors
    /// `Order` if the peer does not go on with an exchange.
    pub fn handle_timeout(&mut self, now_us: u64) -> Result<(), Broken> {
        if self.next_timeout().is_none_or(|at| now_us < at) {
            return Ok(());
        }
        let done = match self.stage {
            Stage::Steady => self.start_exchange(now_us),
            _ => Err(Broken::Order),
        };
        done.inspect_err(|cause| self.close(*cause))
    }

    /// Whether new keys are due.
    fn is_stale(&self, now_us: u64) -> bool {
        let used = |(packets, bytes): (u64, u64)| {
            packets >= SSH_REKEY_PACKETS || bytes >= self.terms.rekey_bytes
        };
        used(self.inbound.volume())
            || used(self.outbound.volume())
            || now_us >= self.since_us + SSH_REKEY_AGE_US
    }

    /// Asks for new keys if they are due; to be called when much was sent.
    ///
    /// # Errors
    /// `Own` without random bytes.
    pub fn renew(&mut self, now_us: u64) -> Result<(), Broken> {
        if matches!(self.stage, Stage::Steady) && self.is_stale(now_us) {
            self.start_exchange(now_us)?;
        }
        Ok(())
    }

    fn start_exchange(&mut self, now_us: u64) -> Result<(), Broken> {
        let own_init = self.terms.offer.write(self.terms.role, cookie()?, false);
        self.outbound.seal(&own_init, &mut self.out);
        self.since_us = now_us;
        self.stage = Stage::Offered { own_init };
        Ok(())
    }
}

/// Messages of the peer.
impl Transport {
    fn take(&mut self, place: Range<usize>, now_us: u64) -> Result<Option<Step>, Broken> {
        let message = *self.message(&place).first().ok_or(Broken::PacketShape)?;
        let first =
            self.session_id.is_none() || matches!(self.stage, Stage::Switching { first: true, .. });
        match message {
            number::DISCONNECT => Ok(Some(Step::Message(place))),
            number::IGNORE | number::DEBUG | number::UNIMPLEMENTED => {
                // In a strict first exchange nothing may stand between its messages.
                if first && self.strict { Err(Broken::Order) } else { Ok(None) }
            }
            number::KEXINIT => self.take_init(&place, now_us).map(|()| None),
            number::KEX_ECDH_INIT..=49 | number::NEWKEYS => self.take_exchange(&place, now_us),
            _ if !matches!(self.stage, Stage::Steady | Stage::Offered { .. }) || first => {
                Err(Broken::Order)
            }
            number::EXT_INFO => self.take_extensions(&place).map(|()| None),
            number::PING => self.take_ping(&place).map(|()| None),
            number::PONG => Err(Broken::Order),
            8..=29 => {
                self.unimplemented();
                Ok(None)
            }
            _ => Ok(Some(Step::Message(place))),
        }
    }

    fn take_init(&mut self, place: &Range<usize>, now_us: u64) -> Result<(), Broken> {
        if matches!(self.stage, Stage::Steady) {
            self.count_exchange(now_us)?;
            self.start_exchange(now_us)?;
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Closed(Broken::Order));
        let Stage::Offered { own_init } = stage else { return Err(Broken::Order) };
        let terms = Arc::clone(&self.terms);
        let payload = self.message(place).to_vec();
        let theirs = KexInit::parse(&payload)?;
        let chosen = terms.offer.choose(terms.role, &theirs)?;
        if self.session_id.is_none() {
            self.strict = theirs.is_strict(terms.role);
            self.wants_ext_info = theirs.wants_ext_info(terms.role);
            // Its KEXINIT is the first packet of a strict peer (PROTOCOL 1.10).
            if self.strict && self.inbound.last_sequence() != 0 {
                return Err(Broken::Order);
            }
        }
        self.suites = Some(chosen);
        if terms.strict_required && self.is_truncatable() {
            return Err(Broken::NotStrict);
        }
        self.stage = match terms.role {
            Role::Server => Stage::Invited {
                terms: Agreed { chosen, inits: Pair { client: payload, server: own_init } },
                drop_guess: chosen.drop_guess,
            },
            Role::Client => {
                let share = Share::new(chosen.method)?;
                let mut init = vec![number::KEX_ECDH_INIT];
                init.put_string(&share.public);
                self.outbound.seal(&init, &mut self.out);
                let inits = Pair { client: own_init, server: payload };
                Stage::Asked { share, terms: Agreed { chosen, inits } }
            }
        };
        Ok(())
    }

    /// An exchange is free if bytes were moved since the last one; else a peer has a few.
    fn count_exchange(&mut self, now_us: u64) -> Result<(), Broken> {
        let stranger = self.terms.role == Role::Server && !self.logged_in;
        if stranger && self.exchanges > SSH_LOGIN_EXCHANGES_MAX {
            return Err(Broken::Flood);
        }
        let moved = self.inbound.volume().1 + self.outbound.volume().1;
        if moved >= SSH_REKEY_FREE_BYTES {
            return Ok(());
        }
        let earned = now_us.saturating_sub(self.exchanges_us) / 1_000_000;
        if earned > 0 {
            let left = u64::from(self.exchanges_left) + earned;
            self.exchanges_left = left.min(u64::from(SSH_EXCHANGES_BURST)) as u32;
            self.exchanges_us = now_us;
        }
        self.exchanges_left = self.exchanges_left.checked_sub(1).ok_or(Broken::Flood)?;
        Ok(())
    }

    fn take_exchange(&mut self, place: &Range<usize>, now_us: u64) -> Result<Option<Step>, Broken> {
        let payload = self.message(place).to_vec();
        let message = payload.first().copied();
        match std::mem::replace(&mut self.stage, Stage::Closed(Broken::Order)) {
            Stage::Invited { terms, drop_guess: true } if message != Some(number::NEWKEYS) => {
                self.stage = Stage::Invited { terms, drop_guess: false };
                Ok(None)
            }
            Stage::Invited { terms, .. } if message == Some(number::KEX_ECDH_INIT) => {
                let fresh = self.answer_share(&terms, &payload)?;
                self.switch(fresh);
                Ok(None)
            }
            Stage::Asked { share, terms } if message == Some(number::KEX_ECDH_REPLY) => {
                let fresh = self.take_reply(share, &terms, &payload)?;
                if fresh.first {
                    self.stage = Stage::Proven { fresh };
                    return Ok(Some(Step::HostKey));
                }
                self.switch(fresh);
                Ok(None)
            }
            Stage::Switching { inbound, first } if payload == [number::NEWKEYS] => {
                self.inbound.rekey(inbound, self.strict);
                self.stage = Stage::Steady;
                self.since_us = now_us;
                self.exchanges += 1;
                Ok(first.then_some(Step::Ready))
            }
            _ => Err(Broken::Order),
        }
    }

    /// Server: the client's share is answered, and the answer is signed.
    fn answer_share(&mut self, agreed: &Agreed, payload: &[u8]) -> Result<Fresh, Broken> {
        let mut fields = Fields::new(payload);
        fields.u8()?;
        let theirs = fields.string()?;
        fields.end()?;
        let terms = Arc::clone(&self.terms);
        let signer = terms.signer(agreed.chosen.host_key).ok_or(Broken::Own)?;
        let (own, secret) = answer(agreed.chosen.method, theirs)?;
        let transcript = Transcript {
            versions: Pair {
                client: self.their_version.as_bytes(),
                server: version::OWN.as_bytes(),
            },
            inits: Pair { client: &agreed.inits.client, server: &agreed.inits.server },
            host_key: signer.blob(),
            shares: Pair { client: theirs, server: &own },
        };
        let hash = transcript.hash(agreed.chosen.method, &secret);
        let signature = signer.sign(agreed.chosen.host_key.signature, &hash)?;
        let mut reply = vec![number::KEX_ECDH_REPLY];
        reply.put_string(signer.blob()).put_string(&own).put_string(&signature);
        self.outbound.seal(&reply, &mut self.out);
        self.host_key = signer.blob().to_vec();
        self.fresh_keys(agreed, &secret, hash)
    }

    /// Client: the server's share and its proof.
    fn take_reply(
        &mut self,
        share: Share,
        agreed: &Agreed,
        payload: &[u8],
    ) -> Result<Fresh, Broken> {
        let mut fields = Fields::new(payload);
        fields.u8()?;
        let (host_key, theirs, signature) = (fields.string()?, fields.string()?, fields.string()?);
        fields.end()?;
        let algorithm = agreed.chosen.host_key;
        let key = if algorithm.certified {
            Certificate::parse(host_key)?.key
        } else {
            PublicKey::parse(host_key)?
        };
        let own = share.public.clone();
        let secret = share.finish(theirs)?;
        let transcript = Transcript {
            versions: Pair {
                client: version::OWN.as_bytes(),
                server: self.their_version.as_bytes(),
            },
            inits: Pair { client: &agreed.inits.client, server: &agreed.inits.server },
            host_key,
            shares: Pair { client: &own, server: theirs },
        };
        let hash = transcript.hash(agreed.chosen.method, &secret);
        key.verify(algorithm.signature, &hash, signature)?;
        if self.session_id.is_none() {
            self.host_key = host_key.to_vec();
        } else if self.host_key != host_key {
            // What the owner trusts is the key of the first exchange.
            return Err(Broken::HostKey);
        }
        self.fresh_keys(agreed, &secret, hash)
    }

    fn fresh_keys(
        &mut self,
        agreed: &Agreed,
        secret: &super::kex::Secret,
        hash: Vec<u8>,
    ) -> Result<Fresh, Broken> {
        let first = self.session_id.is_none();
        let session_id = self.session_id.get_or_insert_with(|| hash.clone());
        let method = agreed.chosen.method;
        let derivation = Derivation { method, secret, hash: &hash, session_id };
        // The letters of RFC 4253 section 7.2: first counter, key, MAC key of each direction.
        let letter = |purpose: u8, letters: [u8; 3]| match purpose {
            b'I' => letters[0],
            b'K' => letters[1],
            _ => letters[2],
        };
        let from_client = Keys::new(agreed.chosen.from_client, |purpose, count| {
            derivation.key(letter(purpose, *b"ACE"), count)
        })?;
        let from_server = Keys::new(agreed.chosen.from_server, |purpose, count| {
            derivation.key(letter(purpose, *b"BDF"), count)
        })?;
        Ok(match self.terms.role {
            Role::Client => Fresh { inbound: from_server, outbound: from_client, first },
            Role::Server => Fresh { inbound: from_client, outbound: from_server, first },
        })
    }

    /// Says NEWKEYS, and what waited for it.
    fn switch(&mut self, fresh: Fresh) {
        self.outbound.seal(&[number::NEWKEYS], &mut self.out);
        self.outbound.rekey(fresh.outbound, self.strict);
        if fresh.first && self.wants_ext_info {
            self.outbound.seal(&own_extensions(), &mut self.out);
        }
        for pong in std::mem::take(&mut self.pongs) {
            self.outbound.seal(&pong, &mut self.out);
        }
        self.pongs_bytes = 0;
        self.stage = Stage::Switching { inbound: fresh.inbound, first: fresh.first };
    }

    fn take_extensions(&mut self, place: &Range<usize>) -> Result<(), Broken> {
        let mut found = Extensions { count: self.their_extensions.count + 1, ..Default::default() };
        // One after the first exchange, and one before USERAUTH_SUCCESS (RFC 8308 section 2.4).
        if found.count > 2 || self.logged_in {
            return Err(Broken::Order);
        }
        let mut fields = Fields::new(self.message(place));
        fields.u8()?;
        for _ in 0..fields.u32()? {
            let (name, value) = (fields.string()?, fields.string()?);
            match name {
                b"server-sig-algs" => {
                    let value = String::from_utf8(value.to_vec()).map_err(|_| Broken::Fields)?;
                    found.signature_algorithms = Some(value);
                }
                b"publickey-hostbound@openssh.com" => found.hostbound = value == b"0",
                _ => {}
            }
        }
        fields.end()?;
        self.their_extensions = found;
        Ok(())
    }

    /// PING is transport: it is answered here, with its data (PROTOCOL 1.9).
    fn take_ping(&mut self, place: &Range<usize>) -> Result<(), Broken> {
        let mut fields = Fields::new(self.message(place));
        fields.u8()?;
        let mut pong = vec![number::PONG];
        pong.put_string(fields.string()?);
        fields.end()?;
        if self.may_send() {
            self.outbound.seal(&pong, &mut self.out);
            return Ok(());
        }
        self.pongs_bytes += pong.len();
        if self.pongs_bytes > SSH_PONGS_BYTES_MAX {
            return Err(Broken::Flood);
        }
        self.pongs.push(pong);
        Ok(())
    }
}

/// The EXT_INFO of weir as a server. `ssh-rsa` is SHA-1 and not in it.
fn own_extensions() -> Vec<u8> {
    let names = SignatureAlgorithm::ALL.map(|algorithm| Algorithm::plain(algorithm).name());
    let mut message = vec![number::EXT_INFO];
    message.put_u32(3);
    message.put_string(b"server-sig-algs").put_names(names);
    message.put_string(b"publickey-hostbound@openssh.com").put_string(b"0");
    message.put_string(b"ping@openssh.com").put_string(b"0");
    message
}

fn cookie() -> Result<[u8; 16], Broken> {
    let mut cookie = [0; 16];
    SystemRandom::new().fill(&mut cookie).map_err(|_| Broken::Own)?;
    Ok(cookie)
}

#[cfg(test)]
mod tests;
