//! A network that misbehaves on purpose: it stands between a client and the daemon on loopback, and cuts, delays, splits,
//! half-closes and repeats what goes through, as a plan says for each connection.
//! Invariant: bytes arrive in order and unchanged, or not at all, as TCP promises; what was sent on one connection may be
//! repeated on another one. The address stays the same while the daemon behind it starts anew.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What happens to one connection.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// It breaks after so many bytes of the client.
    pub cut_up: Option<u64>,
    /// It breaks after so many bytes of the host.
    pub cut_down: Option<u64>,
    /// The client's side ends after so many bytes, as if it had shut its socket down for writing.
    pub half_close: Option<u64>,
    /// After so many bytes of the client nothing goes either way any more, and for [`STALL`] nobody is told.
    pub stall: Option<u64>,
    /// Breaks are resets.
    pub reset: bool,
    /// The most bytes that go on at once.
    pub piece: usize,
    /// Before each piece.
    pub pause: Duration,
    /// Everything that the client sent is sent again on another connection, after the first and before the client's next.
    pub replay: bool,
}

/// How long a connection that stalls seems to stand.
pub const STALL: Duration = Duration::from_secs(4);

impl Default for Faults {
    /// None.
    fn default() -> Self {
        Self {
            cut_up: None,
            cut_down: None,
            half_close: None,
            stall: None,
            reset: false,
            piece: usize::MAX,
            pause: Duration::ZERO,
            replay: false,
        }
    }
}

impl Faults {
    /// One break in each connection, of any kind, and now and then small pieces, pauses and repetitions.
    #[must_use]
    pub fn of(dice: &mut Dice) -> Self {
        // Now in the middle of Hello, now far behind it; the host says less than the client.
        let bytes = |dice: &mut Dice, sizes: u64| {
            let most = 1 << (4 + dice.below(sizes));
            Some(dice.below(most))
        };
        let (mut cut_up, mut cut_down, mut half_close) = (None, None, None);
        match dice.below(5) {
            0 | 1 => cut_up = bytes(dice, 14),
            2 | 3 => cut_down = bytes(dice, 8),
            _ => half_close = bytes(dice, 14),
        }
        Self {
            cut_up,
            cut_down,
            half_close,
            stall: None,
            reset: dice.below(2) == 0,
            piece: match dice.below(4) {
                0 => 1 + dice.below(20) as usize,
                1 => 1 + dice.below(3_000) as usize,
                _ => usize::MAX,
            },
            pause: match dice.below(4) {
                0 => Duration::from_micros(dice.below(300)),
                _ => Duration::ZERO,
            },
            replay: dice.below(3) == 0,
        }
    }
}

/// Numbers that look random and are the same in every run.
pub struct Dice(u64);

impl Dice {
    /// Of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// 0 to `most` - 1.
    pub fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % most.max(1)
    }
}

/// What a plan knows of a connection: which one it is, from 0.
type Plan = Box<dyn FnMut(u32) -> Faults + Send>;

/// The network between one client and the daemon.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    target: Mutex<SocketAddr>,
    plan: Mutex<Plan>,
    carried: AtomicU32,
    broken: AtomicU32,
    replayed: AtomicU32,
    stalled: AtomicU32,
    ended: AtomicBool,
    /// Held while a connection is opened, or repeated.
    door: Mutex<()>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Between whoever connects to its address, and `target`.
    #[must_use]
    pub fn start(target: SocketAddr, plan: impl FnMut(u32) -> Faults + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            plan: Mutex::new(Box::new(plan)),
            carried: AtomicU32::new(0),
            broken: AtomicU32::new(0),
            replayed: AtomicU32::new(0),
            stalled: AtomicU32::new(0),
            ended: AtomicBool::new(false),
            door: Mutex::new(()),
        });
        let own = shared.clone();
        let accepting = std::thread::spawn(move || {
            let mut carrying = Vec::new();
            for client in listener.incoming() {
                if own.ended.load(Ordering::Acquire) {
                    break;
                }
                let (Ok(client), own) = (client, own.clone()) else {
                    continue;
                };
                carrying.push(std::thread::spawn(move || carry(&own, client)));
                carrying.retain(|thread| !thread.is_finished());
            }
            for thread in carrying {
                let _ = thread.join();
            }
        });
        Self {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The daemon is somewhere else now.
    pub fn lead_to(&self, target: SocketAddr) {
        *locked(&self.shared.target) = target;
    }

    /// Connections that stalled so far.
    #[must_use]
    pub fn stalled(&self) -> u32 {
        self.shared.stalled.load(Ordering::Relaxed)
    }

    /// Connections so far, those of them that were broken on purpose, and those that were repeated.
    #[must_use]
    pub fn counts(&self) -> (u32, u32, u32) {
        let of = |count: &AtomicU32| count.load(Ordering::Relaxed);
        (
            of(&self.shared.carried),
            of(&self.shared.broken),
            of(&self.shared.replayed),
        )
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Wakes the one that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// One connection from its beginning to its end.
fn carry(shared: &Arc<Shared>, client: TcpStream) {
    let opening = locked(&shared.door);
    let nth = shared.carried.fetch_add(1, Ordering::Relaxed);
    let faults = (locked(&shared.plan))(nth);
    let target = *locked(&shared.target);
    let Ok(host) = TcpStream::connect(target) else {
        return;
    };
    drop(opening);
    for socket in [&client, &host] {
        let _ = socket.set_nodelay(true);
        let _ = socket.set_read_timeout(Some(Duration::from_millis(50)));
    }
    let heard = Mutex::new(Vec::new());
    let (over, stalled) = (AtomicBool::new(false), AtomicBool::new(false));
    let cut = std::thread::scope(|scope| {
        let up = scope.spawn(|| {
            let way = Way {
                from: &client,
                to: &host,
                faults,
                cut: faults.cut_up,
                half_close: faults.half_close,
                heard: faults.replay.then_some(&heard),
                over: &over,
                stall: faults.stall,
                stalled: &stalled,
                shared,
            };
            way.pump()
        });
        let way = Way {
            from: &host,
            to: &client,
            faults,
            cut: faults.cut_down,
            half_close: None,
            heard: None,
            over: &over,
            stall: None,
            stalled: &stalled,
            shared,
        };
        let down = way.pump();
        let up = up.join().unwrap();
        (up || down).then(|| locked(&shared.door))
    });
    if cut.is_some() {
        shared.broken.fetch_add(1, Ordering::Relaxed);
    }
    if cut.is_some() && faults.replay {
        drop(host);
        repeat(*locked(&shared.target), &locked(&heard));
        shared.replayed.fetch_add(1, Ordering::Relaxed);
    } else if faults.reset && cut.is_some() {
        let _ = rustix::net::sockopt::set_socket_linger(&host, Some(Duration::ZERO));
    }
    if faults.reset {
        let _ = rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO));
    }
    // The client learns of the break only now, with the door still held: its next connection comes after the repetition.
    drop((client, cut));
}

