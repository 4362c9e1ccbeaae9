//! Names of the fields that a request's content has, as far as one of them names another method.
//!
//! In: the type of the content, the content in any split. Out: nothing, or the reason to refuse it.
//! Never: content changed; more of it kept than one name, or the head of one part.
//!
//! Rails, Laravel, Symfony, Spring and ASP.NET carry out a POST as the method that a field of its
//! form says (`_method=DELETE`). Rules are asked about the method of the request line, so such a
//! field is refused, however its name is written:
//!
//! ```text
//!   Pairs   a form, and what has no type: names up to `=`, decoded
//!   Parts   multipart: names of Content-Disposition; parts that two readers cut differently
//!           are refused
//!   Keys    JSON: keys of the outermost object
//! ```

use super::check::is_token;
use super::head::Head;
use super::name::Name;
use super::refused::Refused;
use crate::hex;
use crate::limits::{HTTP_BOUNDARY_BYTES_MAX, HTTP_PART_HEAD_BYTES_MAX};

/// Names that say another method, folded.
const OVERRIDES: [&[u8]; 4] =
    [b"_method", b"x_http_method_override", b"x_http_method", b"x_method_override"];
/// The longest of them, and one byte more to tell a longer name by.
const NAME_BYTES_MAX: usize = 23;

/// Looks through the content of one request.
#[derive(Debug)]
pub enum Scan {
    /// A form.
    Pairs(Pairs),
    /// Parts of a message.
    Parts(Parts),
    /// JSON.
    Keys(Keys),
    /// JSON that is packed: nobody here reads its keys.
    Packed,
}

impl Scan {
    /// What looks through the content of this request; `None` if no field of it can name a method.
    ///
    /// # Errors
    /// `ContentForm`: its type can be read in several ways.
    pub fn of(request: &Head) -> Result<Option<Scan>, Refused> {
        if request.method() != b"POST" {
            return Ok(None);
        }
        let mut types = request.values(Name::ContentType);
        let (kind, more) = (types.next().unwrap_or(&[]), types.next());
        if more.is_some() {
            return Err(Refused::ContentForm);
        }
        let kind = kind.to_ascii_lowercase();
        let mut parameters = kind.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parameters.next().unwrap_or(&[]);
        // PHP (`SAPI.c`, `sapi_read_post_data`) ends a type at a comma and a blank, too, Rack at a
        // comma (`MediaType.type`): they see a form where others see none.
        if !name.split(|byte| *byte == b'/').all(|part| part.is_empty() || is_token(part)) {
            return Err(Refused::ContentForm);
        }
        // Rack takes content without a type for a form.
        let is_form = matches!(name, b"" | b"application/x-www-form-urlencoded");
        let is_parts = name.starts_with(b"multipart/");
        if !is_form && !is_parts {
            return json(name, parameters, request);
        }
        if is_coded(request) {
            return Err(Refused::ContentForm);
        }
        let mut boundary = None;
        for parameter in parameters.filter(|parameter| !parameter.is_empty()) {
            let (name, value) = split(parameter, b'=').ok_or(Refused::ContentForm)?;
            let value = unquoted(value);
            match name {
                b"charset" if is_latin(value) => {}
                // Its letters are as they were written, which `kind` has folded.
                b"boundary" if is_parts && boundary.is_none() && is_boundary(value) => {
                    boundary = Some(value.len());
                }
                _ => return Err(Refused::ContentForm),
            }
        }
        match (is_parts, boundary) {
            (false, _) => Ok(Some(Scan::Pairs(Pairs::of(request.method())))),
            (true, Some(_)) => {
                let written = request.only(Name::ContentType).unwrap_or(&[]);
                let boundary = boundary_of(written).ok_or(Refused::ContentForm)?;
                Ok(Some(Scan::Parts(Parts::new(boundary))))
            }
            (true, None) => Err(Refused::ContentForm),
        }
    }

    /// Looks at the next bytes of the content.
    ///
    /// # Errors
    /// `MethodOverride`, `ContentForm`.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        match self {
            Scan::Pairs(pairs) => pairs.push(bytes),
            Scan::Parts(parts) => parts.push(bytes),
            Scan::Keys(keys) => keys.push(bytes),
            Scan::Packed => Ok(()),
        }
    }
}

