//! A state file over runs that crash: nothing is sent that is not in it, and the next run goes on.
//! A crash at a moment is the file as it is at that moment, copied.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod scripted;

use std::path::{Path, PathBuf};
use std::time::Duration;

use pixelboy_client::{Client, Error, Options};
use pixelboy_protocol::{Code, Hello, Kind, Outcome, Reply, Request, Welcome};
use scripted::{Connection, Host, welcome};

fn options(state: &Path) -> Options {
    Options {
        state: Some(state.to_owned()),
        ..Options::default()
    }
}

/// The file as a crash now would leave it.
fn crashed(state: &Path, name: &str) -> PathBuf {
    let copy = state.with_file_name(name);
    std::fs::copy(state, &copy).unwrap();
    copy
}

async fn run(host: &Host, state: &Path, received: u64) -> (Client, Connection, Hello) {
    let (client, (device, hello)) =
        tokio::join!(Client::connect(&host.address, options(state)), async {
            let (mut device, hello) = host.accept().await;
            let welcome = Welcome {
                received_through: received,
                executed_through: received,
                ..welcome()
            };
            device.send(welcome).await;
            (device, hello)
        });
    (client.unwrap(), device, hello)
}

#[tokio::test]
async fn what_a_crashed_run_sent_is_asked_for_by_the_next_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let host = Host::new().await;
    let (client, mut device, first) = run(&host, &state, 0).await;
    assert!(client.notice().is_none() && client.carried_over().is_empty());
    let words = ["one", "two", "three"];
    let (mut sent, mut pending) = (Vec::new(), Vec::new());
    for (index, word) in words.into_iter().enumerate() {
        pending.push(client.submit("ss", [word.into()], [], None).await.unwrap());
        sent.push(device.expect(Kind::Request).await);
        // It is in the file when the device sees it, whatever comes next.
        let (_next, mut device, hello) =
            run(&host, &crashed(&state, &format!("at {index}")), 0).await;
        assert!(hello.client == first.client && hello.lowest_unconfirmed == 1);
        for before in &sent {
            let before = Request::decode_with_digest(before).unwrap();
            let body = device.expect(Kind::Request).await;
            let after = Request::decode_with_digest(&body).unwrap();
            assert_eq!((before.0.number, before.1), (after.0.number, after.1));
            assert!(after.0.deadline_ms.unwrap() <= before.0.deadline_ms.unwrap());
            assert!(after.0.deadline_ms.unwrap() > 10_000);
        }
    }
    device.done(2, vec!["done".into()]).await;
    pending.remove(1).await.unwrap();
    let (reply, ()) = tokio::join!(client.call("ls", [], [], None), async {
        assert_eq!(device.request().await.number, 4);
        device.done(4, vec![]).await;
    });
    reply.unwrap();

    let (next, mut device, _) = run(&host, &crashed(&state, "last"), 4).await;
    let carried_over = next.carried_over();
    let ops: Vec<_> = carried_over.iter().map(|pending| pending.op()).collect();
    assert!(ops.starts_with(&["ss", "ss"]), "{ops:?}");
    assert!(next.carried_over().is_empty(), "they are told of once");
    let mut carried_over = carried_over.into_iter();
    let (mut first, mut third) = (device.request().await, device.request().await);
    assert_eq!((first.number, third.number), (1, 3));
    first.args.append(&mut third.args);
    assert_eq!(first.args, ["one".into(), "three".into()]);
    device
        .send(Reply {
            number: 1,
            stored: Some(5),
            recorded: true,
            outcome: Outcome::Done(vec![]),
        })
        .await;
    device.failed(3, Code::AlreadyConfirmed, "then").await;
    let reply = carried_over.next().unwrap().await.unwrap();
    assert!(reply.recorded && reply.stored == Some(5));
    let error = carried_over.next().unwrap().await.unwrap_err();
    assert!(matches!(error, Error::AlreadyConfirmed { .. }), "{error:?}");
}

#[tokio::test]
async fn what_an_earlier_run_gave_until_then_is_not_begun_later() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let host = Host::new().await;
    let (client, mut device, _) = run(&host, &state, 0).await;
    let brief = Some(Duration::from_millis(300));
    let pending = client
        .submit("rm", ["a.mp3".into()], [], brief)
        .await
        .unwrap();
    device.request().await;
    let error = pending.await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }));
    let (next, mut device, _) = run(&host, &crashed(&state, "copy"), 0).await;
    let request = device.request().await;
    assert_eq!((request.number, request.deadline_ms), (1, Some(0)));
    device.failed(1, Code::Deadline, "too late").await;
    let pending = next.carried_over().remove(0);
    assert_eq!(pending.await.unwrap_err().code(), Some(Code::Deadline));
}

#[tokio::test]
async fn a_new_data_folder_makes_what_an_earlier_run_sent_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let host = Host::new().await;
    let (client, mut device, first) = run(&host, &state, 0).await;
    let _pending = client.submit("ss", ["x".into()], [], None).await.unwrap();
    device.request().await;
    let copy = crashed(&state, "copy");
    let (next, (mut device, hello)) =
        tokio::join!(Client::connect(&host.address, options(&copy)), async {
            let (device, hello) = host.accept().await;
            assert!(hello.client == first.client && hello.last_store == Some(scripted::STORE));
            device.close(Code::ClientForgotten, "who are you?").await;
            host.welcome().await
        });
    assert!(hello.client != first.client && hello.lowest_unconfirmed == 1);
    let next = next.unwrap();
    let pending = next.carried_over().remove(0);
    let error = pending.await.unwrap_err();
    assert!(matches!(error, Error::Forgotten { .. }), "{error:?}");
    // The file says so too, before anything is sent under the new id.
    let _pending = next.submit("ls", [], [], None).await.unwrap();
    assert_eq!(device.request().await.number, 1);
    let (_third, _device, hello_again) = run(&host, &crashed(&copy, "later"), 0).await;
    assert!(hello_again.client == hello.client);
    assert_eq!(hello_again.lowest_unconfirmed, 1);
}

#[tokio::test]
async fn a_torn_state_file_gives_a_sentence_and_a_new_client() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    std::fs::write(&state, "{\"pixelboy_state\":1,\"cli").unwrap();
    let host = Host::new().await;
    let (client, _device, hello) = run(&host, &state, 0).await;
    assert!(
        client
            .notice()
            .unwrap()
            .contains("may or may not have happened")
    );
    assert_eq!((hello.last_store, hello.lowest_unconfirmed), (None, 1));
}

#[tokio::test]
async fn settings_and_the_end_of_a_session_are_not_carried_over() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let host = Host::new().await;
    let (client, mut device, _) = run(&host, &state, 0).await;
    for op in ["srto", "sptt", "cc"] {
        let _pending = client.submit(op, [], [], None).await.unwrap();
        device.request().await;
    }
    let (next, _device, hello) = run(&host, &crashed(&state, "copy"), 3).await;
    assert!(next.carried_over().is_empty());
    assert_eq!(hello.lowest_unconfirmed, 4, "their numbers are used");
}
