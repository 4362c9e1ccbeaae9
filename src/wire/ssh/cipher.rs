//! What seals and opens packets: one pair of keys for one direction, until the next exchange.
//!
//! In: a payload, or the bytes of a sealed packet. Out: a sealed packet, or its plaintext in place.
//! Never: a plaintext before its authentication (but for the length field, and for the first block
//! of the ciphers that seal the length and authenticate the plaintext).
//!
//! ```text
//!   +------------+-------------+---------+---------+-----+
//!   | length (4) | padding (1) | payload | padding | tag |     length counts padding(1) to padding
//!   +------------+-------------+---------+---------+-----+
//!     length: chacha20 seals it by a key of its own; aes-gcm and -etm authenticate it in clear;
//!     aes-ctr seals it with the rest
//! ```

use aes::cipher::{KeyIvInit, StreamCipher};
use ring::aead::chacha20_poly1305_openssh as chacha;
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;

use super::Broken;

/// The length field.
pub const LENGTH_BYTES: usize = 4;
/// The longest tag: HMAC-SHA-512.
const TAG_BYTES_MAX: usize = 64;
/// The least padding (RFC 4253 section 6).
const PADDING_BYTES_MIN: usize = 4;

/// Ciphers, in the order in which weir prefers them as a client of a target with AES in hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// AES-128 in Galois/counter mode (RFC 5647, names by OpenSSH).
    Aes128Gcm,
    /// AES-256 in Galois/counter mode.
    Aes256Gcm,
    /// ChaCha20 and Poly1305 in OpenSSH's form.
    ChaCha20Poly1305,
    /// AES-128 in counter mode, with a MAC.
    Aes128Ctr,
    /// AES-256 in counter mode, with a MAC.
    Aes256Ctr,
}

impl Cipher {
    /// All of them, as weir offers them to clients.
    pub const ALL: [Cipher; 5] = [
        Cipher::ChaCha20Poly1305,
        Cipher::Aes128Gcm,
        Cipher::Aes256Gcm,
        Cipher::Aes128Ctr,
        Cipher::Aes256Ctr,
    ];

    /// The name in a KEXINIT.
    pub const fn name(self) -> &'static str {
        match self {
            Cipher::Aes128Gcm => "aes128-gcm@openssh.com",
            Cipher::Aes256Gcm => "aes256-gcm@openssh.com",
            Cipher::ChaCha20Poly1305 => "chacha20-poly1305@openssh.com",
            Cipher::Aes128Ctr => "aes128-ctr",
            Cipher::Aes256Ctr => "aes256-ctr",
        }
    }

    /// Whether the cipher authenticates by itself, so that no MAC is chosen.
    pub const fn is_aead(self) -> bool {
        matches!(self, Cipher::Aes128Gcm | Cipher::Aes256Gcm | Cipher::ChaCha20Poly1305)
    }

    /// Bytes of the key and of the first counter that are derived for it.
    const fn material(self) -> (usize, usize) {
        match self {
            Cipher::Aes128Gcm => (16, NONCE_LEN),
            Cipher::Aes256Gcm => (32, NONCE_LEN),
            Cipher::ChaCha20Poly1305 => (64, 0),
            Cipher::Aes128Ctr => (16, 16),
            Cipher::Aes256Ctr => (32, 16),
        }
    }
}

/// Message authentication codes of the ciphers in counter mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mac {
    /// HMAC-SHA-256 over the sealed packet.
    Sha256Etm,
    /// HMAC-SHA-512 over the sealed packet.
    Sha512Etm,
    /// HMAC-SHA-256 over the plaintext.
    Sha256,
    /// HMAC-SHA-512 over the plaintext.
    Sha512,
}

impl Mac {
    /// All of them, in order of preference.
    pub const ALL: [Mac; 4] = [Mac::Sha256Etm, Mac::Sha512Etm, Mac::Sha256, Mac::Sha512];

