//! A large upload: how fast beside a bare receiver, and how much memory it takes.
//! The content's digests are made beforehand: the client should not be what is measured.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pixelboy_protocol::{
    Abort, Code, Data, Finish, Frame, FrameReader, OpenState, OpenUpload, encode_data_header,
    limits,
};
use sha2::{Digest, Sha256};

use crate::daemon::{Bare, Daemon, Kit};
use crate::link::Link;
use crate::process::{Memory, Process};
use crate::report::{Aim, Report, Row};
use crate::{Fault, talk};

/// How often each side uploads, in turn: so often that a small upload's figures are no matter of chance.
fn rounds(mib: u64) -> usize {
    usize::try_from(512 / mib.max(1)).unwrap_or(3).clamp(3, 15)
}

/// Of the bare receiver's time: nine tenths of its speed.
const AIM: f64 = 1.11;

/// What the host's memory may grow by, in MiB: the credit, a thread, buffers; nothing of the size.
const AIM_GROWTH_MIB: f64 = 4.0;

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Measures, and adds the rows.
pub(crate) fn measure(kit: &Kit, mib: u64, report: &mut Report) -> Result<(), Fault> {
    let device = kit.device(false)?;
    let (daemon, bare) = (device.start()?, kit.bare_receiver()?);
    let content = Content::new(mib << 20);
    // The first one maps code and makes threads, which no later one adds to.
    let small = Content::new(4 << 20);
    let mut client = Uploader::join(&daemon)?;
    client.upload(&small)?;
    upload_bare(&bare, &small)?;

    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    let (mut growth, mut bare_growth) = (Growth::default(), Growth::default());
    for round in 0..rounds(mib) {
        let mut own = || -> Result<(), Fault> {
            let (took, grew) = while_watched(daemon.process(), || client.upload(&content))?;
            ours.push(took?.as_secs_f64());
            growth = growth.or(grew);
            Ok(())
        };
        let mut other = || -> Result<(), Fault> {
            let (took, grew) = while_watched(bare.process(), || upload_bare(&bare, &content))?;
            floor.push(took?.as_secs_f64());
            bare_growth = bare_growth.or(grew);
            Ok(())
        };
        if round % 2 == 0 {
            own()?;
            other()?;
        } else {
            other()?;
            own()?;
        }
    }
    let speed = |seconds: &[f64]| {
        let all: Vec<_> = seconds
            .iter()
            .map(|seconds| format!("{:.0}", mib as f64 / seconds))
            .collect();
        all.join(", ")
    };
    report.add(
        Row::of_rounds(
            format!("upload of {mib} MiB until it is on disk"),
            "s",
            &ours,
            &floor,
        )
        .aim(Aim::Ratio(AIM))
        .note(format!("MiB/s: {}; floor {}", speed(&ours), speed(&floor))),
    );
    report.add(
        Row::new("  host memory growth meanwhile", "MiB", growth.all)
            .floor(bare_growth.all)
            .aim(Aim::Ours(AIM_GROWTH_MIB))
            .note(format!("RssAnon {:.1}", growth.anonymous)),
    );
    drop(client);
    daemon.stop()
}

/// One chunk again and again.
struct Content {
    bytes: u64,
    chunk: Vec<u8>,
    crc32c: u32,
    sha256: [u8; 32],
}

impl Content {
    /// Of `bytes`, a multiple of a chunk.
    fn new(bytes: u64) -> Self {
        // Noise: a disk or a file system that compresses gains nothing.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let chunk: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .take(limits::CHUNK_BYTES)
        .collect();
        let mut sha256 = Sha256::new();
        for _ in 0..bytes / chunk.len() as u64 {
            sha256.update(&chunk);
        }
        Self {
            bytes,
            crc32c: Data::new(0, 0, &chunk).crc32c,
            sha256: sha256.finalize().into(),
            chunk,
        }
    }
}

fn upload_bare(bare: &Bare, content: &Content) -> Result<Duration, Fault> {
    let mut socket = TcpStream::connect(bare.address)?;
    socket.set_nodelay(true)?;
    let began = Instant::now();
    socket.write_all(&content.bytes.to_le_bytes())?;
    for _ in 0..content.bytes / content.chunk.len() as u64 {
        socket.write_all(&content.chunk)?;
    }
    socket.read_exact(&mut [0])?;
    Ok(began.elapsed())
}

