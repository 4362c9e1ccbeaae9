//! What readers skip by: the least and the greatest value of each page and of all.
//!
//! In: values that are there. Out: bounds for the footer and the page index.
//! Never: a bound inside of what it bounds; more than a few bytes of a long text.

use std::borrow::Borrow;

use parquet::basic::BoundaryOrder;

/// Of longer texts only so much stands in the footer; other writers cut at the same place.
const BYTES_MAX: usize = 64;

/// The least and the greatest.
pub type Range<T> = (T, T);

/// Bounds by page. A page without values has none.
#[derive(Debug)]
pub struct Bounds<T> {
    page: Option<Range<T>>,
    pages: Vec<Option<Range<T>>>,
}

impl<T> Default for Bounds<T> {
    fn default() -> Bounds<T> {
        Bounds { page: None, pages: Vec::new() }
    }
}

impl<T: Ord + Clone> Bounds<T> {
    /// A value of this page.
    pub fn add<V: ToOwned<Owned = T> + Ord + ?Sized>(&mut self, value: &V)
    where
        T: Borrow<V>,
    {
        match &mut self.page {
            None => self.page = Some((value.to_owned(), value.to_owned())),
            Some((least, _)) if value < (*least).borrow() => *least = value.to_owned(),
            Some((_, greatest)) if value > (*greatest).borrow() => *greatest = value.to_owned(),
            Some(_) => {}
        }
    }

    /// The next value is of another page.
    pub fn end_page(&mut self) {
        self.pages.push(self.page.take());
    }

    /// The bounds of each page that ended.
    pub fn pages(&self) -> &[Option<Range<T>>] {
        &self.pages
    }
}

/// Bounds of all pages.
pub fn of_all<T: Ord + Clone>(pages: &[Option<Range<T>>]) -> Option<Range<T>> {
    let ranges = || pages.iter().flatten();
    let least = ranges().map(|(least, _)| least).min()?;
    let greatest = ranges().map(|(_, greatest)| greatest).max()?;
    Some((least.clone(), greatest.clone()))
}

/// How the bounds go from page to page. Equal ones ascend.
pub fn order<T: Ord>(pages: &[Option<Range<T>>]) -> BoundaryOrder {
    let ranges: Vec<_> = pages.iter().flatten().collect();
    let each = |holds: fn(&Range<T>, &Range<T>) -> bool| {
        ranges.windows(2).all(|pair| holds(pair[0], pair[1]))
    };
    if each(|before, after| before.0 <= after.0 && before.1 <= after.1) {
        BoundaryOrder::ASCENDING
    } else if each(|before, after| before.0 >= after.0 && before.1 >= after.1) {
        BoundaryOrder::DESCENDING
    } else {
        BoundaryOrder::UNORDERED
    }
}

/// A lower bound of a text, and whether it is shorter than the text.
pub fn cut_low(text: &[u8]) -> (Vec<u8>, bool) {
    let cut = cut(text);
    (text[..cut].to_vec(), cut < text.len())
}

/// An upper bound of a text, and whether it is another than the text: where a text is cut, its last
/// character that can is made the next one. A text of which none can stays whole.
pub fn cut_high(text: &[u8]) -> (Vec<u8>, bool) {
    let end = cut(text);
    if end == text.len() {
        return (text.to_vec(), false);
    }
    let head = std::str::from_utf8(&text[..end]).unwrap_or_default();
    for (at, last) in head.char_indices().rev() {
        let next = char::from_u32(u32::from(last) + 1);
        // One of more bytes could make it longer than where it was cut.
        if let Some(next) = next.filter(|next| next.len_utf8() == last.len_utf8()) {
            let mut bound = text[..at].to_vec();
            bound.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
            return (bound, true);
        }
    }
    (text.to_vec(), false)
}

/// Where a text is cut: between characters.
fn cut(text: &[u8]) -> usize {
    if text.len() <= BYTES_MAX {
        return text.len();
    }
    let begins_character = |at: &usize| text[*at] & 0xc0 != 0x80;
    (0..=BYTES_MAX).rev().find(begins_character).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pages_have_bounds_and_an_order() {
        let mut bounds: Bounds<i64> = Bounds::default();
        for page in [&[3, 1, 2][..], &[], &[1, 9], &[4]] {
            page.iter().for_each(|value| bounds.add(value));
            bounds.end_page();
        }
        let pages = bounds.pages();
        assert_eq!(pages, [Some((1, 3)), None, Some((1, 9)), Some((4, 4))]);
        assert_eq!(of_all(pages), Some((1, 9)));
        assert_eq!(order(pages), BoundaryOrder::UNORDERED);
        assert_eq!(order(&pages[..3]), BoundaryOrder::ASCENDING);
        assert_eq!(order(&[Some((4, 9)), Some((1, 9))]), BoundaryOrder::DESCENDING);
        assert_eq!(order(&[Some((4, 4)), Some((4, 4))]), BoundaryOrder::ASCENDING);
        assert_eq!(of_all(&pages[1..2]), None);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let (exact, long) = ("x".repeat(64), "x".repeat(65));
        assert_eq!(cut_high(exact.as_bytes()), (exact.clone().into_bytes(), false));
        assert_eq!(cut_low(long.as_bytes()), (exact.into_bytes(), true));
        let next = format!("{}y", "x".repeat(63));
        assert_eq!(cut_high(long.as_bytes()), (next.into_bytes(), true));
        let split = format!("{}\u{e9}", "x".repeat(63));
        assert_eq!(cut_low(split.as_bytes()), ("x".repeat(63).into_bytes(), true));
        let last_of_two_bytes = format!("{}z\u{7ff}{}", "x".repeat(60), "y".repeat(9));
        let expect = format!("{}z\u{7ff}z", "x".repeat(60));
        assert_eq!(cut_high(last_of_two_bytes.as_bytes()), (expect.into_bytes(), true));
        let greatest = "\u{10ffff}".repeat(20);
        assert_eq!(cut_high(greatest.as_bytes()), (greatest.clone().into_bytes(), false));
        let before_it = format!("a{}", "\u{10ffff}".repeat(20));
        assert_eq!(cut_high(before_it.as_bytes()), (b"b".to_vec(), true));
    }

    proptest! {
        #[test]
        fn bounds_bound(
            text in prop_oneof!["\\PC{0,80}", "[\u{7e}-\u{81}\u{d7ff}\u{10ffff}]{0,80}"],
        ) {
            let (low, cut) = cut_low(text.as_bytes());
            let (high, raised) = cut_high(text.as_bytes());
            prop_assert!(low.as_slice() <= text.as_bytes() && text.as_bytes() <= high.as_slice());
            prop_assert!(std::str::from_utf8(&low).is_ok() && std::str::from_utf8(&high).is_ok());
            prop_assert!(low.len() <= BYTES_MAX && (high.len() <= BYTES_MAX || !raised));
            prop_assert_eq!(cut, text.len() > BYTES_MAX);
        }
    }
}
