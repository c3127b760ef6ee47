//! Calls against a scripted host: exactly once, order, window, deadlines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod scripted;

use std::time::{Duration, Instant};

use pixelboy_client::{Client, Error, Options, Value};
use pixelboy_protocol::{
    Cancel, Code, Confirm, Frame, Kind, Outcome, Reply, Request, Welcome, request_digest,
};
use scripted::{Connection, Host, welcome};

async fn connected() -> (Host, Client, Connection) {
    let host = Host::new().await;
    let (client, (connection, _)) = tokio::join!(
        Client::connect(&host.address, Options::default()),
        host.welcome()
    );
    (host, client.unwrap(), connection)
}

fn text(text: &str) -> [Value; 1] {
    [text.into()]
}

#[tokio::test]
async fn a_call_returns_what_the_device_says() {
    let (_host, client, mut device) = connected().await;
    let call = client.call(
        "ss",
        ["a.txt".into(), "hi".into()],
        [("mode".to_owned(), "w".into())],
        None,
    );
    let (reply, ()) = tokio::join!(call, async {
        let request = device.request().await;
        assert_eq!(
            (request.number, request.confirmed, request.op.as_str()),
            (1, 0, "ss")
        );
        assert_eq!(request.args, ["a.txt".into(), "hi".into()]);
        assert_eq!(request.kwargs, [("mode".to_owned(), "w".into())]);
        assert!(request.deadline_ms.unwrap() > 28_000 && request.deadline_ms.unwrap() < 30_000);
        device.stored(1, 17, vec![2.into()]).await;
    });
    let reply = reply.unwrap();
    assert_eq!(
        (reply.stored, reply.recorded, reply.value()),
        (Some(17), false, &2.into())
    );
    tokio::join!(client.close(), device.goodbye());
}

#[tokio::test]
async fn what_has_no_reply_is_sent_again_with_the_same_bytes_and_numbers() {
    let (host, client, mut device) = connected().await;
    let mut pending = Vec::new();
    for word in ["one", "two", "three"] {
        pending.push(client.submit("say", text(word), [], None).await.unwrap());
    }
    let mut first = Vec::new();
    for _ in 0..3 {
        first.push(device.expect(Kind::Request).await);
    }
    device.done(2, vec![]).await;
    let second = pending.remove(1);
    second.await.unwrap();
    drop(device);

    let (mut device, hello) = host.accept().await;
    assert_eq!(
        (hello.lowest_unconfirmed, hello.last_store),
        (1, Some(scripted::STORE))
    );
    device
        .send(Welcome {
            received_through: 3,
            resumed: true,
            ..welcome()
        })
        .await;
    let confirm = Confirm::decode(&device.expect(Kind::Confirm).await).unwrap();
    assert_eq!((confirm.through, confirm.also), (0, vec![2]));
    for index in [0, 2] {
        let again = device.expect(Kind::Request).await;
        let (before, before_digest) = Request::decode_with_digest(&first[index]).unwrap();
        let (after, after_digest) = Request::decode_with_digest(&again).unwrap();
        assert_eq!((before.number, before_digest), (after.number, after_digest));
        assert!(after.deadline_ms <= before.deadline_ms);
        let outcome = Outcome::Done(vec!["before".into()]);
        device
            .send(Reply {
                number: after.number,
                stored: None,
                recorded: true,
                outcome,
            })
            .await;
    }
    for pending in pending {
        assert!(pending.await.unwrap().recorded);
    }
}

#[tokio::test]
async fn bytes_one_by_one_make_the_same_session() {
    let host = Host::new().await;
    let script = async {
        let (mut device, _) = host.accept().await;
        device.one_by_one = true;
        device.send(welcome()).await;
        let entries = [scripted::row("say", "Says.", vec![])];
        device.expect(Kind::GetTable).await;
        // An optional frame that nobody knows is stepped over.
        device.send_bytes(&[3, 0, 0, 0, 0x9F, 1, 2, 3]).await;
        for part in scripted::table(&entries) {
            device.send(part).await;
        }
        let request = device.request().await;
        device.failed(request.number, Code::NotFound, "no").await;
        let request = device.request().await;
        device
            .stored(request.number, 3, vec![vec![0u8; 300].into()])
            .await;
        device
    };
    let client = async {
        let client = Client::connect(&host.address, Options::default())
            .await
            .unwrap();
        assert!(client.table().await.unwrap().find("say").is_some());
        let error = client.call("say", text("x"), [], None).await.unwrap_err();
        assert_eq!(error.code(), Some(Code::NotFound));
        let reply = client.call("say", text("y"), [], None).await.unwrap();
        assert_eq!(reply.value().as_bytes().unwrap().len(), 300);
        client
    };
    let (client, device) = tokio::join!(client, script);
    tokio::join!(client.close(), device.goodbye());
}

