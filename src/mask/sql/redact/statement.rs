//! Which literals of one statement are credentials, by where they stand.
//!
//! In: the tokens of a statement, comments left out. Out: spans. Never: a literal of a position
//! that is not on the list; a second look at a token, so that the cost is that of the length.
//!
//! ```text
//!   Nothing --a credential's name--> Named --= TO IN LIKE ..--> Value --literal--> After
//!                                                             ^------- || -------|
//! ```
//!
//! Beside that a stack tells for each open parenthesis what literals in it are.

use std::rc::Rc;

use super::lexer::{Kind, Token};
use super::{Spans, is_telling};

/// What stands before the token that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// The name of a credential.
    Named,
    /// `IS`, which compares only with `DISTINCT FROM`.
    Is,
    /// A name and what assigns or compares.
    Value,
    /// A credential.
    After,
}

/// What literals in a parenthesis are, as long as no other parenthesis is in between.
#[derive(Clone, Debug)]
enum Frame {
    Plain,
    /// Credentials.
    List,
    /// Credentials, from this argument on.
    Keys {
        from: usize,
    },
    /// Connection strings, up to this argument.
    Connections {
        until: usize,
    },
    /// Options; whether the last one named is a credential.
    Options {
        secret: bool,
    },
    /// A row with credentials in these places.
    Row {
        places: Rc<[usize]>,
    },
}

/// What a statement is, as far as the positions depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Role,
    Mapping,
    Foreign,
    Subscription,
    Query,
    Other,
}

/// Where rows with credentials follow.
#[derive(Clone, Debug)]
enum Rows {
    None,
    /// `= (..)` or `= ROW (..)`.
    One(Rc<[usize]>),
    /// VALUES, at this depth.
    Values {
        depth: usize,
        places: Rc<[usize]>,
    },
    /// A query at this depth: the place in its list, if that is what is read.
    Select {
        depth: usize,
        places: Rc<[usize]>,
        place: Option<usize>,
    },
}

/// One statement, read once from left to right.
pub(super) struct Statement<'a, 't> {
    text: &'t [u8],
    tokens: &'a [Token],
    spans: &'a mut Spans<'t>,
    sort: Sort,
    /// SET, and ALTER of what has settings: words may be values.
    sets: bool,
    before: Before,
    /// `password BETWEEN` has an end to come.
    between: bool,
    frames: Vec<(Frame, usize)>,
    rows: Rows,
}

impl<'a, 't> Statement<'a, 't> {
    pub fn new(text: &'t [u8], tokens: &'a [Token], spans: &'a mut Spans<'t>) -> Self {
        let mut statement = Statement {
            text,
            tokens,
            spans,
            sort: Sort::Other,
            sets: false,
            before: Before::Nothing,
            between: false,
            frames: Vec::new(),
            rows: Rows::None,
        };
        let settings = ["system", "role", "user", "group", "database"];
        statement.sets = statement.is(0, "set")
            || (statement.is(0, "alter") && statement.is_one_of(1, &settings));
        statement.sort = statement.sorted();
        statement
    }

    fn sorted(&self) -> Sort {
        let defines = self.is_one_of(0, &["create", "alter"]);
        match () {
            () if defines && self.is(1, "user") && self.is(2, "mapping") => Sort::Mapping,
            () if defines && self.is_one_of(1, &["role", "user", "group"]) => Sort::Role,
            () if defines && self.is_one_of(1, &["server", "foreign"]) => Sort::Foreign,
            () if defines && self.is(1, "subscription") => Sort::Subscription,
            () if self.is_one_of(0, &QUERIES) || self.at(0) == Some(Kind::Sign(b'(')) => {
                Sort::Query
            }
            () => Sort::Other,
        }
    }

