//! What is sensitive by its own shape, wherever it stands.
//!
//! In: the bytes of one value. Out: spans, each with the detector that proved it.
//! Never: a match on a pattern alone. Every detector validates: check digits, ranges, lengths, a
//! decoded header. Never more work than a constant per byte: candidates come from `matcher`, and
//! what a verifier has consumed is not looked at again.
//!
//! False alarms, by design: bare nine-digit numbers, epoch times, timestamps, UUIDs, decimals and
//! long ids are not matched; a bare number is, if it is in a card range and its check digit holds
//! (3 % of random ones of 16 digits, 1 % of 13 and 19). `evaluation` says what is found and what
//! is not, both ways.

mod card;
mod email;
#[cfg(test)]
mod evaluation;
mod iban;
mod letters;
mod lines;
mod literal;
mod numeral;
mod phone;
mod secret;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use super::matcher::{Block, Kinds, Matcher, PrefixTables, Wanted};
use super::operator::Operator;
pub(super) use card::number;
use literal::{Literal, Literals};

/// The one list of detectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detector {
    /// An e-mail address.
    Email,
    /// A payment card number: range, length, grouping and check digit.
    CreditCard,
    /// An IBAN: country, length and check digits.
    Iban,
    /// A US social security number with separators.
    UsSsn,
    /// A US individual taxpayer number with separators.
    UsItin,
    /// A US Medicare beneficiary identifier.
    UsMbi,
    /// A US DEA registration number, with its check digit.
    UsDea,
    /// A UK national insurance number.
    UkNino,
    /// An Italian fiscal code, with its check letter.
    ItFiscalCode,
    /// An Indian permanent account number.
    InPan,
    /// A Chinese resident number, with its date and check digit.
    CnResidentId,
    /// A phone number in international form.
    Phone,
    /// A JSON web token whose header is JSON with `alg`.
    Jwt,
    /// A private key in PEM, OpenSSH, PGP, PuTTY or age form, even when cut off.
    PrivateKey,
    /// A vendor's token with a prefix of its own.
    Token,
    /// The password in a URL.
    UrlPassword,
    /// A salted password hash or SCRAM verifier.
    PasswordHash,
}

/// Names in the configuration, in the order of `Detector::ALL`.
pub const NAMES: [&str; Detector::ALL.len()] = [
    "email",
    "credit-card",
    "iban",
    "us-ssn",
    "us-itin",
    "us-mbi",
    "us-dea",
    "uk-nino",
    "it-fiscal-code",
    "in-pan",
    "cn-resident-id",
    "phone",
    "jwt",
    "private-key",
    "token",
    "url-password",
    "password-hash",
];

impl Detector {
    /// Every detector.
    pub const ALL: [Detector; 17] = [
        Detector::Email,
        Detector::CreditCard,
        Detector::Iban,
        Detector::UsSsn,
        Detector::UsItin,
        Detector::UsMbi,
        Detector::UsDea,
        Detector::UkNino,
        Detector::ItFiscalCode,
        Detector::InPan,
        Detector::CnResidentId,
        Detector::Phone,
        Detector::Jwt,
        Detector::PrivateKey,
        Detector::Token,
        Detector::UrlPassword,
        Detector::PasswordHash,
    ];

    /// The detector with this name.
    pub fn parse(name: &str) -> Option<Detector> {
        let index = NAMES.iter().position(|&known| known == name)?;
        Some(Detector::ALL[index])
    }

    /// The name in the configuration and in records.
    pub const fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// What `redact` writes.
    pub const fn label(self) -> &'static str {
        match self {
            Detector::Email => "[EMAIL]",
            Detector::CreditCard => "[CREDIT_CARD]",
            Detector::Iban => "[IBAN]",
            Detector::UsSsn => "[US_SSN]",
            Detector::UsItin => "[US_ITIN]",
            Detector::UsMbi => "[US_MBI]",
            Detector::UsDea => "[US_DEA]",
            Detector::UkNino => "[UK_NINO]",
            Detector::ItFiscalCode => "[IT_FISCAL_CODE]",
            Detector::InPan => "[IN_PAN]",
            Detector::CnResidentId => "[CN_RESIDENT_ID]",
            Detector::Phone => "[PHONE]",
            Detector::Jwt => "[JWT]",
            Detector::PrivateKey => "[PRIVATE_KEY]",
            Detector::Token => "[TOKEN]",
            Detector::UrlPassword => "[PASSWORD]",
            Detector::PasswordHash => "[PASSWORD_HASH]",
        }
    }

    /// Credentials: no part of them may be shown.
    pub const fn is_secret(self) -> bool {
        matches!(
            self,
            Detector::Jwt
                | Detector::PrivateKey
                | Detector::Token
                | Detector::UrlPassword
                | Detector::PasswordHash
        )
    }
}

