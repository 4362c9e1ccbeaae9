//! Revoked certificates and keys: OpenSSH's key revocation lists (PROTOCOL.krl).
//!
//! In: a file. Out: whether it revokes a certificate. Never: a section that is passed over because
//! it is not understood; a list that is signed, whose signature nobody would look at.

use std::collections::HashSet;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use super::Broken;
use super::certificate::Certificate;
use super::fields::Fields;
use crate::limits::KRL_SERIALS_MAX;

const MAGIC: u64 = 0x5353_484b_524c_0a00;
const FORMAT: u32 = 1;

/// A list that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Krl {
    authorities: Vec<OfAuthority>,
    keys: HashSet<Vec<u8>>,
    sha1: HashSet<Vec<u8>>,
    sha256: HashSet<Vec<u8>>,
}

/// What is revoked of one CA's, or of every CA's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OfAuthority {
    /// Empty for every CA.
    key: Vec<u8>,
    /// First and last.
    serials: Vec<(u64, u64)>,
    key_ids: HashSet<String>,
}

impl Krl {
    /// Reads a list.
    ///
    /// # Errors
    /// `Fields` if it is none, or says what weir does not understand; `Flood` if it is too long.
    pub fn parse(bytes: &[u8]) -> Result<Krl, Broken> {
        let mut fields = Fields::new(bytes);
        if fields.u64()? != MAGIC || fields.u32()? != FORMAT {
            return Err(Broken::Fields);
        }
        // Version, date, flags, reserved, comment.
        for _ in 0..3 {
            fields.u64()?;
        }
        for _ in 0..2 {
            fields.string()?;
        }
        let mut krl = Krl::default();
        while !fields.rest().is_empty() {
            let (kind, section) = (fields.u8()?, fields.string()?);
            krl.section(kind, section)?;
        }
        Ok(krl)
    }

    fn section(&mut self, kind: u8, section: &[u8]) -> Result<(), Broken> {
        let fields = Fields::new(section);
        match kind {
            1 => self.authorities.push(OfAuthority::read(fields)?),
            2 => strings(fields, None, &mut self.keys)?,
            3 => strings(fields, Some(20), &mut self.sha1)?,
            5 => strings(fields, Some(32), &mut self.sha256)?,
            255 => extension(fields)?,
            _ => return Err(Broken::Fields),
        }
        Ok(())
    }

    /// Whether a certificate, its key or its CA is revoked.
    pub fn revokes(&self, certificate: &Certificate) -> bool {
        let of = |own: &OfAuthority| {
            (own.key.is_empty() || own.key == certificate.authority_blob)
                && own.revokes(certificate.serial, &certificate.key_id)
        };
        self.authorities.iter().any(of)
            || self.revokes_key(&certificate.key_blob)
            || self.revokes_key(&certificate.authority_blob)
    }

    /// Whether a plain key is revoked.
    pub fn revokes_key(&self, blob: &[u8]) -> bool {
        self.keys.contains(blob)
            || self.sha1.contains(digest(&SHA1_FOR_LEGACY_USE_ONLY, blob).as_ref())
            || self.sha256.contains(digest(&SHA256, blob).as_ref())
    }
}

impl OfAuthority {
    fn read(mut fields: Fields<'_>) -> Result<OfAuthority, Broken> {
        let mut own = OfAuthority { key: fields.string()?.to_vec(), ..OfAuthority::default() };
        fields.string()?;
        while !fields.rest().is_empty() {
            let kind = fields.u8()?;
            let mut section = Fields::new(fields.string()?);
            match kind {
                0x20 => {
                    while !section.rest().is_empty() {
                        let serial = section.u64()?;
                        own.serials.push((serial, serial));
                    }
                }
                0x21 => {
                    own.serials.push((section.u64()?, section.u64()?));
                    section.end()?;
                }
                0x22 => own.bitmap(section)?,
                0x23 => {
                    while !section.rest().is_empty() {
                        own.key_ids.insert(section.text()?.to_owned());
                    }
                }
                0x39 => extension(section)?,
                _ => return Err(Broken::Fields),
            }
            if own.serials.len() > KRL_SERIALS_MAX {
                return Err(Broken::Flood);
            }
        }
        own.serials.sort_unstable();
        Ok(own)
    }

    /// The lowest bit of the number is the first serial.
    fn bitmap(&mut self, mut section: Fields<'_>) -> Result<(), Broken> {
        let (first, bits) = (section.u64()?, section.string()?);
        section.end()?;
        for (index, byte) in bits.iter().rev().enumerate() {
            for bit in (0..8).filter(|bit| byte & (1 << bit) != 0) {
                let serial = first.checked_add(index as u64 * 8 + bit).ok_or(Broken::Fields)?;
                match self.serials.last_mut() {
                    Some(last) if last.1.checked_add(1) == Some(serial) => last.1 = serial,
                    _ => self.serials.push((serial, serial)),
                }
            }
            if self.serials.len() > KRL_SERIALS_MAX {
                return Err(Broken::Flood);
            }
        }
        Ok(())
    }

