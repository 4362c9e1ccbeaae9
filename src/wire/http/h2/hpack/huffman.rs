//! The Huffman code of strings (RFC 7541 5.2, appendix B).
//!
//! The code is canonical: shorter codes come first, and codes of one length count up in the order
//! of their symbols. So the lengths are all there is to know. The next byte of the bits names the
//! symbol if its code has at most eight of them, which is all of printable ASCII that is frequent;
//! longer ones are found by their length.

use super::Broken;

/// Bits of each code; the last is EOS.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const EOS: u16 = 256;
const BITS_MAX: usize = 30;
const SHORT_BITS: u32 = 8;

/// Codes of one length: the first of them, how many there are, and the place of its symbol.
#[derive(Clone, Copy)]
struct Rank {
    code: u32,
    count: u32,
    place: u16,
}

struct Tables {
    /// Symbols in the order of their codes.
    symbols: [u16; 257],
    ranks: [Rank; BITS_MAX + 1],
    /// By the next byte: the symbol and the length of its code; length 0 means a longer code.
    short: [(u8, u8); 256],
}

static TABLES: Tables = build();

const fn build() -> Tables {
    let mut symbols = [0; 257];
    let mut ranks = [Rank { code: 0, count: 0, place: 0 }; BITS_MAX + 1];
    let mut short = [(0, 0); 256];
    let (mut code, mut place, mut bits) = (0, 0, 1);
    while bits <= BITS_MAX {
        code <<= 1;
        ranks[bits] = Rank { code, count: 0, place: place as u16 };
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == bits {
                if bits <= SHORT_BITS as usize {
                    fill(&mut short, code << (SHORT_BITS as usize - bits), symbol as u8, bits);
                }
                symbols[place] = symbol as u16;
                place += 1;
                code += 1;
                ranks[bits].count += 1;
            }
            symbol += 1;
        }
        bits += 1;
    }
    // The code is complete: every string of 30 bits starts with a code.
    assert!(code == 1 << BITS_MAX);
    Tables { symbols, ranks, short }
}

const fn fill(short: &mut [(u8, u8); 256], first: u32, symbol: u8, bits: usize) {
    let mut at = 0;
    while at < 1 << (SHORT_BITS as usize - bits) {
        short[first as usize + at] = (symbol, bits as u8);
        at += 1;
    }
}

/// Appends the string that `coded` stands for.
///
/// # Errors
/// `Huffman` for EOS and for padding that is longer than seven bits or not all ones.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
    out.reserve(coded.len() + coded.len() / 2);
    // The bits that are not decoded stand at the top of `window`; `held` says how many there are.
    let (mut window, mut held) = (0u64, 0u32);
    let mut rest = coded.iter();
    loop {
        while held <= 56
            && let Some(&byte) = rest.next()
        {
            window |= u64::from(byte) << (56 - held);
            held += 8;
        }
        let (symbol, bits) = TABLES.short[(window >> 56) as usize];
        let (symbol, bits) = if bits > 0 {
            (symbol, u32::from(bits))
        } else {
            match long(window) {
                (symbol, bits) if bits <= held && symbol == EOS => return Err(Broken::Huffman),
                (symbol, bits) => (symbol as u8, bits),
            }
        };
        if bits > held {
            // What is left is padding: fewer than eight bits, all ones.
            let padding = !window >> 57 >> (7 - held.min(7));
            return if held < 8 && padding == 0 { Ok(()) } else { Err(Broken::Huffman) };
        }
        out.push(symbol);
        window <<= bits;
        held -= bits;
    }
}

/// The symbol of a code of more than eight bits, and how many.
fn long(window: u64) -> (u16, u32) {
    for bits in SHORT_BITS + 1..BITS_MAX as u32 {
        let rank = TABLES.ranks[bits as usize];
        let over = ((window >> (64 - bits)) as u32).wrapping_sub(rank.code);
        if over < rank.count {
            return (TABLES.symbols[usize::from(rank.place) + over as usize], bits);
        }
    }
    let rank = TABLES.ranks[BITS_MAX];
    let over = ((window >> (64 - BITS_MAX)) as u32).wrapping_sub(rank.code).min(rank.count - 1);
    (TABLES.symbols[usize::from(rank.place) + over as usize], BITS_MAX as u32)
}

