//! What a device has, and what has committed but may still turn out not to begin.
//! Invariant: the newest is what was asked for last; what a refused one would have replaced is still known then.
//! Not here: what it is a succession of (`device`).

/// What is there and what follows it, oldest first; never empty.
pub(crate) struct Succession<T>(Vec<Heir<T>>);

struct Heir<T> {
    /// 0 for what needs no beginning.
    token: u64,
    what: Option<T>,
}

impl<T> Succession<T> {
    /// Nothing is there.
    pub(crate) fn new() -> Self {
        Self(vec![Heir {
            token: 0,
            what: None,
        }])
    }

    /// As asked for last.
    pub(crate) fn now(&self) -> Option<&T> {
        self.0.last().and_then(|heir| heir.what.as_ref())
    }

    /// Each that is there or may be.
    pub(crate) fn each(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().filter_map(|heir| heir.what.as_mut())
    }

    /// This is to follow; whether it does, `begun` or `failed` tells.
    pub(crate) fn push(&mut self, token: u64, what: Option<T>) {
        self.0.push(Heir { token, what });
    }

    /// It ends all that is there and was to follow.
    pub(crate) fn end(&mut self) {
        *self = Self::new();
    }

    /// Whether this one is there or still to follow.
    pub(crate) fn has(&self, token: u64) -> bool {
        self.0.iter().any(|heir| heir.token == token)
    }

    /// It has begun: those before it are gone. What it took the place of, where that was something.
    pub(crate) fn begun(&mut self, token: u64) -> Option<T> {
        let at = self.0.iter().position(|heir| heir.token == token)?;
        let mut gone = self.0.drain(..at);
        // The oldest is what was there; others between never began.
        gone.next().and_then(|heir| heir.what)
    }

    /// It did not begin, or is over.
    pub(crate) fn remove(&mut self, token: u64) {
        self.0.retain(|heir| heir.token != token);
        self.never_empty();
    }

    /// Ends those of which `keep` is false.
    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.0.retain(|heir| heir.what.as_ref().is_none_or(&keep));
        self.never_empty();
    }

    fn never_empty(&mut self) {
        if self.0.is_empty() {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tokens: &[u64]) -> Succession<u64> {
        let mut succession = Succession::new();
        for token in tokens {
            succession.push(*token, Some(*token));
        }
        succession
    }

    #[test]
    fn a_refused_one_leaves_what_was_there_however_many_were_asked_for() {
        let mut succession = of(&[1, 2, 3]);
        succession.begun(1);
        succession.remove(2);
        assert_eq!(succession.now(), Some(&3));
        succession.remove(3);
        assert_eq!(succession.now(), Some(&1));
    }

    #[test]
    fn one_that_begins_tells_whose_place_it_takes() {
        let mut succession = of(&[1, 2]);
        assert_eq!(succession.begun(1), None);
        assert_eq!(succession.begun(2), Some(1));
        assert!(!succession.has(1) && succession.has(2));
        assert_eq!(succession.begun(1), None, "it is long gone");
        assert_eq!(succession.now(), Some(&2));
    }

    #[test]
    fn what_is_over_leaves_nothing_and_what_was_to_follow_still_does() {
        let mut succession = of(&[1, 2]);
        succession.begun(1);
        succession.remove(1);
        assert_eq!(succession.now(), Some(&2));
        succession.remove(2);
        assert_eq!(succession.now(), None);
    }
}
