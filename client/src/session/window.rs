//! Which replies have come, and which of them the device was told of.
//! Invariant: no number is confirmed that the device has not received, also after it forgot some in a crash; what was told on a
//! broken connection is told again.
//! Not here: requests without a reply (`session`).

use std::collections::BTreeMap;

use pixelboy_protocol::{Confirm, Limits, limits};

/// Replies that were told of but lie above one that has not come: so many at most are kept to be told again.
const TOLD: usize = 2_048;

/// Replies that have come.
#[derive(Debug, Default)]
pub(crate) struct Window {
    answered: BTreeMap<u64, Answered>,
    /// Not told: how many, and their bytes.
    untold: usize,
    untold_bytes: u64,
    /// The highest number that the device has received, as far as is known.
    received: u64,
}

#[derive(Debug)]
struct Answered {
    bytes: u64,
    told: bool,
}

impl Window {
    /// Requests that count in the device's window although they are answered.
    pub(crate) fn unconfirmed(&self) -> usize {
        self.untold
    }

    /// A request was sent on this connection.
    pub(crate) fn sent(&mut self, number: u64) {
        self.received = self.received.max(number);
    }

    /// A reply of so many bytes has come.
    pub(crate) fn answered(&mut self, number: u64, bytes: usize) {
        let bytes = bytes as u64;
        self.answered
            .insert(number, Answered { bytes, told: false });
        self.untold += 1;
        self.untold_bytes += bytes;
    }

    /// Whether it is time to confirm, well before half of the window.
    pub(crate) fn is_filling(&self, limits: &Limits) -> bool {
        self.untold as u64 >= limits.window_operations / 4
            || self.untold_bytes >= limits.window_replies_bytes / 4
    }

    /// On a new connection, where Hello confirmed everything below `lowest`.
    pub(crate) fn connected(&mut self, lowest: u64, received_through: u64) {
        self.received = received_through;
        self.answered = self.answered.split_off(&lowest);
        for (number, answered) in &mut self.answered {
            // What the device forgot needs no confirmation.
            answered.told = *number > received_through;
        }
        let untold = || self.answered.values().filter(|answered| !answered.told);
        self.untold = untold().count();
        self.untold_bytes = untold().map(|answered| answered.bytes).sum();
    }

    /// What the next request confirms, where `lowest` is the smallest number without a reply.
    pub(crate) fn confirmed_by_request(&mut self, lowest: u64) -> u64 {
        let through = lowest.saturating_sub(1).min(self.received);
        let rest = self.answered.split_off(&(through + 1));
        for gone in std::mem::replace(&mut self.answered, rest).into_values() {
            self.tell(&gone);
        }
        through
    }

    /// What is to be confirmed apart from requests, if anything.
    pub(crate) fn confirmation(&mut self, lowest: u64) -> Option<Confirm> {
        if self.untold == 0 {
            return None;
        }
        let through = self.confirmed_by_request(lowest);
        let mut also = Vec::new();
        let (mut untold, mut untold_bytes) = (self.untold, self.untold_bytes);
        for (number, answered) in self.answered.range_mut(..=self.received) {
            if !answered.told && also.len() < limits::CONFIRM_ALSO {
                answered.told = true;
                untold -= 1;
                untold_bytes = untold_bytes.saturating_sub(answered.bytes);
                also.push(*number);
            }
        }
        (self.untold, self.untold_bytes) = (untold, untold_bytes);
        while self.answered.len() > TOLD
            && let Some(first) = self.answered.first_entry()
            && first.get().told
        {
            first.remove();
        }
        Some(Confirm { through, also })
    }

    fn tell(&mut self, gone: &Answered) {
        if !gone.told {
            self.untold = self.untold.saturating_sub(1);
            self.untold_bytes = self.untold_bytes.saturating_sub(gone.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use pixelboy_protocol::Limits;

    use super::Window;

    fn window(sent: u64) -> Window {
        let mut window = Window::default();
        (1..=sent).for_each(|number| window.sent(number));
        window
    }

    #[test]
    fn a_gap_is_stepped_over_one_by_one() {
        let mut window = window(5);
        for number in [1, 3, 5] {
            window.answered(number, 10);
        }
        let confirm = window.confirmation(2).unwrap();
        assert_eq!((confirm.through, confirm.also), (1, vec![3, 5]));
        assert!(window.confirmation(2).is_none());
        window.answered(2, 10);
        let confirm = window.confirmation(4).unwrap();
        assert_eq!((confirm.through, confirm.also), (3, vec![]));
    }

    #[test]
    fn what_was_told_on_a_broken_connection_is_told_again() {
        let mut window = window(3);
        window.answered(3, 10);
        assert_eq!(window.confirmation(1).unwrap().also, [3]);
        window.connected(1, 3);
        assert_eq!(window.confirmation(1).unwrap().also, [3]);
    }

    #[test]
    fn a_number_that_the_device_forgot_is_not_confirmed() {
        let mut window = window(20);
        for number in 2..=20 {
            window.answered(number, 10);
        }
        // It crashed; only the first six had been written down.
        window.connected(1, 6);
        let confirm = window.confirmation(1).unwrap();
        assert_eq!((confirm.through, confirm.also), (0, vec![2, 3, 4, 5, 6]));
        assert_eq!(window.confirmed_by_request(21), 6);
        window.sent(21);
        assert_eq!(window.confirmed_by_request(21), 20);
    }

    #[test]
    fn the_window_is_confirmed_before_it_is_half_full() {
        let limits = Limits::default();
        let mut window = window(600);
        for number in 2..=257 {
            assert!(!window.is_filling(&limits));
            window.answered(number, 10);
        }
        assert!(window.is_filling(&limits));
        let mut large = super::Window::default();
        for number in 1..=20 {
            large.answered(number, 65_536);
        }
        assert!(large.is_filling(&limits));
    }
}