#[tokio::test]
async fn the_window_is_kept_also_around_a_reply_that_does_not_come() {
    let (_host, client, mut device) = connected().await;
    const CALLS: u64 = 5_000;
    let submit = async {
        let mut pending = tokio::task::JoinSet::new();
        for index in 0..CALLS {
            let call = client
                .submit("say", [Value::Int(index as i64)], [], None)
                .await
                .unwrap();
            pending.spawn(call.reply());
        }
        while let Some(reply) = pending.join_next().await {
            reply.unwrap().unwrap();
        }
    };
    let serve = async {
        let mut received = std::collections::BTreeSet::<u64>::new();
        let mut stepped_over = 0;
        let mut waiting: Vec<u64> = Vec::new();
        let mut last = 0;
        while last < CALLS || !waiting.is_empty() {
            let (kind, body) = device.next().await.unwrap();
            let (through, also) = match Frame::decode(kind, &body).unwrap() {
                Frame::Request(request) => {
                    assert_eq!(request.number, last + 1);
                    last = request.number;
                    received.insert(request.number);
                    waiting.push(request.number);
                    (request.confirmed, vec![])
                }
                Frame::Confirm(confirm) => (confirm.through, confirm.also),
                other => panic!("{other:?}"),
            };
            assert!(also.iter().chain([&through]).all(|number| *number <= last));
            let below: Vec<u64> = received.range(..=through).copied().collect();
            for number in below.into_iter().chain(also) {
                assert!(
                    !waiting.contains(&number),
                    "{number} was confirmed without a reply"
                );
                stepped_over += u64::from(received.remove(&number) && number > through);
            }
            assert!(received.len() <= 1_024, "{} unconfirmed", received.len());
            // Replies come in any order, one held back for long.
            if waiting.len() >= 100 || last == CALLS {
                let held = if last < 2_000 {
                    vec![waiting.remove(0)]
                } else {
                    vec![]
                };
                for number in waiting.drain(..).rev() {
                    device.done(number, vec![]).await;
                }
                waiting = held;
            }
        }
        assert!(
            stepped_over > 500,
            "{stepped_over} numbers above the one that was held back"
        );
    };
    tokio::join!(submit, serve);
}

#[tokio::test]
async fn a_call_without_an_answer_ends_in_time_and_can_be_asked_for_again() {
    let (_host, client, mut device) = connected().await;
    let began = Instant::now();
    let patience = Duration::from_millis(200);
    let call = client.call("say", text("x"), [], Some(patience));
    let (error, request) = tokio::join!(call, device.request());
    assert!(began.elapsed() >= patience && began.elapsed() < Duration::from_secs(5));
    assert!(request.deadline_ms.unwrap() < 200);
    let Error::OutcomeUnknown {
        ticket: Some(ticket),
        ..
    } = error.unwrap_err()
    else {
        panic!("it was sent")
    };
    assert_eq!(
        Cancel::decode(&device.expect(Kind::Cancel).await)
            .unwrap()
            .number,
        1
    );
    device.done(1, vec!["late".into()]).await;
    let reply = client.again(ticket, None).await.unwrap();
    assert_eq!(reply.value(), &"late".into());
    assert!(matches!(
        client.again(ticket, None).await,
        Err(Error::OutcomeUnknown { ticket: None, .. })
    ));
}

#[tokio::test]
async fn a_call_that_was_given_up_is_not_begun_on_a_later_connection() {
    let (host, client, mut device) = connected().await;
    let call = client.call("say", text("x"), [], Some(Duration::from_millis(100)));
    let (error, _) = tokio::join!(call, device.request());
    let Error::OutcomeUnknown {
        ticket: Some(ticket),
        ..
    } = error.unwrap_err()
    else {
        panic!("it was sent")
    };
    drop(device);
    let (mut device, _) = host.welcome().await;
    let request = device.request().await;
    assert_eq!((request.number, request.deadline_ms), (1, Some(0)));
    assert_eq!(device.expect(Kind::Cancel).await.len(), 1);
    device.failed(1, Code::Deadline, "too late").await;
    let error = client.again(ticket, None).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::Deadline));
}

