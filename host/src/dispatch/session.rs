//! One client's presence: the receive time-out and when it began to be idle.
//! Invariant: the clock runs only while the session is connected and nothing of it waits, runs or moves.
//! Not here: its operations (`presence`). Time is handed in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::calls::Calls;

/// A session's own settings and its idle clock.
pub(crate) struct Session {
    /// Never used again, also after a restart.
    pub(crate) number: u64,
    pub(crate) receive_timeout: Duration,
    pub(crate) pass_time_out: bool,
    pub(crate) activity: Activity,
    /// What goes to its client unasked.
    pub(crate) calls: Arc<Calls>,
    /// When the last `TimeOut` was sent, if after the last activity.
    reminded: Option<Instant>,
}

/// When something last happened; connections note it as their transfers move.
#[derive(Clone)]
pub(crate) struct Activity {
    origin: Instant,
    last_us: Arc<AtomicU64>,
}

impl Activity {
    /// Something happens now.
    pub(crate) fn starting(now: Instant) -> Self {
        Self {
            origin: now,
            last_us: Arc::default(),
        }
    }

    /// Something happened.
    pub(crate) fn note(&self, now: Instant) {
        let since = now.saturating_duration_since(self.origin).as_micros() as u64;
        self.last_us.fetch_max(since, Ordering::Relaxed);
    }

    /// When something last happened.
    pub(crate) fn last(&self) -> Instant {
        self.origin + Duration::from_micros(self.last_us.load(Ordering::Relaxed))
    }
}

/// What the idle clock says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    /// Look again then.
    Until(Instant),
    /// `TimeOut` is due, with the idle time.
    TimeOut(Duration),
    /// The clock does not run.
    Never,
}

impl Session {
    /// Begins now.
    pub(crate) fn new(
        number: u64,
        receive_timeout: Duration,
        now: Instant,
        calls: Arc<Calls>,
    ) -> Self {
        Self {
            number,
            receive_timeout,
            pass_time_out: false,
            activity: Activity::starting(now),
            calls,
            reminded: None,
        }
    }

    /// When the clock is to be looked at; none where it does not run.
    pub(crate) fn idle_deadline(&self, now: Instant) -> Option<Instant> {
        let last = self.activity.last();
        let reminded = self.reminded.filter(|reminded| *reminded > last);
        (!self.pass_time_out).then(|| (reminded.unwrap_or(last) + self.receive_timeout).max(now))
    }

    /// What is due at `now`. `busy`: an operation waits or runs.
    pub(crate) fn idle(&mut self, now: Instant, busy: bool) -> Idle {
        if self.pass_time_out {
            return Idle::Never;
        }
        if busy {
            self.activity.note(now);
            return Idle::Until(now + self.receive_timeout);
        }
        let last = self.activity.last();
        self.reminded = self.reminded.filter(|reminded| *reminded > last);
        let due = self.reminded.unwrap_or(last) + self.receive_timeout;
        if now < due {
            return Idle::Until(due);
        }
        self.reminded = Some(now);
        Idle::TimeOut(now.saturating_duration_since(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: Duration = Duration::from_secs(5);

    fn session() -> (Session, Instant) {
        let start = Instant::now();
        let errands = crate::capability::errand::Errands::new().0;
        let calls = Calls::new(errands, Arc::default());
        (Session::new(1, FIVE, start, calls), start)
    }

    #[test]
    fn an_idle_session_is_reminded_every_period() {
        let (mut session, start) = session();
        assert_eq!(session.idle(start, false), Idle::Until(start + FIVE));
        assert_eq!(session.idle(start + FIVE, false), Idle::TimeOut(FIVE));
        assert_eq!(
            session.idle(start + FIVE, false),
            Idle::Until(start + 2 * FIVE)
        );
        assert_eq!(
            session.idle(start + 2 * FIVE, false),
            Idle::TimeOut(2 * FIVE)
        );
    }

    #[test]
    fn the_clock_does_not_run_during_an_operation() {
        let (mut session, start) = session();
        let end = start + 3 * FIVE;
        assert_eq!(session.idle(end, true), Idle::Until(end + FIVE));
        assert_eq!(session.idle(end + FIVE / 2, false), Idle::Until(end + FIVE));
        assert_eq!(session.idle(end + FIVE, false), Idle::TimeOut(FIVE));
    }

    #[test]
    fn activity_starts_the_period_anew() {
        let (mut session, start) = session();
        session.activity.note(start + FIVE / 2);
        assert_eq!(
            session.idle(start + FIVE, false),
            Idle::Until(start + FIVE / 2 + FIVE)
        );
    }

    #[test]
    fn pass_time_out_stops_the_clock_until_it_is_cleared() {
        let (mut session, start) = session();
        session.pass_time_out = true;
        assert_eq!(session.idle(start + 9 * FIVE, false), Idle::Never);
        session.pass_time_out = false;
        session.activity.note(start + 9 * FIVE);
        assert_eq!(session.idle(start + 10 * FIVE, false), Idle::TimeOut(FIVE));
    }

    #[test]
    fn a_shorter_time_out_counts_from_the_last_activity() {
        let (mut session, start) = session();
        session.receive_timeout = Duration::from_millis(200);
        assert_eq!(
            session.idle(start + FIVE / 2, false),
            Idle::TimeOut(FIVE / 2)
        );
    }
}
