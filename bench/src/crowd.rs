//! Several connections at a time on one thread, each with one request in flight; the same loop for every server.
//! Not here: what requests and answers look like (`talk`), and a single connection, which needs no runtime (`link`).

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::Fault;
use crate::link::{Link, Talk};

/// Bytes read at a time.
const READ_BYTES: usize = 4 << 10;

/// Its members ask and wait, each for itself.
pub(crate) struct Crowd {
    runtime: Runtime,
    members: Vec<Member>,
}

struct Member {
    socket: TcpStream,
    talk: Box<dyn Talk>,
    out: Vec<u8>,
    buffer: Vec<u8>,
}

impl Crowd {
    /// Of connections with nothing under way.
    pub(crate) fn new(members: Vec<(Link, Box<dyn Talk>)>) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let entered = runtime.enter();
        let members = members
            .into_iter()
            .map(|(link, talk)| {
                let socket = link.into_socket();
                socket.set_nonblocking(true)?;
                Ok(Member {
                    socket: TcpStream::from_std(socket)?,
                    talk,
                    out: Vec::new(),
                    buffer: Vec::new(),
                })
            })
            .collect::<Result<_, Fault>>()?;
        drop(entered);
        Ok(Self { runtime, members })
    }

    /// Each member makes so many requests, one after the other: how long all took, and each request, in microseconds.
    pub(crate) fn round(&mut self, each: usize) -> Result<(Duration, Vec<f64>), Fault> {
        let began = Instant::now();
        let members = std::mem::take(&mut self.members);
        let local = tokio::task::LocalSet::new();
        let done = local.block_on(&self.runtime, async {
            let running: Vec<_> = members
                .into_iter()
                .map(|member| tokio::task::spawn_local(member.run(each)))
                .collect();
            let mut done = Vec::new();
            for task in running {
                done.push(task.await??);
            }
            Ok::<_, Fault>(done)
        })?;
        let took = began.elapsed();
        let mut micros = Vec::new();
        for (member, own) in done {
            self.members.push(member);
            micros.extend(own);
        }
        Ok((took, micros))
    }
}

impl Member {
    async fn run(mut self, requests: usize) -> Result<(Self, Vec<f64>), Fault> {
        let mut micros = Vec::with_capacity(requests);
        for _ in 0..requests {
            self.talk.ask(&mut self.out)?;
            let began = Instant::now();
            let mut answers = 0;
            while answers == 0 {
                self.socket.write_all(&self.out).await?;
                self.out.clear();
                self.buffer.reserve(READ_BYTES);
                if self.socket.read_buf(&mut self.buffer).await? == 0 {
                    return Err("the connection was closed before the answer".into());
                }
                let taken = self.talk.take(&self.buffer, &mut self.out)?;
                self.buffer.drain(..taken.bytes);
                answers = taken.answers;
            }
            micros.push(began.elapsed().as_secs_f64() * 1e6);
        }
        Ok((self, micros))
    }
}
