//! An answer under masks: what its head may say, and its content as it may leave.
//!
//! In: an answer of a target, the masks of its tenure. Out: fields and content that may leave.
//! Never: a byte that no mask could look into, unless the target's `opaque` names its type.
//!
//! ```text
//!   content of the target --> Listing (tools/list) --> Masker --> recorded --> client
//! ```

use std::rc::Rc;

use crate::config::settings::{HttpTarget, Speaks};
use crate::identify::glob::glob_bytes;
use crate::mask::Hits;
use crate::mask::body::{Masker, Plan, Rules, Shape};
use crate::wire::http::head::Head;
use crate::wire::http::name::{Fate, Name};
use crate::wire::http::pass::Pass;
use crate::wire::http::{Refused, check};

use super::listed::{Label, Listing};
use super::moved::Changed;
use super::veil::Secrets;

/// Changes the content of one answer.
#[derive(Debug, Default)]
pub(super) struct Lens {
    pub listing: Option<Listing>,
    masker: Option<Masker>,
    /// The head waits for the first content that may leave: what turns out to be unmaskable before
    /// is a refusal. That a stream of events has begun is said at once.
    pub waits: bool,
}

impl Lens {
    /// One that only masks.
    pub fn with(masker: Masker) -> Lens {
        Lens { listing: None, masker: Some(masker), waits: false }
    }

    /// For an answer that has content, as its head describes it. `None`: it passes untouched.
    ///
    /// # Errors
    /// It cannot be masked, so it must not be delivered.
    pub fn of(
        head: &Head,
        (masks, http): (&Rc<Rules>, &HttpTarget),
        is_list: bool,
    ) -> Result<Option<Lens>, Label> {
        let shape = Shape::of(head.only(Name::ContentType));
        let mut codings = head.values(Name::ContentEncoding).flat_map(check::list);
        let is_encoded = codings.any(|coding| !coding.eq_ignore_ascii_case(b"identity"));
        let in_passing = || {
            let streams = http.speaks == Speaks::Mcp && shape == Shape::Events && !is_encoded;
            streams.then(Listing::in_passing)
        };
        if masks.is_empty() && !is_list {
            let lens = |listing| Lens { listing: Some(listing), masker: None, waits: false };
            return Ok(in_passing().map(lens));
        }
        if head.status() == Some(206) {
            return Err("masking-partial");
        }
        if is_encoded {
            return Err("masking-encoded");
        }
        if head.values(Name::ContentType).count() > 1 {
            return Err("masking-type");
        }
        let kind = head.only(Name::ContentType);
        let masker = match masks.plan(shape) {
            Plan::Pass => None,
            Plan::Paths if shape == Shape::Text && may_pass(kind, http) => {
                Masker::new(Rc::new(masks.searching()), Shape::Text)
            }
            Plan::Scan | Plan::Paths => {
                Some(Masker::new(Rc::clone(masks), shape).ok_or("masking-type")?)
            }
            Plan::Opaque if !may_pass(kind, http) || is_list => return Err("masking-type"),
            Plan::Opaque if shape == Shape::Prose => {
                Masker::new(Rc::new(masks.searching()), Shape::Prose)
            }
            Plan::Opaque => return Ok(None),
        };
        let waits = masker.is_some() && shape != Shape::Events;
        let listing = match is_list {
            true => Some(Listing::new(shape == Shape::Events)),
            false => in_passing(),
        };
        Ok(Some(Lens { listing, masker, waits }))
    }

    /// Takes in content and returns what may leave.
    ///
    /// # Errors
    /// Nothing more may leave.
    pub fn push(
        &mut self,
        data: &[u8],
        keep: &dyn Fn(&[u8]) -> bool,
        hits: &mut Hits,
    ) -> Result<Vec<u8>, Label> {
        let listed = match &mut self.listing {
            Some(listing) => Some(listing.push(data, keep)?),
            None => None,
        };
        let data = listed.as_deref().unwrap_or(data);
        let Some(masker) = &mut self.masker else { return Ok(data.to_vec()) };
        let mut out = Vec::with_capacity(data.len());
        masker.push(data, &mut out, hits).map_err(|why| why.label())?;
        Ok(out)
    }

    /// The content is over: the rest of it.
    ///
    /// # Errors
    /// The rest must not leave.
    pub fn finish(
        &mut self,
        keep: &dyn Fn(&[u8]) -> bool,
        hits: &mut Hits,
    ) -> Result<Vec<u8>, Label> {
        let rest = match &mut self.listing {
            Some(listing) => listing.finish(keep)?,
            None => Vec::new(),
        };
        let Some(masker) = &mut self.masker else { return Ok(rest) };
        let mut out = Vec::with_capacity(rest.len());
        masker.push(&rest, &mut out, hits).map_err(|why| why.label())?;
        masker.finish(&mut out, hits).map_err(|why| why.label())?;
        Ok(out)
    }
}

