//! What other clients feel while one appends and syncs are slow, as an SD card's are.
//! Invariant: what is timed writes nothing, and reads nothing that is not on disk yet; so nothing obliges it to wait.
//! Syncs are slowed by a library before the server's own, the one of the tests; without a C compiler this is left out.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pixelboy_protocol::Value;
use tempfile::TempDir;

use crate::append::{TEXT, appender};
use crate::daemon::Kit;
use crate::link::{Link, Talk};
use crate::ratio::Spread;
use crate::redis::{Redis, Saying};
use crate::report::{Report, Row};
use crate::{Fault, talk};

/// How much longer each sync takes, and for how long that is looked at in a round.
const SLOWER: [(Duration, Duration); 4] = [
    (Duration::ZERO, Duration::from_millis(500)),
    (Duration::from_millis(5), Duration::from_millis(500)),
    (Duration::from_millis(50), Duration::from_millis(700)),
    (Duration::from_millis(500), Duration::from_millis(1600)),
];

const ROUNDS: usize = 5;

/// Between two requests, so that they fall anywhere between two syncs.
const PAUSE: Duration = Duration::from_micros(300);

/// The library's source.
const SHIM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/harness/sync.c");

/// Measures, and adds the rows.
pub(crate) fn measure(kit: &Kit, report: &mut Report) -> Result<(), Fault> {
    let folder = TempDir::with_prefix_in("slow-", kit.folder())?;
    let Some(shim) = shim(folder.path())? else {
        report.remark("slow syncs are left out: there is no C compiler");
        return Ok(());
    };
    let control = folder.path().join("sync");
    slow_down(&control, Duration::ZERO)?;
    let environment = [("LD_PRELOAD", &*shim), ("SYNC_CONTROL", &*control)];
    let device = kit.device(true)?;
    let daemon = device.start_with(&environment)?;
    let redis = Redis::start(kit.folder(), &environment)?;
    if redis.is_none() {
        report.remark("Redis is left out: redis-server is not installed");
    }

    let (mut link, mut client) = appender(daemon.address, "still.txt")?;
    link.round(&mut client, 1, 1)?;
    let ask = |op: &str, argument: Value| -> Result<Asked, Fault> {
        let mut link = Link::connect(daemon.address)?;
        let mut client = talk::Client::join(&mut link)?;
        client.will_ask(op, &[argument], None)?;
        Ok(Asked::new(link, Box::new(client)))
    };
    let mut stat = ask("stat", Value::Text("still.txt".into()))?;
    let mut echo = ask("echo", Value::Bytes(vec![0x5a; 64]))?;
    let mut get = match &redis {
        None => None,
        Some(redis) => {
            let mut link = Link::connect(redis.address)?;
            link.round(&mut Saying::new(&[b"SET", b"still", &TEXT]), 1, 1)?;
            Some(Asked::new(link, Box::new(Saying::new(&[b"GET", b"still"]))))
        }
    };
    for _ in 0..ROUNDS {
        for (at, (slower, long)) in SLOWER.into_iter().enumerate() {
            slow_down(&control, slower)?;
            let own = || {
                let (link, client) = appender(daemon.address, "grows.txt")?;
                Ok((link, Box::new(client) as Box<dyn Talk + Send>))
            };
            while_appending(own, || {
                stat.ask_for(long / 2, at)?;
                echo.ask_for(long / 2, at)
            })?;
            if let (Some(redis), Some(get)) = (&redis, &mut get) {
                while_appending(|| push(redis.address), || get.ask_for(long / 2, at))?;
            }
        }
        slow_down(&control, Duration::ZERO)?;
        for asked in [&mut stat, &mut echo].into_iter().chain(&mut get) {
            asked.ask_for(Duration::from_millis(250), SLOWER.len())?;
        }
    }
    for (what, asked) in [("stat", &stat), ("echo through a plugin", &echo)] {
        for (at, (slower, _)) in SLOWER.iter().enumerate() {
            let when = match slower.as_millis() {
                0 => "as they are".to_owned(),
                ms => format!("{ms} ms slower"),
            };
            let what =
                format!("{what}, while another appends, syncs {when}, p50 beside nobody appending");
            let mut note = format!("{}; nobody {}", asked.tell(at), asked.tell(SLOWER.len()));
            if let Some(get) = &get {
                note += &format!(
                    "; Redis GET {}, nobody {}",
                    get.tell(at),
                    get.tell(SLOWER.len())
                );
            }
            report.add(
                Row::of_rounds(what, "us", asked.medians(at), asked.medians(SLOWER.len()))
                    .note(note),
            );
        }
    }
    drop((link, stat, echo));
    daemon.stop()
}