/// A client of `pixelboyd` that uploads.
struct Uploader {
    socket: TcpStream,
    reader: FrameReader,
    buffer: Vec<u8>,
    frame: Vec<u8>,
    transfer: u64,
    /// Up to where the host lets it send.
    limit: u64,
    finished: bool,
}

impl Uploader {
    fn join(daemon: &Daemon) -> Result<Self, Fault> {
        let mut link = Link::connect(daemon.address)?;
        talk::Client::join(&mut link)?;
        let mut reader = FrameReader::new();
        reader.welcomed();
        Ok(Self {
            socket: link.into_socket(),
            reader,
            buffer: vec![0; 16 << 10],
            frame: Vec::new(),
            transfer: 0,
            limit: 0,
            finished: false,
        })
    }

    /// Until the host has said that all is on disk; then it is dropped there.
    fn upload(&mut self, content: &Content) -> Result<Duration, Fault> {
        self.transfer += 1;
        (self.limit, self.finished) = (0, false);
        let transfer = self.transfer;
        let began = Instant::now();
        let open = OpenUpload {
            transfer,
            length: Some(content.bytes),
            sha256: Some(content.sha256),
            mode: OpenUpload::STORED,
        };
        self.send(open)?;
        let mut offset = 0;
        while offset < content.bytes {
            while self.limit < offset + content.chunk.len() as u64 {
                self.hear()?;
            }
            let data = Data {
                transfer,
                offset,
                crc32c: content.crc32c,
                chunk: &content.chunk,
            };
            self.frame.clear();
            encode_data_header(&data, &mut self.frame)?;
            self.frame.extend_from_slice(&content.chunk);
            self.socket.write_all(&self.frame)?;
            offset += content.chunk.len() as u64;
        }
        self.send(Finish {
            transfer,
            length: content.bytes,
            sha256: content.sha256,
        })?;
        while !self.finished {
            self.hear()?;
        }
        let took = began.elapsed();
        self.send(Abort::new(transfer, Code::Cancelled, "measured"))?;
        Ok(took)
    }

    fn send(&mut self, frame: impl Into<Frame<'static>>) -> Result<(), Fault> {
        self.frame.clear();
        frame.into().encode(&mut self.frame)?;
        Ok(self.socket.write_all(&self.frame)?)
    }

    /// Reads once, and takes what came.
    fn hear(&mut self) -> Result<(), Fault> {
        let read = self.socket.read(&mut self.buffer)?;
        if read == 0 {
            return Err("pixelboyd closed the connection during an upload".into());
        }
        self.reader
            .push(self.buffer.get(..read).unwrap_or_default());
        while let Some(frame) = self.reader.next_frame()? {
            match frame.decode()? {
                Frame::Opened(opened) => match opened.state {
                    OpenState::At { offset: 0, limit } => self.limit = limit,
                    other => return Err(format!("a new upload was opened as {other:?}").into()),
                },
                Frame::Credit(credit) => self.limit = self.limit.max(credit.limit),
                Frame::Finished(_) => self.finished = true,
                Frame::Abort(abort) => {
                    return Err(format!("an upload was refused: {}", abort.message).into());
                }
                Frame::Close(close) => {
                    return Err(format!("pixelboyd closed: {}", close.message).into());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// MiB.
#[derive(Clone, Copy, Default)]
struct Growth {
    all: f64,
    anonymous: f64,
}

impl Growth {
    fn from(before: Memory, most: Memory) -> Self {
        let mib = |before: u64, most: u64| most.saturating_sub(before) as f64 / 1024.0;
        Self {
            all: mib(before.all, most.all),
            anonymous: mib(before.anonymous, most.anonymous),
        }
    }

    /// The larger of both.
    fn or(self, other: Self) -> Self {
        Self {
            all: self.all.max(other.all),
            anonymous: self.anonymous.max(other.anonymous),
        }
    }
}

/// Does `work`, and says by how much the process's memory grew at most.
fn while_watched<T>(process: Process, work: impl FnOnce() -> T) -> Result<(T, Growth), Fault> {
    let before = process.memory()?;
    let over = AtomicBool::new(false);
    let (done, most) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = before;
            while !over.load(Ordering::Relaxed) {
                if let Ok(now) = process.memory() {
                    most.all = most.all.max(now.all);
                    most.anonymous = most.anonymous.max(now.anonymous);
                }
                std::thread::sleep(LOOK_EVERY);
            }
            most
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        (done, watch.join().unwrap_or(before))
    });
    Ok((done, Growth::from(before, most)))
}