/// A part of a value that a detector proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// First byte.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
    /// What it is.
    pub detector: Detector,
}

/// A key that may go on when more of its text comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenKey {
    /// Where its first line begins.
    pub start: usize,
    /// Another line of it was seen: it is a key, and not the mention of one.
    pub has_lines: bool,
}

/// What was found in one value, in order and without overlap.
#[derive(Debug, Default)]
pub struct Finds {
    /// The spans.
    pub list: Vec<Found>,
    /// Bytes that verifiers looked at since this was made: the cost that an adversary may try to
    /// raise.
    pub work: u64,
    /// Where a key begins whose lines may go on when more of the text comes.
    open: Option<OpenKey>,
    /// Everything before this position is settled.
    floor: usize,
    /// Runs of digits before this position were looked at whole.
    run_floor: usize,
    /// Lines of keys, found ahead of what stands between them, which is searched as all is.
    lines: Vec<Found>,
    /// Lines before this position were looked for.
    lines_floor: usize,
}

impl Finds {
    fn start_value(&mut self) {
        self.list.clear();
        self.lines.clear();
        self.open = None;
        self.floor = 0;
        self.run_floor = 0;
        self.lines_floor = 0;
    }

    /// The value was searched: lines of keys take their places. One that meets another find is one
    /// with it.
    fn end_value(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        self.list.append(&mut self.lines);
        self.list.sort_unstable_by_key(|found| (found.start, found.end));
        self.list.dedup_by(|next, found| {
            let meets = next.start < found.end;
            if meets {
                found.end = found.end.max(next.end);
                found.detector = Detector::PrivateKey;
            }
            meets
        });
    }

    fn push_line(&mut self, start: usize, end: usize) {
        self.lines.push(Found { start, end, detector: Detector::PrivateKey });
        self.lines_floor = end;
    }

    fn push(&mut self, start: usize, end: usize, detector: Detector) {
        assert!(start < end, "a find is empty");
        assert!(self.floor <= start, "a find reaches into settled bytes");
        self.list.push(Found { start, end, detector });
        self.floor = end;
    }

    fn spend(&mut self, bytes: usize) {
        self.work += bytes as u64;
    }
}

/// Working memory of a scan.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Candidates of the bytes last scanned.
    pub(super) blocks: Vec<Block>,
    /// Finds of the value last verified.
    pub(super) finds: Finds,
}

impl Scratch {
    /// Of the value last searched: where a key begins whose lines, each with something before or
    /// behind it, may go on when more comes. What is found of it reaches the end or not.
    pub(super) fn open_key(&self) -> Option<OpenKey> {
        self.finds.open
    }
}

/// Detectors that are switched on, with their operators.
#[derive(Clone, Debug)]
pub struct Detectors {
    operators: [Option<Operator>; Detector::ALL.len()],
    wanted: Wanted,
    /// Numbers are sought that may have rare separators.
    seeks_gaps: bool,
    tables: PrefixTables,
    matcher: Matcher,
}

static LITERALS: LazyLock<Literals> = LazyLock::new(Literals::build);

impl Default for Detectors {
    fn default() -> Detectors {
        Detectors::new([])
    }
}

impl Detectors {
    /// These detectors; of two operators for one the stronger wins.
    pub fn new(masks: impl IntoIterator<Item = (Detector, Operator)>) -> Detectors {
        let mut operators = [None; Detector::ALL.len()];
        for (detector, operator) in masks {
            let slot: &mut Option<Operator> = &mut operators[detector as usize];
            *slot = (*slot).max(Some(operator));
        }
        let is_on = |detector: &Detector| operators[*detector as usize].is_some();
        let any = |of: &[Detector]| if of.iter().any(is_on) { u64::MAX } else { 0 };
        let seeks_gaps = GAPPED.iter().any(is_on);
        let is_on = |literal: &Literal| is_on(&literal.detector);
        let (tables, is_any) = LITERALS.tables(is_on, seeks_gaps);
        let wanted = Wanted {
            email: any(&[Detector::Email]),
            digits: any(&[Detector::CreditCard, Detector::CnResidentId]),
            ssn: any(&[Detector::UsSsn, Detector::UsItin]),
            letters: any(&letters::DETECTORS),
            phone: any(&[Detector::Phone]),
            prefix: if is_any { u64::MAX } else { 0 },
        };
        Detectors { operators, wanted, seeks_gaps, tables, matcher: Matcher::detect() }
    }

    /// The same with another search, for comparisons.
    pub fn with_matcher(self, matcher: Matcher) -> Detectors {
        Detectors { matcher, ..self }
    }

    /// Nothing is switched on.
    pub fn is_empty(&self) -> bool {
        self.operators.iter().all(Option::is_none)
    }

    /// The operator of a detector, if it is switched on.
    pub fn operator(&self, detector: Detector) -> Option<Operator> {
        self.operators[detector as usize]
    }

