//! What both sides speak: lists of names, and what is chosen from them (RFC 4253 section 7.1).
//!
//! In: the payload of a KEXINIT. Out: the algorithms of both directions, or the list without a
//! match. Never: compression, an algorithm that weir did not offer.

use super::cipher::{Cipher, Mac, Suite};
use super::derive::Pair;
use super::fields::{Fields, Names, Write};
use super::kex::Method;
use super::key::Algorithm;
use super::{Broken, Role, number};
use crate::limits::SSH_NAME_LIST_BYTES_MAX;

const STRICT_CLIENT: &str = "kex-strict-c-v00@openssh.com";
const STRICT_SERVER: &str = "kex-strict-s-v00@openssh.com";
const EXT_INFO_CLIENT: &str = "ext-info-c";
const COOKIE_BYTES: usize = 16;

/// Lists of a KEXINIT without which there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Methods of key exchange.
    Kex,
    /// Algorithms of host keys.
    HostKey,
    /// Ciphers.
    Cipher,
    /// Message authentication codes.
    Mac,
    /// Compression; only `none` is spoken.
    Compression,
}

impl List {
    /// What the peer is told.
    pub const fn no_match(self) -> &'static str {
        match self {
            List::Kex => "no matching key exchange method found",
            List::HostKey => "no matching host key type found",
            List::Cipher => "no matching cipher found",
            List::Mac => "no matching MAC found",
            List::Compression => "no matching compression found",
        }
    }
}

/// What weir offers on a connection.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Methods of key exchange.
    pub methods: Vec<Method>,
    /// Algorithms of host keys: what weir's keys can sign, or what it can verify.
    pub host_keys: Vec<Algorithm>,
    /// Ciphers.
    pub ciphers: Vec<Cipher>,
    /// MACs of the ciphers that need one.
    pub macs: Vec<Mac>,
}

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The method.
    pub method: Method,
    /// The host key's algorithm.
    pub host_key: Algorithm,
    /// What the client seals with.
    pub from_client: Suite,
    /// What the server seals with.
    pub from_server: Suite,
    /// The next packet of the peer is a guess that did not come true, and is dropped.
    pub drop_guess: bool,
}

impl Offer {
    /// The payload of weir's KEXINIT. The marks stand in the first one of a connection alone: they
    /// have no meaning in later ones.
    pub fn write(&self, role: Role, cookie: [u8; COOKIE_BYTES], first: bool) -> Vec<u8> {
        // A client wants to know which signatures the server takes. A server wants nothing.
        let marks = match (first, role) {
            (true, Role::Client) => &[EXT_INFO_CLIENT, STRICT_CLIENT][..],
            (true, Role::Server) => &[STRICT_SERVER],
            (false, _) => &[],
        };
        let methods = self.methods.iter().map(|method| method.name());
        let mut out = vec![number::KEXINIT];
        out.put_bytes(&cookie)
            .put_names(methods.chain(marks.iter().copied()))
            .put_names(self.host_keys.iter().map(|algorithm| algorithm.name()));
        for _ in 0..2 {
            out.put_names(self.ciphers.iter().map(|cipher| cipher.name()));
        }
        for _ in 0..2 {
            out.put_names(self.macs.iter().map(|mac| mac.name()));
        }
        for _ in 0..2 {
            out.put_names(["none"]);
        }
        // No languages, no guess, and the reserved word.
        out.put_string(b"").put_string(b"").put_bool(false).put_u32(0);
        out
    }

    /// Chooses from what weir and the peer offer: the first of the client's names that the server
    /// has, in each list.
    ///
    /// # Errors
    /// The first list without a match.
    pub fn choose(&self, role: Role, theirs: &KexInit<'_>) -> Result<Chosen, Broken> {
        let method = pick(role, &self.methods, Method::name, &theirs.methods, List::Kex)?;
        let host_key =
            pick(role, &self.host_keys, Algorithm::name, &theirs.host_keys, List::HostKey)?;
        let suite = |ciphers: &Names<'_>, macs: &Names<'_>| {
            let cipher = pick(role, &self.ciphers, Cipher::name, ciphers, List::Cipher)?;
            let mac = if cipher.is_aead() {
                Mac::Sha256Etm
            } else {
                pick(role, &self.macs, Mac::name, macs, List::Mac)?
            };
            Ok(Suite { cipher, mac })
        };
        let from_client = suite(&theirs.ciphers.client, &theirs.macs.client)?;
        let from_server = suite(&theirs.ciphers.server, &theirs.macs.server)?;
        if !theirs.compressions.client.has("none") || !theirs.compressions.server.has("none") {
            return Err(Broken::Negotiation(List::Compression));
        }
        // A guess is right if both sides prefer the same method and host key (section 7).
        let right = theirs.methods.first() == self.methods.first().map(|method| method.name())
            && theirs.host_keys.first() == self.host_keys.first().map(|key| key.name());
        let drop_guess = theirs.guess_follows && !right;
        Ok(Chosen { method, host_key, from_client, from_server, drop_guess })
    }
}

fn pick<T: Copy>(
    role: Role,
    own: &[T],
    name: fn(T) -> &'static str,
    theirs: &Names<'_>,
    list: List,
) -> Result<T, Broken> {
    let named = |wanted: &str| own.iter().copied().find(|item| name(*item) == wanted);
    let found = match role {
        Role::Server => theirs.iter().find_map(named),
        Role::Client => own.iter().copied().find(|item| theirs.has(name(*item))),
    };
    found.ok_or(Broken::Negotiation(list))
}

/// A peer's KEXINIT.
#[derive(Clone, Debug)]
pub struct KexInit<'b> {
    methods: Names<'b>,
    host_keys: Names<'b>,
    ciphers: Pair<Names<'b>>,
    macs: Pair<Names<'b>>,
    compressions: Pair<Names<'b>>,
    guess_follows: bool,
}

impl<'b> KexInit<'b> {
    /// Reads a payload, its number included.
    ///
    /// # Errors
    /// `Fields` if it is no KEXINIT, or one of its lists is too long.
    pub fn parse(payload: &'b [u8]) -> Result<KexInit<'b>, Broken> {
        let mut fields = Fields::new(payload);
        if fields.u8()? != number::KEXINIT {
            return Err(Broken::Fields);
        }
        fields.bytes(COOKIE_BYTES)?;
        let mut list = || fields.names(SSH_NAME_LIST_BYTES_MAX);
        let init = KexInit {
            methods: list()?,
            host_keys: list()?,
            ciphers: Pair { client: list()?, server: list()? },
            macs: Pair { client: list()?, server: list()? },
            compressions: Pair { client: list()?, server: list()? },
            guess_follows: {
                // Languages are of no use to weir.
                (list()?, list()?);
                fields.bool()?
            },
        };
        fields.u32()?;
        fields.end()?;
        Ok(init)
    }

    /// Whether the peer, which is not `role`, marks strict key exchange.
    pub fn is_strict(&self, role: Role) -> bool {
        self.methods.has(match role {
            Role::Client => STRICT_SERVER,
            Role::Server => STRICT_CLIENT,
        })
    }

    /// Whether the peer is a client that wants an EXT_INFO (RFC 8308 section 2.1).
    pub fn wants_ext_info(&self, role: Role) -> bool {
        role == Role::Server && self.methods.has(EXT_INFO_CLIENT)
    }
}