    /// The name in a KEXINIT.
    pub const fn name(self) -> &'static str {
        match self {
            Mac::Sha256Etm => "hmac-sha2-256-etm@openssh.com",
            Mac::Sha512Etm => "hmac-sha2-512-etm@openssh.com",
            Mac::Sha256 => "hmac-sha2-256",
            Mac::Sha512 => "hmac-sha2-512",
        }
    }

    /// Whether it covers the sealed packet.
    pub const fn is_etm(self) -> bool {
        matches!(self, Mac::Sha256Etm | Mac::Sha512Etm)
    }

    const fn bytes(self) -> usize {
        match self {
            Mac::Sha256Etm | Mac::Sha256 => 32,
            Mac::Sha512Etm | Mac::Sha512 => 64,
        }
    }

    fn key(self, material: &[u8]) -> hmac::Key {
        match self {
            Mac::Sha256Etm | Mac::Sha256 => hmac::Key::new(hmac::HMAC_SHA256, material),
            Mac::Sha512Etm | Mac::Sha512 => hmac::Key::new(hmac::HMAC_SHA512, material),
        }
    }
}

/// A cipher, and a MAC if it needs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite {
    /// The cipher.
    pub cipher: Cipher,
    /// The MAC; without meaning if the cipher is an AEAD.
    pub mac: Mac,
}

impl Suite {
    /// Whether packets can be taken away from the front of a connection without strict key exchange
    /// (CVE-2023-48795).
    pub const fn is_truncatable(self) -> bool {
        match self.cipher {
            Cipher::ChaCha20Poly1305 => true,
            Cipher::Aes128Gcm | Cipher::Aes256Gcm => false,
            Cipher::Aes128Ctr | Cipher::Aes256Ctr => self.mac.is_etm(),
        }
    }
}

/// Keys of one direction. Sealing and opening differ by the functions that are called.
pub enum Keys {
    /// Before the first exchange.
    Clear,
    /// ChaCha20-Poly1305: the sequence number is the nonce.
    ChaCha(Box<(chacha::SealingKey, chacha::OpeningKey)>),
    /// AES-GCM with the nonce of the next packet.
    Gcm(Box<LessSafeKey>, [u8; NONCE_LEN]),
    /// AES-CTR and a MAC.
    Ctr(Box<Ctr>),
}

/// The key stream of one direction, and its MAC.
pub struct Ctr {
    stream: Stream,
    mac: Mac,
    mac_key: hmac::Key,
}

enum Stream {
    Aes128(ctr::Ctr128BE<aes::Aes128>),
    Aes256(ctr::Ctr128BE<aes::Aes256>),
}

impl Stream {
    fn apply(&mut self, bytes: &mut [u8]) {
        match self {
            Stream::Aes128(stream) => stream.apply_keystream(bytes),
            Stream::Aes256(stream) => stream.apply_keystream(bytes),
        }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Keys::Clear => "Clear",
            Keys::ChaCha(_) => "ChaCha",
            Keys::Gcm(..) => "Gcm",
            Keys::Ctr(_) => "Ctr",
        })
    }
}

impl Keys {
    /// Makes the keys of a direction; `derive` gives bytes for what they are: `b'I'` first counter,
    /// `b'K'` key, `b'M'` MAC key.
    ///
    /// # Errors
    /// `Own` if a key has not the length that its cipher takes, which would be a bug.
    pub fn new(suite: Suite, mut derive: impl FnMut(u8, usize) -> Vec<u8>) -> Result<Keys, Broken> {
        let (key_bytes, counter_bytes) = suite.cipher.material();
        let key = derive(b'K', key_bytes);
        let counter = derive(b'I', counter_bytes);
        let gcm = |algorithm| UnboundKey::new(algorithm, &key).map(LessSafeKey::new);
        let stream = match suite.cipher {
            Cipher::ChaCha20Poly1305 => {
                let key = key.first_chunk().ok_or(Broken::Own)?;
                let pair = (chacha::SealingKey::new(key), chacha::OpeningKey::new(key));
                return Ok(Keys::ChaCha(Box::new(pair)));
            }
            Cipher::Aes128Gcm | Cipher::Aes256Gcm => {
                let aes128 = suite.cipher == Cipher::Aes128Gcm;
                let algorithm = if aes128 { &AES_128_GCM } else { &AES_256_GCM };
                let key = gcm(algorithm).map_err(|_| Broken::Own)?;
                let nonce = *counter.first_chunk().ok_or(Broken::Own)?;
                return Ok(Keys::Gcm(Box::new(key), nonce));
            }
            Cipher::Aes128Ctr => KeyIvInit::new_from_slices(&key, &counter).map(Stream::Aes128),
            Cipher::Aes256Ctr => KeyIvInit::new_from_slices(&key, &counter).map(Stream::Aes256),
        };
        let stream = stream.map_err(|_| Broken::Own)?;
        let mac_key = suite.mac.key(&derive(b'M', suite.mac.bytes()));
        Ok(Keys::Ctr(Box::new(Ctr { stream, mac: suite.mac, mac_key })))
    }