/// Whether the target's `opaque` names this type.
fn may_pass(kind: Option<&[u8]>, http: &HttpTarget) -> bool {
    let kind = kind.unwrap_or(&[]).split(|byte| *byte == b';').next().unwrap_or(&[]);
    let kind = kind.trim_ascii().to_ascii_lowercase();
    http.opaque.iter().any(|pattern| glob_bytes(pattern.as_bytes(), &kind))
}

/// Fields that say something of content as it is at the target, or promise parts of it: whatever
/// has the word of a digest or of a length in its name (`X-Ms-Blob-Content-MD5`, `X-Linked-Etag`).
pub(super) fn dropped(head: &Head) -> impl Iterator<Item = &[u8]> {
    let tells = |word: &[u8]| {
        let starts =
            |start: &[u8]| word.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start));
        let is = |other: &[u8]| word.eq_ignore_ascii_case(other);
        DIGESTS.iter().any(|digest| starts(digest)) || is(b"hash") || is(b"ranges") || is(b"range")
    };
    let measures = |name: &[u8]| {
        let at = name.len().checked_sub(b"content-length".len());
        at.and_then(|at| name.get(at..))
            .is_some_and(|it| it.eq_ignore_ascii_case(b"content-length"))
    };
    head.named()
        .filter(move |(which, name, _)| {
            *which != Name::ContentLength
                && (measures(name) || name.split(|byte| *byte == b'-').any(tells))
        })
        .map(|(_, name, _)| name)
}

/// How words begin that name a digest.
const DIGESTS: [&[u8]; 8] =
    [b"md5", b"sha1", b"sha2", b"sha5", b"crc", b"digest", b"etag", b"checksum"];

/// Fields of a request that ask for content which no mask could look into.
pub(super) const NOT_ASKED: [&[u8]; 6] = [
    b"accept-encoding",
    b"range",
    b"if-range",
    b"want-repr-digest",
    b"want-content-digest",
    b"want-digest",
];

/// Fields that ask whether content has a tag: 304 and 412 would tell whoever computes the tag of a
/// guess that it is right. `*` asks whether there is any content.
pub(super) fn conditions(head: &Head) -> impl Iterator<Item = &[u8]> {
    let asks = |name: &[u8]| {
        let ends = |end: &[u8]| {
            let from = name.len().checked_sub(end.len());
            from.and_then(|from| name.get(from..)).is_some_and(|it| it.eq_ignore_ascii_case(end))
        };
        // RFC 9110 13.1; WebDAV's `If` (RFC 4918 10.4); `x-amz-copy-source-if-match`,
        // `x-goog-if-generation-match` and their kin. A date is no guess of content.
        let is_if = |word: &[u8]| word.eq_ignore_ascii_case(b"if");
        name.split(|byte| *byte == b'-').any(is_if) && !ends(b"-since") && !ends(b"if-range")
    };
    head.named()
        .filter(move |(_, name, value)| asks(name) && value.trim_ascii() != b"*")
        .map(|(_, name, _)| name)
}

/// Under masks a change that depends on a tag cannot be sent without it, and not with it either.
///
/// # Errors
/// `Condition`.
pub(super) fn check_conditions(head: &Head) -> Result<(), Refused> {
    let is_read = matches!(head.method(), b"GET" | b"HEAD");
    match !is_read && conditions(head).next().is_some() {
        true => Err(Refused::Condition),
        false => Ok(()),
    }
}

/// Fields of a read that have the target compare what it would say with what the client guesses: no
/// client has a validator from weir there, which drops them.
pub(super) const NOT_COMPARED: [&[u8]; 4] =
    [b"if-none-match", b"if-match", b"if-modified-since", b"if-unmodified-since"];

/// A field as it was sent: name, value, and what takes the value's place.
type Field<'h> = (&'h [u8], &'h [u8], Option<Vec<u8>>);

/// The fields of an answer that are changed: those that name the target's host already are, in
/// `moved`; in all others what detectors find is replaced. Fields of one name stay together.
pub(super) fn fields<'h>(
    head: &'h Head,
    moved: Vec<Changed<'h>>,
    masks: &Rules,
    hits: &mut Hits,
) -> Vec<Changed<'h>> {
    let mut changed = moved;
    for (name, value) in &mut changed {
        if !is_own(Name::of(name))
            && let Some(masked) = masks.field(&shown(name), value, hits)
        {
            *value = masked;
        }
    }
    let known: Vec<&[u8]> = changed.iter().map(|(name, _)| *name).collect();
    let is_known = |name: &[u8]| known.iter().any(|known| known.eq_ignore_ascii_case(name));
    let mut masked: Vec<Field<'h>> = Vec::new();
    for (which, name, value) in head.named() {
        if !is_own(which) && !is_known(name) {
            masked.push((name, value, masks.field(&shown(name), value, hits)));
        }
    }
    for (name, value, new) in &masked {
        let same = |other: &[u8]| other.eq_ignore_ascii_case(name);
        if masked.iter().any(|(other, _, new)| new.is_some() && same(other)) {
            changed.push((name, new.clone().unwrap_or_else(|| value.to_vec())));
        }
    }
    changed
}