fn push(address: SocketAddr) -> Result<(Link, Box<dyn Talk + Send>), Fault> {
    let saying = Saying::new(&[b"RPUSH", b"grows", &TEXT]);
    Ok((Link::connect(address)?, Box::new(saying)))
}

/// Does `work` while a client appends, one after the other.
fn while_appending(
    connect: impl FnOnce() -> Result<(Link, Box<dyn Talk + Send>), Fault>,
    work: impl FnOnce() -> Result<(), Fault>,
) -> Result<(), Fault> {
    let over = AtomicBool::new(false);
    let (mut link, mut talk) = connect()?;
    std::thread::scope(|scope| {
        let appends = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                link.round(&mut *talk, 1, 1)?;
            }
            Ok::<_, Fault>(())
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        let appended = appends
            .join()
            .unwrap_or_else(|_| Err("the appending client crashed".into()));
        done.and(appended)
    })
}

/// A client that asks for something, and how long the answers took, by what went on meanwhile.
struct Asked {
    link: Link,
    talk: Box<dyn Talk>,
    micros: Vec<Vec<f64>>,
    medians: Vec<Vec<f64>>,
}

impl Asked {
    fn new(link: Link, talk: Box<dyn Talk>) -> Self {
        let kinds = SLOWER.len() + 1;
        Self {
            link,
            talk,
            micros: vec![Vec::new(); kinds],
            medians: vec![Vec::new(); kinds],
        }
    }

    fn ask_for(&mut self, long: Duration, kind: usize) -> Result<(), Fault> {
        let began = Instant::now();
        let mut micros = Vec::new();
        while began.elapsed() < long {
            micros.push(self.link.round(&mut *self.talk, 1, 1)?.as_secs_f64() * 1e6);
            std::thread::sleep(PAUSE);
        }
        if let Some(medians) = self.medians.get_mut(kind) {
            medians.push(Spread::of(micros.iter().copied()).median);
        }
        if let Some(all) = self.micros.get_mut(kind) {
            all.extend(micros);
        }
        Ok(())
    }

    fn medians(&self, kind: usize) -> &[f64] {
        self.medians.get(kind).map_or(&[], Vec::as_slice)
    }

    fn tell(&self, kind: usize) -> String {
        let mut sorted = self.micros.get(kind).cloned().unwrap_or_default();
        sorted.sort_by(f64::total_cmp);
        let at = |part: usize| {
            sorted
                .get((sorted.len() * part / 1000).min(sorted.len().saturating_sub(1)))
                .copied()
                .unwrap_or_default()
        };
        format!(
            "p50 {:.0} us, p99 {:.0}, most {:.0}",
            at(500),
            at(990),
            at(1000)
        )
    }
}

/// From now on each sync takes so much longer.
fn slow_down(control: &Path, by: Duration) -> Result<(), Fault> {
    let part = control.with_extension("part");
    let text = match by.as_millis() {
        0 => "usual".to_owned(),
        ms => format!("slow {ms}"),
    };
    fs::write(&part, text)?;
    Ok(fs::rename(&part, control)?)
}

/// The library, built; none without a compiler.
fn shim(folder: &Path) -> Result<Option<PathBuf>, Fault> {
    let library = folder.join("sync.so");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(SHIM)
        .status();
    match made {
        Ok(made) if made.success() => Ok(Some(library)),
        Ok(made) => Err(format!("{SHIM} does not compile: {made}").into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
