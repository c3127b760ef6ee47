//! The floors: servers that do the least that can be done, each in a process of its own.
//! Invariant: as good as such a server can be written plainly, so that a ratio flatters nobody.
//! Not here: checks, errors of clients.

mod rows;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use rustix::fs::Advice;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Fault;

/// Which of them.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    server: Server,
}

#[derive(Clone, Debug, Subcommand)]
enum Server {
    /// Frames of a u32 length and a body come back as they are.
    Echo,
    /// So many bytes as the first 8 say are written into FILE and synced, then a byte comes back.
    Receive {
        /// Replaced each time.
        file: PathBuf,
    },
    /// Bodies of frames become rows of the SQLite database FILE; each frame comes back when its row is on disk.
    Rows {
        /// New.
        file: PathBuf,
        /// All rows that wait go into one transaction; otherwise each has its own.
        #[arg(long)]
        batched: bool,
    },
}

/// Bytes read at a time.
const READ_BYTES: usize = 64 << 10;

/// Between two requests for write-back.
const WRITE_BACK_BYTES: u64 = 1 << 20;

/// Serves until standard input ends.
pub(crate) fn run(args: &Args) -> Result<(), Fault> {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?);
    match &args.server {
        Server::Echo => runtime()?.block_on(echo(listener)),
        Server::Rows { file, batched } => {
            runtime()?.block_on(rows::serve(listener, file, *batched))
        }
        Server::Receive { file } => receive(&listener, file),
    }
}

/// The same as the daemon's.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

async fn echo(listener: TcpListener) -> Result<(), Fault> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(echo_one(socket));
    }
}

async fn echo_one(mut socket: tokio::net::TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(READ_BYTES);
    loop {
        if socket.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let whole = whole_frames(&buffer);
        socket
            .write_all(buffer.get(..whole).unwrap_or_default())
            .await?;
        buffer.drain(..whole);
    }
}

/// Bytes of the complete frames that `buffer` begins with.
fn whole_frames(buffer: &[u8]) -> usize {
    let mut whole = 0;
    while let Some((length, body)) = buffer.get(whole..).and_then(<[u8]>::split_first_chunk::<4>) {
        let length = u32::from_le_bytes(*length) as usize;
        if body.len() < length {
            break;
        }
        whole += 4 + length;
    }
    whole
}

fn receive(listener: &TcpListener, file: &Path) -> Result<(), Fault> {
    loop {
        let (socket, _) = listener.accept()?;
        let received = receive_one(socket, file);
        fs::remove_file(file)?;
        received?;
    }
}

fn receive_one(mut socket: TcpStream, file: &Path) -> std::io::Result<()> {
    let mut file = File::create(file)?;
    let mut length = [0; 8];
    socket.read_exact(&mut length)?;
    let mut left = u64::from_le_bytes(length);
    let (mut written, mut written_back) = (0, 0);
    let mut buffer = vec![0; READ_BYTES];
    while left > 0 {
        let read = socket.read(&mut buffer)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        file.write_all(buffer.get(..read).unwrap_or_default())?;
        left = left.saturating_sub(read as u64);
        written += read as u64;
        if written - written_back >= WRITE_BACK_BYTES {
            // The disk works meanwhile, as it does for the daemon.
            let part = NonZeroU64::new(written - written_back);
            let _ = rustix::fs::fadvise(&file, written_back, part, Advice::DontNeed);
            written_back = written;
        }
    }
    file.sync_data()?;
    socket.write_all(&[1])
}