    /// Bytes behind the packet.
    pub fn tag_bytes(&self) -> usize {
        match self {
            Keys::Clear => 0,
            Keys::ChaCha(_) | Keys::Gcm(..) => 16,
            Keys::Ctr(ctr) => ctr.mac.bytes(),
        }
    }

    /// What packets are a multiple of, and whether their length field is counted in.
    const fn block(&self) -> (usize, bool) {
        match self {
            Keys::Clear => (8, true),
            Keys::ChaCha(_) => (8, false),
            Keys::Gcm(..) => (16, false),
            Keys::Ctr(ctr) => (16, !ctr.mac.is_etm()),
        }
    }

    /// Bytes at the start of a packet that must be there to know its length.
    pub fn head_bytes(&self) -> usize {
        if self.seals_length_in_stream() { 16 } else { LENGTH_BYTES }
    }

    fn seals_length_in_stream(&self) -> bool {
        matches!(self, Keys::Ctr(ctr) if !ctr.mac.is_etm())
    }

    /// Whether a packet may have this length.
    pub fn fits(&self, length: u32) -> bool {
        let (block, counts_length) = self.block();
        let counted = length as usize + if counts_length { LENGTH_BYTES } else { 0 };
        // The smallest packet has 16 bytes or a block, whichever is more (RFC 4253 section 6); with
        // an AEAD OpenSSH sends packets of one block without the length field.
        length as usize > PADDING_BYTES_MIN && counted.is_multiple_of(block)
    }

    /// The length of the packet at whose start `head` stands, with [`Keys::head_bytes`] of it. It
    /// is called once for each packet: a stream opens the first block in place.
    pub fn open_length(&mut self, sequence: u32, head: &mut [u8]) -> u32 {
        if let Keys::Ctr(ctr) = self
            && !ctr.mac.is_etm()
        {
            ctr.stream.apply(head);
        }
        let field = *head.first_chunk().expect("a head has a length field");
        u32::from_be_bytes(match self {
            Keys::ChaCha(pair) => pair.1.decrypt_packet_length(sequence, field),
            _ => field,
        })
    }

