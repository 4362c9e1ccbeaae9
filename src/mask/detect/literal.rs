//! Matches that begin with fixed bytes: keys, tokens, hashes, URLs.
//!
//! Each literal has a window of three bytes that the matcher looks for. A bucket lets every
//! combination of its windows' nibbles through, so windows and buckets are chosen together, such
//! that what passes by accident is as rare as can be in ordinary text.

use super::super::matcher::{PREFIX_BUCKETS, PrefixTables};
use super::numeral::GAPS;
use super::{Detector, Detectors, Finds, secret};

/// What follows a literal.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rest {
    /// Header, payload and signature of a token, the literal being the start of the header.
    Jwt,
    /// The rest of a PEM block.
    Pem,
    /// The rest of a PEM block in base64.
    PemBase64,
    /// A domain: the literal is an `@` in a URL.
    Domain,
    /// The rest of a token of a bot, whose number stands before.
    Bot,
    /// `//user:password@`.
    Url,
    /// This many bytes at least of the alphabet.
    Run(Alphabet, usize),
    /// The same, and too random for a placeholder or a word.
    Random(Alphabet, usize),
    /// Exactly this many bytes.
    Exact(Alphabet, usize),
}

/// Bytes a token is made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Alphabet {
    /// A-Z 2-7.
    Base32,
    /// 0-9 a-f A-F.
    Hex,
    /// 0-9 a-z A-Z.
    Base62,
    /// The same, `_` and `-`.
    Base64Url,
    /// The same and `.`.
    Dotted,
    /// 0-9 a-z A-Z + / = .
    Base64,
    /// 0-9 a-z A-Z _ - =.
    Assigned,
    /// Base64 in lines, with headers.
    Armor,
    /// What hashes in crypt's modular form contain: also `.` `/` `$` `,` `=` `+` `:`.
    Crypt,
}

impl Alphabet {
    pub(super) fn has(self, byte: u8) -> bool {
        match self {
            Alphabet::Base32 => byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7'),
            Alphabet::Hex => byte.is_ascii_hexdigit(),
            Alphabet::Base62 => byte.is_ascii_alphanumeric(),
            Alphabet::Base64Url => is_base64url(byte),
            Alphabet::Assigned => is_base64url(byte) || byte == b'=',
            Alphabet::Dotted => is_base64url(byte) || byte == b'.',
            Alphabet::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='),
            Alphabet::Armor => {
                byte.is_ascii_alphanumeric()
                    || byte.is_ascii_whitespace()
                    || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'\\' | b':' | b'"')
            }
            Alphabet::Crypt => {
                byte.is_ascii_alphanumeric()
                    || matches!(byte, b'.' | b'/' | b'$' | b',' | b'=' | b'+' | b':' | b'-' | b'_')
            }
        }
    }
}

pub(super) fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// A literal and what must follow it.
#[derive(Debug)]
pub(super) struct Literal {
    pub(super) text: &'static [u8],
    pub(super) rest: Rest,
    pub(super) detector: Detector,
}

/// All literals, compiled.
#[derive(Debug)]
pub(super) struct Literals {
    /// For the matcher.
    pub(super) all: PrefixTables,
    places: Vec<Place>,
    /// Literal and offset of its window, by the first byte of the window.
    by_byte: Vec<Vec<(&'static Literal, usize)>>,
}

impl Literals {
    pub(super) fn build() -> Literals {
        let mut by_byte: Vec<Vec<(&Literal, usize)>> = vec![Vec::new(); 256];
        let places = places();
        for (literal, place) in LITERALS.iter().zip(&places) {
            let window = window(literal, place.offset);
            by_byte[usize::from(window[0])].push((literal, place.offset));
        }
        let mut literals = Literals { all: PrefixTables::default(), places, by_byte };
        literals.all = literals.tables(|_| true, true).0;
        literals
    }

    /// The windows of some of them, and those of rare separators behind digits; whether there are
    /// any.
    pub(super) fn tables(
        &self,
        is_wanted: impl Fn(&Literal) -> bool,
        gaps: bool,
    ) -> (PrefixTables, bool) {
        let (mut tables, mut any) = (PrefixTables::default(), gaps);
        if gaps {
            gap_bucket().write(1 << GAP_BUCKET, &mut tables);
        }
        for (literal, place) in LITERALS.iter().zip(&self.places) {
            if is_wanted(literal) {
                let bucket = Bucket::default().with(window(literal, place.offset));
                bucket.write(1 << place.bucket, &mut tables);
                any = true;
            }
        }
        (tables, any)
    }

