//! A network that breaks, stalls, splits and repeats, between real clients and the real daemon: every line is there once, every
//! upload byte for byte, nobody hangs, and nothing is left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::proxy::{Dice, Faults, Proxy};
use harness::{Daemon, Identity, Missing, PATIENCE, Setup, Wire, args, files, media, process};
use pixelboy_client::{Client, Options, Source};
use pixelboy_protocol::{
    Abort, Code, Data, Finish, Frame, Goodbye, OpenState, OpenUpload, Outcome, Reply, Request,
    Value, limits,
};

/// How long a client may take for all it has to do.
const STORM: Duration = Duration::from_secs(150);

/// Something happens to so many connections; those after them are sound, so that each client comes to an end. The first
/// one lives until a client is in: before that, people are told that nothing answers there.
fn storm(target: SocketAddr, seed: u64, broken: u32) -> Proxy {
    // Another storm: STORM_SEED=7 cargo test …
    let other = std::env::var("STORM_SEED").map_or(0, |seed| seed.parse().unwrap());
    let mut dice = Dice::new(seed + 1_000 * other);
    Proxy::start(target, move |nth| match nth {
        0 => Faults {
            cut_up: Some(1_000),
            ..Faults::default()
        },
        // Only for those who do not wait for pings that are not answered.
        nth if broken == EAGER && nth % 9 == 4 => Faults {
            stall: Some(60 + dice.below(20_000)),
            replay: nth % 2 == 0,
            ..Faults::default()
        },
        nth if nth < broken => Faults::of(&mut dice),
        _ => Faults::default(),
    })
}

/// For clients that connect again at once, and for those that wait longer after each failure.
const EAGER: u32 = 60;
const POLITE: u32 = 10;

/// Bytes of a client's upload, each another.
fn upload_bytes(client: &str, number: usize) -> Vec<u8> {
    let line = format!("{client} {number} ");
    let bytes = 150_000 + 70_000 * number;
    line.bytes().cycle().take(bytes).collect()
}

// ---- the plain client, that does by itself what SPEC asks of a client ----

struct Plain<'a> {
    way: &'a Proxy,
    id: Identity,
    wire: Option<Wire>,
    /// Sent, and not answered.
    pending: VecDeque<Request>,
    begun: Instant,
    recorded: u32,
    /// How often nothing came for as long as it waits.
    silent: u32,
}

/// How long the plain client waits before it takes a connection for dead.
const DEAD: Duration = Duration::from_millis(1_500);

impl<'a> Plain<'a> {
    fn new(way: &'a Proxy) -> Self {
        Self {
            way,
            id: Identity::new(),
            wire: None,
            pending: VecDeque::new(),
            begun: Instant::now(),
            recorded: 0,
            silent: 0,
        }
    }

    fn fell_silent(&mut self) {
        self.silent += 1;
        assert!(
            self.silent <= self.way.stalled(),
            "nothing comes, and the connection stands"
        );
        self.broke();
    }

    /// The connection; a new one where there is none, with everything sent again that has no reply.
    fn wire(&mut self) -> &mut Wire {
        while self.wire.is_none() {
            assert!(self.begun.elapsed() < STORM, "it hangs");
            self.id.lowest_unconfirmed = self
                .pending
                .front()
                .map_or(self.id.next_number, |request| request.number);
            let joined = Wire::try_join(self.way.address(), self.id.clone(), PATIENCE);
            let mut wire = match joined {
                Ok(wire) => wire,
                Err(Missing::Ended(None)) => continue,
                // Another connection of this client was repeated meanwhile.
                Err(Missing::Ended(Some(close))) if close.code == Code::Fenced => continue,
                Err(Missing::Late) => {
                    self.fell_silent();
                    continue;
                }
                Err(missing) => panic!("{missing:?}"),
            };
            self.id = wire.id.clone();
            let confirmed = self.id.lowest_unconfirmed - 1;
            wire.confirmed = confirmed;
            let again = self
                .pending
                .iter_mut()
                .map(|request| {
                    request.confirmed = confirmed;
                    request.clone()
                })
                .all(|request| wire.try_send(request));
            if again {
                self.wire = Some(wire);
            }
        }
        self.wire.as_mut().unwrap()
    }

