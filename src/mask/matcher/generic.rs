//! The search itself, once, over any vector.

use super::{Block, Wanted};

/// Bytes that are processed at once, whatever the vector.
const BLOCK: usize = 64;
/// Bytes that a literal's window reaches beyond its first.
const AHEAD: usize = 2;

/// Literals are told apart only by eight buckets here; verifiers look closer.
pub const PREFIX_BUCKETS: usize = 8;

/// Per position of a window, the buckets that a low and a high nibble belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixTables {
    /// By position, by low nibble: a bit per bucket.
    pub low: [[u8; 16]; 3],
    /// By position, by high nibble: a bit per bucket.
    pub high: [[u8; 16]; 3],
}

/// A vector of bytes. Implementations hold no logic: one intrinsic each.
///
/// # Safety
/// Every method needs the processor features of its instruction set; `load` needs `BYTES` readable
/// bytes.
pub(super) trait Vector: Copy {
    const BYTES: usize;
    unsafe fn load(at: *const u8) -> Self;
    /// The table in every 16-byte lane.
    unsafe fn table(table: &[u8; 16]) -> Self;
    unsafe fn splat(byte: u8) -> Self;
    unsafe fn and(self, other: Self) -> Self;
    /// The high nibble of each byte.
    unsafe fn high(self) -> Self;
    /// `self` is a table, `nibbles` are below 16.
    unsafe fn lookup(self, nibbles: Self) -> Self;
    /// A bit per byte that shares a bit with `bits`.
    unsafe fn test(self, bits: Self) -> u64;
}

/// Classes of bytes, each the product of a set of high and a set of low nibbles, so that one AND of
/// two lookups answers all eight.
const DIGIT: u8 = 1 << 0;
const AT: u8 = 1 << 1;
/// Space, hyphen, full stop and closing parenthesis.
const SEPARATOR: u8 = 1 << 2;
const LETTER_A_TO_O: u8 = 1 << 3;
const LETTER_P_TO_Z: u8 = 1 << 4;
/// The zero byte, with which a length field in front of a cell begins.
const ZERO: u8 = 1 << 5;
/// What begins an escape, `\\` and `%`, and two others of the same nibbles.
const ESCAPE: u8 = 1 << 6;
const PLUS: u8 = 1 << 7;
const ALNUM: u8 = DIGIT | LETTER_A_TO_O | LETTER_P_TO_Z;
/// The bit that tells small letters from capital ones.
const SMALL: u8 = 0x20;

const fn class_tables() -> ([u8; 16], [u8; 16]) {
    let mut low = [0; 16];
    let mut nibble = 0;
    while nibble < 16 {
        let mut bits = 0;
        if nibble <= 9 {
            bits |= DIGIT;
        }
        if nibble == 0 {
            bits |= AT | ZERO;
        }
        if matches!(nibble, 0x0 | 0x9 | 0xd | 0xe) {
            bits |= SEPARATOR;
        }
        if nibble == 0xb {
            bits |= PLUS;
        }
        if matches!(nibble, 0x5 | 0xc) {
            bits |= ESCAPE;
        }
        if nibble >= 1 {
            bits |= LETTER_A_TO_O;
        }
        if nibble <= 0xa {
            bits |= LETTER_P_TO_Z;
        }
        low[nibble] = bits;
        nibble += 1;
    }
    let mut high = [0; 16];
    high[0x0] = ZERO;
    high[0x2] = SEPARATOR | PLUS | ESCAPE;
    high[0x3] = DIGIT;
    high[0x4] = AT | LETTER_A_TO_O;
    high[0x5] = LETTER_P_TO_Z | ESCAPE;
    high[0x6] = LETTER_A_TO_O;
    high[0x7] = LETTER_P_TO_Z;
    (low, high)
}

const CLASSES: ([u8; 16], [u8; 16]) = class_tables();

