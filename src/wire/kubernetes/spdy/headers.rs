//! Header blocks: one zlib stream per direction, with SPDY's dictionary.
//!
//! In: blocks of one direction, all of them and in order. Out: names and values; blocks for the
//! next peer. Never: more than a bound of inflated bytes per block, whatever the block's length.
//!
//! ```text
//!   count (4), then for each: length (4), name, length (4), value     inflated
//! ```

use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateError, InflateFlush, Status};

use super::dictionary::{DICTIONARY, DICTIONARY_ID};
use super::frame::Refused;
use crate::limits;
use crate::wire::reader::Reader;

/// Names and values in order. A value may hold several, with zero bytes between.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// zlib's window, which the header of the stream states.
const WINDOW_BITS: u8 = 15;
const PIECE_BYTES: usize = 4096;

/// Inflates the blocks of one direction.
pub struct Inflater {
    zlib: Inflate,
    dictionary: bool,
}

impl Default for Inflater {
    fn default() -> Inflater {
        Inflater { zlib: Inflate::new(true, WINDOW_BITS), dictionary: false }
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("dictionary", &self.dictionary).finish_non_exhaustive()
    }
}

impl Inflater {
    /// The headers of the next block. After an error the stream is of no use any more.
    pub fn read(&mut self, block: &[u8]) -> Result<Pairs, Refused> {
        let bytes = self.inflate(block)?;
        // A stream that never asked for the dictionary is not SPDY's.
        if !self.dictionary {
            return Err(Refused::Headers);
        }
        pairs(&bytes).ok_or(Refused::Headers)
    }

    fn inflate(&mut self, block: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut inflated = Vec::new();
        let mut rest = block;
        let mut piece = [0; PIECE_BYTES];
        loop {
            let before = (self.zlib.total_in(), self.zlib.total_out());
            let step = self.zlib.decompress(rest, &mut piece, InflateFlush::SyncFlush);
            let taken = usize::try_from(self.zlib.total_in() - before.0).unwrap_or(usize::MAX);
            let made = usize::try_from(self.zlib.total_out() - before.1).unwrap_or(usize::MAX);
            rest = rest.get(taken..).ok_or(Refused::Headers)?;
            inflated.extend_from_slice(piece.get(..made).ok_or(Refused::Headers)?);
            if inflated.len() > limits::SPDY_HEADERS_BYTES_MAX {
                return Err(Refused::Headers);
            }
            match step {
                Err(InflateError::NeedDict { dict_id: DICTIONARY_ID }) if !self.dictionary => {
                    self.zlib.set_dictionary(DICTIONARY).map_err(|_| Refused::Headers)?;
                    self.dictionary = true;
                }
                // The stream lasts as long as the connection.
                Err(_) | Ok(Status::StreamEnd) => return Err(Refused::Headers),
                Ok(_) if taken == 0 && made == 0 => break,
                Ok(_) => {}
            }
        }
        if rest.is_empty() { Ok(inflated) } else { Err(Refused::Headers) }
    }
}

/// Names are lower case and come once (SPDY/3.1 section 2.6.10).
fn pairs(bytes: &[u8]) -> Option<Pairs> {
    let mut reader = Reader::new(bytes);
    let count = reader.u32()?;
    if count > limits::SPDY_HEADERS_MAX {
        return None;
    }
    let mut pairs = Pairs::new();
    for _ in 0..count {
        let length = usize::try_from(reader.u32()?).ok()?;
        let name = reader.bytes(length)?;
        let length = usize::try_from(reader.u32()?).ok()?;
        let value = reader.bytes(length)?;
        let again = pairs.iter().any(|(known, _)| known == name);
        if name.is_empty() || again || name.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        pairs.push((name.to_vec(), value.to_vec()));
    }
    reader.is_empty().then_some(pairs)
}

/// Deflates the blocks of one direction.
pub struct Deflater {
    zlib: Deflate,
}

impl Default for Deflater {
    fn default() -> Deflater {
        let mut zlib = Deflate::new(6, true, WINDOW_BITS);
        zlib.set_dictionary(DICTIONARY).expect("a new stream takes a dictionary");
        Deflater { zlib }
    }
}

impl std::fmt::Debug for Deflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflater").finish_non_exhaustive()
    }
}

