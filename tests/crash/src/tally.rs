//! What happened in the runs, so that nobody takes a run in which nothing happened for a proof.

use std::fmt;
use std::ops::AddAssign;

/// Counts of all that the runs met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs to their end.
    pub seeds: u64,
    /// The power went while the daemon was working, or it was killed.
    pub cuts: u64,
    /// The power went again while the daemon recovered.
    pub cuts_in_recovery: u64,
    /// Lives in which calls to the disk failed while the power stayed.
    pub failing_disks: u64,
    /// The daemon was asked to stop, and the power went while it did.
    pub stops: u64,
    /// Operations that clients sent.
    pub operations: u64,
    /// Of them answered before a cut.
    pub answered: u64,
    /// Pictures that were shown.
    pub shown: u64,
    /// Committed, the answer did not arrive, and sent again.
    pub unanswered_sent_again: u64,
    /// Neither committed nor answered, and sent again.
    pub lost_sent_again: u64,
    /// Answered, not confirmed, and sent again.
    pub answered_sent_again: u64,
    /// Writes of which only a part was on disk after a cut.
    pub torn_writes: u64,
    /// Writes that were lost while a later one was not.
    pub overtaken_writes: u64,
    /// Names that were lost.
    pub lost_names: u64,
    /// Committed files that were not yet in their place after a cut.
    pub cut_before_rename: u64,
    /// Uploads that went on from where they were.
    pub uploads_resumed: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (own, (_, more)) in self.rows_mut().into_iter().zip(other.rows()) {
            *own += more;
        }
    }
}

impl Tally {
    fn rows_mut(&mut self) -> [&mut u64; 16] {
        [
            &mut self.seeds,
            &mut self.cuts,
            &mut self.cuts_in_recovery,
            &mut self.failing_disks,
            &mut self.stops,
            &mut self.operations,
            &mut self.answered,
            &mut self.shown,
            &mut self.unanswered_sent_again,
            &mut self.lost_sent_again,
            &mut self.answered_sent_again,
            &mut self.torn_writes,
            &mut self.overtaken_writes,
            &mut self.lost_names,
            &mut self.cut_before_rename,
            &mut self.uploads_resumed,
        ]
    }

    /// The counts with their words.
    #[must_use]
    pub fn rows(&self) -> [(&'static str, u64); 16] {
        [
            ("seeds", self.seeds),
            ("cuts under load", self.cuts),
            ("cuts during recovery", self.cuts_in_recovery),
            ("lives on a failing disk", self.failing_disks),
            ("cuts while it stopped", self.stops),
            ("operations", self.operations),
            ("answered before a cut", self.answered),
            ("pictures shown", self.shown),
            (
                "committed but unanswered, sent again",
                self.unanswered_sent_again,
            ),
            ("not committed, sent again", self.lost_sent_again),
            (
                "answered but unconfirmed, sent again",
                self.answered_sent_again,
            ),
            ("torn writes", self.torn_writes),
            ("writes lost before a later one", self.overtaken_writes),
            ("lost names", self.lost_names),
            ("cut between commit and rename", self.cut_before_rename),
            ("uploads resumed", self.uploads_resumed),
        ]
    }

    /// What a proof by power cuts must have met and did not.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let rows = self.rows().into_iter();
        rows.filter(|(_, count)| *count == 0)
            .map(|(words, _)| words)
            .collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows()
            .into_iter()
            .try_for_each(|(words, count)| writeln!(out, "{count:>9}  {words}"))
    }
}
