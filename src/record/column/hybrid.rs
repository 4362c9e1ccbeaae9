//! RLE/bit-packed hybrid: how Parquet writes levels and indexes into a dictionary.
//!
//! In: runs of equal numbers. Out: bytes after the format's `Encodings.md`, "Run Length Encoding /
//! Bit-Packing Hybrid". Never: a bit-packed run that ends inside a group of eight, but at the end.

/// Numbers are packed by eights, so that each group is whole bytes.
const GROUP: usize = 8;
/// What one byte of header can say of a bit-packed run, and what other writers stay within.
const GROUPS_MAX: usize = 63;

/// Equal numbers in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The number.
    pub value: u32,
    /// How often; never 0.
    pub count: u32,
}

/// Numbers as runs. One that repeats costs nothing but a count.
#[derive(Debug, Default)]
pub struct Runs(Vec<Run>);

impl Runs {
    /// One more number.
    pub fn push(&mut self, value: u32) {
        match self.0.last_mut() {
            Some(run) if run.value == value => run.count += 1,
            _ => self.0.push(Run { value, count: 1 }),
        }
    }

    /// The run of the last number.
    pub fn last(&self) -> Option<&Run> {
        self.0.last()
    }

    /// The runs, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Run> {
        self.0.iter()
    }

    /// Bytes of memory that the runs take.
    pub fn bytes(&self) -> usize {
        self.0.len() * size_of::<Run>()
    }

    /// How many numbers.
    pub fn count(&self) -> usize {
        self.0.iter().map(|run| run.count as usize).sum()
    }

    /// How many numbers are `value`.
    pub fn count_of(&self, value: u32) -> usize {
        let of_value = self.0.iter().filter(|run| run.value == value);
        of_value.map(|run| run.count as usize).sum()
    }

    /// No number.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends the numbers, `width` bits each.
    pub fn encode(&self, width: u32, out: &mut Vec<u8>) {
        let mut packed = [0; GROUP * GROUPS_MAX];
        let mut waiting = 0_usize;
        for run in &self.0 {
            let mut left = run.count as usize;
            let whole = left.min(waiting.next_multiple_of(GROUP) - waiting);
            packed[waiting..waiting + whole].fill(run.value);
            waiting += whole;
            left -= whole;
            if left >= GROUP {
                push_packed(&packed[..waiting], width, out);
                waiting = 0;
                push_run(Run { value: run.value, count: left as u32 }, width, out);
                continue;
            }
            if waiting == packed.len() {
                push_packed(&packed, width, out);
                waiting = 0;
            }
            packed[waiting..waiting + left].fill(run.value);
            waiting += left;
        }
        let end = waiting.next_multiple_of(GROUP);
        packed[waiting..end].fill(0);
        push_packed(&packed[..end], width, out);
    }
}

fn push_run(run: Run, width: u32, out: &mut Vec<u8>) {
    push_varint(u64::from(run.count) << 1, out);
    let bytes = width.div_ceil(8) as usize;
    out.extend_from_slice(&run.value.to_le_bytes()[..bytes]);
}

fn push_packed(numbers: &[u32], width: u32, out: &mut Vec<u8>) {
    if numbers.is_empty() {
        return;
    }
    push_varint(((numbers.len() / GROUP) as u64) << 1 | 1, out);
    push_bits(numbers.iter().map(|number| u64::from(*number)), width, out);
}

/// Appends numbers of `width` bits, the lowest bit first. Together they are whole bytes.
pub fn push_bits(numbers: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut bits, mut held) = (0_u128, 0);
    for number in numbers {
        bits |= u128::from(number) << held;
        held += width;
        if held >= 64 {
            out.extend_from_slice(&(bits as u64).to_le_bytes());
            bits >>= 64;
            held -= 64;
        }
    }
    assert_eq!(held % 8, 0, "what is packed together is whole bytes");
    out.extend_from_slice(&bits.to_le_bytes()[..held as usize / 8]);
}

/// Appends an unsigned LEB128.
pub fn push_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Bits that hold every number up to `largest`.
pub fn width_of(largest: u64) -> u32 {
    u64::BITS - largest.leading_zeros()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn runs_of(numbers: &[u32]) -> Runs {
        let mut runs = Runs::default();
        numbers.iter().for_each(|number| runs.push(*number));
        runs
    }

    /// Reads after the specification, one bit at a time.
    fn decode(mut bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let (mut header, mut shift) = (0_usize, 0);
            loop {
                let byte = bytes[0];
                bytes = &bytes[1..];
                header |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
            let bit = |bytes: &[u8], at: usize| u32::from(bytes[at / 8] >> (at % 8) & 1);
            let number = |bytes: &[u8], from: usize| {
                (0..width as usize).map(|at| bit(bytes, from + at) << at).sum::<u32>()
            };
            if header & 1 == 1 {
                let packed = header / 2 * GROUP;
                numbers.extend((0..packed).map(|at| number(bytes, at * width as usize)));
                bytes = &bytes[packed * width as usize / 8..];
            } else {
                numbers.extend(std::iter::repeat_n(number(bytes, 0), header / 2));
                bytes = &bytes[width.div_ceil(8) as usize..];
            }
        }
        assert!(bytes.is_empty(), "nothing stands behind the last number");
        assert!(numbers[count..].iter().all(|padding| *padding == 0));
        numbers.truncate(count);
        numbers
    }

    /// The example of the specification: 0 to 7 in three bits.
    #[test]
    fn a_group_is_packed_as_the_specification_shows() {
        let mut out = Vec::new();
        runs_of(&[0, 1, 2, 3, 4, 5, 6, 7]).encode(3, &mut out);
        assert_eq!(out, [3, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
    }

    #[test]
    fn one_value_alone_takes_no_bits() {
        let mut out = Vec::new();
        runs_of(&[0; 300]).encode(0, &mut out);
        assert_eq!(out, [0b1101_1000, 0b100]);
    }

    proptest! {
        #[test]
        fn what_was_pushed_is_read(
            runs in prop::collection::vec((0_u32..9, 1_usize..30), 0..80),
            singles in prop::collection::vec(0_u32..9, 0..1200),
            factor in prop::sample::select(vec![0_u32, 1, 3, 40, 9000, 200_000_000]),
        ) {
            let mut numbers: Vec<u32> = Vec::new();
            numbers.extend(&singles[..singles.len() / 2]);
            numbers.extend(runs.iter().flat_map(|(value, count)| vec![*value; *count]));
            numbers.extend(&singles[singles.len() / 2..]);
            numbers.iter_mut().for_each(|number| *number *= factor);
            let width = width_of(numbers.iter().max().map_or(0, |largest| u64::from(*largest)));
            let (runs, mut out) = (runs_of(&numbers), Vec::new());
            runs.encode(width, &mut out);
            prop_assert_eq!(decode(&out, width, numbers.len()), numbers.clone());
            prop_assert_eq!(runs.count(), numbers.len());
        }
    }
}
