//! Connections that come, break and end.
//! Invariant: a break changes nothing for whoever waits but the time it takes; a refusal that cannot change ends the client.

use std::time::{Duration, Instant};

use pixelboy_protocol::{AfterClose, Close, Code, GetTable, Ping, Welcome};

use super::Driver;
use crate::dial::NoLink;
use crate::error::{Error, said};
use crate::event::Event;
use crate::link::Link;
use crate::session::Renewed;
use crate::table::Assembly;
use crate::transfer::Told;

/// A connection that lasted so long was of use.
const STEADY: Duration = Duration::from_secs(5);
/// Where the device has no room for another client.
const CROWDED: Duration = Duration::from_secs(2);
/// New ids in a row, after which something is wrong over there.
const RENEWALS: u32 = 3;

impl Driver {
    pub(super) fn on_dialled(&mut self, dialled: Result<(Link, Welcome), NoLink>) {
        let now = Instant::now();
        match dialled {
            Ok((link, welcome)) => match self.session.welcomed(&welcome, now) {
                Ok(Ok(())) => self.on_welcome(link, &welcome),
                Ok(Err(Renewed(why))) => self.renewed(why),
                Err(error) => self.end(error),
            },
            Err(NoLink::Closed(close)) => self.on_close(close),
            Err(NoLink::Final(error)) => self.end(error),
            Err(NoLink::Unreachable(error)) => self.unreachable(error, Duration::ZERO),
        }
    }

    pub(super) fn on_welcome(&mut self, link: Link, welcome: &Welcome) {
        self.link = Some(link);
        self.epoch += 1;
        self.renewals = 0;
        self.table_digest = Some(welcome.table);
        match self.first.take() {
            Some(first) => {
                let _ = first.send(Ok(welcome.host.clone()));
            }
            None => self.tell(Event::Reconnected {
                resumed: welcome.resumed,
            }),
        }
        if let Some(link) = &mut self.link {
            if !welcome.resumed {
                self.bound.retain(|_, handler| handler.is_some());
            }
            for (op, handler) in &self.bound {
                let bind = pixelboy_protocol::Bind {
                    op: op.clone(),
                    bound: handler.is_some(),
                };
                let _ = bind.encode(link.out());
            }
            for token in self.pings.keys() {
                let _ = Ping { token: *token }.encode(link.out());
            }
            if !self.table_wanted.is_empty() {
                let _ = GetTable {}.encode(link.out());
            }
        }
        let (epoch, limits) = (self.epoch, *self.session.limits());
        self.routes
            .retain(|_, route| route.send(Told::Connected { epoch, limits }).is_ok());
        // Frames may have come with the greeting.
        self.take_frames();
    }

    pub(super) fn on_socket(&mut self, ready: std::io::Result<tokio::io::Ready>) {
        let Some(link) = &mut self.link else { return };
        let read = ready.and_then(
            |ready| match ready.is_readable() || ready.is_read_closed() {
                true => link.read(Instant::now()),
                false => Ok(true),
            },
        );
        // What came before the end still counts.
        self.take_frames();
        match read {
            Ok(true) => {}
            Ok(false) => self.lost("the device closed the connection"),
            Err(error) => self.lost(&said(&error)),
        }
    }

    /// The connection broke.
    pub(super) fn lost(&mut self, why: &str) {
        let Some(link) = self.link.take() else { return };
        if link.since.elapsed() >= STEADY {
            self.backoff.worked();
        }
        if self.session.ending
            || self
                .closing
                .as_ref()
                .is_some_and(|closing| closing.until.is_some())
        {
            return self.end(Error::Closed);
        }
        self.epoch += 1;
        self.dial_at = Instant::now() + self.backoff.next();
        self.session.lost(format!("the connection broke: {why}"));
        self.tell_routes_lost(why);
        self.assembly = Assembly::default();
        self.tell(Event::Disconnected {
            why: why.to_owned(),
        });
    }

    /// Breaks the connection because the device did what it must not.
    pub(super) fn fail(&mut self, code: Code, what: &str) {
        if let Some(link) = &mut self.link {
            let _ = Close::new(code, what).encode(link.out());
            let _ = link.flush();
        }
        self.lost(&format!("the device sent what it must not: {what}"));
    }

    pub(super) fn unreachable(&mut self, error: Error, least: Duration) {
        if self.first.is_some() {
            return self.end(error);
        }
        self.dial_at = Instant::now() + self.backoff.next().max(least);
        let why = match &error {
            Error::Unreachable { why, .. } => why.clone(),
            other => other.to_string(),
        };
        self.tell_routes_lost(&why);
        self.session.lost(why);
    }

    pub(super) fn tell_routes_lost(&mut self, why: &str) {
        self.routes
            .retain(|_, route| route.send(Told::Lost(why.to_owned())).is_ok());
    }

    /// The device closed and said why.
    pub(super) fn on_close(&mut self, close: Close) {
        let address = self.address.clone();
        match close.code.after_close() {
            AfterClose::Stop => self.end(Error::Closed),
            AfterClose::StopAndReport if close.code == Code::Fenced => {
                self.end(Error::Fenced { address })
            }
            AfterClose::StopAndReport => self.end(Error::Refused {
                address,
                code: close.code,
                message: close.message,
            }),
            AfterClose::NewId => {
                self.link = None;
                let renewed = self
                    .session
                    .renew("the device does not know this client any more");
                match renewed {
                    Ok(_) => self.renewed(&close.message),
                    Err(error) => self.end(error),
                }
            }
            AfterClose::ConnectLater | AfterClose::ConnectAgain if self.link.is_some() => {
                self.lost(&close.message);
            }
            again => {
                let least = match again {
                    AfterClose::ConnectLater => CROWDED,
                    _ => Duration::ZERO,
                };
                let why = close.message;
                self.unreachable(Error::Unreachable { address, why }, least);
            }
        }
    }

    /// Under its new id the client connects at once.
    pub(super) fn renewed(&mut self, why: &str) {
        self.renewals += 1;
        if self.renewals > RENEWALS {
            return self.end(Error::Refused {
                address: self.address.clone(),
                code: Code::ClientForgotten,
                message: why.to_owned(),
            });
        }
        self.epoch += 1;
        self.tell_routes_lost(why);
        self.dial_at = Instant::now();
    }

    /// There will be no further connection.
    pub(super) fn end(&mut self, error: Error) {
        if let Some(link) = &mut self.link {
            let _ = link.flush();
        }
        self.link = None;
        self.dialling = None;
        self.session.end(&error);
        for (_, route) in self.routes.drain() {
            let _ = route.send(Told::Over(error.clone()));
        }
        for (_, ping) in self.pings.drain() {
            let _ = ping.send(Err(error.clone()));
        }
        for wanted in self.table_wanted.drain(..) {
            let _ = wanted.send(Err(error.clone()));
        }
        self.over = Some(error);
    }
}
