//! Who the client is over several runs, and what the device says by itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod scripted;

use std::time::Duration;

use pixelboy_client::{Client, Error, Event, Options};
use pixelboy_protocol::{
    Bind, Call, CallReply, Code, Kind, Outcome, Push, Reply, TableChanged, TimeOut, Welcome,
};
use scripted::{Connection, Host, row, table, welcome};

async fn connected(
    host: &Host,
    options: Options,
) -> (Client, Connection, pixelboy_protocol::Hello) {
    let (client, (connection, hello)) =
        tokio::join!(Client::connect(&host.address, options), host.welcome());
    (client.unwrap(), connection, hello)
}

#[tokio::test]
async fn a_state_file_lets_the_next_run_go_on_as_the_same_client() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        state: Some(folder.path().join("state")),
        ..Options::default()
    };
    let host = Host::new().await;
    let (client, mut device, first) = connected(&host, options.clone()).await;
    assert_eq!((first.last_store, first.lowest_unconfirmed), (None, 1));
    let (reply, ()) = tokio::join!(client.call("say", [], [], None), async {
        device.request().await;
        device.done(1, vec![]).await;
    });
    reply.unwrap();
    // The session ends, the client stays known.
    tokio::join!(client.close(), async {
        device.expect(Kind::Confirm).await;
        let request = device.request().await;
        assert_eq!(request.op, "cc");
        device.done(request.number, vec![]).await;
        device.close(Code::Closed, "cc").await;
    });

    let (client, (mut device, second)) =
        tokio::join!(Client::connect(&host.address, options), async {
            let (mut device, hello) = host.accept().await;
            device
                .send(Welcome {
                    received_through: 2,
                    executed_through: 2,
                    ..welcome()
                })
                .await;
            (device, hello)
        });
    let client = client.unwrap();
    assert!(second.client == first.client && second.last_store == Some(scripted::STORE));
    assert!(second.lowest_unconfirmed > 2);
    let (reply, ()) = tokio::join!(client.call("say", [], [], None), async {
        let request = device.request().await;
        assert!(request.number >= second.lowest_unconfirmed && request.confirmed <= 2);
        device.done(request.number, vec![]).await;
    });
    reply.unwrap();
}

#[tokio::test]
async fn two_clients_cannot_use_one_state_file() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        state: Some(folder.path().join("state")),
        ..Options::default()
    };
    let host = Host::new().await;
    let (_client, _device, _) = connected(&host, options.clone()).await;
    let Err(error) = Client::connect(&host.address, options).await else {
        panic!("it is in use")
    };
    assert!(matches!(error, Error::State { .. }), "{error:?}");
}

#[tokio::test]
async fn what_the_device_says_by_itself_is_heard() {
    let host = Host::new().await;
    let (client, mut device, _) = connected(&host, Options::default()).await;
    let mut events = client.events();
    let (heard, mut pushed) = tokio::sync::mpsc::unbounded_channel();
    client.on_push(move |op, args| heard.send((op.to_owned(), args.to_vec())).unwrap());
    device.send(TimeOut { idle_ms: 5_000 }).await;
    device
        .send(Push {
            op: "bell".to_owned(),
            args: vec![1.into()],
        })
        .await;
    assert_eq!(
        events.recv().await.unwrap(),
        Event::TimeOut { idle_ms: 5_000 }
    );
    let push = Event::Push {
        op: "bell".to_owned(),
        args: vec![1.into()],
    };
    assert_eq!(events.recv().await.unwrap(), push);
    assert_eq!(
        pushed.recv().await.unwrap(),
        ("bell".to_owned(), vec![1.into()])
    );
    drop(device);
    assert!(matches!(
        events.recv().await.unwrap(),
        Event::Disconnected { .. }
    ));
    let (mut device, _) = host.accept().await;
    device
        .send(Welcome {
            resumed: true,
            ..welcome()
        })
        .await;
    assert_eq!(
        events.recv().await.unwrap(),
        Event::Reconnected { resumed: true }
    );
}