    pub fn read(mut self) {
        let mut at = 0;
        while let Some(&token) = self.tokens.get(at) {
            match token.kind {
                Kind::Text | Kind::Dollar | Kind::Number | Kind::Parameter => {
                    self.literal(at, token);
                }
                Kind::Word | Kind::QuotedName => self.word(at, token),
                Kind::Sign(b'(') => {
                    if let Some(end) = self.column_list(at) {
                        at = end;
                        continue;
                    }
                    self.open(at);
                }
                Kind::Sign(b')') => {
                    self.frames.pop();
                    self.before = Before::Nothing;
                }
                Kind::Sign(b',') => self.comma(),
                Kind::Sign(sign) => self.sign(sign),
                Kind::Comment => {}
            }
            at += 1;
        }
    }

    fn at(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| {
            token.kind == Kind::Word && self.part(*token).eq_ignore_ascii_case(word.as_bytes())
        })
    }

    fn is_one_of(&self, at: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(at, word))
    }

    fn part(&self, token: Token) -> &'t [u8] {
        token.of(self.text)
    }

    /// Lower case, without quotes.
    fn name(&self, token: Token) -> Vec<u8> {
        let part = self.part(token);
        part.iter().filter(|&&byte| byte != b'"').map(u8::to_ascii_lowercase).collect()
    }

    fn follows(&self, at: usize, words: &[&str]) -> bool {
        at.checked_sub(1).is_some_and(|at| self.is_one_of(at, words))
    }

    fn literal(&mut self, at: usize, token: Token) {
        let quoted = matches!(token.kind, Kind::Text | Kind::Dollar);
        let by_word = match self.sort {
            Sort::Query => false,
            Sort::Subscription if quoted && self.follows(at, &["connection"]) => {
                is_telling(self.part(token))
            }
            Sort::Role | Sort::Mapping | Sort::Foreign | Sort::Subscription | Sort::Other => {
                let by = self.follows(at, &["by"]) && self.follows(at - 1, &["identified"]);
                quoted && (by || self.follows(at, &["password"]))
            }
        };
        let framed = match self.frames.last() {
            Some((Frame::Connections { until }, argument)) if argument < until => {
                !quoted || is_telling(self.part(token))
            }
            Some((Frame::Options { secret }, _)) => *secret && quoted,
            Some((Frame::Keys { .. }, _)) => self.is_place() && token.kind != Kind::Number,
            _ => self.is_place(),
        };
        let value = self.before == Before::Value;
        if by_word || framed || value || self.is_conninfo(at, token) {
            self.hide(at, token);
        }
        self.before = if value { Before::After } else { Before::Nothing };
    }

    /// `primary_conninfo = 'x'`.
    fn is_conninfo(&self, at: usize, token: Token) -> bool {
        let assigned = self.follows(at, &["to"])
            || at.checked_sub(1).and_then(|at| self.at(at)) == Some(Kind::Sign(b'='));
        let named = at.checked_sub(2).is_some_and(|at| self.is(at, "primary_conninfo"));
        self.sets && assigned && named && is_telling(self.part(token))
    }

    /// Whether literals that stand here are credentials.
    fn is_place(&self) -> bool {
        let selected = match &self.rows {
            Rows::Select { depth, places, place: Some(place) } => {
                *depth == self.frames.len() && places.binary_search(place).is_ok()
            }
            _ => false,
        };
        selected
            || match self.frames.last() {
                Some((Frame::List, _)) => true,
                Some((Frame::Keys { from }, argument)) => argument >= from,
                Some((Frame::Row { places }, place)) => places.binary_search(place).is_ok(),
                _ => false,
            }
    }

    fn hide(&mut self, at: usize, token: Token) {
        match token.kind {
            Kind::Parameter => self.spans.parameter(token),
            Kind::Text | Kind::Dollar | Kind::QuotedName => self.spans.hide(token),
            // It becomes a literal, which must not grow together with what is next to it.
            Kind::Word | Kind::Number => {
                let is_text = |at: usize| self.at(at) == Some(Kind::Text);
                let texts = is_text(at + 1) || at.checked_sub(1).is_some_and(is_text);
                let left = token.start().checked_sub(1).and_then(|at| self.text.get(at));
                let parted = |byte: &u8| byte.is_ascii_whitespace() || b"=,(<>/".contains(byte);
                if !texts && left.is_none_or(parted) {
                    self.spans.hide_bare(token);
                }
            }
            Kind::Sign(_) | Kind::Comment => {}
        }
    }

    fn word(&mut self, at: usize, token: Token) {
        let name = self.name(token);
        let opens = self.at(at + 1) == Some(Kind::Sign(b'('));
        self.selected(at, &name);
        if let Some((Frame::Options { secret }, _)) = self.frames.last_mut() {
            *secret = match self.sort {
                Sort::Mapping => !HARMLESS_OPTIONS.contains(&name.as_slice()),
                _ => is_credential(&name) || name.ends_with(b"key"),
            };
            return;
        }
        // Not what PostgreSQL takes, but what people type.
        if token.kind == Kind::QuotedName
            && self.sort == Sort::Role
            && self.follows(at, &["password"])
        {
            return self.hide(at, token);
        }
        self.before = match (self.before, name.as_slice()) {
            (Before::Named | Before::Is, b"not") => self.before,
            (Before::Named, b"is") => Before::Is,
            (Before::Is, b"distinct") => Before::Is,
            (Before::Is, b"from") if self.follows(at, &["distinct"]) => Before::Value,
            (Before::Named, b"to" | b"in" | b"like" | b"ilike") => Before::Value,
            (Before::Named, b"between") => {
                self.between = true;
                Before::Value
            }
            (Before::Value, b"symmetric" | b"asymmetric") => Before::Value,
            (Before::After, b"and") if std::mem::take(&mut self.between) => Before::Value,
            (Before::Value, b"any" | b"all" | b"some" | b"array" | b"row") => Before::Value,
            // The type of a cast.
            (before, _) if at.checked_sub(1).and_then(|at| self.at(at)) == Some(COLON) => before,
            (Before::Value, b"default" | b"null") => Before::Nothing,
            (Before::Value, _) if self.sets && !opens => {
                self.hide(at, token);
                Before::After
            }
            (Before::Value, _) if opens && is_transparent(&name) => Before::Value,
            _ if is_credential(&name) && !opens => {
                self.compared(at);
                Before::Named
            }
            _ => Before::Nothing,
        };
    }

    /// `'x' = password`: the name of a credential stands here.
    fn compared(&mut self, at: usize) {
        let mut left = at;
        let is = |at: usize, signs: &[u8]| {
            let sign = at.checked_sub(1).and_then(|at| self.at(at));
            matches!(sign, Some(Kind::Sign(sign)) if signs.contains(&sign))
        };
        // What it is a column of.
        while is(left, b".") && left > 1 {
            left -= 2;
        }
        let name = left;
        while is(left, b"=<>!~") {
            left -= 1;
        }
        let literal = left.checked_sub(1).filter(|_| left < name);
        let literal = literal.and_then(|at| Some((at, *self.tokens.get(at)?)));
        if let Some((at, token)) = literal
            && matches!(token.kind, Kind::Text | Kind::Dollar | Kind::Number | Kind::Parameter)
        {
            self.hide(at, token);
        }
    }

    /// The lists of SELECT, where rows of a query are inserted.
    fn selected(&mut self, at: usize, name: &[u8]) {
        let here = self.frames.len();
        let is_query = matches!(name, b"select" | b"with" | b"table");
        match &mut self.rows {
            Rows::Select { depth, place, .. } if *depth == here => match name {
                b"select" => *place = Some(0),
                b"from" | b"where" | b"union" | b"except" | b"intersect" | b"order" | b"limit"
                | b"group" | b"having" | b"window" | b"offset" | b"fetch" | b"for" | b"on"
                | b"returning"
                    if self.tokens.get(at).is_some_and(|token| token.kind == Kind::Word) =>
                {
                    *place = None;
                }
                _ => {}
            },
            Rows::Values { depth, .. }
                if *depth == here && matches!(name, b"on" | b"returning") =>
            {
                self.rows = Rows::None;
            }
            _ => {}
        }
        if is_query && let Some((frame @ Frame::List, _)) = self.frames.last_mut() {
            *frame = Frame::Plain;
        }
    }

    /// What the parenthesis is that opens here, by what stands before it.
    fn open(&mut self, at: usize) {
        let before = at.checked_sub(1).and_then(|at| self.tokens.get(at)).copied();
        let named = before.filter(|it| matches!(it.kind, Kind::Word | Kind::QuotedName));
        let name = named.map(|token| self.name(token)).unwrap_or_default();
        let depth = self.frames.len();
        let frame = match (name.as_slice(), &self.rows) {
            (name, _) if takes_keys(name) => Frame::Keys { from: 0 },
            (b"set_config", _) if self.names_one(at) => Frame::Keys { from: 1 },
            (b"dblink_connect" | b"dblink_connect_u", _) => Frame::Connections { until: 2 },
            (b"dblink" | b"dblink_exec", _) => Frame::Connections { until: 1 },
            (b"options", _) if matches!(self.sort, Sort::Mapping | Sort::Foreign) => {
                Frame::Options { secret: false }
            }
            (_, Rows::One(places)) => {
                let places = Rc::clone(places);
                self.rows = Rows::None;
                Frame::Row { places }
            }
            (b"" | b"values" | b"row", Rows::Values { depth: rows, places }) if *rows == depth => {
                Frame::Row { places: Rc::clone(places) }
            }
            (name, _) if self.before == Before::Value || self.is_place() => {
                let own = name.is_empty() || is_transparent(name) || GROUPS.contains(&name);
                if own { Frame::List } else { Frame::Plain }
            }
            _ => Frame::Plain,
        };
        self.frames.push((frame, 0));
        self.before = Before::Nothing;
    }

    fn comma(&mut self) {
        let depth = self.frames.len();
        if let Some((_, place)) = self.frames.last_mut() {
            *place += 1;
        }
        if let Rows::Select { depth: rows, place: Some(place), .. } = &mut self.rows
            && *rows == depth
        {
            *place += 1;
        }
        let goes_on = self.before == Before::After && self.sets && depth == 0;
        self.before = if goes_on { Before::Value } else { Before::Nothing };
    }

    fn sign(&mut self, sign: u8) {
        self.before = match (self.before, sign) {
            (Before::Named, b'=' | b'<' | b'>' | b'!' | b'~') => Before::Value,
            (Before::Value, b'=' | b'<' | b'>' | b'!' | b'~' | b'-' | b'+' | b':') => Before::Value,
            // ARRAY[..].
            (before, b'[') => {
                let own = before == Before::Value || self.is_place();
                self.frames.push((if own { Frame::List } else { Frame::Plain }, 0));
                Before::Nothing
            }
            (_, b']') => {
                self.frames.pop();
                Before::Nothing
            }
            (Before::After | Before::Value, b'|') => Before::Value,
            (before, b':' | b'*') => before,
            _ => Before::Nothing,
        };
    }

    /// `set_config('my.password', ...)`, whose parenthesis is at `open`.
    fn names_one(&self, open: usize) -> bool {
        let first = self.tokens.get(open + 1).filter(|token| token.kind == Kind::Text);
        first.is_some_and(|token| {
            let (start, end) = token.content(self.text);
            let name = self.text.get(start..end).unwrap_or_default();
            is_credential(&name.to_ascii_lowercase())
        })
    }

    /// `(name, password)` before VALUES, `=` or a query: what follows has credentials in the places
    /// of their names. Returns where the list ends.
    fn column_list(&mut self, open: usize) -> Option<usize> {
        let mut places = Vec::new();
        let (mut place, mut at) = (0, open + 1);
        loop {
            let token = *self.tokens.get(at)?;
            at += 1;
            match token.kind {
                Kind::Sign(b',') => place += 1,
                Kind::Word | Kind::QuotedName if is_credential(&self.name(token)) => {
                    if places.last() != Some(&place) {
                        places.push(place);
                    }
                }
                Kind::Sign(b'.') | Kind::Word | Kind::QuotedName => {}
                Kind::Sign(b')') => break,
                _ => return None,
            }
        }
        if places.is_empty() {
            return None;
        }
        let (places, depth) = (Rc::from(places), self.frames.len());
        let is_row = self.at(at + 1) == Some(Kind::Sign(b'(')) || self.is(at + 1, "row");
        self.rows = match () {
            () if self.at(at) == Some(Kind::Sign(b'=')) && is_row => Rows::One(places),
            () if self.is_one_of(at, &["values", "overriding"]) => Rows::Values { depth, places },
            () if self.is_one_of(at, &["select", "with"]) => {
                Rows::Select { depth, places, place: None }
            }
            () => return None,
        };
        self.before = Before::Nothing;
        Some(at)
    }
}