/// The same, and fields that show the target's credential without it.
pub(super) fn without_secrets<'h>(
    head: &'h Head,
    mut changed: Vec<Changed<'h>>,
    secrets: &Secrets,
) -> Vec<Changed<'h>> {
    if secrets.is_empty() {
        return changed;
    }
    for (_, value) in &mut changed {
        if let Some(hidden) = secrets.hide(value) {
            *value = hidden;
        }
    }
    let known: Vec<&[u8]> = changed.iter().map(|(name, _)| *name).collect();
    let shows = head.named().filter(|(_, _, value)| secrets.hide(value).is_some());
    let shown: Vec<&[u8]> = shows.map(|(_, name, _)| name).collect();
    for (which, name, value) in head.named() {
        let is_in = |names: &[&[u8]]| names.iter().any(|other| other.eq_ignore_ascii_case(name));
        if passes(which) && is_in(&shown) && !is_in(&known) {
            changed.push((name, secrets.hide(value).unwrap_or_else(|| value.to_vec())));
        }
    }
    changed
}

/// Trailers as they may leave: without what masks hide, and without the target's credential.
pub(super) fn trailers(head: Head, masks: &Rules, secrets: &Secrets, hits: &mut Hits) -> Head {
    let changed = match masks.is_empty() {
        true => Vec::new(),
        false => fields(&head, Vec::new(), masks, hits),
    };
    let changed = without_secrets(&head, changed, secrets);
    if changed.is_empty() && telling(&head, secrets).next().is_none() {
        return head;
    }
    let is_changed = |name: &[u8]| changed.iter().any(|(it, _)| it.eq_ignore_ascii_case(name));
    let kept = head.named().filter(|(_, name, _)| !is_changed(name) && !secrets.is_named(name));
    let kept = kept.map(|(_, name, value)| (name, value));
    let changed = changed.iter().filter(|(name, _)| !secrets.is_named(name));
    let changed = changed.map(|(name, value)| (*name, value.as_slice()));
    let mut new = Head::default();
    for (name, value) in kept.chain(changed) {
        let spans = new.append(name).and_then(|name| Ok((name, new.append(value)?)));
        if spans.and_then(|(name, value)| new.push(name, value, false)).is_err() {
            return Head::default();
        }
    }
    new
}

/// What the row of an answer says of its trailers.
pub(super) fn told(trailers: &Head) -> serde_json::Map<String, serde_json::Value> {
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut told = serde_json::Map::new();
    for passed in Pass::default().fields(trailers) {
        let (name, value) = (trailers.bytes(passed.name), trailers.bytes(passed.value));
        let name = words(name).to_ascii_lowercase();
        let value = match told.remove(&name) {
            Some(serde_json::Value::String(before)) => format!("{before}, {}", words(value)),
            _ => words(value),
        };
        told.insert(name, value.into());
    }
    told
}

/// What weir writes itself, and what is the client's own secret.
fn is_own(name: Name) -> bool {
    name == Name::SetCookie || !passes(name)
}

/// Whether a field goes on. What proxies of the target say in `Via` does, before weir's own.
fn passes(name: Name) -> bool {
    matches!(name.in_answer(), Fate::Pass | Fate::Add)
}

/// Fields that show the target's credential in their names: they go no further.
pub(super) fn telling<'h>(head: &'h Head, secrets: &Secrets) -> impl Iterator<Item = &'h [u8]> {
    let names = head.named().map(|(_, name, _)| name);
    names.filter(|name| !secrets.is_empty() && secrets.is_named(name))
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Operator;
    use crate::mask::detect::{Detector, Detectors};
    use crate::wire::http::h1::HeadReader;
    use crate::wire::http::h1::read::Kind;

    fn head(fields: &str) -> Head {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        let (mut reader, mut head) = (HeadReader::default(), Head::default());
        let read = reader.next(&mut text.as_bytes(), &mut head, Kind::Answer);
        assert_eq!(read, Ok(true), "{text}");
        head
    }

    #[test]
    fn what_describes_the_original_is_dropped() {
        for name in ["x-ms-content-crc64", "X-CRC", "X-Crc32", "X-Linked-Etag", "Content-MD5"] {
            let head = head(&format!("{name}: 1\r\n"));
            assert_eq!(dropped(&head).collect::<Vec<_>>(), [name.as_bytes()], "{name}");
        }
        let head = head("X-Encrypted: 1\r\nContent-Type: a/b\r\n");
        assert_eq!(dropped(&head).count(), 0);
    }

    #[test]
    fn what_proxies_of_the_target_say_is_searched() {
        let email = Detectors::new([(Detector::Email, Operator::Redact)]);
        let rules = Rules::new(Vec::new(), std::rc::Rc::new(email));
        let head = head("Via: 1.1 bob@example.com\r\nSet-Cookie: a=bob@example.com\r\n");
        let changed = fields(&head, Vec::new(), &rules, &mut Hits::default());
        assert_eq!(changed, [(&b"Via"[..], b"1.1 [EMAIL]".to_vec())]);
    }
}