impl Deflater {
    /// The next block, with these headers.
    pub fn write(&mut self, pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<Vec<u8>, Refused> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map(u32::to_be_bytes);
        let mut plain = u32::try_from(pairs.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        for (name, value) in pairs {
            plain.extend(length(name).map_err(|_| Refused::Headers)?);
            plain.extend_from_slice(name);
            plain.extend(length(value).map_err(|_| Refused::Headers)?);
            plain.extend_from_slice(value);
        }
        let mut block = Vec::new();
        let mut rest = plain.as_slice();
        let mut piece = [0; PIECE_BYTES];
        loop {
            let before = (self.zlib.total_in(), self.zlib.total_out());
            let step = self.zlib.compress(rest, &mut piece, DeflateFlush::SyncFlush);
            let taken = usize::try_from(self.zlib.total_in() - before.0).unwrap_or(usize::MAX);
            let made = usize::try_from(self.zlib.total_out() - before.1).unwrap_or(usize::MAX);
            rest = rest.get(taken..).ok_or(Refused::Headers)?;
            block.extend_from_slice(piece.get(..made).ok_or(Refused::Headers)?);
            step.map_err(|_| Refused::Headers)?;
            // Room that is left over means that the flush is complete.
            if made < PIECE_BYTES && rest.is_empty() {
                return Ok(block);
            }
            if made == 0 && taken == 0 {
                return Err(Refused::Headers);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Pairs {
        pairs.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
    }

    #[test]
    fn blocks_depend_on_those_before() {
        let mut deflater = Deflater::default();
        let mut inflater = Inflater::default();
        let mut lengths = Vec::new();
        for port in ["8080", "8080", "9090"] {
            let sent = headers(&[("streamtype", "error"), ("port", port), ("requestid", "0")]);
            let block = deflater.write(&sent).unwrap();
            assert_eq!(inflater.read(&block), Ok(sent));
            lengths.push(block.len());
        }
        assert!(lengths[1] < lengths[0], "{lengths:?}");
        let block = deflater.write(&headers(&[("port", "1")])).unwrap();
        assert_eq!(Inflater::default().read(&block), Err(Refused::Headers));
        let empty = deflater.write(&[]);
        assert!(empty.is_ok());
    }

    /// A block that moby/spdystream wrote, with Go's zlib.
    #[test]
    fn a_block_of_go_is_read() {
        let block = GO_BLOCK;
        let sent = headers(&[("port", "8080"), ("requestid", "0"), ("streamtype", "error")]);
        let mut found = Inflater::default().read(block).unwrap();
        found.sort();
        assert_eq!(found, sent);
        // The last bytes are the mark of the flush, which has no headers.
        for end in 0..block.len() - 5 {
            assert!(Inflater::default().read(&block[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn what_inflates_to_too_much_is_refused() {
        let large = "a".repeat(limits::SPDY_HEADERS_BYTES_MAX);
        let block = Deflater::default().write(&headers(&[("a", &large)])).unwrap();
        assert!(block.len() < 1024, "{}", block.len());
        assert_eq!(Inflater::default().read(&block), Err(Refused::Headers));
        let fits = "a".repeat(limits::SPDY_HEADERS_BYTES_MAX - 64);
        let block = Deflater::default().write(&headers(&[("a", &fits)])).unwrap();
        assert!(Inflater::default().read(&block).is_ok());
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let refused = |pairs: &[(&str, &str)]| {
            let block = Deflater::default().write(&headers(pairs)).unwrap();
            assert_eq!(Inflater::default().read(&block), Err(Refused::Headers), "{pairs:?}");
        };
        refused(&[("Port", "1")]);
        refused(&[("port", "1"), ("port", "2")]);
        refused(&[("", "1")]);
        refused(&vec![("a", ""); 65]);
        // zlib without the dictionary: 78 9c, then a stored block of four zero bytes.
        let plain = b"\x78\x9c\x00\x04\x00\xfb\xff\0\0\0\0\x00\x00\x00\xff\xff";
        assert_eq!(Inflater::default().read(plain), Err(Refused::Headers));
        assert_eq!(Inflater::default().read(b""), Err(Refused::Headers));
        assert_eq!(Inflater::default().read(b"\x78\xbb\0\0\0\x01"), Err(Refused::Headers));
    }

    const GO_BLOCK: &[u8] =
        b"\x78\xf9\xe3\xc6\xa7\xc2\x02\x25\x3a\x70\x3a\x2b\x29\x4a\x4d\xcc\x85\x16\x25\xac\
        \xa9\xa0\x80\x86\x14\xcb\x45\xe0\x1c\x60\x61\x60\x61\xc0\xc0\xc0\xc0\x59\x04\x89\
        \xc6\x4c\x50\xf2\x66\x34\x00\x00\x00\x00\xff\xff";
}