#[tokio::test]
async fn the_table_is_fetched_once_and_anew_when_it_changed() {
    let host = Host::new().await;
    let (client, (mut device, _)) =
        tokio::join!(Client::connect(&host.address, Options::default()), async {
            let (mut device, hello) = host.accept().await;
            let digest = table(&[row("a", "", vec![])])[0].digest;
            device
                .send(Welcome {
                    table: digest,
                    ..welcome()
                })
                .await;
            (device, hello)
        });
    let client = client.unwrap();
    let (first, ()) = tokio::join!(client.table(), async {
        device.expect(Kind::GetTable).await;
        device.send(table(&[row("a", "", vec![])]).remove(0)).await;
    });
    assert!(first.unwrap().find("a").is_some());
    assert!(client.table().await.unwrap().find("b").is_none());
    let mut events = client.events();
    let fresh = table(&[row("a", "", vec![]), row("b", "", vec![])]).remove(0);
    device
        .send(TableChanged {
            digest: fresh.digest,
        })
        .await;
    assert_eq!(events.recv().await.unwrap(), Event::TableChanged);
    let (second, ()) = tokio::join!(client.table(), async {
        device.expect(Kind::GetTable).await;
        device.send(fresh).await;
    });
    assert!(second.unwrap().find("b").is_some());
}

#[tokio::test]
async fn a_bound_opcode_answers_the_device_and_is_offered_again_after_a_break() {
    let host = Host::new().await;
    let (client, mut device, _) = connected(&host, Options::default()).await;
    client
        .bind("double", |call: Call| async move {
            Outcome::Done(vec![(call.args[0].as_int().unwrap() * 2).into()])
        })
        .unwrap();
    let call = |number, op: &str| Call {
        number,
        op: op.to_owned(),
        args: vec![21.into()],
        kwargs: vec![],
        deadline_ms: None,
    };
    let bind = Bind::decode(&device.expect(Kind::Bind).await).unwrap();
    assert!(bind.bound && bind.op == "double");
    device.send(call(1, "double")).await;
    let answer = CallReply::decode(&device.expect(Kind::CallReply).await).unwrap();
    assert_eq!(
        (answer.number, answer.outcome),
        (1, Outcome::Done(vec![42.into()]))
    );
    device.send(call(2, "triple")).await;
    let answer = CallReply::decode(&device.expect(Kind::CallReply).await).unwrap();
    let Outcome::Failed(failure) = answer.outcome else {
        panic!("nobody offers that")
    };
    assert_eq!(failure.code, Code::UnknownOp);
    drop(device);
    let (mut device, _) = host.welcome().await;
    device.expect(Kind::Bind).await;
}

#[tokio::test]
async fn a_ping_measures_the_way_and_waits_through_a_break() {
    let host = Host::new().await;
    let (client, mut device, _) = connected(&host, Options::default()).await;
    let served = tokio::spawn(async move {
        // Pongs are answered inside.
        device.next().await
    });
    assert!(client.ping(Duration::from_secs(5)).await.unwrap() < Duration::from_secs(5));
    served.abort();
    let _ = served.await;
    let (pong, ()) = tokio::join!(client.ping(Duration::from_secs(5)), async {
        let (mut device, _) = host.welcome().await;
        tokio::spawn(async move { device.next().await });
    });
    pong.unwrap();
}

#[tokio::test]
async fn closing_waits_for_calls_under_way() {
    let host = Host::new().await;
    let (client, mut device, _) = connected(&host, Options::default()).await;
    let pending = client.submit("say", [], [], None).await.unwrap();
    device.request().await;
    let closing = tokio::spawn(client.close());
    device
        .send(Reply {
            number: 1,
            stored: None,
            recorded: false,
            outcome: Outcome::Done(vec![]),
        })
        .await;
    pending.await.unwrap();
    device.goodbye().await;
    closing.await.unwrap();
}

#[tokio::test]
async fn after_cc_the_client_is_closed() {
    let host = Host::new().await;
    let (client, mut device, _) = connected(&host, Options::default()).await;
    let (reply, ()) = tokio::join!(client.call("cc", [], [], None), async {
        device.request().await;
        device.done(1, vec![]).await;
        device.close(Code::Closed, "as asked").await;
    });
    reply.unwrap();
    let error = client.call("say", [], [], None).await.unwrap_err();
    assert!(matches!(error, Error::Closed), "{error:?}");
    client.close().await;
}

#[tokio::test]
async fn a_host_that_stops_is_waited_for() {
    let host = Host::new().await;
    let (client, device, _) = connected(&host, Options::default()).await;
    device.close(Code::ShuttingDown, "the host stops").await;
    let (device, _) = host.accept().await;
    device.close(Code::ShuttingDown, "still stopping").await;
    let (mut device, _) = host.welcome().await;
    let (reply, ()) = tokio::join!(client.call("say", [], [], None), async {
        device.request().await;
        device.done(1, vec![]).await;
    });
    reply.unwrap();
}

