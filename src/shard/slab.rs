//! Slots that sessions live in, named by tokens that go stale.
//!
//! In: values. Out: tokens. Never: a stale token that finds a later value in the same slot.

use super::ring::Token;

/// Values by token.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Puts a value into a free slot.
    pub fn insert(&mut self, value: T) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, value: None });
            self.slots.len() as u32 - 1
        });
        let entry = self.slots.get_mut(slot as usize).expect("free slots exist");
        assert!(entry.value.is_none(), "a free slot holds a value");
        entry.value = Some(value);
        Token { slot, generation: entry.generation }
    }

    /// The value, unless the token is stale.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let slot = self.slots.get_mut(token.slot as usize)?;
        if slot.generation == token.generation { slot.value.as_mut() } else { None }
    }

    /// The value of a token that is not stale.
    pub fn get(&self, token: Token) -> Option<&T> {
        let slot = self.slots.get(token.slot as usize)?;
        if slot.generation == token.generation { slot.value.as_ref() } else { None }
    }

    /// Takes the value out; its token is stale from now on.
    pub fn remove(&mut self, token: Token) -> Option<T> {
        let slot = self.slots.get_mut(token.slot as usize)?;
        if slot.generation != token.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = (slot.generation + 1) & Token::GENERATION_MASK;
        self.free.push(token.slot);
        Some(value)
    }

    /// Values.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// No values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens of all values, in slot order.
    pub fn tokens(&self) -> Vec<Token> {
        let live = |(slot, entry): (usize, &Slot<T>)| {
            entry.value.as_ref()?;
            Some(Token { slot: slot as u32, generation: entry.generation })
        };
        self.slots.iter().enumerate().filter_map(live).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_token_finds_nothing() {
        let mut slab = Slab::default();
        let first = slab.insert('a');
        let second = slab.insert('b');
        assert_eq!(slab.remove(first), Some('a'));
        let third = slab.insert('c');
        assert_eq!(third.slot, first.slot);
        assert_ne!(third, first);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(third), Some(&mut 'c'));
        assert_eq!(slab.tokens(), [third, second]);
        assert_eq!(slab.len(), 2);
    }
}
