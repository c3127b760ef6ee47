//! A durable append of 100 bytes, beside what else there is for that: the disk alone, SQLite, Redis.
//! Invariant: nobody is answered before its bytes were synced; every side has the same client, and its turn in every round.
//! Not here: what exactly-once, digests and a plain file cost; the others have none of them, `pixelboyd` has all.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use pixelboy_protocol::Value;
use tempfile::TempDir;

use crate::crowd::Crowd;
use crate::daemon::{Bare, Daemon, Kit};
use crate::link::{Link, Talk};
use crate::process::Process;
use crate::ratio::Spread;
use crate::redis::{Redis, Saying};
use crate::report::{Aim, Report, Row};
use crate::{Fault, talk};

/// What is appended.
pub(crate) const TEXT: [u8; 100] = [b'x'; 100];

/// Clients, and requests that each has in flight.
const LOADS: [Load; 4] = [
    Load::new(1, 1),
    Load::new(8, 1),
    Load::new(64, 1),
    Load::new(1, 64),
];

/// How long one side's turn takes, about: its number of requests goes by how fast it was before.
const TURN: Duration = Duration::from_millis(120);

/// Rounds that are not counted: files are made, and each side's speed becomes known.
const WARM_UP: usize = 3;

/// Of a file that is written over and over.
const PREALLOCATED_BYTES: u64 = 8 << 20;

#[derive(Clone, Copy)]
struct Load {
    clients: usize,
    in_flight: usize,
}

impl Load {
    const fn new(clients: usize, in_flight: usize) -> Self {
        Self { clients, in_flight }
    }

    fn name(self) -> String {
        match (self.clients, self.in_flight) {
            (1, 1) => "1 client".to_owned(),
            (1, in_flight) => format!("{in_flight} in flight on one connection"),
            (clients, _) => format!("{clients} clients"),
        }
    }
}

/// Measures, and adds the rows.
pub(crate) fn measure(kit: &Kit, rounds: usize, report: &mut Report) -> Result<(), Fault> {
    let folder = TempDir::with_prefix_in("append-", kit.folder())?;
    let device = kit.device(false)?;
    let servers = Servers {
        daemon: device.start()?,
        alone: kit.bare_rows(folder.path(), false)?,
        batched: kit.bare_rows(folder.path(), true)?,
        redis: Redis::start(kit.folder(), &[])?,
    };
    if servers.redis.is_none() {
        report.remark("Redis is left out: redis-server is not installed");
    }
    for load in LOADS {
        let mut sides = servers.sides(load)?;
        if load.clients * load.in_flight == 1 {
            sides.push(Side::disk(
                "write + fdatasync, growing",
                folder.path(),
                false,
            )?);
            sides.push(Side::disk(
                "write + fdatasync, preallocated",
                folder.path(),
                true,
            )?);
        }
        for round in 0..rounds + WARM_UP {
            let mut turns: Vec<_> = sides.iter_mut().collect();
            if round % 2 == 1 {
                turns.reverse();
            }
            for side in turns {
                side.turn(round >= WARM_UP)?;
            }
        }
        for row in rows(load, &sides) {
            report.add(row);
        }
    }
    let Servers { daemon, .. } = servers;
    daemon.stop()
}

/// All that runs.
struct Servers {
    daemon: Daemon,
    alone: Bare,
    batched: Bare,
    redis: Option<Redis>,
}

impl Servers {
    /// Pixelboy first.
    fn sides(&self, load: Load) -> Result<Vec<Side>, Fault> {
        let mut sides = vec![Side::of(
            "pixelboy",
            self.daemon.process(),
            load,
            |client| {
                let name = format!("{}-{}-{client}.txt", load.clients, load.in_flight);
                let (link, client) = appender(self.daemon.address, &name)?;
                Ok((link, Box::new(client)))
            },
        )?];
        for (name, bare) in [
            ("SQLite, a transaction each", &self.alone),
            ("SQLite, batched", &self.batched),
        ] {
            sides.push(Side::of(name, bare.process(), load, |_| {
                let link = Link::connect(bare.address)?;
                Ok((link, Box::new(talk::Bare::new(&TEXT))))
            })?);
        }
        if let Some(redis) = &self.redis {
            sides.push(Side::of(
                "Redis, always",
                redis.process(),
                load,
                |client| {
                    let key = format!("{}-{}-{client}", load.clients, load.in_flight);
                    let saying = Saying::new(&[b"RPUSH", key.as_bytes(), &TEXT]);
                    Ok((Link::connect(redis.address)?, Box::new(saying)))
                },
            )?);
        }
        Ok(sides)
    }
}

/// A client that appends to this file again and again.
pub(crate) fn appender(address: SocketAddr, name: &str) -> Result<(Link, talk::Client), Fault> {
    let mut link = Link::connect(address)?;
    let mut client = talk::Client::join(&mut link)?;
    let text = String::from_utf8_lossy(&TEXT).into_owned();
    client.will_ask(
        "ss",
        &[Value::Text(name.to_owned()), Value::Text(text)],
        None,
    )?;
    Ok((link, client))
}

/// One who appends.
struct Side {
    name: &'static str,
    process: Option<Process>,
    way: Way,
    load: Load,
    /// Of all its clients together, in the next turn.
    requests: usize,
    /// Of each round: how long a request took, were they one after the other; and the median of the time until its answer.
    micros: Vec<f64>,
    medians: Vec<f64>,
    /// Until the answer, of all rounds.
    waits: Vec<f64>,
    /// CPU time over wall time.
    cores: Vec<f64>,
}

/// How it is asked.
enum Way {
    One(Link, Box<dyn Talk>),
    Many(Crowd),
    Disk(Ground),
}

