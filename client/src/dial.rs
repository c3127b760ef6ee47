//! From an address to a connection that the device has welcomed.
//! Invariant: it ends within its time, with a reason that says what to try.
//! Not here: trying again (`driver`).

use std::io;
use std::time::{Duration, Instant};

use pixelboy_protocol::{Close, Code, Frame, Hello, PREAMBLE, Welcome, frame::VERSION};
use tokio::net::TcpStream;

use crate::address::Address;
use crate::error::{Error, said};
use crate::link::Link;

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum NoLink {
    /// The way there, or who is there.
    Unreachable(Error),
    /// The device said no.
    Closed(Close),
    /// There is no use in trying again.
    Final(Error),
}

/// Connects and greets, `within` that time in all.
pub(crate) async fn dial(
    address: Address,
    hello: Hello,
    within: Duration,
) -> Result<(Link, Welcome), NoLink> {
    let unreachable = |why: String| {
        NoLink::Unreachable(Error::Unreachable {
            address: address.clone(),
            why,
        })
    };
    let until = tokio::time::Instant::now() + within;
    let connecting = TcpStream::connect((address.host.as_str(), address.port));
    let stream = match tokio::time::timeout_at(until, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(why_not(&address, &error))),
        Err(_) => {
            return Err(unreachable(format!(
                "no answer in {} s; is the address right, and the device on?",
                within.as_secs_f64()
            )));
        }
    };
    let mut link = Link::new(stream, Instant::now());
    link.out().extend_from_slice(&PREAMBLE);
    if let Err(error) = hello.encode(link.out()) {
        return Err(NoLink::Final(Error::Protocol {
            address,
            what: format!("(this client) a Hello that cannot be sent: {error}"),
        }));
    }
    match tokio::time::timeout_at(until, greet(&mut link)).await {
        Ok(Ok(Greeting::Welcome(welcome))) if welcome.version == VERSION => {
            link.frames.welcomed();
            Ok((link, welcome))
        }
        Ok(Ok(Greeting::Welcome(welcome))) => Err(NoLink::Final(Error::Protocol {
            address,
            what: format!(
                "protocol version {}; this client speaks {VERSION}",
                welcome.version
            ),
        })),
        Ok(Ok(Greeting::Close(close))) => Err(NoLink::Closed(close)),
        Ok(Ok(Greeting::Challenge(method))) => Err(NoLink::Final(Error::Refused {
            address,
            code: Code::AuthRefused,
            message: format!(
                "it asks for the proof {method:?}, which this version of the client cannot give; update it"
            ),
        })),
        Ok(Ok(Greeting::Stranger)) => Err(unreachable(
            "something answers there, but it is no pixelboyd; is it the right port?".to_owned(),
        )),
        Ok(Err(error)) => Err(unreachable(format!(
            "the connection broke at once ({}); is it pixelboyd that listens there?",
            said(&error)
        ))),
        Err(_) => Err(unreachable(format!(
            "something listens there, but did not greet within {} s; is it pixelboyd?",
            within.as_secs_f64()
        ))),
    }
}

/// What came first.
enum Greeting {
    Welcome(Welcome),
    Close(Close),
    Challenge(String),
    Stranger,
}

async fn greet(link: &mut Link) -> io::Result<Greeting> {
    loop {
        link.flush()?;
        link.ready().await?;
        let open = link.read(Instant::now())?;
        let frame = match link.frames.next_frame() {
            Ok(None) if open => continue,
            Ok(None) | Err(_) => return Ok(Greeting::Stranger),
            Ok(Some(raw)) => raw.decode(),
        };
        return Ok(match frame {
            Ok(Frame::Welcome(welcome)) => Greeting::Welcome(welcome),
            Ok(Frame::Close(close)) => Greeting::Close(close),
            Ok(Frame::Challenge(challenge)) => Greeting::Challenge(challenge.method),
            _ => Greeting::Stranger,
        });
    }
}

fn why_not(address: &Address, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "connection refused; is pixelboyd running there? try: pixelboy ping".to_owned()
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("{}; is this computer in the device's network?", said(error))
        }
        io::ErrorKind::TimedOut => "no answer; is the address right, and the device on?".to_owned(),
        // Looking a name up has no kind of its own.
        _ if error.raw_os_error().is_none()
            && address.host.parse::<std::net::IpAddr>().is_err() =>
        {
            format!(
                "the name {:?} is not known here; try the device's IP address",
                address.host
            )
        }
        _ => said(error),
    }
}