    fn broke(&mut self) {
        if let Some(wire) = self.wire.take() {
            self.id = wire.id.clone();
            let _ = wire.break_off();
        }
    }

    fn send(&mut self, op: &str, args: Vec<Value>) {
        // The number is used only where there is a connection to use it on.
        self.wire();
        self.id.next_number += 1;
        let request = Request {
            number: self.id.next_number - 1,
            confirmed: self.pending.front().map_or(0, |first| first.number - 1),
            deadline_ms: None,
            op: op.to_owned(),
            args,
            kwargs: vec![],
        };
        self.pending.push_back(request.clone());
        let next = self.id.next_number;
        let wire = self.wire.as_mut().unwrap();
        wire.id.next_number = next;
        if !wire.try_send(request) {
            self.broke();
        }
    }

    /// The reply to the oldest request.
    fn answer(&mut self) -> Reply {
        loop {
            let number = self.pending[0].number;
            self.wire();
            let reply = self.wait(|frame| match frame {
                Frame::Reply(reply) if reply.number == number => Some(reply.clone()),
                _ => None,
            });
            match reply {
                Ok(reply) => {
                    self.pending.pop_front();
                    self.recorded += u32::from(reply.recorded);
                    return reply;
                }
                Err(Missing::Ended(_)) => self.broke(),
                Err(Missing::Late) => self.fell_silent(),
            }
        }
    }

    /// Sends bytes until they are all there; what names them.
    fn upload(&mut self, bytes: &[u8]) -> Value {
        let transfer = self.wire().next_transfer();
        self.id.next_transfer = transfer + 1;
        loop {
            match self.try_upload(transfer, bytes) {
                Ok(()) => break,
                Err(Missing::Late) => self.fell_silent(),
                Err(Missing::Ended(_)) => self.broke(),
            }
        }
        Value::Upload(transfer)
    }

    fn try_upload(&mut self, transfer: u64, bytes: &[u8]) -> Result<(), Missing> {
        let (length, sha256) = (bytes.len() as u64, files::sha256(bytes));
        self.wire();
        self.try_send(OpenUpload {
            transfer,
            length: Some(length),
            sha256: Some(sha256),
            mode: OpenUpload::STORED,
        })?;
        let state = self.wait(|frame| match frame {
            Frame::Opened(opened) if opened.transfer == transfer => Some(opened.state),
            Frame::Abort(abort) if abort.transfer == transfer => given_up(abort),
            _ => None,
        })?;
        let OpenState::At { offset, mut limit } = state else {
            assert_eq!(state, OpenState::Complete);
            return Ok(());
        };
        let mut at = offset as usize;
        while at < bytes.len() {
            let end = bytes.len().min(at + limits::CHUNK_BYTES / 4);
            while end as u64 > limit {
                let more = self.wait(|frame| match frame {
                    Frame::Credit(credit) if credit.transfer == transfer => Some(credit.limit),
                    Frame::Abort(abort) if abort.transfer == transfer => given_up(abort),
                    _ => None,
                })?;
                limit = limit.max(more);
            }
            self.try_send(Data::new(transfer, at as u64, &bytes[at..end]))?;
            at = end;
        }
        self.try_send(Finish {
            transfer,
            length,
            sha256,
        })?;
        self.wait(|frame| match frame {
            Frame::Finished(finished) if finished.transfer == transfer => Some(()),
            Frame::Abort(abort) if abort.transfer == transfer => given_up(abort),
            _ => None,
        })
    }