/// Appends the blocks of `bytes` that have candidates.
///
/// # Safety
/// The processor must have the features of `V`.
#[inline(always)]
pub(super) unsafe fn scan<V: Vector>(
    bytes: &[u8],
    prefixes: &PrefixTables,
    wanted: &Wanted,
    out: &mut Vec<Block>,
) {
    // SAFETY: the caller vouches for the features of `V`.
    let tables = unsafe { Tables::<V>::new(prefixes) };
    let mut carry = Carry::default();
    let mut at = 0;
    while at + BLOCK + AHEAD <= bytes.len() {
        // SAFETY: `BLOCK + AHEAD` bytes from `at` lie in `bytes`.
        let masks = unsafe { tables.masks(bytes.as_ptr().add(at)) };
        push(carry.candidates(&masks, wanted, at), out);
        at += BLOCK;
    }
    // What is left, at most BLOCK + AHEAD - 1 bytes, followed by zeros, which belong to no class.
    let rest = &bytes[at..];
    let mut tail = [0; 2 * BLOCK + AHEAD];
    tail[..rest.len()].copy_from_slice(rest);
    let mut from = 0;
    while from < rest.len() {
        // SAFETY: `from` is 0 or BLOCK, so `BLOCK + AHEAD` bytes from it lie in `tail`.
        let masks = unsafe { tables.masks(tail.as_ptr().add(from)) };
        push(carry.candidates(&masks, wanted, at + from), out);
        from += BLOCK;
    }
}

#[inline(always)]
fn push(block: Block, out: &mut Vec<Block>) {
    if block.any() != 0 {
        out.push(block);
    }
}

/// The tables, in registers.
struct Tables<V> {
    class_low: V,
    class_high: V,
    low: [V; 3],
    high: [V; 3],
    nibble: V,
    digit: V,
    at: V,
    separator: V,
    plus: V,
    alnum: V,
    zero: V,
    escape: V,
    small: V,
    all: V,
}

impl<V: Vector> Tables<V> {
    #[inline(always)]
    unsafe fn new(prefixes: &PrefixTables) -> Tables<V> {
        // SAFETY: the caller of `scan` vouches for the features of `V`.
        unsafe {
            Tables {
                class_low: V::table(&CLASSES.0),
                class_high: V::table(&CLASSES.1),
                // No closures here: they would not inherit the processor features.
                low: [
                    V::table(&prefixes.low[0]),
                    V::table(&prefixes.low[1]),
                    V::table(&prefixes.low[2]),
                ],
                high: [
                    V::table(&prefixes.high[0]),
                    V::table(&prefixes.high[1]),
                    V::table(&prefixes.high[2]),
                ],
                nibble: V::splat(0x0f),
                digit: V::splat(DIGIT),
                at: V::splat(AT),
                separator: V::splat(SEPARATOR),
                plus: V::splat(PLUS),
                alnum: V::splat(ALNUM),
                zero: V::splat(ZERO),
                escape: V::splat(ESCAPE),
                small: V::splat(SMALL),
                all: V::splat(0xff),
            }
        }
    }

    /// # Safety
    /// `BLOCK + AHEAD` bytes from `at` must be readable.
    #[inline(always)]
    unsafe fn masks(&self, at: *const u8) -> Masks {
        let mut masks = Masks::default();
        let mut from = 0;
        while from < BLOCK {
            // SAFETY: `from + AHEAD + V::BYTES <= BLOCK + AHEAD`, readable by the contract.
            unsafe {
                let bytes = V::load(at.add(from));
                let class = self.nibbles(bytes, self.class_low, self.class_high);
                masks.digit |= class.test(self.digit) << from;
                masks.at |= class.test(self.at) << from;
                masks.separator |= class.test(self.separator) << from;
                masks.plus |= class.test(self.plus) << from;
                masks.alnum |= class.test(self.alnum) << from;
                masks.zero |= class.test(self.zero) << from;
                masks.escape |= class.test(self.escape) << from;
                masks.small |= bytes.test(self.small) << from;
                let first = self.nibbles(bytes, self.low[0], self.high[0]);
                let second = self.nibbles(V::load(at.add(from + 1)), self.low[1], self.high[1]);
                let third = self.nibbles(V::load(at.add(from + 2)), self.low[2], self.high[2]);
                masks.prefix |= first.and(second).and(third).test(self.all) << from;
            }
            from += V::BYTES;
        }
        masks
    }

    #[inline(always)]
    unsafe fn nibbles(&self, bytes: V, low: V, high: V) -> V {
        // SAFETY: the caller of `scan` vouches for the features of `V`.
        unsafe { low.lookup(bytes.and(self.nibble)).and(high.lookup(bytes.high())) }
    }
}

/// One bit per byte of a block.
#[derive(Default)]
struct Masks {
    digit: u64,
    at: u64,
    separator: u64,
    plus: u64,
    alnum: u64,
    zero: u64,
    escape: u64,
    small: u64,
    prefix: u64,
}

