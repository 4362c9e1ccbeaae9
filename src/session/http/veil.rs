//! The target's credential, where the target shows what it was sent: `*` for each of its bytes.
//!
//! In: content of an answer in any split. Out: content of the same length.
//! Never: a credential that weir keeps from its clients, in their hands or in the record.

use std::rc::Rc;

use memchr::memmem;

use crate::config::settings::Header;

/// Shorter ones are words that stand for something else, too.
const SECRET_BYTES_MIN: usize = 8;

/// What must not be shown.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    list: Vec<Vec<u8>>,
}

impl Secrets {
    /// What is secret of the fields that carry a target's credentials, of whichever role.
    pub fn of<'h>(headers: impl IntoIterator<Item = &'h Header>) -> Secrets {
        let mut list: Vec<Vec<u8>> = headers.into_iter().flat_map(Secrets::of_one).collect();
        list.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
        list.sort_unstable();
        list.dedup();
        Secrets { list }
    }

    /// A value without its scheme, and the password that `Basic` encodes.
    fn of_one(header: &Header) -> Vec<Vec<u8>> {
        use base64::Engine as _;
        let value = header.value.reveal().as_bytes();
        let mut list = Vec::new();
        let bare = match memchr::memchr(b' ', value) {
            Some(at) => value.get(at + 1..).unwrap_or(&[]),
            None => value,
        };
        let pair = base64::engine::general_purpose::STANDARD.decode(bare).ok();
        if let Some(pair) = pair.filter(|_| value.starts_with(b"Basic ")) {
            list.extend(
                memchr::memchr(b':', &pair).and_then(|at| Some(pair.get(at + 1..)?.to_vec())),
            );
        }
        list.push(bare.to_vec());
        list
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A text without them; `None` if there is none in it.
    pub fn hide(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut out: Option<Vec<u8>> = None;
        for secret in &self.list {
            for at in memmem::find_iter(text, secret) {
                let out = out.get_or_insert_with(|| text.to_vec());
                if let Some(place) = out.get_mut(at..at + secret.len()) {
                    place.fill(b'*');
                }
            }
        }
        out
    }

    /// Whether the name of a field has one, in any letters.
    pub fn is_named(&self, name: &[u8]) -> bool {
        let name = name.to_ascii_lowercase();
        self.list.iter().any(|it| memmem::find(&name, &it.to_ascii_lowercase()).is_some())
    }

    /// How many of the last bytes may be the beginning of one.
    fn begun(&self, text: &[u8]) -> usize {
        let begun = |secret: &Vec<u8>| {
            let most = text.len().min(secret.len() - 1);
            let is = |count: &usize| text.ends_with(secret.get(..*count).unwrap_or(&[]));
            (1..=most).rev().find(is).unwrap_or(0)
        };
        self.list.iter().map(begun).max().unwrap_or(0)
    }
}

/// Looks through the content of one answer.
#[derive(Debug)]
pub(super) struct Veil {
    secrets: Rc<Secrets>,
    /// What may be the beginning of a secret.
    held: Vec<u8>,
}

impl Veil {
    /// `None`: there is no secret.
    pub fn new(secrets: &Rc<Secrets>) -> Option<Veil> {
        (!secrets.is_empty()).then(|| Veil { secrets: Rc::clone(secrets), held: Vec::new() })
    }

    /// What may leave of the content now; `None`: these bytes, as they are.
    pub fn push(&mut self, bytes: &[u8], is_last: bool) -> Option<Vec<u8>> {
        let joined = match self.held.is_empty() {
            true => None,
            false => {
                let mut joined = std::mem::take(&mut self.held);
                joined.extend_from_slice(bytes);
                Some(joined)
            }
        };
        let text = joined.as_deref().unwrap_or(bytes);
        let hidden = self.secrets.hide(text);
        let seen = hidden.as_deref().unwrap_or(text);
        let begun = if is_last { 0 } else { self.secrets.begun(seen) };
        if begun == 0 {
            return hidden.or(joined);
        }
        let (now, later) = seen.split_at(seen.len() - begun);
        let now = now.to_vec();
        self.held = later.to_vec();
        Some(now)
    }

    /// The content is over: what was kept is no secret.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::settings::Secret;

    fn secrets(value: &str) -> Rc<Secrets> {
        let value = Secret::new(value.to_owned());
        Rc::new(Secrets::of(Some(&Header { name: "Authorization".into(), value })))
    }

    #[test]
    fn a_credential_is_hidden_however_it_is_cut() {
        // "user:pass-word"
        for (value, hidden) in [
            ("Bearer abab-abac", vec!["abab-abac"]),
            ("plain-key-1", vec!["plain-key-1"]),
            ("Basic dXNlcjpwYXNzLXdvcmQ=", vec!["dXNlcjpwYXNzLXdvcmQ=", "pass-word"]),
        ] {
            let text = format!("x{0}y{0}{1}", hidden[0], hidden[hidden.len() - 1]);
            let whole = secrets(value).hide(text.as_bytes()).expect("it is there");
            assert!(hidden.iter().all(|it| memmem::find(&whole, it.as_bytes()).is_none()));
            for at in 0..=text.len() {
                let mut veil = Veil::new(&secrets(value)).expect("a secret");
                let (first, second) = text.as_bytes().split_at(at);
                let mut out = veil.push(first, false).unwrap_or_else(|| first.to_vec());
                out.extend(veil.push(second, false).unwrap_or_else(|| second.to_vec()));
                out.extend(veil.finish());
                assert_eq!(out, whole, "{value} cut at {at}");
            }
        }
        assert!(Veil::new(&secrets("Bearer short")).is_none());
        assert!(Veil::new(&Rc::new(Secrets::of(None))).is_none());
    }

    proptest! {
        #[test]
        fn nothing_else_changes(pieces in prop::collection::vec("[ab-]{0,12}", 0..8)) {
            let whole = pieces.concat();
            let mut veil = Veil::new(&secrets("Bearer abab-abab")).expect("a secret");
            let mut out = Vec::new();
            for piece in &pieces {
                let bytes = piece.as_bytes();
                out.extend(veil.push(bytes, false).unwrap_or_else(|| bytes.to_vec()));
            }
            out.extend(veil.finish());
            prop_assert_eq!(out.len(), whole.len());
            prop_assert!(memmem::find(&out, b"abab-abab").is_none());
            let same = |(new, old): (&u8, &u8)| new == old || *new == b'*';
            prop_assert!(out.iter().zip(whole.as_bytes()).all(same));
        }
    }
}