    fn revokes(&self, serial: u64, key_id: &str) -> bool {
        let listed = || self.serials.iter().any(|(first, last)| (*first..=*last).contains(&serial));
        // Zero is the serial of a CA that counts none (ssh-keygen(1), KEY REVOCATION LISTS).
        self.key_ids.contains(key_id) || (serial != 0 && listed())
    }
}

fn strings(
    mut fields: Fields<'_>,
    bytes: Option<usize>,
    into: &mut HashSet<Vec<u8>>,
) -> Result<(), Broken> {
    while !fields.rest().is_empty() {
        let string = fields.string()?;
        if bytes.is_some_and(|bytes| bytes != string.len()) {
            return Err(Broken::Fields);
        }
        into.insert(string.to_vec());
    }
    Ok(())
}

/// Name, whether it must be understood, contents.
fn extension(mut fields: Fields<'_>) -> Result<(), Broken> {
    fields.string()?;
    let critical = fields.bool()?;
    fields.string()?;
    fields.end()?;
    if critical { Err(Broken::Fields) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::certificate::UserGrant;
    use super::super::fields::Write as _;
    use super::super::signer::Signer;
    use super::*;

    fn list(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64(MAGIC).put_u32(FORMAT).put_u64(1).put_u64(2).put_u64(0);
        out.put_string(b"").put_string(b"comment");
        for (kind, section) in sections {
            out.put_u8(*kind).put_string(section);
        }
        out
    }

    fn of_authority(key: &[u8], parts: &[(u8, Vec<u8>)]) -> (u8, Vec<u8>) {
        let mut out = Vec::new();
        out.put_string(key).put_string(b"");
        for (kind, part) in parts {
            out.put_u8(*kind).put_string(part);
        }
        (1, out)
    }

    fn certificate(authority: &Signer, serial: u64) -> Certificate {
        let key = Signer::generate().expect("random bytes");
        let grant = UserGrant {
            key: &key,
            serial,
            key_id: "alice",
            principal: "root",
            after: 0,
            before: 9,
            critical: &[],
            extensions: &[],
        };
        Certificate::parse(&grant.sign(authority).expect("a key")).expect("a certificate")
    }

    fn string(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_string(bytes);
        out
    }

    fn numbers(numbers: &[u64]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    #[test]
    fn serials_key_ids_keys_and_digests_revoke() {
        let authority = Signer::generate().expect("random bytes");
        let other = Signer::generate().expect("random bytes");
        let seven = certificate(&authority, 7);
        let bitmap = [&numbers(&[5])[..], &string(&[0x01, 0x04])].concat();
        let digested = digest(&SHA256, &seven.key_blob);
        let cases: Vec<((u8, Vec<u8>), bool)> = vec![
            (of_authority(authority.blob(), &[(0x20, numbers(&[3, 7]))]), true),
            (of_authority(other.blob(), &[(0x20, numbers(&[7]))]), false),
            (of_authority(b"", &[(0x21, numbers(&[6, 8]))]), true),
            (of_authority(b"", &[(0x21, numbers(&[8, 9]))]), false),
            (of_authority(b"", &[(0x22, bitmap.clone())]), true),
            (of_authority(b"", &[(0x23, string(b"alice"))]), true),
            (of_authority(b"", &[(0x23, string(b"bob"))]), false),
            ((2, string(&seven.key_blob)), true),
            ((2, string(authority.blob())), true),
            ((2, string(other.blob())), false),
            ((5, string(digested.as_ref())), true),
            ((255, [&string(b"new")[..], &[0], &string(b"")].concat()), false),
        ];
        for (section, revoked) in cases {
            let krl = Krl::parse(&list(std::slice::from_ref(&section))).expect("a list");
            assert_eq!(krl.revokes(&seven), revoked, "{section:?}");
        }
        let all = of_authority(b"", &[(0x21, numbers(&[0, u64::MAX]))]);
        let krl = Krl::parse(&list(&[all])).expect("a list");
        assert!(!krl.revokes(&certificate(&authority, 0)), "zero is no serial");
        let krl = Krl::parse(&list(&[of_authority(b"", &[(0x22, bitmap)])])).expect("a list");
        let revoked: Vec<u64> =
            (1..20).filter(|serial| krl.revokes(&certificate(&authority, *serial))).collect();
        assert_eq!(revoked, [7, 13]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let critical = [&string(b"new")[..], &[1], &string(b"")].concat();
        for section in [
            (4, string(b"a signature")),
            (6, Vec::new()),
            (255, critical),
            (3, string(b"short")),
            of_authority(b"", &[(0x24, Vec::new())]),
            of_authority(b"", &[(0x20, vec![1])]),
        ] {
            assert!(Krl::parse(&list(std::slice::from_ref(&section))).is_err(), "{section:?}");
        }
        let whole = list(&[of_authority(b"", &[(0x20, numbers(&[3, 7]))])]);
        let ends = list(&[]).len();
        for length in 0..whole.len() {
            assert_eq!(Krl::parse(&whole[..length]).is_ok(), length == ends, "{length}");
        }
    }
}