    /// `at` may be the first byte of a window.
    pub(super) fn verify(&self, on: &Detectors, value: &[u8], at: usize, finds: &mut Finds) {
        let Some(&first) = value.get(at) else { return };
        for &(literal, offset) in &self.by_byte[usize::from(first)] {
            let Some(start) = at.checked_sub(offset).filter(|&start| start >= finds.floor) else {
                continue;
            };
            finds.spend(1);
            let matches = value.get(start..).is_some_and(|rest| rest.starts_with(literal.text));
            if matches && on.is_on(literal.detector) && secret::verify(literal, value, start, finds)
            {
                return;
            }
        }
    }
}

/// Where a literal's window is, and in which bucket.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: usize,
    bucket: usize,
}

fn window(literal: &Literal, offset: usize) -> [u8; 3] {
    let bytes = literal.text[offset..].first_chunk();
    *bytes.expect("a literal has three bytes from each of its offsets on")
}

/// A place for each literal: greedily, then each again given all others, until it is no better.
fn places() -> Vec<Place> {
    let mut places: Vec<Option<Place>> = vec![None; LITERALS.len()];
    for _ in 0..ROUNDS_MAX {
        let mut moved = false;
        for index in 0..LITERALS.len() {
            let before = places[index].take();
            let place = best_place(&places, index);
            moved |=
                before.is_none_or(|old| (old.offset, old.bucket) != (place.offset, place.bucket));
            places[index] = Some(place);
        }
        if !moved {
            break;
        }
    }
    places.into_iter().flatten().collect()
}

fn best_place(places: &[Option<Place>], index: usize) -> Place {
    let mut buckets = [Bucket::default(); PREFIX_BUCKETS];
    buckets[GAP_BUCKET] = gap_bucket();
    for (literal, place) in LITERALS.iter().zip(places) {
        if let Some(place) = place {
            buckets[place.bucket] = buckets[place.bucket].with(window(literal, place.offset));
        }
    }
    let literal = &LITERALS[index];
    let offsets = 0..literal.text.len() - 2;
    let all = offsets.flat_map(|offset| (1..PREFIX_BUCKETS).map(move |bucket| (offset, bucket)));
    let grown = |&(offset, bucket): &(usize, usize)| {
        let with = buckets[bucket].with(window(literal, offset));
        with.frequency() - buckets[bucket].frequency()
    };
    let (offset, bucket) = all.min_by_key(grown).expect("there are seven buckets");
    Place { offset, bucket }
}

/// A digit and what begins a rare separator, and full-width digits.
fn gap_bucket() -> Bucket {
    let mut bucket = Bucket::default();
    for digit in b'0'..=b'9' {
        bucket = bucket.with([0xef, 0xbc, digit - b'0' + 0x90]);
        for [second, third] in GAPS {
            bucket = bucket.with([digit, second, third]);
        }
    }
    bucket
}

/// Windows that share a bit; by position, the nibbles they have.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    low: [u16; 3],
    high: [u16; 3],
}

impl Bucket {
    fn with(mut self, window: [u8; 3]) -> Bucket {
        for (position, byte) in window.into_iter().enumerate() {
            self.low[position] |= 1 << (byte & 0x0f);
            self.high[position] |= 1 << (byte >> 4);
        }
        self
    }

    /// How often ordinary text passes, in units of no meaning.
    fn frequency(&self) -> u64 {
        let position = |(low, high): (&u16, &u16)| -> u64 {
            let passes = |byte: &u8| low >> (byte & 0x0f) & high >> (byte >> 4) & 1 != 0;
            (b' '..=b'~').filter(passes).map(weight).sum()
        };
        self.low.iter().zip(&self.high).map(position).product()
    }

    fn write(&self, bit: u8, tables: &mut PrefixTables) {
        for position in 0..3 {
            for nibble in 0..16 {
                if self.low[position] >> nibble & 1 != 0 {
                    tables.low[position][nibble] |= bit;
                }
                if self.high[position] >> nibble & 1 != 0 {
                    tables.high[position][nibble] |= bit;
                }
            }
        }
    }
}

