//! Clients that do whatever SPEC allows, in any order, while the host is killed again and again; what each was told must be
//! what is on the disk.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::proxy::Dice;
use harness::sync::Syncs;
use harness::{Identity, Missing, PATIENCE, Setup, Wire, args};
use pixelboy_protocol::{Cancel, Code, Confirm, Frame, Outcome, Reply, Request};

/// What a client knows of one of its requests.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    /// No reply has come.
    Pending,
    Done,
    /// It was told that nothing happened, or that nothing is on disk.
    Nothing,
}

struct Asked {
    request: Request,
    known: Known,
    confirmed: bool,
}

struct Walker<'a> {
    name: String,
    address: &'a Mutex<SocketAddr>,
    dice: Dice,
    id: Identity,
    wire: Option<Wire>,
    asked: BTreeMap<u64, Asked>,
    /// All up to here is confirmed.
    through: u64,
    told: BTreeMap<&'static str, u32>,
}

impl Walker<'_> {
    fn note(&mut self, what: &'static str) {
        *self.told.entry(what).or_default() += 1;
    }

    /// Connects where there is no connection, and sends again what has no reply, and now and then what has one.
    fn join(&mut self) {
        let begun = Instant::now();
        while self.wire.is_none() {
            assert!(begun.elapsed() < PATIENCE, "{} is not let in", self.name);
            let address = *self.address.lock().unwrap();
            self.id.lowest_unconfirmed = self.through + 1;
            let mut wire = match Wire::try_join(address, self.id.clone(), PATIENCE) {
                Ok(wire) => wire,
                Err(Missing::Ended(None)) => {
                    // It is being started.
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                }
                Err(missing) => panic!("{missing:?}"),
            };
            self.note("connections");
            self.id = wire.id.clone();
            let also_answered = self.dice.below(3) == 0;
            let again: Vec<Request> = self
                .asked
                .values()
                .filter(|asked| {
                    asked.known == Known::Pending
                        || (also_answered && asked.known == Known::Done && !asked.confirmed)
                })
                .map(|asked| Request {
                    confirmed: self.through,
                    deadline_ms: None,
                    ..asked.request.clone()
                })
                .collect();
            if again.into_iter().all(|request| wire.try_send(request)) {
                self.wire = Some(wire);
            }
        }
    }

    fn send<'f>(&mut self, frame: impl Into<Frame<'f>>) {
        self.join();
        if let Some(wire) = &mut self.wire
            && !wire.try_send(frame)
        {
            self.wire = None;
        }
    }

    fn ask(&mut self) {
        // Its connection first: what is sent again has lower numbers.
        self.join();
        let number = self.id.next_number;
        self.id.next_number += 1 + self.dice.below(2);
        let line = format!("{}:{number}\n", self.name);
        let request = Request {
            number,
            confirmed: self.through,
            deadline_ms: (self.dice.below(6) == 0).then(|| self.dice.below(8)),
            op: "ss".to_owned(),
            args: args![format!("{}.txt", self.name), line],
            kwargs: vec![],
        };
        let asked = Asked {
            request: request.clone(),
            known: Known::Pending,
            confirmed: false,
        };
        self.asked.insert(number, asked);
        self.send(request);
    }

    fn cancel(&mut self) {
        let pending: Vec<u64> = self.pending().collect();
        if !pending.is_empty() {
            let number = pending[self.dice.below(pending.len() as u64) as usize];
            self.send(Cancel { number });
        }
    }

    fn pending(&self) -> impl Iterator<Item = u64> {
        self.asked
            .iter()
            .filter(|(_, asked)| asked.known == Known::Pending)
            .map(|(number, _)| *number)
    }

    /// Takes the replies that come within a time.
    fn listen(&mut self, time: Duration) {
        self.join();
        let Some(wire) = &mut self.wire else { return };
        let came = wire.try_wait(time, |frame| match frame {
            Frame::Reply(reply) => Some(reply.clone()),
            _ => None,
        });
        match came {
            Ok(reply) => self.hear(&reply),
            Err(Missing::Late) => {}
            Err(Missing::Ended(None)) => self.wire = None,
            Err(Missing::Ended(Some(close))) => panic!("{}: {close:?}", self.name),
        }
    }

    fn hear(&mut self, reply: &Reply) {
        let asked = self.asked.get_mut(&reply.number).expect("never asked");
        let before = asked.known;
        let (known, what) = match &reply.outcome {
            Outcome::Done(_) => (Known::Done, "done"),
            Outcome::Failed(failure) => match failure.code {
                Code::Cancelled => (Known::Nothing, "cancelled"),
                Code::Deadline => (Known::Nothing, "deadline"),
                Code::RanReplyLost => (Known::Nothing, "ran-reply-lost"),
                _ => panic!("{}: {reply:?}", self.name),
            },
        };
        match before {
            Known::Pending => asked.known = known,
            // Sent again though it had its reply: it has the same one.
            Known::Done => assert!(
                known == Known::Done && reply.recorded,
                "it was done before: {reply:?}"
            ),
            Known::Nothing => panic!("a second reply: {reply:?}"),
        }
        assert_eq!(reply.stored.is_some(), known == Known::Done, "{reply:?}");
        self.note(what);
        if reply.recorded {
            self.note("recorded");
        }
    }

    /// What has its reply may be forgotten; what is confirmed by itself too.
    fn confirm(&mut self) {
        let first_pending = self.pending().next();
        let through = first_pending.map_or(self.id.next_number, |first| first) - 1;
        let received = self.asked.keys().next_back().copied().unwrap_or(0);
        self.through = self.through.max(through.min(received));
        let dice = &mut self.dice;
        let also: Vec<u64> = self
            .asked
            .iter()
            .filter(|(number, asked)| **number > self.through && asked.known != Known::Pending)
            .map(|(number, _)| *number)
            .filter(|_| dice.below(2) == 0)
            .collect();
        for (number, asked) in &mut self.asked {
            asked.confirmed |= *number <= self.through || also.contains(number);
        }
        self.send(Confirm {
            through: self.through,
            also,
        });
    }

    /// Until everything has its reply.
    fn finish(&mut self) {
        let begun = Instant::now();
        while self.pending().next().is_some() {
            assert!(begun.elapsed() < PATIENCE, "{} has no answer", self.name);
            self.listen(Duration::from_millis(500));
        }
    }

    fn walk(&mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Acquire) {
            match self.dice.below(40) {
                0..20 => self.ask(),
                20..23 => self.cancel(),
                23..35 => {
                    let time = Duration::from_micros(self.dice.below(3_000));
                    self.listen(time);
                }
                35..38 => self.confirm(),
                38 => {
                    self.join();
                    self.wire.take().map(Wire::break_off);
                }
                // Two connections at once: the older one is fenced.
                _ => {
                    self.join();
                    let _older = self.wire.take();
                    self.join();
                }
            }
            if self.pending().count() > 40 {
                self.finish();
            }
            let unconfirmed = self.asked.values().filter(|asked| !asked.confirmed);
            if unconfirmed.count() > 300 {
                self.finish();
                self.confirm();
            }
        }
        self.finish();
    }
}

