//! Which fields of a head go on to the other peer, in either direction and version.
//!
//! In: a head, and what the session wants of it. Out: the fields that pass, in order.
//! Never: a field between two neighbours, a client's word on who it is, a door past weir.

use super::check;
use super::head::{Field, Head, Line};
use super::name::{Fate, Name};

/// What passes, beyond what the table of names says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pass<'p> {
    /// The target keeps the client's own credentials.
    pub credentials: bool,
    /// Fields that do not pass, by name; case is ignored.
    pub without: &'p [&'p [u8]],
}

impl Pass<'_> {
    /// The fields of `head` that pass, in order.
    pub fn fields<'h>(&'h self, head: &'h Head) -> impl Iterator<Item = &'h Field> {
        let named = Named::of(head);
        head.fields().iter().filter(move |field| self.passes(head, field, named))
    }

    /// The names of the fields that do not pass, in order.
    pub fn dropped<'h>(&'h self, head: &'h Head) -> impl Iterator<Item = &'h [u8]> {
        let named = Named::of(head);
        head.fields()
            .iter()
            .filter(move |field| !self.passes(head, field, named))
            .map(|field| head.bytes(field.name))
    }

    fn passes(&self, head: &Head, field: &Field, named: Named) -> bool {
        let fate = match head.line() {
            Line::Request { .. } => field.known.in_request(),
            Line::Status(_) => field.known.in_answer(),
            // RFC 9110 6.5.1: only what cannot change how the message is understood.
            Line::Trailers if field.known.is_trailer() => Fate::Pass,
            Line::Trailers => Fate::Drop,
        };
        let passes = match fate {
            Fate::Pass | Fate::Add => true,
            Fate::Credential => self.credentials,
            Fate::Drop | Fate::Own => false,
        };
        if !passes {
            return false;
        }
        let name = head.bytes(field.name);
        let is = |other: &&[u8]| name.eq_ignore_ascii_case(other);
        if self.without.iter().any(is) {
            return false;
        }
        named == Named::None || !head.values(Name::Connection).flat_map(check::list).any(|n| is(&n))
    }
}

/// Whether `Connection` names fields that the table does not drop anyway.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    None,
    Some,
}

impl Named {
    fn of(head: &Head) -> Named {
        let is_other = |name: &[u8]| Name::of(name) == Name::Other && !is_option(name);
        let mut named = head.values(Name::Connection).flat_map(check::list);
        if named.any(is_other) { Named::Some } else { Named::None }
    }
}

/// Whether `Connection` names a field that is nobody's but the two ends': it would go no further.
pub fn names_others(head: &Head) -> bool {
    Named::of(head) == Named::Some
}

/// Whether it is an option of the connection, which is no field.
fn is_option(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"close")
}

/// Whether `Via` says that the request was here before (RFC 9110 7.6.3).
pub fn is_loop(head: &Head) -> bool {
    head.values(Name::Via).flat_map(check::list).any(|element| {
        let received_by =
            element.split(|byte| *byte == b' ').filter(|part| !part.is_empty()).nth(1);
        received_by == Some(b"weir")
    })
}