/// How frequent a byte is in the texts of databases, roughly.
fn weight(byte: u8) -> u64 {
    match byte {
        b' ' => 120,
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'h' | b'r' | b'd' | b'l' | b'u' => 50,
        b'a'..=b'z' => 20,
        b'0'..=b'9' => 10,
        b'_' | b'-' | b'.' | b'/' | b':' | b',' | b'"' => 8,
        b'A'..=b'Z' => 4,
        _ => 2,
    }
}

/// Where the windows of rare separators are, and no literal's: with ten digits in the first place
/// any other would let too much through.
const GAP_BUCKET: usize = 0;
/// It settles after three or four.
const ROUNDS_MAX: usize = 8;

const fn token(text: &'static [u8], rest: Rest) -> Literal {
    Literal { text, rest, detector: Detector::Token }
}

const fn key(text: &'static [u8], rest: Rest) -> Literal {
    Literal { text, rest, detector: Detector::PrivateKey }
}

const fn hash(text: &'static [u8], bytes: usize) -> Literal {
    let rest = Rest::Run(Alphabet::Crypt, bytes);
    Literal { text, rest, detector: Detector::PasswordHash }
}

use Alphabet::{Armor, Assigned, Base32, Base62, Base64, Base64Url, Crypt, Dotted, Hex};
use Rest::{Exact, Random, Run};

