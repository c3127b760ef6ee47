//! Who comes in, while others go and the host stops: each step by itself, on one thread, so that the moments between them
//! can be looked at.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use pixelboy_audio::Audio;
use pixelboy_display::Display;
use pixelboy_store::{Settings as StoreSettings, SqliteStore, Store};

use super::*;
use crate::capability::Services;
use crate::capability::client::Audience;
use crate::capability::device::Device;
use crate::capability::errand::Errands;
use crate::capability::timer::armed::Timers;
use crate::config::Settings;
use crate::dispatch::SessionSettings;
use crate::dispatch::board::{Board, Table};
use crate::dispatch::later::PutOff;
use crate::dispatch::outbox::{Outbox, Wire};
use crate::dispatch::presence::Attached;

/// A client's end that takes everything.
struct Sink;

impl Wire for Sink {
    fn try_send(&self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }
}

/// A host without plugins that remembers so many clients.
fn registry(folder: &std::path::Path, clients: usize) -> Registry {
    let text = "[display]\nbackend = \"none\"\n[audio]\nbackend = \"null\"";
    let settings: Settings = toml::from_str(text).unwrap();
    let store = SqliteStore::open(StoreSettings::new(folder)).unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let (errands, _) = Errands::new();
    let put_off = Arc::new(PutOff::default());
    let services = Arc::new(Services {
        store: store.clone(),
        device: Device::new(1.0),
        display: Display::start(&settings.display),
        audio: Audio::start(settings.audio().unwrap()).0,
        audience: Audience::default(),
        waits: put_off.clone(),
        timers: Timers::new(store, errands.clone()),
        errands,
    });
    let dispatch = Arc::new(Dispatch {
        right_of_way: tokio::sync::RwLock::default(),
        services,
        board: Board::new(Table::new([]).unwrap()),
        put_off,
        unserved: Arc::default(),
        settings: SessionSettings {
            receive_timeout: Duration::from_secs(5),
            grace: Duration::ZERO,
        },
        started: Instant::now(),
    });
    let age = Duration::from_secs(3600);
    Registry::new(dispatch, Remembered { clients, age })
}

fn id(n: u8) -> ClientId {
    ClientId([n; 16])
}

/// A connection of a client without a past; the presence has not seen it yet.
fn come(
    registry: &Registry,
    client: ClientId,
    connection: u64,
) -> Result<(mpsc::UnboundedSender<Message>, oneshot::Receiver<Attached>), Refused> {
    let (taken, attached) = oneshot::channel();
    let attach = Attach {
        connection,
        name: "test".into(),
        lowest_unconfirmed: 1,
        outbox: Arc::new(Outbox::new(Box::new(Sink))),
        taken,
    };
    let inbox = registry.attach(client, false, false, attach)?;
    Ok((inbox, attached))
}

/// Everything that can happen now has happened.
async fn settle() {
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn on_one_thread(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

#[test]
fn one_whose_hello_is_on_its_way_is_not_dropped_for_another() {
    let folder = tempfile::tempdir().unwrap();
    on_one_thread(async {
        let registry = registry(folder.path(), 1);
        // It was there, and is away: it may be dropped.
        let (inbox, attached) = come(&registry, id(1), 1).unwrap();
        attached.await.unwrap();
        inbox.send(Message::Detach(1)).unwrap();
        settle().await;
        // It comes back. Its presence has not taken that in.
        let (_, attached) = come(&registry, id(1), 2).unwrap();
        let other = come(&registry, id(2), 3);
        assert!(matches!(other, Err(Refused::TooMany(1))));
        assert!(!attached.await.unwrap().resumed);
        let other = come(&registry, id(2), 3);
        assert!(matches!(other, Err(Refused::TooMany(1))));
        // Coming again it finds itself.
        let (inbox, attached) = come(&registry, id(1), 4).unwrap();
        assert!(attached.await.unwrap().resumed);
        inbox.send(Message::Detach(4)).unwrap();
        settle().await;
        let (_, attached) = come(&registry, id(2), 5).unwrap();
        attached.await.unwrap();
    });
}

#[test]
fn who_waits_only_for_an_answer_that_is_put_off_makes_room_for_others() {
    let folder = tempfile::tempdir().unwrap();
    on_one_thread(async {
        let registry = registry(folder.path(), 1);
        let dispatch = registry.dispatch().clone();
        let (inbox, mut presence) = {
            let (sender, inbox) = mpsc::unbounded_channel();
            let stays = Arc::new(Stays::new());
            let presence = Presence::new(dispatch.clone(), id(1), 0, false, inbox, stays.clone());
            let known = Known {
                sender: sender.clone(),
                stays,
            };
            registry.clients().known.insert(id(1), known);
            (sender, presence)
        };
        presence.put_off_for_a_test(1, 7);
        tokio::spawn(presence.serve());
        let (_, attached) = come(&registry, id(1), 1).unwrap();
        attached.await.unwrap();
        assert!(matches!(
            come(&registry, id(2), 2),
            Err(Refused::TooMany(1))
        ));
        inbox.send(Message::Detach(1)).unwrap();
        settle().await;
        drop(inbox);
        let (_, attached) = come(&registry, id(2), 3).unwrap();
        attached.await.unwrap();
        settle().await;
        // Whoever completes it finds that nobody waits.
        assert!(dispatch.put_off.take(7).is_none());
    });
}

#[test]
fn who_said_goodbye_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    on_one_thread(async {
        let registry = registry(folder.path(), 4);
        let (inbox, attached) = come(&registry, id(1), 1).unwrap();
        attached.await.unwrap();
        inbox.send(Message::Goodbye(1)).unwrap();
        settle().await;
        assert!(matches!(come(&registry, id(1), 2), Err(Refused::Forgotten)));
        // Others do, and of those who left only so many are remembered.
        for n in 0..=LEFT as u64 {
            let mut other = [0; 16];
            other[..8].copy_from_slice(&(n + 1_000).to_le_bytes());
            let (inbox, attached) = come(&registry, ClientId(other), 1).unwrap();
            attached.await.unwrap();
            inbox.send(Message::Goodbye(1)).unwrap();
            while !inbox.is_closed() {
                tokio::task::yield_now().await;
            }
        }
        registry.tidy();
        assert_eq!(registry.clients().left.len(), LEFT);
        assert_eq!(registry.clients().known.len(), 0);
    });
}

#[test]
fn when_the_host_stops_nobody_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    on_one_thread(async {
        let registry = registry(folder.path(), 4);
        let (_, attached) = come(&registry, id(1), 1).unwrap();
        registry.stop(Duration::from_secs(10)).await;
        // It was in before.
        attached.await.unwrap();
        for client in [id(1), id(2)] {
            assert!(matches!(come(&registry, client, 2), Err(Refused::Stopping)));
        }
    });
}
