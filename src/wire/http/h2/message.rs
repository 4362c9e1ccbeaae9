//! Fields to heads: what RFC 9113 8 asks of a message, before anything of it is believed.
//!
//! In: the decoded fields of a block. Out: a head, or the reason for which it is refused.
//! Never: an error of the connection: one bad message must not end its neighbours.

use super::hpack::Fields;
use crate::limits::{HTTP_FIELDS_MAX, HTTP_TRAILER_BYTES_MAX, HTTP_TRAILERS_MAX};
use crate::wire::http::head::{Head, Span, Version};
use crate::wire::http::name::Name;
use crate::wire::http::{Refused, check};

/// The pseudo-headers of one block (8.3): each once, all in front.
#[derive(Default)]
struct Pseudo {
    method: Option<Span>,
    scheme: Option<Span>,
    authority: Option<Span>,
    path: Option<Span>,
    protocol: Option<Span>,
    status: Option<Span>,
}

/// Fills `head` with the fields of a block; pseudo-headers are kept apart.
fn fill(fields: &Fields, head: &mut Head) -> Result<Pseudo, Refused> {
    head.clear(Version::Http2);
    let mut pseudo = Pseudo::default();
    let mut in_front = true;
    for (name, value, never_indexed) in fields.iter() {
        // 8.2.1: such a value would be another one behind a parser that strips.
        if is_blank(value.first()) || is_blank(value.last()) {
            return Err(Refused::ValueBlank);
        }
        if name.first() == Some(&b':') {
            let slot = match name {
                b":method" => &mut pseudo.method,
                b":scheme" => &mut pseudo.scheme,
                b":authority" => &mut pseudo.authority,
                b":path" => &mut pseudo.path,
                b":protocol" => &mut pseudo.protocol,
                b":status" => &mut pseudo.status,
                _ => return Err(Refused::Pseudo),
            };
            if !in_front || slot.is_some() {
                return Err(Refused::Pseudo);
            }
            *slot = Some(head.append(value)?);
            continue;
        }
        in_front = false;
        if name.iter().any(u8::is_ascii_uppercase) {
            return Err(Refused::UpperCase);
        }
        let (its_name, its_value) = (head.append(name)?, head.append(value)?);
        let known = head.push(its_name, its_value, never_indexed)?;
        let is_trailers = known == Name::Te && value == b"trailers";
        if known.is_hop_by_hop() || (known == Name::Te && !is_trailers) {
            return Err(Refused::ConnectionField);
        }
    }
    // Checked last, so that what is malformed in the part that was kept is called so.
    if fields.is_over() {
        let is_count = fields.len() >= HTTP_FIELDS_MAX;
        return Err(if is_count { Refused::FieldCount } else { Refused::HeadBytes });
    }
    Ok(pseudo)
}

fn is_blank(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b' ' | b'\t'))
}

/// A request (8.3.1), and with `:protocol` an extended CONNECT (RFC 8441 4). `scheme` is what the
/// connection is: `https`, or `http`.
pub(super) fn request(fields: &Fields, scheme: &[u8], head: &mut Head) -> Result<(), Refused> {
    let pseudo = fill(fields, head)?;
    let (Some(method), None) = (pseudo.method, pseudo.status) else { return Err(Refused::Pseudo) };
    if pseudo.protocol.is_none() && head.bytes(method) == b"CONNECT" {
        return Err(Refused::Connect);
    }
    let (Some(its_scheme), Some(path)) = (pseudo.scheme, pseudo.path) else {
        return Err(Refused::Pseudo);
    };
    if head.bytes(its_scheme) != scheme {
        return Err(Refused::Scheme);
    }
    let authority = pseudo.authority.ok_or(Refused::HostMissing)?;
    check_host(head, authority)?;
    head.set_request(method, authority, path, pseudo.protocol)
}

/// `Host` may repeat `:authority` and nothing else (8.3.1).
fn check_host(head: &Head, authority: Span) -> Result<(), Refused> {
    let mut hosts = head.values(Name::Host);
    match (hosts.next(), hosts.next()) {
        (None, _) => Ok(()),
        (Some(host), None) if host == head.bytes(authority) => Ok(()),
        (Some(_), None) => Err(Refused::Authority),
        (Some(_), Some(_)) => Err(Refused::HostRepeated),
    }
}

/// An answer (8.3.2). 101 has no meaning here (8.6).
pub(super) fn answer(fields: &Fields, head: &mut Head) -> Result<u16, Refused> {
    let pseudo = fill(fields, head)?;
    let Pseudo { method: None, scheme: None, authority: None, path: None, protocol: None, status } =
        pseudo
    else {
        return Err(Refused::Pseudo);
    };
    let status = check::status(head.bytes(status.ok_or(Refused::Pseudo)?))?;
    if status == 101 {
        return Err(Refused::Status);
    }
    head.set_status(status);
    Ok(status)
}

/// Trailers (8.1): no pseudo-headers, few fields.
pub(super) fn trailers(fields: &Fields, head: &mut Head) -> Result<(), Refused> {
    let pseudo = fill(fields, head)?;
    let any = [
        pseudo.method,
        pseudo.scheme,
        pseudo.authority,
        pseudo.path,
        pseudo.protocol,
        pseudo.status,
    ];
    if any.iter().any(Option::is_some) {
        return Err(Refused::Pseudo);
    }
    if fields.len() > HTTP_TRAILERS_MAX || head.arena().len() > HTTP_TRAILER_BYTES_MAX {
        return Err(Refused::Trailer);
    }
    Ok(())
}