/// The next connection, with a session that is new or goes on.
async fn again(host: &Host, resumed: bool, received_through: u64) -> Connection {
    let (mut device, _) = host.accept().await;
    let welcome = Welcome {
        resumed,
        received_through,
        executed_through: received_through,
        ..welcome()
    };
    device.send(welcome).await;
    device
}

/// The next request, past confirmations.
async fn request(device: &mut Connection) -> pixelboy_protocol::Request {
    loop {
        let (kind, body) = device.next().await.unwrap();
        if kind == Kind::Request {
            return pixelboy_protocol::Request::decode(&body).unwrap();
        }
        assert_eq!(kind, Kind::Confirm);
    }
}

#[tokio::test]
async fn a_new_session_is_told_the_settings_of_the_one_before() {
    let host = Host::new().await;
    let (client, mut device, _) = connected(&host, Options::default()).await;
    for (op, args) in [
        ("srto", vec![0.5.into()]),
        ("srto", vec![0.2.into()]),
        ("sptt", vec![]),
    ] {
        let (reply, ()) = tokio::join!(client.call(op, args, [], None), async {
            let number = device.request().await.number;
            device.done(number, vec![]).await;
        });
        reply.unwrap();
    }
    drop(device);
    // The session goes on: nothing is to be told.
    let mut device = again(&host, true, 3).await;
    let (reply, ()) = tokio::join!(client.call("say", [], [], None), async {
        let request = request(&mut device).await;
        assert_eq!((request.number, request.op.as_str()), (4, "say"));
        device.done(4, vec![]).await;
    });
    reply.unwrap();
    drop(device);
    // A new one, and it breaks before it has answered: told again under the same numbers.
    let mut device = again(&host, false, 4).await;
    let first = request(&mut device).await;
    assert_eq!((first.number, first.op.as_str()), (5, "srto"));
    assert_eq!((first.args, first.deadline_ms), (vec![0.2.into()], None));
    drop(device);
    let mut device = again(&host, false, 5).await;
    let pending = client.submit("say", [], [], None).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..3 {
        let request = request(&mut device).await;
        told.push((request.number, request.op));
    }
    assert_eq!(told[0], (5, "srto".to_owned()));
    assert_eq!(told[1], (6, "sptt".to_owned()));
    assert_eq!(told[2], (7, "say".to_owned()));
    // The first was done for the session before.
    let recorded = |number| Reply {
        number,
        stored: None,
        recorded: true,
        outcome: Outcome::Done(vec![]),
    };
    device.send(recorded(5)).await;
    let third = request(&mut device).await;
    assert_eq!((third.number, third.op.as_str()), (8, "srto"));
    for number in [6, 7, 8] {
        device.done(number, vec![]).await;
    }
    pending.await.unwrap();
    tokio::join!(client.close(), device.goodbye());
}

#[tokio::test]
async fn an_offer_that_was_taken_back_while_away_is_told_to_a_session_that_goes_on() {
    let host = Host::new().await;
    let (client, mut device, _) = connected(&host, Options::default()).await;
    let mut events = client.events();
    for op in ["stays", "goes"] {
        client
            .bind(op, |_| async { Outcome::Done(vec![]) })
            .unwrap();
        device.expect(Kind::Bind).await;
    }
    drop(device);
    assert!(matches!(
        events.recv().await.unwrap(),
        Event::Disconnected { .. }
    ));
    client.unbind("goes").unwrap();
    let mut told = Vec::new();
    let mut device = again(&host, true, 0).await;
    for _ in 0..2 {
        let bind = Bind::decode(&device.expect(Kind::Bind).await).unwrap();
        told.push((bind.op, bind.bound));
    }
    told.sort();
    assert_eq!(
        told,
        [("goes".to_owned(), false), ("stays".to_owned(), true)]
    );
    drop(device);
    // A new session never heard of it.
    let mut device = again(&host, false, 0).await;
    let bind = Bind::decode(&device.expect(Kind::Bind).await).unwrap();
    assert!(bind.bound && bind.op == "stays");
    tokio::join!(client.close(), device.goodbye());
}