/// What the algebra needs of the block before.
#[derive(Default)]
struct Carry {
    digit: u64,
    digit2: u64,
    digit3: u64,
    digit4: u64,
    digit12: u64,
    separator: u64,
    plus: u64,
    at: u64,
    alnum: u64,
    zero: u64,
    escape: u64,
    letter: u64,
    capital: u64,
    member: u64,
    member2: u64,
    member4: u64,
    member8: u64,
    member14: u64,
}

/// The bits of `now`, moved `by` bytes later; `before` is the block in front of it.
#[inline(always)]
fn later(now: u64, before: u64, by: u32) -> u64 {
    (now << by) | (before >> (64 - by))
}

impl Carry {
    /// By the second digit of aa00: no letter or digit stands in front, or one that may be the end
    /// of an escape (`\\n`, `%20`, `\\u003a`) or of the length field of a cell. The four bytes of a
    /// length begin with a zero byte, because no row is of 16 MiB.
    #[inline(always)]
    fn begins(&self, m: &Masks) -> u64 {
        !later(m.alnum, self.alnum, 4)
            | later(m.escape, self.escape, 5)
            | later(m.escape, self.escape, 6)
            | later(m.escape, self.escape, 9)
            | later(m.zero, self.zero, 7)
    }

    /// Bit algebra without a branch. Every candidate looks only backwards, so a block needs nothing
    /// of the one after it. Each rule but the edges of `member14` and `digit12` and the beginning
    /// of small letters only ANDs class masks (a letter is a letter by its own byte), so a byte
    /// wrongly in a class (a length field between two cells) adds candidates, and never hides one.
    /// The edges are safe because a length field holds a zero byte, which ends a run, and at most
    /// three other bytes, fewer than a run needs; for the beginning see `begins`.
    #[inline(always)]
    fn candidates(&mut self, m: &Masks, wanted: &Wanted, base: usize) -> Block {
        let digit2 = m.digit & later(m.digit, self.digit, 1);
        let digit3 = digit2 & later(m.digit, self.digit, 2);
        let digit4 = digit2 & later(digit2, self.digit2, 2);
        let digit8 = digit4 & later(digit4, self.digit4, 4);
        let digit12 = digit8 & later(digit4, self.digit4, 8);
        let letter = m.alnum & !m.digit;
        let capital = letter & !m.small;
        let member = m.digit | (m.separator & later(m.digit, self.digit, 1));
        let member2 = member & later(member, self.member, 1);
        let member4 = member2 & later(member2, self.member2, 2);
        let member8 = member4 & later(member4, self.member4, 4);
        let member14 = member8 & later(member8, self.member8, 6);
        let block = Block {
            base,
            email: wanted.email & later(m.at, self.at, 1),
            digits: wanted.digits
                & ((member14 & !later(member14, self.member14, 1))
                    | (digit12 & !later(digit12, self.digit12, 1))),
            ssn: wanted.ssn
                & digit4
                & later(m.separator, self.separator, 4)
                & later(digit2, self.digit2, 5)
                & later(m.separator, self.separator, 7)
                & later(digit3, self.digit3, 8),
            letters: wanted.letters
                & digit2
                & ((self.begins(m)
                    & later(letter, self.letter, 2)
                    & later(letter, self.letter, 3))
                    | (later(capital, self.capital, 2) & later(capital, self.capital, 3))),
            phone: wanted.phone
                & ((m.digit & later(m.plus, self.plus, 1))
                    | (digit4
                        & later(m.separator, self.separator, 4)
                        & later(digit3, self.digit3, 5)
                        & later(m.separator, self.separator, 8))),
            prefix: wanted.prefix & m.prefix,
        };
        *self = Carry {
            digit: m.digit,
            digit2,
            digit3,
            digit4,
            digit12,
            separator: m.separator,
            plus: m.plus,
            at: m.at,
            alnum: m.alnum,
            zero: m.zero,
            escape: m.escape,
            letter,
            capital,
            member,
            member2,
            member4,
            member8,
            member14,
        };
        block
    }
}

// The first byte of the length of a cell is zero, which `Carry::begins` relies on.
const _: () = assert!(crate::limits::MASKED_ROW_BYTES_MAX <= 1 << 24);