/// Lengths are those of the vendors' documentation or, where it states none, of issued tokens, as a
/// minimum.
pub(super) const LITERALS: &[Literal] = &[
    Literal { text: b"eyJ", rest: Rest::Jwt, detector: Detector::Jwt },
    // `{` and a blank or a line end.
    Literal { text: b"eyA", rest: Rest::Jwt, detector: Detector::Jwt },
    Literal { text: b"ewogI", rest: Rest::Jwt, detector: Detector::Jwt },
    Literal { text: b"ew0KI", rest: Rest::Jwt, detector: Detector::Jwt },
    Literal { text: b"%40", rest: Rest::Domain, detector: Detector::Email },
    Literal { text: b"://", rest: Rest::Url, detector: Detector::UrlPassword },
    key(b"-----BEGIN ", Rest::Pem),
    key(b"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY", Run(Armor, 40)),
    key(b"LS0tLS1CRUdJTi", Rest::PemBase64),
    key(b"PuTTY-User-Key-File-", Rest::Pem),
    key(b"AGE-SECRET-KEY-1", Run(Base62, 58)),
    // Amazon, Google, Alibaba, Azure.
    token(b"AKIA", Exact(Base32, 16)),
    token(b"ASIA", Exact(Base32, 16)),
    token(b"ABIA", Exact(Base32, 16)),
    token(b"ACCA", Exact(Base32, 16)),
    token(b"ABSK", Random(Base64, 100)),
    token(b"1//0", Random(Base64Url, 50)),
    token(b"AIza", Run(Base64Url, 35)),
    token(b"GOCSPX-", Run(Base64Url, 28)),
    token(b"ya29.", Random(Base64Url, 30)),
    token(b"LTAI", Random(Base62, 16)),
    token(b"AccountKey=", Run(Base64, 80)),
    token(b"SharedAccessKey=", Run(Base64, 40)),
    // GitHub, GitLab, npm, PyPI, RubyGems, Docker.
    token(b"ghp_", Run(Base62, 36)),
    token(b"gho_", Run(Base62, 36)),
    token(b"ghu_", Run(Base62, 36)),
    token(b"ghs_", Run(Base64Url, 36)),
    token(b"ghr_", Run(Base62, 36)),
    token(b"github_pat_", Run(Base64Url, 40)),
    token(b"glpat-", Run(Dotted, 20)),
    token(b"gldt-", Run(Base64Url, 20)),
    token(b"glrt-", Run(Dotted, 20)),
    token(b"glptt-", Run(Hex, 40)),
    token(b"glcbt-", Random(Base64Url, 20)),
    token(b"npm_", Exact(Base62, 36)),
    token(b"pypi-AgEI", Run(Base64Url, 50)),
    token(b"rubygems_", Run(Hex, 48)),
    token(b"dckr_pat_", Run(Base64Url, 27)),
    // Slack, Stripe, SendGrid, Shopify, Postman, Linear, Notion, Figma, Square, EasyPost.
    token(b"xoxb-", Run(Base64Url, 24)),
    token(b"xoxp-", Run(Base64Url, 24)),
    token(b"xoxa-", Run(Base64Url, 24)),
    token(b"xoxr-", Run(Base64Url, 24)),
    token(b"xoxs-", Run(Base64Url, 24)),
    token(b"xoxe.", Random(Dotted, 40)),
    token(b"xoxe-", Random(Base64Url, 40)),
    token(b"xoxc-", Run(Base64Url, 24)),
    token(b"xoxd-", Random(Crypt, 24)),
    token(b"hooks.slack.com/services/T", Random(Base64, 36)),
    token(b"xapp-", Run(Base64Url, 40)),
    token(b"sk_live_", Run(Base62, 16)),
    token(b"rk_live_", Run(Base62, 16)),
    token(b"sk_test_", Run(Base62, 16)),
    token(b"rk_test_", Run(Base62, 16)),
    token(b"whsec_", Random(Base64, 24)),
    token(b"SG.", Random(Dotted, 60)),
    token(b"shpat_", Run(Hex, 32)),
    token(b"shpca_", Run(Hex, 32)),
    token(b"shppa_", Run(Hex, 32)),
    token(b"shpss_", Run(Hex, 32)),
    token(b"PMAK-", Run(Base64Url, 50)),
    token(b"lin_api_", Run(Base62, 32)),
    token(b"ntn_", Random(Base62, 40)),
    token(b"figd_", Random(Base64Url, 38)),
    token(b"sq0atp-", Run(Base64Url, 22)),
    token(b"sq0csp-", Run(Base64Url, 43)),
    token(b"FLWSECK", Random(Base64Url, 34)),
    token(b"xkeysib-", Run(Base64Url, 64)),
    token(b"secret_", Random(Base62, 43)),
    token(b":AA", Rest::Bot),
    token(b"EAACEdEose0cBA", Run(Base62, 20)),
    token(b"EAAA", Random(Base64Url, 60)),
    token(b"EZAK", Exact(Base62, 54)),
    // Models.
    token(b"sk-ant-", Run(Base64Url, 32)),
    token(b"sk-proj-", Random(Base64Url, 40)),
    token(b"sk-svcacct-", Random(Base64Url, 40)),
    token(b"sk-or-v1-", Run(Hex, 64)),
    token(b"sk-lf-", Random(Base64Url, 36)),
    // Words have hyphens between them.
    token(b"sk-", Random(Base62, 32)),
    token(b"lsv2_", Random(Base64Url, 40)),
    token(b"nvapi-", Random(Base64Url, 60)),
    token(b"hf_", Random(Base62, 30)),
    token(b"pplx-", Random(Base62, 40)),
    token(b"gsk_", Random(Base62, 40)),
    token(b"xai-", Random(Base62, 60)),
    token(b"r8_", Random(Base62, 37)),
    // DigitalOcean, Databricks, Vault, Grafana, Atlassian, Tailscale, PlanetScale.
    token(b"dop_v1_", Run(Hex, 64)),
    token(b"doo_v1_", Run(Hex, 64)),
    token(b"dor_v1_", Run(Hex, 64)),
    token(b"dapi", Run(Hex, 32)),
    token(b"hvs.", Random(Base64Url, 24)),
    token(b"hvb.", Random(Base64Url, 24)),
    token(b"glsa_", Run(Base64Url, 40)),
    token(b"glc_", Random(Base64, 40)),
    token(b"ATATT3", Run(Assigned, 100)),
    token(b"ATCTT3", Run(Assigned, 100)),
    token(b"NRAK-", Exact(Base62, 27)),
    token(b"dt0c01.", Run(Dotted, 80)),
    token(b"pul-", Run(Hex, 40)),
    token(b"sbp_", Run(Hex, 40)),
    token(b"CFPAT-", Run(Base64Url, 43)),
    token(b"HRKU-", Random(Base64Url, 36)),
    token(b"sntrys_", Random(Base64, 60)),
    token(b"sntryu_", Run(Hex, 64)),
    token(b"rdme_", Random(Base62, 60)),
    token(b"ops_eyJ", Random(Base64, 100)),
    token(b"tskey-", Run(Base64Url, 20)),
    token(b"pscale_tkn_", Run(Dotted, 32)),
    token(b"pscale_pw_", Run(Dotted, 32)),
    // Password hashes.
    hash(b"$2a$", 56),
    hash(b"$2b$", 56),
    hash(b"$2y$", 56),
    hash(b"$argon2", 30),
    hash(b"$scrypt$", 30),
    hash(b"$5$", 40),
    hash(b"$6$", 80),
    hash(b"$y$", 40),
    hash(b"SCRAM-SHA-256$", 60),
];
