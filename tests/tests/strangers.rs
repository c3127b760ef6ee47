//! Strangers at the port, and clients that break the rules: an answer they can use or none, and the host goes on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use harness::{Daemon, Identity, PATIENCE, Setup, Wire, args, process};
use pixelboy_protocol::{
    Code, Frame, FrameReader, GetTable, Hello, Outcome, PREAMBLE, Ping, Value,
};

/// Sends bytes, then nothing more: everything that comes back until the host closes, and after what time.
fn knock(address: SocketAddr, bytes: &[u8], end: bool) -> (Vec<u8>, Duration) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may close before it has read everything.
    let _ = socket.write_all(bytes);
    if end {
        let _ = socket.shutdown(Shutdown::Write);
    }
    let begun = Instant::now();
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        match socket.read(&mut part) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the host neither answers nor closes: {error}"),
        }
    }
    (answer, begun.elapsed())
}

/// The frames in what came back.
fn close_in(answer: &[u8]) -> Option<(Code, String)> {
    let mut reader = FrameReader::new();
    reader.push(answer);
    let mut last = None;
    while let Some(frame) = reader.next_frame().unwrap() {
        last = match frame.decode().unwrap() {
            Frame::Close(close) => Some((close.code, close.message)),
            _ => None,
        };
    }
    last
}

#[track_caller]
fn assert_serves(daemon: &Daemon) {
    let mut wire = daemon.client();
    wire.call("status", args![]);
    wire.send(pixelboy_protocol::Goodbye {});
    wire.closed_with(Code::Closed);
}

/// Sends frames in this order.
fn encoded(frames: &[Frame<'_>]) -> Vec<u8> {
    let mut bytes = PREAMBLE.to_vec();
    for frame in frames {
        frame.encode(&mut bytes).unwrap();
    }
    bytes
}

fn hello() -> Frame<'static> {
    Identity::new().hello().into()
}

#[test]
fn who_speaks_another_language_gets_a_sentence_or_silence_at_once() {
    let daemon = Setup::bare().start();
    let http = b"GET / HTTP/1.1\r\nHost: pixel.local\r\nUser-Agent: x\r\n\r\n";
    let (answer, _) = knock(daemon.address(), http, false);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole HTTP answer");
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert!(head.contains("text/plain"), "{head}");
    assert!(body.contains("pixelboy") && !body.contains('<'), "{body}");
    for method in [
        "POST /x HTTP/1.1\r\n",
        "HEAD / HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n",
    ] {
        let (answer, _) = knock(daemon.address(), method.as_bytes(), false);
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{method}");
    }
    for text in [
        "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        "EHLO there\r\n",
        "raspberrypi",
        "hello, world\n",
    ] {
        let (answer, took) = knock(daemon.address(), text.as_bytes(), false);
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains("pixelboy"), "{text:?} got {answer:?}");
        assert!(took < Duration::from_secs(6), "{text:?}: {took:?}");
    }
    let tls = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        &[0x5A; 500],
    ]
    .concat();
    let pickle = b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x07op_code\x94\x8c\x02ss\x94u.<end>";
    for (what, bytes) in [
        ("TLS", tls.as_slice()),
        ("pickle", pickle),
        ("noise", &[0xC3; 300]),
        ("zeros", &[0; 64]),
    ] {
        let (answer, took) = knock(daemon.address(), bytes, false);
        assert_eq!(answer, b"", "{what}");
        assert!(took < Duration::from_secs(1), "{what}: {took:?}");
    }
    assert_serves(&daemon);
    daemon.assert_no_stack_trace();
}