/// Bytes that `text` takes when coded.
pub(super) fn coded_bytes(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|&byte| usize::from(LENGTHS[usize::from(byte)])).sum();
    bits.div_ceil(8)
}

/// Appends `text`, coded.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut window, mut held) = (0u64, 0u32);
    for &byte in text {
        let (code, bits) = CODES[usize::from(byte)];
        window = window << bits | u64::from(code);
        held += u32::from(bits);
        while held >= 8 {
            held -= 8;
            out.push((window >> held) as u8);
        }
    }
    if held > 0 {
        out.push((window << (8 - held)) as u8 | 0xff >> held);
    }
}

/// Code and bits of each byte.
static CODES: [(u32, u8); 256] = codes();

const fn codes() -> [(u32, u8); 256] {
    let mut codes = [(0, 0); 256];
    let (mut code, mut bits) = (0, 1);
    while bits <= BITS_MAX {
        code <<= 1;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == bits {
                if symbol < 256 {
                    codes[symbol] = (code, bits as u8);
                }
                code += 1;
            }
            symbol += 1;
        }
        bits += 1;
    }
    codes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, Broken> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| out)
    }

    #[test]
    fn codes_of_the_appendix() {
        assert_eq!(CODES[usize::from(b'0')], (0x0, 5));
        assert_eq!(CODES[usize::from(b'a')], (0x3, 5));
        assert_eq!(CODES[usize::from(b'X')], (0xfc, 8));
        assert_eq!(CODES[0], (0x1ff8, 13));
        assert_eq!(CODES[usize::from(b'\\')], (0x7fff0, 19));
        assert_eq!(CODES[22], (0x3fff_fffe, 30));
        assert_eq!(CODES[255], (0x3ff_ffee, 26));
    }

    #[test]
    fn padding_is_the_start_of_eos_and_short() {
        // 'a' is 00011.
        assert_eq!(decoded(&[0b0001_1111]), Ok(b"a".to_vec()));
        assert_eq!(decoded(&[0b0001_1110]), Err(Broken::Huffman));
        assert_eq!(decoded(&[0b0001_1011]), Err(Broken::Huffman));
        assert_eq!(decoded(&[0b0001_1111, 0xff]), Err(Broken::Huffman));
        assert_eq!(decoded(&[0xff]), Err(Broken::Huffman));
        assert_eq!(decoded(&[]), Ok(vec![]));
        // EOS, and a code that is cut off.
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), Err(Broken::Huffman));
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xfb, 0xff]), Err(Broken::Huffman));
        assert_eq!(decoded(&[0xff, 0xf8]), Err(Broken::Huffman));
    }

    /// One bit after another against the list of codes.
    fn naive(coded: &[u8]) -> Option<Vec<u8>> {
        let bits = coded.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
        let (mut out, mut code, mut count) = (Vec::new(), 0u32, 0u8);
        for bit in bits {
            code = code << 1 | u32::from(bit);
            count += 1;
            if (code, count) == (0x3fff_ffff, 30) {
                return None;
            }
            if let Some(symbol) = CODES.iter().position(|known| *known == (code, count)) {
                out.push(symbol as u8);
                (code, count) = (0, 0);
            }
        }
        (count < 8 && code == (1 << count) - 1).then_some(out)
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in any::<Vec<u8>>()) {
            let mut coded = Vec::new();
            encode(&text, &mut coded);
            prop_assert_eq!(coded.len(), coded_bytes(&text));
            prop_assert_eq!(decoded(&coded), Ok(text));
        }

        #[test]
        fn any_bits_are_read_as_one_by_one(coded in prop::collection::vec(
            prop_oneof![Just(0xffu8), any::<u8>()], 0..12,
        )) {
            prop_assert_eq!(decoded(&coded).ok(), naive(&coded));
        }
    }
}
