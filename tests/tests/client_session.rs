//! The Rust client over a crash of the daemon: the session is another one, and has what the client set and offered before.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::Duration;

use harness::proxy::{Faults, Proxy};
use harness::{PATIENCE, Setup};
use pixelboy_client::{Client, Event, Options};
use pixelboy_protocol::{Call, Outcome, Value};

#[tokio::test]
async fn a_session_after_a_crash_of_the_daemon_has_the_settings_and_offers_of_the_one_before() {
    let mut daemon = Setup::new().actor().start();
    let way = Proxy::start(daemon.address(), |_| Faults::default());
    let options = Options {
        deadline: Duration::from_secs(60),
        ..Options::default()
    };
    let device = Client::connect(&way.address().to_string(), options)
        .await
        .unwrap();
    let (heard, mut calls) = tokio::sync::mpsc::unbounded_channel();
    let measure = move |call: Call| {
        heard.send(call.args).unwrap();
        async { Outcome::Done(vec!["warm".into()]) }
    };
    device.bind("measure", measure).unwrap();
    device.call("srto", [0.25.into()], [], None).await.unwrap();
    device.call("sptt", [], [], None).await.unwrap();

    let mut events = device.events();
    daemon.kill();
    daemon.boot();
    way.lead_to(daemon.address());
    let again = async {
        loop {
            if let Event::Reconnected { resumed } = events.recv().await.unwrap() {
                return resumed;
            }
        }
    };
    let resumed = tokio::time::timeout(PATIENCE, again).await.unwrap();
    assert!(!resumed, "no session outlives its daemon");

    let status = device.status().await.unwrap();
    assert_eq!(status.get("receive_timeout_s"), Some(&Value::Float(0.25)));
    assert_eq!(status.get("pass_time_out"), Some(&Value::Bool(true)));
    let ask = ["measure".into(), 7.into(), 60_000.into(), "a".into()];
    device.call("ask", ask, [], None).await.unwrap();
    let args = tokio::time::timeout(PATIENCE, calls.recv()).await.unwrap();
    assert_eq!(args.unwrap(), [Value::Int(7)]);
    device.close().await;
}