    fn try_send<'f>(&mut self, frame: impl Into<Frame<'f>>) -> Result<(), Missing> {
        let wire = self.wire.as_mut().ok_or(Missing::Ended(None))?;
        let sent = wire.try_send(frame);
        sent.then_some(()).ok_or(Missing::Ended(None))
    }

    /// Waits on the connection that there is; where one stalls, not for long.
    fn wait<T>(&mut self, mut pick: impl FnMut(&Frame<'_>) -> Option<T>) -> Result<T, Missing> {
        let begun = Instant::now();
        loop {
            let wire = self.wire.as_mut().ok_or(Missing::Ended(None))?;
            match wire.try_wait(DEAD, &mut pick) {
                Err(Missing::Late)
                    if self.way.stalled() <= self.silent && begun.elapsed() < PATIENCE => {}
                other => return other,
            }
        }
    }
}

fn given_up(abort: &Abort) -> ! {
    panic!("the host gave an upload up: {abort:?}")
}

#[track_caller]
fn done(reply: &Reply) {
    assert!(matches!(reply.outcome, Outcome::Done(_)), "{reply:?}");
}

/// Lines with some under way, uploads between them, and shows.
fn plain_client(way: &Proxy, name: &str, lines: usize, uploads: usize) {
    let mut client = Plain::new(way);
    for line in 0..lines {
        let args = args![format!("{name}.txt"), format!("{name}:{line}\n")];
        client.send("ss", args);
        if line % 10 == 9 {
            client.send("ri", args!["logo.png"]);
        }
        while client.pending.len() > 8 {
            done(&client.answer());
        }
        if uploads > 0 && line % (lines / uploads) == 0 {
            let number = line / (lines / uploads);
            let upload = client.upload(&upload_bytes(name, number));
            client.send("ss", args![format!("{name}-{number}.txt"), upload, "w"]);
        }
    }
    while !client.pending.is_empty() {
        done(&client.answer());
    }
    client.wire().try_send(Goodbye {});
    let (carried, broken, replayed) = way.counts();
    println!(
        "{name}: {carried} connections, {broken} of them cut, {replayed} repeated, {} stalled; {} replies came from the record",
        way.stalled(),
        client.recorded
    );
}

// ---- the clients that people use ----

fn rust_client(way: &Proxy, name: &str, lines: usize, uploads: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let work = async {
        let options = Options {
            name: name.to_owned(),
            connect_timeout: STORM,
            deadline: STORM,
            ..Options::default()
        };
        let client = Client::connect(&way.address().to_string(), options)
            .await
            .unwrap();
        let texts = async {
            for number in 0..uploads {
                let bytes = Source::bytes(upload_bytes(name, number));
                let upload = client.data(&bytes, &mut |_, _| {}).await.unwrap();
                let path = format!("{name}-{number}.txt");
                client
                    .call("ss", args![path.as_str(), upload, "w"], [], None)
                    .await
                    .unwrap();
                let got = client.call("get", args![path], [], None).await.unwrap();
                let Value::Blob(blob) = got.values[0] else {
                    panic!("{:?}", got.values)
                };
                let back = client.download(blob).bytes().await.unwrap();
                assert!(back == upload_bytes(name, number), "other bytes came back");
            }
        };
        let appends = async {
            let mut under_way = VecDeque::new();
            for line in 0..lines {
                let args = args![format!("{name}.txt"), format!("{name}:{line}\n")];
                under_way.push_back(client.submit("ss", args, [], None).await.unwrap());
                if line % 10 == 9 {
                    let args = args!["logo.png"];
                    under_way.push_back(client.submit("ri", args, [], None).await.unwrap());
                }
                while under_way.len() > 8 {
                    let first = under_way.pop_front().unwrap();
                    let op = first.op().to_owned();
                    let reply = first.reply().await.unwrap();
                    assert!(op != "ss" || reply.stored.is_some());
                }
            }
            for pending in under_way {
                pending.reply().await.unwrap();
            }
        };
        tokio::join!(texts, appends);
        client.close().await;
    };
    runtime.block_on(async {
        tokio::time::timeout(STORM, work)
            .await
            .expect("the Rust client hangs");
    });
    println!("{name}: {:?}", way.counts());
}