/// Says everything again to the host, and listens for a moment.
fn repeat(target: SocketAddr, bytes: &[u8]) {
    let Ok(mut host) = TcpStream::connect(target) else {
        return;
    };
    let _ = host.set_write_timeout(Some(Duration::from_secs(2)));
    let _ = host.set_read_timeout(Some(Duration::from_millis(50)));
    // Hello must be answered before anything may follow it.
    let mut at = hello_bytes(bytes).min(bytes.len());
    let mut answer = [0; 4096];
    let begun = Instant::now();
    let _ = host.write_all(&bytes[..at]);
    while begun.elapsed() < Duration::from_secs(1) {
        match host.read(&mut answer) {
            Ok(0) => return,
            Ok(_) => break,
            Err(_) => {}
        }
    }
    while at < bytes.len() {
        let end = (at + 10_000).min(bytes.len());
        if host.write_all(&bytes[at..end]).is_err() {
            break;
        }
        at = end;
    }
    while begun.elapsed() < Duration::from_secs(1) {
        match host.read(&mut answer) {
            Ok(1..) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => break,
        }
    }
}

/// The bytes of the preamble and Hello.
fn hello_bytes(bytes: &[u8]) -> usize {
    match bytes.get(8..12) {
        Some(&[a, b, c, d]) => 8 + 5 + u32::from_le_bytes([a, b, c, d]) as usize,
        _ => bytes.len(),
    }
}

/// One direction.
struct Way<'a> {
    from: &'a TcpStream,
    to: &'a TcpStream,
    faults: Faults,
    cut: Option<u64>,
    half_close: Option<u64>,
    heard: Option<&'a Mutex<Vec<u8>>>,
    over: &'a AtomicBool,
    stall: Option<u64>,
    stalled: &'a AtomicBool,
    shared: &'a Shared,
}

impl Way<'_> {
    /// True: it was broken on purpose.
    fn pump(mut self) -> bool {
        let most = self.cut.or(self.half_close).or(self.stall);
        let mut left = most.unwrap_or(u64::MAX);
        let mut buffer = vec![0; 64 << 10];
        let broken = loop {
            if self.over.load(Ordering::Acquire) || self.shared.ended.load(Ordering::Acquire) {
                break false;
            }
            if self.stalled.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let count = match self.from.read(&mut buffer) {
                Ok(0) => {
                    // The other direction may go on.
                    let _ = self.to.shutdown(Shutdown::Write);
                    return false;
                }
                Ok(count) => count,
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) =>
                {
                    continue;
                }
                Err(_) => break false,
            };
            let goes_on = (count as u64).min(left) as usize;
            if !self.pass_on(&buffer[..goes_on]) {
                break false;
            }
            left -= goes_on as u64;
            if left == 0 && self.stall.is_some() {
                self.stall();
                break true;
            }
            if left == 0 && self.half_close.is_some() {
                let _ = self.to.shutdown(Shutdown::Write);
                return false;
            }
            if left == 0 {
                break true;
            }
        };
        self.over.store(true, Ordering::Release);
        if !broken {
            // One side is gone: so is the other.
            let _ = self.to.shutdown(Shutdown::Both);
            let _ = self.from.shutdown(Shutdown::Both);
        }
        broken
    }

    /// Nothing comes and nothing ends, for a while.
    fn stall(&self) {
        self.stalled.store(true, Ordering::Release);
        self.shared.stalled.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        while begun.elapsed() < STALL && !self.shared.ended.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn pass_on(&mut self, bytes: &[u8]) -> bool {
        if let Some(heard) = self.heard {
            locked(heard).extend_from_slice(bytes);
        }
        bytes.chunks(self.faults.piece.max(1)).all(|piece| {
            if !self.faults.pause.is_zero() {
                std::thread::sleep(self.faults.pause);
            }
            self.to.write_all(piece).is_ok()
        })
    }
}