#[test]
fn whatever_clients_do_and_however_the_host_dies_what_they_were_told_is_what_is_there() {
    let setup = Setup::new().host("session_grace_s = 0.05").told_syncs();
    let mut daemon = setup.start();
    let address = Mutex::new(daemon.address());
    let is_over = AtomicBool::new(false);
    let seed: u64 = std::env::var("STORM_SEED").map_or(1, |seed| seed.parse().unwrap());
    let walked: Vec<Walker<'_>> = std::thread::scope(|scope| {
        let walkers: Vec<_> = (0..4)
            .map(|n| {
                let (address, is_over) = (&address, &is_over);
                scope.spawn(move || {
                    let mut walker = Walker {
                        name: format!("walker-{n}"),
                        address,
                        dice: Dice::new(seed * 100 + n),
                        id: Identity::new(),
                        wire: None,
                        asked: BTreeMap::new(),
                        through: 0,
                        told: BTreeMap::new(),
                    };
                    walker.walk(is_over);
                    walker
                })
            })
            .collect();
        for life in 0..5 {
            std::thread::sleep(Duration::from_millis(1_500));
            daemon.kill();
            // A slow disk is led to by another thread, and more waits for it.
            if life == 2 {
                daemon.syncs(Syncs::Slow(Duration::from_millis(5)));
            }
            daemon.boot();
            *address.lock().unwrap() = daemon.address();
        }
        std::thread::sleep(Duration::from_millis(500));
        is_over.store(true, Ordering::Release);
        walkers
            .into_iter()
            .map(|walker| walker.join().unwrap())
            .collect()
    });
    for walker in walked {
        println!("{}: {:?}", walker.name, walker.told);
        let expected: String = walker
            .asked
            .iter()
            .filter(|(_, asked)| asked.known == Known::Done)
            .map(|(number, _)| format!("{}:{number}\n", walker.name))
            .collect();
        let there = String::from_utf8(daemon.on_disk(&format!("{}.txt", walker.name))).unwrap();
        if there != expected {
            let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
            let (there, expected) = (lines(&there), lines(&expected));
            let missing: Vec<_> = expected
                .iter()
                .filter(|line| !there.contains(line))
                .collect();
            let more: Vec<_> = there
                .iter()
                .filter(|line| !expected.contains(line))
                .collect();
            panic!(
                "{} lines instead of {}; missing {missing:?}, too many {more:?}",
                there.len(),
                expected.len()
            );
        }
    }
    daemon.assert_no_stack_trace();
}