    pub(super) fn is_on(&self, detector: Detector) -> bool {
        self.operator(detector).is_some()
    }

    /// Stage one: where something may be. `blocks` is replaced.
    pub fn candidates(&self, bytes: &[u8], blocks: &mut Vec<Block>) {
        blocks.clear();
        self.matcher.scan(bytes, &self.tables, &self.wanted, blocks);
    }

    /// Both stages on one value. The finds are valid until the next scan.
    pub fn find<'s>(&self, value: &[u8], scratch: &'s mut Scratch) -> &'s [Found] {
        self.candidates(value, &mut scratch.blocks);
        scratch.finds.start_value();
        for block in &scratch.blocks {
            self.verify_block(value, block, &mut scratch.finds);
        }
        scratch.finds.end_value();
        &scratch.finds.list
    }

    fn verify_block(&self, value: &[u8], block: &Block, finds: &mut Finds) {
        let mut any = block.any();
        while any != 0 {
            let bit = any.trailing_zeros();
            any &= any - 1;
            self.verify(value, block.kinds(bit), block.base + bit as usize, finds);
        }
    }

    /// Stage two for the candidate at `at` in `value`.
    pub(super) fn verify(&self, value: &[u8], is: Kinds, at: usize, finds: &mut Finds) {
        // Before runs of digits: an IBAN's begin within it.
        if is.letters && at >= finds.floor {
            letters::verify(self, value, at, finds);
        }
        // There is one candidate per run, so it counts even where the run's start is settled.
        if is.digits {
            card::verify_run(self, value, at.max(finds.floor), finds);
        }
        if is.prefix && self.seeks_gaps {
            card::verify_gap(self, value, at.max(finds.floor), finds);
        }
        if at < finds.floor {
            return;
        }
        if is.prefix {
            LITERALS.verify(self, value, at, finds);
        }
        if is.email {
            email::verify(value, at, finds);
        }
        if is.ssn {
            card::verify_ssn(self, value, at, finds);
        }
        if is.phone {
            phone::verify(value, at, finds);
        }
    }
}

/// Candidates in order, for values that lie one after another in the scanned bytes.
#[derive(Debug)]
pub(super) struct Cursor<'b> {
    blocks: std::slice::Iter<'b, Block>,
    block: Block,
    left: u64,
}

impl<'b> Cursor<'b> {
    pub(super) fn new(blocks: &'b [Block]) -> Cursor<'b> {
        let mut cursor = Cursor { blocks: blocks.iter(), block: Block::default(), left: 0 };
        cursor.refill();
        cursor
    }

    /// Finds what is in `bytes[start..end]`; candidates before `start` are dropped.
    pub(super) fn find(
        &mut self,
        detectors: &Detectors,
        bytes: &[u8],
        (start, end): (usize, usize),
        finds: &mut Finds,
    ) {
        finds.start_value();
        let Some(value) = bytes.get(start..end) else { return };
        while self.left != 0 {
            let bit = self.left.trailing_zeros();
            let at = self.block.base + bit as usize;
            if at >= end {
                break;
            }
            if at >= start {
                detectors.verify(value, self.block.kinds(bit), at - start, finds);
            }
            self.left &= self.left - 1;
            self.refill();
        }
        finds.end_value();
    }

    fn refill(&mut self) {
        while self.left == 0
            && let Some(block) = self.blocks.next()
        {
            self.block = *block;
            self.left = block.any();
        }
    }
}

/// A letter or digit at `at`; outside of the value there is none.
fn alnum_at(value: &[u8], at: usize) -> bool {
    value.get(at).is_some_and(u8::is_ascii_alphanumeric)
}

/// A letter or digit right before `at` that is a word's. What an escape stands for is none: `\n`
/// and `\u003a` of JSON and of source code, `%20` of URLs.
fn alnum_before(value: &[u8], at: usize) -> bool {
    let before = value.get(..at).unwrap_or(&[]);
    before.last().is_some_and(u8::is_ascii_alphanumeric) && !ends_with_escape(before)
}

fn ends_with_escape(before: &[u8]) -> bool {
    match before {
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f'] => true,
        [.., b'%', high, low] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        _ => {
            let escape = before.last_chunk::<6>();
            escape.is_some_and(|[slash, u, hex @ ..]| {
                (*slash, *u) == (b'\\', b'u') && hex.iter().all(u8::is_ascii_hexdigit)
            })
        }
    }
}

/// The windows of all literals, as the matcher wants them.
pub fn prefix_tables() -> &'static PrefixTables {
    &LITERALS.all
}

/// What may be written with rare separators between its digits.
const GAPPED: [Detector; 4] =
    [Detector::CreditCard, Detector::CnResidentId, Detector::UsSsn, Detector::UsItin];