/// JSON in a charset in which its keys cannot be read is no JSON to weir, and is to others:
/// body-parser of Express decodes UTF-16 and UTF-32, and inflates what is packed (`read.js`).
fn json<'k>(
    name: &[u8],
    mut parameters: impl Iterator<Item = &'k [u8]>,
    request: &Head,
) -> Result<Option<Scan>, Refused> {
    let is_json = matches!(name, b"application/json" | b"text/json") || name.ends_with(b"+json");
    if !is_json {
        return Ok(None);
    }
    let is_other = |parameter: &[u8]| match split(parameter, b'=') {
        Some((name, value)) if name.trim_ascii() == b"charset" => {
            !is_latin(unquoted(value.trim_ascii()))
        }
        // Some find it within another one, or behind a sign that others do not part by.
        _ => memchr::memmem::find(parameter, b"charset").is_some(),
    };
    match (parameters.any(is_other), is_coded(request)) {
        (true, _) => Err(Refused::ContentForm),
        (false, true) => Ok(Some(Scan::Packed)),
        (false, false) => Ok(Some(Scan::Keys(Keys::default()))),
    }
}

/// Whether the content is packed.
fn is_coded(request: &Head) -> bool {
    let mut codings = request.values(Name::ContentEncoding);
    codings.any(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// Charsets in which letters and signs of ASCII are the bytes of ASCII.
fn is_latin(charset: &[u8]) -> bool {
    matches!(
        charset,
        b"utf-8" | b"utf8" | b"us-ascii" | b"ascii" | b"iso-8859-1" | b"latin1" | b"windows-1252"
    )
}

/// RFC 2046 5.1.1, without the comma and the blank, by which some readers end a value.
fn is_boundary(value: &[u8]) -> bool {
    let is = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_-./:=?".contains(byte);
    !value.is_empty() && value.len() <= HTTP_BOUNDARY_BYTES_MAX && value.iter().all(is)
}

/// Content of several parts without its boundary, which clients make anew for each request.
#[derive(Debug)]
pub struct Several<'c> {
    /// What stands before and behind the boundary in `Content-Type`.
    pub kind: (&'c [u8], &'c [u8]),
    /// What stands between the boundaries of the content.
    pub pieces: Vec<&'c [u8]>,
}

impl<'c> Several<'c> {
    /// `None`: there are no parts, or the boundary stands where it parts nothing, so that another
    /// one in its place would be another content.
    pub fn of(request: &'c Head, content: &'c [u8]) -> Option<Several<'c>> {
        let kind = request.only(Name::ContentType)?;
        if !kind.get(..10)?.eq_ignore_ascii_case(b"multipart/") {
            return None;
        }
        let boundary = boundary_of(kind).filter(|boundary| is_boundary(boundary))?;
        let mut named = memchr::memmem::find_iter(kind, boundary);
        let (at, more) = (named.next()?, named.next());
        if more.is_some() {
            return None;
        }
        let mut pieces = Vec::new();
        let mut from = 0;
        for at in memchr::memmem::find_iter(content, boundary) {
            // RFC 2046 5.1.1: a line of two dashes and the boundary; two more behind the last one.
            let piece = content.get(from..at)?;
            let is_line = piece.ends_with(b"\r\n--") || (at == 2 && piece == b"--");
            from = at + boundary.len();
            let behind = content.get(from..)?;
            if !is_line || !(behind.starts_with(b"\r\n") || behind.starts_with(b"--")) {
                return None;
            }
            pieces.push(piece);
        }
        pieces.push(content.get(from..)?);
        let (before, behind) = (kind.get(..at)?, kind.get(at + boundary.len()..)?);
        (pieces.len() > 1).then_some(Several { kind: (before, behind), pieces })
    }
}

fn boundary_of(written: &[u8]) -> Option<&[u8]> {
    let mut parameters = written.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    parameters.find_map(|parameter| {
        let (name, value) = split(parameter, b'=')?;
        name.eq_ignore_ascii_case(b"boundary").then(|| unquoted(value))
    })
}

fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = memchr::memchr(at, bytes)?;
    Some((bytes.get(..place)?, bytes.get(place + 1..)?))
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

/// A name as it is read: PHP leaves blanks before it out, ends it at a NUL, and takes signs for
/// `_`; some frameworks do not tell upper case from lower. Rack leaves brackets in front out
/// (`normalize_params`), and so does `qs`: several signs there are one.
#[derive(Debug, Default)]
struct Spelling {
    folded: Vec<u8>,
    ended: bool,
}

