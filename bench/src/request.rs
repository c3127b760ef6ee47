//! A small request, through a plugin and without one, beside a bare echo server.
//! Client and servers share one CPU first: between CPUs a wake-up takes longer than all that any server does.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use pixelboy_protocol::Value;

use crate::daemon::{Bare, Daemon, Kit};
use crate::link::{Link, Talk};
use crate::process::Process;
use crate::report::{Aim, Report, Row};
use crate::{Fault, append, cpu, talk};

/// What the argument is made of, and its length.
const PAYLOAD: u8 = 0x5a;
const PAYLOAD_BYTES: usize = 64;

/// How many times the floor a request through a plugin may take.
const AIM: f64 = 1.5;

/// Requests that wait at a time, and how many of them make a round of some 20 ms.
const LOADS: [(usize, usize); 2] = [(1, 1_000), (64, 4_000)];

/// Rounds that are not counted: caches fill, CPUs speed up.
const WARM_UP: usize = 2;

/// Measures, and adds the rows.
pub(crate) fn measure(kit: &Kit, rounds: usize, report: &mut Report) -> Result<(), Fault> {
    let device = kit.device(true)?;
    let given = cpu::given()?;
    let (first, last) = (given.first().copied(), given.last().copied());
    let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
    let mut places = vec![("one CPU", last, last)];
    if first != last {
        places.push(("two CPUs", last, first));
    }
    for (place, servers, client) in places {
        let (daemon, bare) = cpu::on(&[servers], || (device.start(), kit.bare_echo()))?;
        let (daemon, bare) = (daemon?, bare?);
        let rows = cpu::on(&[client], || at(place, &daemon, &bare, rounds))?;
        daemon.stop()?;
        rows?.into_iter().for_each(|row| report.add(row));
    }
    Ok(())
}

/// A server with its client.
struct Side {
    link: Link,
    process: Process,
    talk: Box<dyn Talk>,
}

/// What a side took in the rounds so far, a request each.
#[derive(Clone, Default)]
struct Taken {
    micros: Vec<f64>,
    /// Of the server alone.
    cpu_micros: Vec<f64>,
}

impl Side {
    fn round(&mut self, requests: usize, in_flight: usize, taken: &mut Taken) -> Result<(), Fault> {
        let before = self.process.work()?;
        let time = self.link.round(&mut *self.talk, requests, in_flight)?;
        let work = self.process.work()?.since(before);
        taken
            .micros
            .push(time.as_secs_f64() * 1e6 / requests as f64);
        taken
            .cpu_micros
            .push(work.cpu_ns as f64 / 1e3 / requests as f64);
        Ok(())
    }
}

fn pixelboy(daemon: &Daemon, op: Op) -> Result<Side, Fault> {
    let (link, client) = join(daemon.address, op)?;
    Ok(Side {
        link,
        process: daemon.process(),
        talk: Box::new(client),
    })
}

fn join(address: SocketAddr, op: Op) -> Result<(Link, talk::Client), Fault> {
    let (op, argument) = match op {
        Op::Echo => ("echo", Value::Bytes(vec![PAYLOAD; PAYLOAD_BYTES])),
        Op::Srto => ("srto", Value::Float(5.0)),
        Op::Ss => return append::appender(address, "drive.txt"),
    };
    let mut link = Link::connect(address)?;
    let mut client = talk::Client::join(&mut link)?;
    client.will_ask(
        op,
        std::slice::from_ref(&argument),
        Some(vec![argument.clone()]),
    )?;
    Ok((link, client))
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Op {
    /// Of a plugin that answers what it is asked.
    Echo,
    /// Of the host itself.
    Srto,
    /// An append of 100 bytes, durable.
    Ss,
}

/// The arguments of `drive`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Drive {
    /// Where it listens; its plugins must have `echo` for that.
    address: SocketAddr,
    /// What to ask for.
    op: Op,
    /// For so long.
    #[arg(long, value_name = "S", default_value_t = 5)]
    seconds: u64,
    /// Requests that wait at a time.
    #[arg(long, value_name = "N", default_value_t = 1)]
    in_flight: usize,
    /// The client's CPU; any when absent.
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
}

/// Keeps a daemon busy.
pub(crate) fn drive(args: &Drive) -> Result<(), Fault> {
    let cpus = args.cpu.map_or_else(cpu::given, |cpu| Ok(vec![cpu]))?;
    cpu::on(&cpus, || {
        let (mut link, mut client) = join(args.address, args.op)?;
        let (began, mut requests) = (Instant::now(), 0);
        while began.elapsed() < Duration::from_secs(args.seconds) {
            requests += 1_000;
            link.round(&mut client, 1_000, args.in_flight)?;
        }
        let micros = began.elapsed().as_secs_f64() * 1e6 / f64::from(requests);
        println!("{requests} requests, {micros:.2} us each");
        Ok(())
    })?
}

fn at(place: &str, daemon: &Daemon, bare: &Bare, rounds: usize) -> Result<Vec<Row>, Fault> {
    let mut sides = [
        Side {
            link: Link::connect(bare.address)?,
            process: bare.process(),
            talk: Box::new(talk::Bare::new(&[PAYLOAD; PAYLOAD_BYTES])),
        },
        pixelboy(daemon, Op::Echo)?,
        pixelboy(daemon, Op::Srto)?,
    ];
    let mut taken = vec![
        [const {
            Taken {
                micros: Vec::new(),
                cpu_micros: Vec::new(),
            }
        }; 3];
        LOADS.len()
    ];
    for round in 0..rounds + WARM_UP {
        for ((in_flight, requests), taken) in LOADS.into_iter().zip(&mut taken) {
            let mut turns: Vec<_> = sides.iter_mut().zip(taken).collect();
            if round % 2 == 1 {
                turns.reverse();
            }
            for (side, taken) in turns {
                let mut ignored = Taken::default();
                let taken = if round < WARM_UP { &mut ignored } else { taken };
                side.round(requests, in_flight, taken)?;
            }
        }
    }
    let mut rows = Vec::new();
    for ((in_flight, _), [bare, echo, host]) in LOADS.into_iter().zip(&taken) {
        let how = match in_flight {
            1 => format!("one at a time, {place}"),
            _ => format!("{in_flight} in flight, {place}"),
        };
        for (what, ours) in [
            ("echo through a plugin", echo),
            ("srto, without a guest", host),
        ] {
            let row = Row::of_rounds(format!("{what}, {how}"), "us", &ours.micros, &bare.micros);
            let row = match (what, place, in_flight) {
                ("echo through a plugin", "one CPU", 1) => row.aim(Aim::Ratio(AIM)),
                _ => row,
            };
            rows.push(row);
            let cpu = Row::of_rounds(
                "  of it the server's CPU time",
                "us",
                &ours.cpu_micros,
                &bare.cpu_micros,
            );
            rows.push(cpu);
        }
    }
    Ok(rows)
}