    /// Opens a whole packet, its tag included, in place.
    ///
    /// # Errors
    /// `Integrity` if the peer did not seal it so, in this place.
    pub fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), Broken> {
        let body_end = packet.len().checked_sub(self.tag_bytes()).ok_or(Broken::Integrity)?;
        match self {
            Keys::Clear => Ok(()),
            Keys::ChaCha(pair) => {
                let (sealed, tag) = packet.split_at_mut(body_end);
                let tag = tag.first_chunk().ok_or(Broken::Integrity)?;
                let opened = pair.1.open_in_place(sequence, sealed, tag);
                opened.map(|_| ()).map_err(|_| Broken::Integrity)
            }
            Keys::Gcm(key, counter) => {
                let (length, sealed) =
                    packet.split_first_chunk_mut::<LENGTH_BYTES>().ok_or(Broken::Integrity)?;
                let opened = key.open_in_place(next_nonce(counter), Aad::from(*length), sealed);
                opened.map(|_| ()).map_err(|_| Broken::Integrity)
            }
            Keys::Ctr(ctr) => {
                let (body, tag) = packet.split_at_mut(body_end);
                if ctr.mac.is_etm() {
                    ctr.verify(sequence, body, tag)?;
                    ctr.stream.apply(body.get_mut(LENGTH_BYTES..).unwrap_or(&mut []));
                    Ok(())
                } else {
                    ctr.stream.apply(body.get_mut(16..).unwrap_or(&mut []));
                    ctr.verify(sequence, body, tag)
                }
            }
        }
    }

    /// Seals a payload onto the end of `out`.
    ///
    /// Padding is zeros: it is sealed with the rest, and no cipher of ours needs it to be random.
    pub fn seal(&mut self, sequence: u32, payload: &[u8], out: &mut Vec<u8>) {
        let (block, counts_length) = self.block();
        let unpadded = 1 + payload.len() + if counts_length { LENGTH_BYTES } else { 0 };
        let mut padding = block - unpadded % block;
        // At least 4 bytes of padding, and 16 of packet (RFC 4253 section 6).
        while padding < PADDING_BYTES_MIN || unpadded + padding < 16 {
            padding += block;
        }
        let length = 1 + payload.len() + padding;
        let start = out.len();
        out.reserve(LENGTH_BYTES + length + TAG_BYTES_MAX);
        out.extend_from_slice(&(length as u32).to_be_bytes());
        out.push(padding as u8);
        out.extend_from_slice(payload);
        out.resize(out.len() + padding, 0);
        let packet = out.get_mut(start..).expect("the packet was just put there");
        let mut tag = [0u8; TAG_BYTES_MAX];
        let tag_bytes = self.seal_in_place(sequence, packet, &mut tag);
        out.extend_from_slice(tag.get(..tag_bytes).expect("no tag is longer than the longest"));
    }

    fn seal_in_place(
        &mut self,
        sequence: u32,
        packet: &mut [u8],
        tag: &mut [u8; TAG_BYTES_MAX],
    ) -> usize {
        match self {
            Keys::Clear => 0,
            Keys::ChaCha(pair) => {
                let tag = tag.first_chunk_mut().expect("room for sixteen bytes");
                pair.0.seal_in_place(sequence, packet, tag);
                16
            }
            Keys::Gcm(key, counter) => {
                let (length, body) =
                    packet.split_first_chunk_mut::<LENGTH_BYTES>().expect("a packet has a length");
                let made = key
                    .seal_in_place_separate_tag(next_nonce(counter), Aad::from(*length), body)
                    .expect("a packet is shorter than what GCM takes");
                tag.first_chunk_mut::<16>().expect("room").copy_from_slice(made.as_ref());
                16
            }
            Keys::Ctr(ctr) => {
                if ctr.mac.is_etm() {
                    ctr.stream.apply(packet.get_mut(LENGTH_BYTES..).unwrap_or(&mut []));
                    ctr.sign(sequence, packet, tag)
                } else {
                    let tag_bytes = ctr.sign(sequence, packet, tag);
                    ctr.stream.apply(packet);
                    tag_bytes
                }
            }
        }
    }
}

impl Ctr {
    fn sign(&self, sequence: u32, packet: &[u8], tag: &mut [u8; TAG_BYTES_MAX]) -> usize {
        let made = self.mac_of(sequence, packet);
        let made = made.as_ref();
        tag.get_mut(..made.len()).expect("no tag is longer").copy_from_slice(made);
        made.len()
    }

    fn verify(&self, sequence: u32, packet: &[u8], tag: &[u8]) -> Result<(), Broken> {
        let made = self.mac_of(sequence, packet);
        let made = made.as_ref();
        // Every byte is looked at, so that the time says nothing about where they differ.
        let different = made.iter().zip(tag).fold(0, |all, (one, other)| all | (one ^ other));
        let equal = made.len() == tag.len() && std::hint::black_box(different) == 0;
        if equal { Ok(()) } else { Err(Broken::Integrity) }
    }

    fn mac_of(&self, sequence: u32, packet: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.mac_key);
        context.update(&sequence.to_be_bytes());
        context.update(packet);
        context.sign()
    }
}

/// The nonce of this packet; the counter moves on to the next (RFC 5647 section 7.1).
fn next_nonce(counter: &mut [u8; NONCE_LEN]) -> Nonce {
    let nonce = Nonce::assume_unique_for_key(*counter);
    let (_, invocation) = counter.split_last_chunk_mut::<8>().expect("twelve bytes hold eight");
    *invocation = u64::from_be_bytes(*invocation).wrapping_add(1).to_be_bytes();
    nonce
}
