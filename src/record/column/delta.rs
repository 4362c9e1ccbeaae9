//! Numbers as differences: how Parquet writes what grows or stays.
//!
//! In: whole numbers. Out: bytes after the format's `Encodings.md`, DELTA_BINARY_PACKED.
//! Never: a difference that is not taken modulo the column's width.

use super::hybrid::{push_bits, push_varint, width_of};

/// Differences that share their least one.
const BLOCK: usize = 128;
/// Differences that share their width.
const MINIBLOCK: usize = 32;

/// The physical type of a column of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// INT32.
    Int,
    /// INT64.
    Long,
}

/// Appends the numbers.
pub fn encode(numbers: &[i64], size: Size, out: &mut Vec<u8>) {
    push_varint(BLOCK as u64, out);
    push_varint((BLOCK / MINIBLOCK) as u64, out);
    push_varint(numbers.len() as u64, out);
    push_varint(zigzag(numbers.first().copied().unwrap_or(0)), out);
    let mut deltas = [0; BLOCK];
    let mut before = numbers;
    while let [_, after @ ..] = before
        && !after.is_empty()
    {
        let count = after.len().min(BLOCK);
        for ((delta, from), to) in deltas.iter_mut().zip(before).zip(after) {
            *delta = match size {
                Size::Int => i64::from((*to as i32).wrapping_sub(*from as i32)),
                Size::Long => to.wrapping_sub(*from),
            };
        }
        encode_block(&mut deltas, count, out);
        before = &before[count..];
    }
}

fn encode_block(deltas: &mut [i64; BLOCK], count: usize, out: &mut Vec<u8>) {
    let least = deltas[..count].iter().copied().min().unwrap_or(0);
    // What pads the last miniblock is 0 bits once the least difference is taken off.
    deltas[count..].fill(least);
    push_varint(zigzag(least), out);
    let miniblocks = deltas.as_chunks::<MINIBLOCK>().0;
    let above = |delta: &i64| delta.wrapping_sub(least) as u64;
    let mut widths = [0; BLOCK / MINIBLOCK];
    for (width, miniblock) in widths.iter_mut().zip(miniblocks) {
        *width = width_of(miniblock.iter().map(above).fold(0, |all, bits| all | bits));
    }
    out.extend(widths.map(|width| width as u8));
    for (width, miniblock) in widths.iter().zip(miniblocks) {
        if *width > 0 {
            push_bits(miniblock.iter().map(above), *width, out);
        }
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8], size: Size) -> Vec<i64> {
        let mut at = 0;
        let varint = |at: &mut usize| {
            let (mut number, mut shift) = (0_u64, 0);
            loop {
                let byte = bytes[*at];
                *at += 1;
                number |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    return number;
                }
            }
        };
        let signed = |number: u64| (number >> 1) as i64 ^ -((number & 1) as i64);
        assert_eq!((varint(&mut at), varint(&mut at)), (128, 4));
        let count = varint(&mut at) as usize;
        let mut last = signed(varint(&mut at));
        let mut numbers = Vec::from_iter((count > 0).then_some(last));
        while numbers.len() < count {
            let least = signed(varint(&mut at));
            let widths = &bytes[at..at + 4];
            at += 4;
            for &width in widths {
                let width = usize::from(width);
                for one in 0..32 {
                    let bit = |bit: usize| u64::from(bytes[at + bit / 8] >> (bit % 8) & 1);
                    let above = (0..width).map(|to| bit(one * width + to) << to).sum::<u64>();
                    last = last.wrapping_add(least).wrapping_add(above as i64);
                    if size == Size::Int {
                        last = i64::from(last as i32);
                    }
                    if numbers.len() < count {
                        numbers.push(last);
                    }
                }
                at += width * 4;
            }
        }
        assert_eq!(at, bytes.len(), "nothing stands behind the last miniblock");
        numbers
    }

    /// The second example of the specification: the least difference is -2.
    #[test]
    fn a_block_is_as_the_specification_shows() {
        let mut out = Vec::new();
        encode(&[7, 5, 3, 1, 2, 3, 4, 5], Size::Int, &mut out);
        assert_eq!(out[..6], [128, 1, 4, 8, 14, 3], "sizes, count, first, least difference");
        assert_eq!(out[6..10], [2, 0, 0, 0], "widths");
        assert_eq!(out[10..], [0b1100_0000, 0b0011_1111, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn no_number_and_one_number_have_no_block() {
        for (numbers, expect) in [(&[][..], [128, 1, 4, 0, 0]), (&[-1][..], [128, 1, 4, 1, 1])] {
            let mut out = Vec::new();
            encode(numbers, Size::Long, &mut out);
            assert_eq!(out, expect);
        }
    }

    fn numbers() -> impl Strategy<Value = Vec<i64>> {
        prop_oneof![
            prop::collection::vec(any::<i64>(), 0..300),
            prop::collection::vec(prop::sample::select(vec![i64::MIN, -1, 0, 1, i64::MAX]), 0..300),
            prop::collection::vec(-1000_i64..1000, 0..300),
            (any::<i64>(), 0_usize..300).prop_map(|(number, count)| vec![number; count]),
        ]
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read(numbers in numbers()) {
            let mut out = Vec::new();
            encode(&numbers, Size::Long, &mut out);
            prop_assert_eq!(decode(&out, Size::Long), numbers.clone());
            let ints: Vec<i64> = numbers.iter().map(|number| i64::from(*number as i32)).collect();
            out.clear();
            encode(&ints, Size::Int, &mut out);
            prop_assert_eq!(decode(&out, Size::Int), ints);
        }
    }
}