impl Spelling {
    fn push(&mut self, byte: u8) {
        if self.ended || (self.folded.is_empty() && byte.is_ascii_whitespace()) {
            return;
        }
        if byte == 0 {
            self.ended = true;
        } else if self.folded.len() < NAME_BYTES_MAX {
            let is_plain = byte.is_ascii_alphanumeric();
            match is_plain {
                true => self.folded.push(byte.to_ascii_lowercase()),
                false if self.folded == b"_" => {}
                false => self.folded.push(b'_'),
            }
        }
    }

    /// The name is over.
    fn end(&mut self) -> Result<(), Refused> {
        let folded = std::mem::take(self).folded;
        // Blanks behind a name are not part of it to some.
        let blanks = folded.iter().rev().take_while(|byte| **byte == b'_').count();
        let bare = folded.get(..folded.len() - blanks).unwrap_or(&[]);
        let inner = bare.strip_prefix(b"_").unwrap_or(bare);
        match OVERRIDES.contains(&bare) || OVERRIDES.contains(&inner) {
            true => Err(Refused::MethodOverride),
            false => Ok(()),
        }
    }
}

/// Whether one of the names of a query, or of a form, says another method than `method`.
pub fn names_method(pairs: &[u8], method: &[u8]) -> bool {
    let mut scan = Pairs::of(method);
    scan.push(pairs).and_then(|()| scan.push(b"&")).is_err()
}

/// Names of a form, decoded as they come. A name counts once `=` or the next pair has ended it: a
/// form that ends in a name has no value for it. Forms of Rails and Laravel say the method of the
/// request itself, too; a value counts as soon as it is no beginning of that.
#[derive(Debug)]
pub struct Pairs {
    /// The request's own.
    method: Vec<u8>,
    name: Spelling,
    escape: Escape,
    at: At,
}

/// Which part of a pair is read.
#[derive(Debug)]
enum At {
    Name,
    Value,
    /// The value of a name that says a method: so many letters of the request's own came.
    Method(usize),
}

/// How much of an escape came: `%`, `%5`, and `%u005f` of ASP.NET.
#[derive(Debug, Default)]
enum Escape {
    #[default]
    None,
    Digits {
        came: Vec<u8>,
    },
}

impl Pairs {
    fn of(method: &[u8]) -> Pairs {
        let (name, escape) = (Spelling::default(), Escape::None);
        Pairs { method: method.to_vec(), name, escape, at: At::Name }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        for &byte in bytes {
            match (byte, &self.at) {
                (b'&' | b';', _) => self.end_pair()?,
                (_, At::Value) => {}
                (b'=', At::Name) => {
                    self.literal()?;
                    self.at = match self.name.end() {
                        Ok(()) => At::Value,
                        Err(_) => At::Method(0),
                    };
                }
                _ => self.letter(byte)?,
            }
        }
        Ok(())
    }

    fn end_pair(&mut self) -> Result<(), Refused> {
        self.literal()?;
        match std::mem::replace(&mut self.at, At::Name) {
            At::Name => self.name.end(),
            At::Value => Ok(()),
            At::Method(came) if came == self.method.len() => Ok(()),
            At::Method(_) => Err(Refused::MethodOverride),
        }
    }

    /// What began like an escape and is none stands for itself.
    fn literal(&mut self) -> Result<(), Refused> {
        if let Escape::Digits { came } = std::mem::take(&mut self.escape) {
            self.put(b'%')?;
            came.into_iter().try_for_each(|byte| self.put(byte))?;
        }
        Ok(())
    }

    /// A decoded byte of a name, or of the value that says a method.
    fn put(&mut self, byte: u8) -> Result<(), Refused> {
        match &mut self.at {
            At::Name => self.name.push(byte),
            At::Value => {}
            At::Method(came) => {
                let is_own =
                    self.method.get(*came).is_some_and(|own| own.eq_ignore_ascii_case(&byte));
                if !is_own {
                    return Err(Refused::MethodOverride);
                }
                *came += 1;
            }
        }
        Ok(())
    }

