//! What is kept by request numbers, which come in rising order almost always and go in the order they came.
//! Invariant: sorted by number, each at most once. A ring: in the usual order nothing is allocated or searched.

use std::collections::VecDeque;

/// A map from request numbers.
#[derive(Debug)]
pub(crate) struct Numbers<V>(VecDeque<(u64, V)>);

impl<V> Default for Numbers<V> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<V> Numbers<V> {
    /// Keeps `value`, in place of an older one.
    pub(crate) fn insert(&mut self, number: u64, value: V) {
        match self.0.back() {
            Some((last, _)) if *last >= number => match self.place(number) {
                Ok(at) => {
                    if let Some(kept) = self.0.get_mut(at) {
                        kept.1 = value;
                    }
                }
                Err(at) => self.0.insert(at, (number, value)),
            },
            _ => self.0.push_back((number, value)),
        }
    }

    /// What is kept of a number.
    pub(crate) fn get(&self, number: u64) -> Option<&V> {
        let at = self.place(number).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// What is kept of a number.
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut V> {
        let at = self.place(number).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// Takes a number out.
    pub(crate) fn remove(&mut self, number: u64) -> Option<V> {
        let at = self.place(number).ok()?;
        self.0.remove(at).map(|(_, value)| value)
    }

    /// The lowest number.
    pub(crate) fn first(&self) -> Option<(u64, &V)> {
        self.0.front().map(|(number, value)| (*number, value))
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Where a number is, or would be.
    fn place(&self, number: u64) -> Result<usize, usize> {
        match self.0.front() {
            Some((first, _)) if *first == number => Ok(0),
            _ => self.0.binary_search_by_key(&number, |(number, _)| *number),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_keeps_what_a_map_keeps(steps in prop::collection::vec((0_u64..12, any::<bool>()), 0..60)) {
            let mut numbers = Numbers::default();
            let mut map = std::collections::BTreeMap::new();
            for (step, (number, insert)) in steps.into_iter().enumerate() {
                if insert {
                    numbers.insert(number, step);
                    map.insert(number, step);
                } else {
                    prop_assert_eq!(numbers.remove(number), map.remove(&number));
                }
                prop_assert_eq!(numbers.first(), map.first_key_value().map(|(number, value)| (*number, value)));
                prop_assert_eq!(numbers.get(number), map.get(&number));
                prop_assert_eq!(numbers.len(), map.len());
            }
        }
    }
}
