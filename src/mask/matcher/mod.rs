//! Vectorised search for places where a detector might match.
//!
//! In: bytes. Out: candidates, as one `u64` per kind and 64 bytes, for blocks that have any.
//! Never: a miss. Candidates are a superset of the matches; verifiers decide.
//!
//! The algorithm is written once, in `generic`, over the trait `Vector`. The other files implement
//! that trait for one instruction set and hold no logic. The set is chosen once, when a policy is
//! compiled. `naive` (beside this folder) says byte by byte what the candidates must be.
//!
//! ```text
//! bytes     card 4111 1111 1111 1111, bob@example.com
//! digit     .....1111.1111.1111.1111...................
//! member    .....1111111111111111111...................   digits, and separators after digits
//! run of 14 ..................1.......................    first byte where 14 members lie behind
//! email     ...............................1...........   byte after '@'
//! ```

// The one place with unsafe code in masking: loads and intrinsics.
#![allow(unsafe_code)]

mod all;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod generic;
#[cfg(test)]
mod tests;

pub use generic::{PREFIX_BUCKETS, PrefixTables};

/// Which candidates are wanted: all ones or zero for each kind, so that no branch is needed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// `@` and a byte after it.
    pub email: u64,
    /// Twelve digits, or fourteen with single separators.
    pub digits: u64,
    /// Three, two and four digits with separators.
    pub ssn: u64,
    /// Two letters and two digits; small letters only where a word begins.
    pub letters: u64,
    /// `+` and a digit after it; ddd-dddd behind a separator.
    pub phone: u64,
    /// The window of a literal.
    pub prefix: u64,
}

/// Candidates of one block of 64 bytes; bit `i` is byte `base + i`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Position of the first byte.
    pub base: usize,
    /// The byte after `@`.
    pub email: u64,
    /// The fourteenth byte of a run of digits and separators, the twelfth of digits alone.
    pub digits: u64,
    /// The last byte of ddd-dd-dddd.
    pub ssn: u64,
    /// The second digit of AA00.
    pub letters: u64,
    /// The byte after `+`, the last of ddd-dddd.
    pub phone: u64,
    /// The first byte of a literal's window.
    pub prefix: u64,
}

/// Kinds of one candidate, as in `Block`.
#[derive(Clone, Copy, Debug)]
pub struct Kinds {
    /// An e-mail address may be here.
    pub email: bool,
    /// A run of digits is here.
    pub digits: bool,
    /// ddd-dd-dddd ends here.
    pub ssn: bool,
    /// AA00 ends here.
    pub letters: bool,
    /// An international phone number may start right before, or a North American one end here.
    pub phone: bool,
    /// The window of a literal may start here.
    pub prefix: bool,
}

impl Block {
    /// The kinds of the candidate at this bit.
    pub fn kinds(&self, bit: u32) -> Kinds {
        let is = |mask: u64| mask >> bit & 1 != 0;
        Kinds {
            email: is(self.email),
            digits: is(self.digits),
            ssn: is(self.ssn),
            letters: is(self.letters),
            phone: is(self.phone),
            prefix: is(self.prefix),
        }
    }

    /// Bytes with a candidate of any kind.
    pub fn any(&self) -> u64 {
        self.email | self.digits | self.ssn | self.letters | self.phone | self.prefix
    }
}

/// The search, for the processor it runs on.
#[derive(Clone, Copy, Debug)]
pub struct Matcher {
    isa: Isa,
}

/// Instruction sets with an implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Any processor.
    Portable,
    /// 32 bytes at a time.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 64 bytes at a time.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// What this processor has, best last. The portable one is always there.
    pub fn available() -> Vec<Isa> {
        let mut found = vec![Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx2") {
                found.push(Isa::Avx2);
            }
            if std::is_x86_feature_detected!("avx512bw") && std::is_x86_feature_detected!("avx512f")
            {
                found.push(Isa::Avx512);
            }
        }
        found
    }

    /// The name in start-up messages and measurements.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => "avx512",
        }
    }
}

impl Matcher {
    /// The fastest for this processor.
    pub fn detect() -> Matcher {
        let isa = Isa::available().pop().unwrap_or(Isa::Portable);
        Matcher { isa }
    }

    /// A given one, for comparisons; `None` when this processor lacks it.
    pub fn with(isa: Isa) -> Option<Matcher> {
        Isa::available().contains(&isa).then_some(Matcher { isa })
    }

    /// Which one it is.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Appends the blocks of `bytes` that have candidates.
    pub fn scan(&self, bytes: &[u8], tables: &PrefixTables, wanted: &Wanted, out: &mut Vec<Block>) {
        match self.isa {
            // SAFETY: `all` needs no processor feature.
            Isa::Portable => unsafe { generic::scan::<all::Bytes>(bytes, tables, wanted, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Matcher` with this set is made only where `Isa::available` found it.
            Isa::Avx2 => unsafe { avx2::scan(bytes, tables, wanted, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx512 => unsafe { avx512::scan(bytes, tables, wanted, out) },
        }
    }
}