    fn letter(&mut self, byte: u8) -> Result<(), Refused> {
        match &mut self.escape {
            Escape::None if byte == b'%' => {
                self.escape = Escape::Digits { came: Vec::new() };
                Ok(())
            }
            Escape::None => self.put(if byte == b'+' { b' ' } else { byte }),
            Escape::Digits { came } => {
                let is_wide = came.first().is_some_and(|first| matches!(first, b'u' | b'U'));
                let is_start = came.is_empty() && matches!(byte, b'u' | b'U');
                if !is_start && hex::digit(byte).is_none() {
                    self.literal()?;
                    return self.letter(byte);
                }
                came.push(byte);
                let (skip, whole) = if is_wide || is_start { (1, 5) } else { (0, 2) };
                if came.len() < whole {
                    return Ok(());
                }
                let digits = came.iter().skip(skip).filter_map(|digit| hex::digit(*digit));
                let code = digits.fold(0u32, |code, digit| code << 4 | u32::from(digit));
                self.escape = Escape::None;
                self.put(u8::try_from(code).unwrap_or(b'?'))
            }
        }
    }
}

/// Parts of a message (RFC 2046 5.1.1), read so strictly that no reader cuts them elsewhere.
#[derive(Debug)]
pub struct Parts {
    /// Two dashes and the boundary.
    mark: Vec<u8>,
    /// What may become a mark, or the head of a part, behind `taken` bytes that were looked at.
    held: Vec<u8>,
    taken: usize,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing came.
    Start,
    /// Content of a part, or what stands before the first.
    Data,
    /// Behind a mark: a line end, or two dashes.
    Mark,
    /// The head of a part.
    Head,
    /// Behind the last part.
    Over,
}

impl Parts {
    fn new(boundary: &[u8]) -> Parts {
        let mark = [b"--", boundary].concat();
        Parts { mark, held: Vec::new(), taken: 0, place: Place::Start }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        self.held.extend_from_slice(bytes);
        while self.step()? {}
        self.held.drain(..self.taken);
        self.taken = 0;
        Ok(())
    }

    fn rest(&self) -> &[u8] {
        self.held.get(self.taken..).unwrap_or(&[])
    }

    /// Whether there is more to look at.
    fn step(&mut self) -> Result<bool, Refused> {
        match self.place {
            Place::Start | Place::Data | Place::Over => self.data(),
            Place::Mark => match self.rest().get(..2) {
                None => Ok(false),
                Some(b"\r\n") => Ok(self.go(Place::Head, 2)),
                Some(b"--") => Ok(self.go(Place::Over, 2)),
                // Another boundary that begins like this one.
                Some(_) => Err(Refused::ContentForm),
            },
            Place::Head => self.head(),
        }
    }

    fn go(&mut self, place: Place, taken: usize) -> bool {
        self.taken += taken;
        self.place = place;
        true
    }

    fn data(&mut self) -> Result<bool, Refused> {
        let rest = self.rest();
        let Some(at) = memchr::memmem::find(rest, &self.mark) else {
            // The start of a mark may be there, and the line end before it.
            let gone = rest.len().saturating_sub(self.mark.len() + 1);
            if gone > 0 {
                self.go(if self.place == Place::Start { Place::Data } else { self.place }, gone);
            }
            return Ok(false);
        };
        let before = rest.get(..at).unwrap_or(&[]);
        let is_first = self.place == Place::Start && before.is_empty();
        if self.place == Place::Over || !(is_first || before.ends_with(b"\r\n")) {
            return Err(Refused::ContentForm);
        }
        Ok(self.go(Place::Mark, at + self.mark.len()))
    }

    fn head(&mut self) -> Result<bool, Refused> {
        let rest = self.rest();
        let end = match rest.starts_with(b"\r\n") {
            true => Some(0),
            false => memchr::memmem::find(rest, b"\r\n\r\n").map(|at| at + 2),
        };
        let Some(end) = end else {
            return match rest.len() > HTTP_PART_HEAD_BYTES_MAX {
                true => Err(Refused::ContentForm),
                false => Ok(false),
            };
        };
        let head = rest.get(..end).unwrap_or(&[]);
        let mut dispositions = 0;
        for line in head.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line = line.strip_suffix(b"\r").ok_or(Refused::ContentForm)?;
            // A folded line, or one that ends where only some see an end.
            let is_bad = line.iter().any(|byte| matches!(byte, 0 | b'\r'));
            let (name, _) = split(line, b':').ok_or(Refused::ContentForm)?;
            if is_bad || !is_token(name) {
                return Err(Refused::ContentForm);
            }
            dispositions += named(line)?;
        }
        if dispositions > 1 {
            return Err(Refused::ContentForm);
        }
        // The line end of the empty line may belong to the mark of the next part.
        Ok(self.go(Place::Data, end))
    }
}