const COLON: Kind = Kind::Sign(b':');

/// First words of statements in which `password 'x'` is a cast.
const QUERIES: [&str; 15] = [
    "select", "insert", "update", "delete", "merge", "with", "values", "table", "explain", "copy",
    "prepare", "execute", "declare", "call", "do",
];

/// Words before the parenthesis of a list.
const GROUPS: [&[u8]; 7] = [b"in", b"any", b"all", b"some", b"array", b"row", b"values"];

/// A name that announces a credential.
pub(super) fn is_credential(name: &[u8]) -> bool {
    let holds = |part: &str| memchr::memmem::find(name, part.as_bytes()).is_some();
    let parts = [
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "secret",
        "apikey",
        "api_key",
        "access_key",
        "accesskey",
        "private_key",
        "privatekey",
        "credential",
        "passcode",
    ];
    // Settings of PostgreSQL; the second is a command of the server.
    let harmless = matches!(name, b"password_encryption" | b"passwordcheck")
        || name.starts_with(b"ssl_passphrase_command");
    !harmless
        && (parts.into_iter().any(holds)
            || name == b"pass"
            || [&b"_pass"[..], b"token", b"tokens"].iter().any(|end| name.ends_with(end)))
}

/// Functions of pgcrypto and aws_commons whose literals are keys or what the keys protect.
fn takes_keys(name: &[u8]) -> bool {
    let pgp = name.strip_prefix(b"pgp_sym_").or_else(|| name.strip_prefix(b"pgp_pub_"));
    let pgp = pgp.map(|rest| rest.strip_suffix(b"_bytea").unwrap_or(rest));
    matches!(pgp, Some(b"encrypt" | b"decrypt"))
        || matches!(
            name,
            b"crypt"
                | b"hmac"
                | b"encrypt"
                | b"decrypt"
                | b"encrypt_iv"
                | b"decrypt_iv"
                | b"create_aws_credentials"
        )
}

/// Functions of PostgreSQL that make a credential of a credential.
fn is_transparent(name: &[u8]) -> bool {
    matches!(
        name,
        b"md5"
            | b"sha224"
            | b"sha256"
            | b"sha384"
            | b"sha512"
            | b"digest"
            | b"encode"
            | b"decode"
            | b"convert_to"
            | b"coalesce"
            | b"nullif"
            | b"concat"
            | b"lower"
            | b"upper"
            | b"trim"
            | b"btrim"
    )
}

/// Options of user mappings that hold no credential.
const HARMLESS_OPTIONS: [&[u8]; 20] = [
    b"host",
    b"hostaddr",
    b"port",
    b"dbname",
    b"user",
    b"username",
    b"schema_name",
    b"table_name",
    b"column_name",
    b"sslmode",
    b"fetch_size",
    b"batch_size",
    b"use_remote_estimate",
    b"updatable",
    b"extensions",
    b"format",
    b"delimiter",
    b"header",
    b"add",
    b"set",
];