#[tokio::test]
async fn a_call_that_was_never_sent_says_that_nothing_happened() {
    let (host, client, device) = connected().await;
    drop((device, host));
    let error = loop {
        // The break may not have been noticed yet: then the call went out.
        match client
            .call("say", text("x"), [], Some(Duration::from_millis(100)))
            .await
            .unwrap_err()
        {
            Error::OutcomeUnknown { .. } => {}
            error => break error,
        }
    };
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    let said = error.to_string();
    assert!(
        said.contains("refused") && said.contains("nothing happened"),
        "{said}"
    );
}

#[tokio::test]
async fn outcome_unknown_is_not_confirmed_and_asked_again_on_the_next_connection() {
    let (host, client, mut device) = connected().await;
    let (error, ()) = tokio::join!(client.call("ss", text("x"), [], None), async {
        device.request().await;
        device
            .failed(1, Code::OutcomeUnknown, "the disk failed")
            .await;
    });
    let Error::OutcomeUnknown {
        ticket: Some(ticket),
        why,
        ..
    } = error.unwrap_err()
    else {
        panic!("code 24")
    };
    assert_eq!(why, "the disk failed");
    let (_, ()) = tokio::join!(client.call("ls", [], [], None), async {
        assert_eq!(device.request().await.confirmed, 0);
        device.done(2, vec![]).await;
    });
    drop(device);
    let (mut device, hello) = host.accept().await;
    assert_eq!(hello.lowest_unconfirmed, 1);
    device
        .send(Welcome {
            received_through: 2,
            ..welcome()
        })
        .await;
    device.expect(Kind::Confirm).await;
    let (reply, ()) = tokio::join!(client.again(ticket, None), async {
        assert_eq!(device.request().await.number, 1);
        device.stored(1, 9, vec![]).await;
    });
    assert_eq!(reply.unwrap().stored, Some(9));
}

#[tokio::test]
async fn a_fenced_client_reports_and_does_not_come_back() {
    let (_host, client, mut device) = connected().await;
    let pending = client.submit("say", text("x"), [], None).await.unwrap();
    device.request().await;
    device.close(Code::Fenced, "another").await;
    assert!(matches!(
        pending.await,
        Err(Error::OutcomeUnknown { ticket: None, .. })
    ));
    let error = client.call("say", text("y"), [], None).await.unwrap_err();
    assert!(matches!(error, Error::Fenced { .. }), "{error:?}");
    assert!(matches!(
        client.ping(Duration::from_secs(1)).await,
        Err(Error::Fenced { .. })
    ));
    client.close().await;
}

#[tokio::test]
async fn a_forgotten_client_takes_a_new_id_and_says_what_is_unknown() {
    let (host, client, mut device) = connected().await;
    let pending = client.submit("say", text("x"), [], None).await.unwrap();
    device.request().await;
    drop(device);
    let (device, before) = host.accept().await;
    device.close(Code::ClientForgotten, "who are you?").await;
    let (mut device, after) = host.welcome().await;
    assert!(before.client != after.client);
    assert_eq!((after.last_store, after.lowest_unconfirmed), (None, 1));
    let error = pending.await.unwrap_err();
    assert!(matches!(error, Error::Forgotten { .. }), "{error:?}");
    assert!(error.leaves_open() && error.code() == Some(Code::ClientForgotten));
    let (reply, ()) = tokio::join!(client.call("say", text("y"), [], None), async {
        let request = device.request().await;
        assert_eq!((request.number, request.confirmed), (1, 0));
        device.done(1, vec![]).await;
    });
    reply.unwrap();
}