/// Looks at what a line of a part's head says of its name; returns how often it says so. Rack looks
/// for the names of these fields anywhere in a head (`MULTIPART_CONTENT_DISPOSITION`), and names a
/// part by its `Content-ID` that has no other name.
fn named(line: &[u8]) -> Result<usize, Refused> {
    const DISPOSITION: &[u8] = b"content-disposition:";
    const ID: &[u8] = b"content-id:";
    let lower = line.to_ascii_lowercase();
    let behind = |at: usize, field: &[u8]| line.get(at + field.len()..).unwrap_or(&[]);
    let mut count = 0;
    for at in memchr::memmem::find_iter(&lower, DISPOSITION) {
        count += 1;
        disposition(behind(at, DISPOSITION))?;
    }
    for at in memchr::memmem::find_iter(&lower, ID) {
        let mut name = Pairs::of(&[]);
        behind(at, ID).iter().try_for_each(|byte| name.letter(*byte))?;
        name.end_pair()?;
    }
    Ok(count)
}

/// Looks at whatever any reader could take for the name of the part: all places where `name` and an
/// equal sign stand, within quotes or not.
fn disposition(value: &[u8]) -> Result<(), Refused> {
    let lower = value.to_ascii_lowercase();
    for at in memchr::memmem::find_iter(&lower, b"name") {
        let is_part_of_a_word = at > 0
            && lower.get(at - 1).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let rest = lower.get(at + 4..).unwrap_or(&[]).trim_ascii_start();
        if is_part_of_a_word {
            continue;
        }
        // `name*=` (RFC 8187) and `name*0=` (RFC 2231) have a spelling of their own.
        if rest.starts_with(b"*") {
            return Err(Refused::ContentForm);
        }
        let Some(said) = rest.strip_prefix(b"=") else { continue };
        let said = said.trim_ascii_start();
        let said = said.strip_prefix(b"\"").or(said.strip_prefix(b"'")).unwrap_or(said);
        // A word of RFC 2047, which some decode.
        if said.starts_with(b"=?") {
            return Err(Refused::ContentForm);
        }
        let mut pairs = Pairs::of(&[]);
        for &byte in said {
            match byte {
                b'"' | b'\'' | b';' | b'&' | b'=' => break,
                b'\\' => {}
                _ => pairs.letter(byte)?,
            }
        }
        pairs.end_pair()?;
    }
    Ok(())
}

/// Keys of the outermost object of JSON. What is no JSON is none to its reader either.
#[derive(Debug, Default)]
pub struct Keys {
    depth: u32,
    text: Option<Text>,
    /// The text that ended last, if it may be a key.
    last: Option<Spelling>,
}

#[derive(Debug, Default)]
struct Text {
    name: Spelling,
    /// `\` and what came behind it.
    escape: Option<Vec<u8>>,
}

impl Keys {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        for &byte in bytes {
            match &mut self.text {
                Some(text) => {
                    if text.push(byte) {
                        self.last = self.text.take().map(|text| text.name);
                    }
                }
                None => self.structure(byte)?,
            }
        }
        Ok(())
    }

    fn structure(&mut self, byte: u8) -> Result<(), Refused> {
        match byte {
            b'"' => self.text = Some(Text::default()),
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if self.depth <= 1 => {
                if let Some(mut name) = self.last.take() {
                    name.end()?;
                }
            }
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            self.last = None;
        }
        Ok(())
    }
}

impl Text {
    /// Whether it ends here.
    fn push(&mut self, byte: u8) -> bool {
        match &mut self.escape {
            None if byte == b'"' => return true,
            None if byte == b'\\' => self.escape = Some(Vec::new()),
            None => self.name.push(byte),
            Some(came) => {
                came.push(byte);
                if came.first() != Some(&b'u') {
                    self.escape = None;
                    self.name.push(byte);
                } else if came.len() == 5 {
                    let digits = came.iter().skip(1).filter_map(|digit| hex::digit(*digit));
                    let code = digits.fold(0u32, |code, digit| code << 4 | u32::from(digit));
                    self.escape = None;
                    self.name.push(u8::try_from(code).unwrap_or(b'?'));
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests;