#[test]
fn who_says_nothing_or_too_little_is_let_go_after_five_seconds_and_costs_nothing() {
    let daemon = Setup::bare().start();
    assert_serves(&daemon);
    let mut hello = encoded(&[hello()]);
    let short = hello.split_off(hello.len() - 1).len();
    assert_eq!(short, 1);
    let beginnings: [&[u8]; 7] = [b"", b"\0", b"G", b"\0PXLBOY", &PREAMBLE, &hello, b"\x80"];
    let before = process::cpu_time(daemon.pid());
    std::thread::scope(|scope| {
        for bytes in beginnings {
            for _ in 0..3 {
                let daemon = &daemon;
                scope.spawn(move || {
                    let (answer, took) = knock(daemon.address(), bytes, false);
                    assert!(took < Duration::from_millis(6_500), "{bytes:?}: {took:?}");
                    let may_be_settled = matches!(bytes, b"\x80" | b"G");
                    assert!(
                        may_be_settled || took > Duration::from_secs(4),
                        "{bytes:?}: after {took:?} already"
                    );
                    assert!(answer.len() < 1_000);
                });
            }
        }
        // Meanwhile others are served.
        std::thread::sleep(Duration::from_millis(300));
        assert_serves(&daemon);
    });
    let used = process::cpu_time(daemon.pid()) - before;
    println!("21 strangers for 5 s cost {used:?} of processor time");
    assert!(used < Duration::from_millis(500), "a busy loop? {used:?}");
    // And who closes at once is forgotten at once.
    for bytes in beginnings {
        let (_, took) = knock(daemon.address(), bytes, true);
        assert!(took < Duration::from_secs(1), "{bytes:?}: {took:?}");
    }
    assert_serves(&daemon);
    daemon.assert_no_stack_trace();
}