type Connected = (Link, Box<dyn Talk>);

impl Side {
    fn of(
        name: &'static str,
        process: Process,
        load: Load,
        connect: impl Fn(usize) -> Result<Connected, Fault>,
    ) -> Result<Self, Fault> {
        let way = if load.clients == 1 {
            let (link, talk) = connect(0)?;
            Way::One(link, talk)
        } else {
            let all = (0..load.clients).map(connect).collect::<Result<_, _>>()?;
            Way::Many(Crowd::new(all)?)
        };
        Ok(Self::new(name, Some(process), load, way))
    }

    fn disk(name: &'static str, folder: &Path, preallocated: bool) -> Result<Self, Fault> {
        let way = Way::Disk(Ground::new(folder, preallocated)?);
        Ok(Self::new(name, None, Load::new(1, 1), way))
    }

    fn new(name: &'static str, process: Option<Process>, load: Load, way: Way) -> Self {
        Self {
            name,
            process,
            way,
            load,
            requests: load.clients * load.in_flight * 4,
            micros: Vec::new(),
            medians: Vec::new(),
            waits: Vec::new(),
            cores: Vec::new(),
        }
    }

    fn turn(&mut self, counts: bool) -> Result<(), Fault> {
        let Load { clients, in_flight } = self.load;
        let work = |process: Option<Process>| process.map(|process| process.work()).transpose();
        let before = work(self.process)?;
        let (took, waits) = match &mut self.way {
            Way::Many(crowd) => crowd.round(self.requests / clients)?,
            Way::Disk(ground) => ground.round(self.requests)?,
            Way::One(link, talk) if in_flight > 1 => (
                link.round(&mut **talk, self.requests, in_flight)?,
                Vec::new(),
            ),
            Way::One(link, talk) => {
                let began = Instant::now();
                let one = |_| Ok(link.round(&mut **talk, 1, 1)?.as_secs_f64() * 1e6);
                let waits = (0..self.requests).map(one).collect::<Result<_, Fault>>()?;
                (began.elapsed(), waits)
            }
        };
        let seconds = took.as_secs_f64();
        if counts {
            if let (Some(before), Some(after)) = (before, work(self.process)?) {
                let cpu_s = after.since(before).cpu_ns as f64 / 1e9;
                self.cores.push(cpu_s / seconds);
            }
            self.micros.push(seconds * 1e6 / self.requests as f64);
            self.medians.push(Spread::of(waits.iter().copied()).median);
            self.waits.extend(waits);
        }
        let fits = self.requests as f64 * TURN.as_secs_f64() / seconds;
        let least = clients * in_flight;
        // A multiple of the clients.
        self.requests = (fits as usize / clients * clients).max(least);
        Ok(())
    }

    /// For people: how fast, how long until the answer, how many cores.
    fn tell(&self) -> String {
        let median = |values: &[f64]| Spread::of(values.iter().copied()).median;
        let mut told = format!("{:.0}/s", 1e6 / median(&self.micros));
        if !self.waits.is_empty() {
            let mut sorted = self.waits.clone();
            sorted.sort_by(f64::total_cmp);
            let p99 = sorted.get(sorted.len() * 99 / 100).copied();
            told += &format!(", p99 {:.0} us", p99.unwrap_or_default());
        }
        if self.process.is_some() {
            told += &format!(", {:.2} cores", median(&self.cores));
        }
        told
    }
}

/// Ours beside each other.
fn rows(load: Load, sides: &[Side]) -> Vec<Row> {
    let Some((ours, others)) = sides.split_first() else {
        return Vec::new();
    };
    let alone = load.clients * load.in_flight == 1;
    let values = |side: &Side| match alone {
        true => side.medians.clone(),
        false => side.micros.clone(),
    };
    let row = |other: &Side| {
        let what = format!("append, {}, beside {}", load.name(), other.name);
        let row = Row::of_rounds(what, "us", &values(ours), &values(other));
        let is_aim = match other.name {
            "SQLite, a transaction each" => alone,
            "SQLite, batched" | "Redis, always" => load.clients * load.in_flight == 64,
            _ => false,
        };
        let row = if is_aim {
            row.aim(Aim::Ratio(1.0))
        } else {
            row
        };
        row.note(format!("{}; theirs {}", ours.tell(), other.tell()))
    };
    others.iter().map(row).collect()
}

/// A file that is written to and synced, without any server.
struct Ground {
    file: File,
    at: u64,
    /// It has this length already, and is written over.
    bytes: Option<u64>,
}

impl Ground {
    fn new(folder: &Path, preallocated: bool) -> Result<Self, Fault> {
        let name = if preallocated {
            "preallocated"
        } else {
            "growing"
        };
        let file = File::create(folder.join(name))?;
        let bytes = preallocated.then_some(PREALLOCATED_BYTES);
        if let Some(bytes) = bytes {
            file.write_all_at(&vec![0; bytes as usize], 0)?;
            file.sync_all()?;
        }
        Ok(Self { file, at: 0, bytes })
    }

    fn round(&mut self, writes: usize) -> Result<(Duration, Vec<f64>), Fault> {
        let began = Instant::now();
        let mut waits = Vec::with_capacity(writes);
        for _ in 0..writes {
            let own = Instant::now();
            self.file.write_all_at(&TEXT, self.at)?;
            self.file.sync_data()?;
            self.at += TEXT.len() as u64;
            if self
                .bytes
                .is_some_and(|bytes| self.at + TEXT.len() as u64 > bytes)
            {
                self.at = 0;
            }
            waits.push(own.elapsed().as_secs_f64() * 1e6);
        }
        Ok((began.elapsed(), waits))
    }
}