fn python_client(way: &Proxy, name: &str, lines: usize, texts: usize) {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut child = Command::new("python3")
        .arg(format!("{root}/tests/harness/storm.py"))
        .args([
            way.address().to_string(),
            name.to_owned(),
            lines.to_string(),
            texts.to_string(),
        ])
        .env("PYTHONPATH", format!("{root}/clients/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > STORM {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the Python client hangs");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "the Python client failed: {status}");
    println!("{name}: {:?}", way.counts());
}

/// As `storm.py` makes them.
fn python_text(name: &str, number: usize) -> Vec<u8> {
    let lines = 30_000 + 1_000 * number;
    let text: String = (0..lines)
        .map(|at| format!("{name} {number} {at}\n"))
        .collect();
    text.into_bytes()
}

// ---- what must hold afterwards ----

#[track_caller]
fn assert_lines(daemon: &Daemon, name: &str, lines: usize) {
    let text = String::from_utf8(daemon.on_disk(&format!("{name}.txt"))).unwrap();
    let expected: String = (0..lines).map(|line| format!("{name}:{line}\n")).collect();
    assert!(
        text == expected,
        "{name}: {} lines instead of {lines}, or in another order",
        text.lines().count()
    );
}

#[track_caller]
fn assert_uploads(daemon: &Daemon, name: &str, uploads: usize) {
    for number in 0..uploads {
        assert!(
            daemon.on_disk(&format!("{name}-{number}.txt")) == upload_bytes(name, number),
            "{name}-{number}.txt has other bytes"
        );
    }
}

/// No busy loop, and no file or socket that nobody needs.
#[track_caller]
fn assert_at_rest(daemon: &Daemon, open_before: usize) {
    let begun = Instant::now();
    loop {
        let before = process::cpu_time(daemon.pid());
        std::thread::sleep(Duration::from_secs(1));
        let used = process::cpu_time(daemon.pid()) - before;
        let open = process::open_files(daemon.pid());
        if used <= Duration::from_millis(30) && open <= open_before {
            println!(
                "at rest: {used:?} of CPU in a second, {open} files open, {open_before} before"
            );
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "not at rest: {used:?} of CPU in a second, {open} files open, {open_before} before"
        );
    }
}

fn device() -> (Daemon, usize) {
    let daemon = Setup::new()
        .panel(16, 16)
        .host("session_grace_s = 1.0")
        .start();
    let mut wire = daemon.client();
    wire.call("si", args![media("logo.png"), "logo.png"]);
    wire.call("ri", args!["logo.png"]);
    wire.send(Goodbye {});
    wire.closed_with(Code::Closed);
    let open = process::open_files(daemon.pid());
    (daemon, open)
}

#[test]
fn through_a_network_that_breaks_everything_happens_once_and_nothing_is_left_behind() {
    let (daemon, open) = device();
    let ways: Vec<Proxy> = (100..)
        .zip([EAGER, EAGER, POLITE, POLITE])
        .map(|(seed, broken)| storm(daemon.address(), seed, broken))
        .collect();
    std::thread::scope(|scope| {
        scope.spawn(|| plain_client(&ways[0], "plain", 300, 6));
        scope.spawn(|| plain_client(&ways[1], "plainer", 300, 6));
        scope.spawn(|| rust_client(&ways[2], "rust", 300, 6));
        scope.spawn(|| python_client(&ways[3], "python", 200, 3));
    });
    let broken: u32 = ways.iter().map(|way| way.counts().1).sum();
    assert!(broken >= 20, "only {broken} connections were broken");
    // What still repeats something does it now, behind everything.
    drop(ways);
    for (name, lines) in [
        ("plain", 300),
        ("plainer", 300),
        ("rust", 300),
        ("python", 200),
    ] {
        assert_lines(&daemon, name, lines);
    }
    for name in ["plain", "plainer", "rust"] {
        assert_uploads(&daemon, name, 6);
    }
    for number in 0..3 {
        let stored = daemon.on_disk(&format!("python-{number}.txt"));
        assert!(stored == python_text("python", number));
    }
    assert_at_rest(&daemon, open);
    daemon.assert_no_stack_trace();
}