#[tokio::test]
async fn another_store_or_a_device_that_knows_more_means_a_new_id() {
    for changed in [
        Welcome {
            store: [9; 16],
            ..welcome()
        },
        Welcome {
            received_through: 1,
            ..welcome()
        },
    ] {
        let (host, client, mut device) = connected().await;
        if changed.store == scripted::STORE {
            // The next number would be 1: it was used by somebody else.
            drop(device);
        } else {
            let pending = client.submit("say", text("x"), [], None).await.unwrap();
            device.request().await;
            drop(device);
            tokio::spawn(
                async move { assert!(matches!(pending.await, Err(Error::Forgotten { .. }))) },
            );
        }
        let (mut device, before) = host.accept().await;
        device.send(changed).await;
        let (_device, after) = host.welcome().await;
        assert!(before.client != after.client && after.last_store.is_none());
        drop(client);
    }
}

#[tokio::test]
async fn a_refusal_ends_the_client_with_its_reason() {
    let host = Host::new().await;
    let (client, ()) = tokio::join!(Client::connect(&host.address, Options::default()), async {
        let (device, _) = host.accept().await;
        device.close(Code::Version, "this host speaks 3 to 4").await;
    });
    let Err(error) = client else {
        panic!("it was refused")
    };
    assert_eq!(error.code(), Some(Code::Version));
    assert!(
        error.to_string().contains("this host speaks 3 to 4"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_no_host_is_told_from_silence_and_from_a_closed_port() {
    let host = Host::new().await;
    let address = host.address.clone();
    let (client, ()) = tokio::join!(Client::connect(&address, Options::default()), async {
        let mut stream = host.accept_raw().await;
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.9\r\n")
            .await
            .unwrap();
        let mut rest = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
    });
    let Err(error) = client else {
        panic!("that was ssh")
    };
    assert!(
        error
            .to_string()
            .contains("no pixelboyd; is it the right port?"),
        "{error}"
    );
    drop(host);
    let Err(error) = Client::connect(&address, Options::default()).await else {
        panic!("nobody listens")
    };
    let wanted = format!(
        "no device answers at {address}: connection refused; is pixelboyd running there? try: pixelboy ping"
    );
    assert_eq!(error.to_string(), wanted);
    let Err(error) = Client::connect("no-such-device.invalid", Options::default()).await else {
        panic!("no name")
    };
    assert!(
        error
            .to_string()
            .contains("is not known here; try the device's IP address"),
        "{error}"
    );
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_a_number_is_used() {
    let (_host, client, mut device) = connected().await;
    let error = client.call("SAY!", [], [], None).await.unwrap_err();
    assert!(error.to_string().contains("1 to 32 of a-z"), "{error}");
    let error = client
        .call("say", [vec![0u8; 70_000].into()], [], None)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("as a transfer"), "{error}");
    let three: Vec<Value> = (0..3).map(|_| vec![0u8; 60_000].into()).collect();
    assert!(matches!(
        client.call("say", three, [], None).await,
        Err(Error::NotSendable { .. })
    ));
    let (reply, ()) = tokio::join!(client.call("say", [], [], None), async {
        assert_eq!(device.request().await.number, 1);
        device.done(1, vec![]).await;
    });
    reply.unwrap();
}

#[tokio::test]
async fn a_cancelled_call_ends_as_the_device_says() {
    let (_host, client, mut device) = connected().await;
    let pending = client.submit("say", text("x"), [], None).await.unwrap();
    device.request().await;
    pending.cancel();
    device.expect(Kind::Cancel).await;
    device
        .failed(1, Code::Cancelled, "cancelled; nothing happened")
        .await;
    assert_eq!(pending.await.unwrap_err().code(), Some(Code::Cancelled));
}

#[tokio::test]
async fn a_device_that_breaks_the_protocol_is_told_so_and_tried_again() {
    let (host, client, mut device) = connected().await;
    let pending = client.submit("say", text("x"), [], None).await.unwrap();
    let body = device.expect(Kind::Request).await;
    device.send_bytes(&[1, 0, 0, 0, 0x3F, 0]).await;
    let close = pixelboy_protocol::Close::decode(&device.expect(Kind::Close).await).unwrap();
    assert_eq!(close.code, Code::UnknownKind);
    let (mut device, _) = host.welcome().await;
    let again = device.expect(Kind::Request).await;
    let digest = |body: &[u8]| Request::decode_with_digest(body).unwrap().1;
    assert_eq!(digest(&again), digest(&body));
    let mut call = Vec::new();
    pixelboy_protocol::encode_call("say", &text("x"), &[], &mut call).unwrap();
    assert_eq!(digest(&again), request_digest(&call));
    device.done(1, vec![]).await;
    pending.await.unwrap();
}

#[tokio::test]
async fn a_number_that_another_program_used_means_a_new_id_for_the_calls_behind_it() {
    let (host, client, mut device) = connected().await;
    let first = client.submit("say", text("x"), [], None).await.unwrap();
    let second = client.submit("say", text("y"), [], None).await.unwrap();
    device.request().await;
    device.request().await;
    device.failed(1, Code::NumberReused, "not yours").await;
    let error = first.await.unwrap_err();
    assert!(matches!(error, Error::NumberReused { .. }), "{error:?}");
    assert!(!error.leaves_open());
    let error = second.await.unwrap_err();
    assert!(matches!(error, Error::Forgotten { .. }), "{error:?}");
    let (mut device, hello) = host.welcome().await;
    assert_eq!((hello.last_store, hello.lowest_unconfirmed), (None, 1));
    let (reply, ()) = tokio::join!(client.call("say", text("z"), [], None), async {
        assert_eq!(device.request().await.number, 1);
        device.done(1, vec![]).await;
    });
    reply.unwrap();
}

#[tokio::test]
async fn a_lost_reply_and_a_confirmed_one_are_final_and_leave_open_what_happened() {
    let (_host, client, mut device) = connected().await;
    let (error, ()) = tokio::join!(client.call("say", text("x"), [], None), async {
        device.request().await;
        device.failed(1, Code::RanReplyLost, "crashed").await;
    });
    let error = error.unwrap_err();
    assert!(matches!(error, Error::RanReplyLost { .. }) && error.leaves_open());
    let said = error.to_string();
    assert!(
        said.contains("nothing of it is on the device's disk"),
        "{said}"
    );
    let (error, ()) = tokio::join!(client.call("say", text("x"), [], None), async {
        // The lost one is confirmed: it was final.
        let request = device.request().await;
        assert_eq!((request.number, request.confirmed), (2, 1));
        device
            .failed(2, Code::AlreadyConfirmed, "you said so")
            .await;
    });
    let error = error.unwrap_err();
    assert!(matches!(error, Error::AlreadyConfirmed { .. }) && error.leaves_open());
}

#[tokio::test]
async fn a_connection_that_takes_bytes_and_says_nothing_is_given_up_and_made_anew() {
    let host = Host::new().await;
    let quick = Welcome {
        limits: vec![(12, 50)],
        ..welcome()
    };
    let (client, (mut dead, _)) =
        tokio::join!(Client::connect(&host.address, Options::default()), async {
            let (mut device, hello) = host.accept().await;
            device.send(quick).await;
            (device, hello)
        });
    let client = client.unwrap();
    let pending = client.submit("say", text("x"), [], None).await.unwrap();
    let before = dead.request().await;
    // It is held open, and nothing is read or written any more.
    let (mut device, _) = host.welcome().await;
    let again = device.request().await;
    assert_eq!((again.number, again.args), (before.number, before.args));
    device.done(1, vec![]).await;
    pending.await.unwrap();
    drop(dead);
}

#[tokio::test]
async fn every_wait_ends_in_time_where_the_device_says_nothing() {
    let host = Host::new().await;
    let options = Options {
        connect_timeout: Duration::from_millis(200),
        deadline: Duration::from_millis(200),
        ..Options::default()
    };
    let begun = Instant::now();
    let (error, _held) = tokio::join!(
        Client::connect(&host.address, options.clone()),
        host.accept_raw()
    );
    let Err(error) = error else {
        panic!("nobody greeted")
    };
    assert!(error.to_string().contains("did not greet"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));

    let (client, (_mute, _)) =
        tokio::join!(Client::connect(&host.address, options), host.welcome());
    let client = client.unwrap();
    let begun = Instant::now();
    let said = client.call("say", [], [], None).await.unwrap_err();
    assert!(
        said.to_string().contains("outcome unknown")
            && said
                .to_string()
                .ends_with("safe to send again with this client"),
        "{said}"
    );
    assert!(client.table().await.is_err());
    assert!(client.ping(Duration::from_millis(200)).await.is_err());
    let large = pixelboy_client::Source::bytes(vec![0; 100_000]);
    assert!(client.upload(&large, &mut |_, _| {}).await.is_err());
    client.close().await;
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
}
