//! Redis with `appendfsync always`: the store that others take when every write must be on disk.
//! Invariant: a server of its own, on a port of its own, with its data in the bench's folder; it ends with this.
//! Where it is not installed, it is left out, and the report says so.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Fault;
use crate::link::{Taken, Talk};
use crate::process::Process;

/// How long it may take to listen.
const START: Duration = Duration::from_secs(20);

/// A running server; killed when it is dropped.
pub(crate) struct Redis {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _folder: TempDir,
}

impl Redis {
    /// Starts one; none where there is none. `environment` is added to its own.
    pub(crate) fn start(
        folder: &Path,
        environment: &[(&str, &Path)],
    ) -> Result<Option<Self>, Fault> {
        let folder = TempDir::with_prefix_in("redis-", folder)?;
        // Free now; nobody else asks for it in the moment until Redis has it.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let port_text = port.to_string();
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--port", &port_text, "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .arg("--dir")
            .arg(folder.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("failed to start redis-server: {error}").into()),
        };
        let mut redis = Self {
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            _folder: folder,
        };
        let began = Instant::now();
        while TcpStream::connect(redis.address).is_err() {
            if redis.child.try_wait()?.is_some() || began.elapsed() > START {
                return Err("redis-server did not come to listen".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Some(redis))
    }

    /// What the kernel knows of it.
    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that says the same thing again and again, and expects a number or a text.
pub(crate) struct Saying {
    command: Vec<u8>,
}

impl Saying {
    /// Of the command's words.
    pub(crate) fn new(words: &[&[u8]]) -> Self {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            command.extend_from_slice(word);
            command.extend_from_slice(b"\r\n");
        }
        Self { command }
    }
}

impl Talk for Saying {
    fn ask(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        out.extend_from_slice(&self.command);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> Result<Taken, Fault> {
        let mut taken = Taken::default();
        loop {
            let rest = bytes.get(taken.bytes..).unwrap_or_default();
            let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
                return Ok(taken);
            };
            let line = String::from_utf8_lossy(rest.get(..end).unwrap_or_default());
            let mut length = end + 2;
            match line.split_at_checked(1) {
                Some((":" | "+", _)) => {}
                Some(("$", text)) => length += text.parse::<usize>()? + 2,
                _ => {
                    return Err(
                        format!("redis answered {line:?}, expected a number or a text").into(),
                    );
                }
            }
            if rest.len() < length {
                return Ok(taken);
            }
            taken.bytes += length;
            taken.answers += 1;
        }
    }
}