#[test]
fn through_a_network_that_splits_at_every_byte_everything_arrives() {
    let (daemon, open) = device();
    let crumbs = |_| Faults {
        piece: 1,
        ..Faults::default()
    };
    let ways: Vec<Proxy> = (0..3)
        .map(|_| Proxy::start(daemon.address(), crumbs))
        .collect();
    std::thread::scope(|scope| {
        scope.spawn(|| plain_client(&ways[0], "plain", 40, 1));
        scope.spawn(|| rust_client(&ways[1], "rust", 40, 1));
        scope.spawn(|| python_client(&ways[2], "python", 40, 0));
    });
    for name in ["plain", "rust", "python"] {
        assert_lines(&daemon, name, 40);
    }
    for name in ["plain", "rust"] {
        assert_uploads(&daemon, name, 1);
    }
    drop(ways);
    assert_at_rest(&daemon, open);
    daemon.assert_no_stack_trace();
}

/// The same storm, and the host dies four times in it.
#[test]
fn through_a_breaking_network_and_kills_of_the_host_every_line_is_there_once() {
    let (mut daemon, _) = device();
    let ways: Vec<Proxy> = (200..)
        .zip([EAGER, POLITE, POLITE])
        .map(|(seed, broken)| storm(daemon.address(), seed, broken))
        .collect();
    std::thread::scope(|scope| {
        let clients = [
            scope.spawn(|| lines_only(&ways[0], "plain", 400)),
            scope.spawn(|| rust_lines(&ways[1], "rust", 400, 4)),
            scope.spawn(|| python_client(&ways[2], "python", 200, 2)),
        ];
        // Whoever connects for the first time is told where nothing answers; so all are in before it dies.
        let begun = Instant::now();
        let names = ["plain.txt", "rust.txt", "python.txt"];
        while !names.iter().all(|name| daemon.stored(name).exists()) {
            assert!(begun.elapsed() < PATIENCE, "they do not come in");
            std::thread::sleep(Duration::from_millis(20));
        }
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(1_200));
            daemon.kill();
            daemon.boot();
            ways.iter().for_each(|way| way.lead_to(daemon.address()));
        }
        for client in clients {
            client.join().unwrap();
        }
    });
    drop(ways);
    for (name, lines) in [("plain", 400), ("rust", 400), ("python", 200)] {
        assert_lines(&daemon, name, lines);
    }
    assert_uploads(&daemon, "rust", 4);
    for number in 0..2 {
        let stored = daemon.on_disk(&format!("python-{number}.txt"));
        assert!(stored == python_text("python", number));
    }
    daemon.assert_no_stack_trace();
}

fn lines_only(way: &Proxy, name: &str, lines: usize) {
    let mut client = Plain::new(way);
    for line in 0..lines {
        let args = args![format!("{name}.txt"), format!("{name}:{line}\n")];
        client.send("ss", args);
        while client.pending.len() > 8 {
            done(&client.answer());
        }
    }
    while !client.pending.is_empty() {
        done(&client.answer());
    }
}

/// Shows may be lost with the host, which is not what is looked for here.
fn rust_lines(way: &Proxy, name: &str, lines: usize, uploads: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let work = async {
        let options = Options {
            connect_timeout: STORM,
            deadline: STORM,
            ..Options::default()
        };
        let client = Client::connect(&way.address().to_string(), options)
            .await
            .unwrap();
        for line in 0..lines {
            let args = args![format!("{name}.txt"), format!("{name}:{line}\n")];
            client.call("ss", args, [], None).await.unwrap();
            if line % (lines / uploads) == 0 {
                let number = line / (lines / uploads);
                let bytes = Source::bytes(upload_bytes(name, number));
                let upload = client.data(&bytes, &mut |_, _| {}).await.unwrap();
                let args = args![format!("{name}-{number}.txt"), upload, "w"];
                client.call("ss", args, [], None).await.unwrap();
            }
        }
        client.close().await;
    };
    runtime.block_on(async {
        tokio::time::timeout(STORM, work)
            .await
            .expect("the Rust client hangs");
    });
}