#[test]
fn a_broken_beginning_is_closed_with_the_reason() {
    let daemon = Setup::bare().start();
    let after = |bytes: &[u8]| [PREAMBLE.as_slice(), bytes].concat();
    let frame = |kind: u8, body: &[u8]| {
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        after(&[length.as_slice(), &[kind], body].concat())
    };
    let version = |range: (u16, u16)| {
        let Frame::Hello(hello) = hello() else {
            unreachable!()
        };
        encoded(&[Hello {
            min_version: range.0,
            max_version: range.1,
            ..hello
        }
        .into()])
    };
    let cases: Vec<(&str, Vec<u8>, Code)> = vec![
        ("another framing", b"\0PXLBOY\x02".to_vec(), Code::Version),
        ("framing 0", b"\0PXLBOY\0".to_vec(), Code::Version),
        ("garbage", after(&[0xFF; 64]), Code::FrameTooLarge),
        (
            "a length of 4 GiB",
            after(&[0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
            Code::FrameTooLarge,
        ),
        (
            "a length over the first limit",
            after(&[0x01, 0x40, 0, 0, 0x01]),
            Code::FrameTooLarge,
        ),
        ("an unknown kind", frame(0x7F, b""), Code::UnknownKind),
        ("a reserved kind", frame(0x40, b""), Code::UnknownKind),
        ("kind 0", frame(0x00, b""), Code::UnknownKind),
        ("an empty Hello", frame(0x01, b""), Code::BadFrame),
        ("a Hello of noise", frame(0x01, &[0xFF; 40]), Code::BadFrame),
        (
            "a name without end",
            frame(0x01, &[&[1, 1][..], &[7; 16], &[0xFF, 0xFF, 0x03]].concat()),
            Code::BadFrame,
        ),
        (
            "a name that is no text",
            frame(
                0x01,
                &[&[1, 1][..], &[7; 16], &[2, 0xC3, 0x28, 0, 1, 0]].concat(),
            ),
            Code::BadFrame,
        ),
        (
            "a request first",
            encoded(&[GetTable {}.into()]),
            Code::HelloExpected,
        ),
        (
            "a ping first",
            encoded(&[Ping { token: 1 }.into()]),
            Code::HelloExpected,
        ),
        ("version 2 to 9", version((2, 9)), Code::Version),
        ("version 0", version((0, 0)), Code::Version),
    ];
    for (what, bytes, code) in cases {
        let (answer, took) = knock(daemon.address(), &bytes, false);
        let (got, message) =
            close_in(&answer).unwrap_or_else(|| panic!("{what}: no Close, but {answer:?}"));
        assert_eq!(got, code, "{what}: {message}");
        assert!(message.len() > 10, "{what}: {message:?}");
        assert!(took < Duration::from_secs(2), "{what}: {took:?}");
    }
    // A version range that includes this one is fine.
    let (_, welcome) = exchange(&daemon, &version((0, 9)));
    assert!(matches!(welcome, Some(Frame::Welcome(_))));
    assert_serves(&daemon);
    daemon.assert_no_stack_trace();
}

/// Sends bytes and reads the first frame that comes back.
fn exchange(daemon: &Daemon, bytes: &[u8]) -> (TcpStream, Option<Frame<'static>>) {
    let mut socket = TcpStream::connect(daemon.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(bytes).unwrap();
    let mut reader = FrameReader::new();
    let mut part = [0; 4096];
    loop {
        let count = socket.read(&mut part).unwrap();
        if count == 0 {
            return (socket, None);
        }
        reader.push(&part[..count]);
        if let Some(frame) = reader.next_frame().unwrap() {
            let frame = match frame.decode().unwrap() {
                Frame::Welcome(welcome) => Frame::Welcome(welcome),
                Frame::Close(close) => Frame::Close(close),
                other => panic!("{other:?}"),
            };
            return (socket, Some(frame));
        }
    }
}

#[test]
fn a_broken_frame_of_a_client_closes_its_connection_with_the_reason_and_no_other() {
    let daemon = Setup::new().start();
    let mut bystander = daemon.client();
    let frame = |kind: u8, body: &[u8]| {
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        [length.as_slice(), &[kind], body].concat()
    };
    let mut deep = vec![0x01, 0, 0, 2, b's', b's', 1];
    deep.extend([6, 1].repeat(40));
    let cases: Vec<(&str, Vec<u8>, Code)> = vec![
        (
            "a length over the limit",
            vec![0x01, 0, 2, 0, 0x10],
            Code::FrameTooLarge,
        ),
        (
            "a length of 4 GiB",
            vec![0xFF, 0xFF, 0xFF, 0xFF, 0x10],
            Code::FrameTooLarge,
        ),
        ("an empty request", frame(0x10, b""), Code::BadFrame),
        (
            "a request of noise",
            frame(0x10, &[0x80; 50]),
            Code::BadFrame,
        ),
        (
            "a list of 2^60 values",
            frame(
                0x10,
                &[
                    1, 0, 0, 2, b's', b's', 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F,
                ],
            ),
            Code::BadFrame,
        ),
        (
            "lists inside lists",
            frame(0x10, &deep),
            Code::LimitExceeded,
        ),
        (
            "a frame only hosts send",
            frame(0x11, &[1, 0, 0, 0, 0]),
            Code::UnknownKind,
        ),
        ("an unknown kind", frame(0x3F, b""), Code::UnknownKind),
        (
            "Hello again",
            encoded(&[hello()])[PREAMBLE.len()..].to_vec(),
            Code::HelloExpected,
        ),
        (
            "data beyond the chunk's limit",
            frame(0x24, &[&[1, 0, 0][..], &[0; 65_537]].concat()),
            Code::LimitExceeded,
        ),
    ];
    for (what, bytes, code) in cases {
        let mut wire = daemon.client();
        wire.call("status", args![]);
        let _ = wire.try_send_raw(&bytes);
        let close = wire.closed();
        let alike = [
            code,
            if code == Code::LimitExceeded {
                Code::BadFrame
            } else {
                code
            },
        ];
        assert!(alike.contains(&close.code), "{what}: {close:?}");
        assert!(close.message.len() > 10, "{what}: {close:?}");
    }
    // Optional kinds that it does not know are skipped, whatever is in them.
    let mut wire = daemon.client();
    for kind in [0x81, 0x90, 0xFF] {
        wire.send_raw(&frame(kind, &[0xAA; 300]));
    }
    wire.call("status", args![]);
    // What belongs to nothing is ignored.
    wire.send(pixelboy_protocol::Cancel { number: 77 });
    wire.send(pixelboy_protocol::Abort::new(77, Code::Cancelled, "x"));
    wire.send(pixelboy_protocol::Credit {
        transfer: 77,
        limit: 1 << 40,
    });
    wire.send(pixelboy_protocol::Data::new(77, 0, b"x"));
    wire.send(pixelboy_protocol::Finish {
        transfer: 77,
        length: 0,
        sha256: [0; 32],
    });
    wire.send(pixelboy_protocol::CallReply {
        number: 77,
        outcome: Outcome::Done(vec![]),
    });
    wire.send(pixelboy_protocol::CallCredit { through: 1 << 60 });
    wire.send(pixelboy_protocol::Pong { token: 77 });
    wire.call("status", args![]);
    bystander.call("status", args![]);
    daemon.assert_no_stack_trace();
}

#[test]
fn any_split_of_the_stream_gives_the_same_answers() {
    let daemon = Setup::new().start();
    let request = |wire: &mut Wire| {
        let request = wire.request("ss", args!["split.txt", "x", "w"]);
        let frames = [Frame::from(request), Ping { token: 5 }.into()];
        encoded(&frames).split_off(PREAMBLE.len())
    };
    let answered = |wire: &mut Wire, what: &str| {
        let outcome = wire.reply(1).outcome;
        assert!(matches!(outcome, Outcome::Done(_)), "{what}: {outcome:?}");
        wire.wait("Pong", |frame| {
            matches!(frame, Frame::Pong(pong) if pong.token == 5).then_some(())
        });
    };
    // Each part so that it arrives by itself; where it does not, the split is another one.
    let send = |wire: &mut Wire, parts: &mut dyn Iterator<Item = &[u8]>| {
        for part in parts {
            wire.send_raw(part);
            std::thread::sleep(Duration::from_micros(300));
        }
    };
    let hello_bytes = encoded(&[hello()]).len();
    let request_bytes = request(&mut Wire::silent(daemon.address(), Identity::new())).len();
    for at in 1..hello_bytes.max(request_bytes) {
        let mut wire = Wire::silent(daemon.address(), Identity::new());
        let bytes = encoded(&[Frame::from(wire.id.hello())]);
        let (one, two) = bytes.split_at(at.min(bytes.len()));
        send(&mut wire, &mut [one, two].into_iter());
        wire.wait("Welcome", |frame| {
            matches!(frame, Frame::Welcome(_)).then_some(())
        });
        let bytes = request(&mut wire);
        let (one, two) = bytes.split_at(at.min(bytes.len()));
        send(&mut wire, &mut [one, two].into_iter());
        answered(&mut wire, &format!("split at {at}"));
    }
    let mut wire = Wire::silent(daemon.address(), Identity::new());
    let bytes = encoded(&[Frame::from(wire.id.hello())]);
    send(&mut wire, &mut bytes.chunks(1));
    wire.wait("Welcome", |frame| {
        matches!(frame, Frame::Welcome(_)).then_some(())
    });
    let bytes = request(&mut wire);
    send(&mut wire, &mut bytes.chunks(1));
    answered(&mut wire, "byte by byte");
}

/// 4 MiB of replies and downloads are asked for and never read; the host keeps its memory and serves others.
#[test]
fn a_client_that_never_reads_costs_little_and_holds_nobody_up() {
    let daemon = Setup::new().start();
    let mut other = daemon.client();
    other.call("ss", args!["big.txt", "x".repeat(60 << 10)]);
    let upload = other.upload(&vec![b'y'; 16 << 20]);
    other.call("ss", args!["huge.txt", upload]);
    let before = process::memory(daemon.pid());
    let mut deaf: Vec<Wire> = (0..3).map(|_| daemon.client()).collect();
    for wire in &mut deaf {
        let got = wire.call("get", args!["huge.txt"]);
        let Value::Blob(blob) = got[0] else {
            panic!("{got:?}")
        };
        let (transfer, limit) = (wire.next_transfer(), 16 << 20);
        wire.send(pixelboy_protocol::OpenDownload {
            transfer,
            blob: blob.id,
            offset: 0,
            limit,
        });
        for _ in 0..500 {
            wire.ask("get", args!["big.txt"]);
        }
    }
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    while begun.elapsed() < Duration::from_secs(1) {
        let begun = Instant::now();
        other.call("stat", args!["big.txt"]);
        slowest = slowest.max(begun.elapsed());
        other.confirmed = other.id.next_number - 1;
    }
    let after = process::memory(daemon.pid());
    let grown_kib = after.own_kib.saturating_sub(before.own_kib);
    println!("three deaf clients cost {grown_kib} KiB; others waited {slowest:?} at most");
    // Of each 4 MiB of replies, as they were made and as they wait to be sent, and what is on its way.
    assert!(grown_kib < 48 << 10, "{grown_kib} KiB");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}
