use std::time::Duration;

use super::support::*;
use crate::{Admission, ClientRecord, CommitError, OperationId, Settings, SqliteStore, Store};

fn admit(store: &dyn Store, of: u8, number: u64) -> Admission {
    store
        .admit(record(of, number).operation, digest(number))
        .unwrap()
}

fn ran_and_wrote(store: &dyn Store, of: u8, number: u64) -> crate::Position {
    let position = commit(store, Some(record(of, number)), |t| {
        t.kv_set(&space(), "k", vec![]).unwrap()
    })
    .unwrap();
    store.wait(position).block().unwrap();
    position
}

#[test]
fn every_number_gets_its_answer_before_and_after_a_restart_and_a_fold() {
    let folder = Folder::new();
    let store = folder.open();
    assert_eq!(admit(&store, 1, 1), Admission::Run);
    let positions = [1, 3, 5, 6].map(|number| (number, ran_and_wrote(&store, 1, number)));
    store.ran(client(1), 8, store.begin());
    assert_eq!(
        admit(&store, 1, 8),
        Admission::ReplyLost,
        "it ran in this life of the host"
    );
    store.confirm(client(1), 1, &[5]);
    let mut store = Some(store);
    for life in 0..4 {
        let open = store.take().unwrap_or_else(|| folder.open());
        for (number, stored) in positions
            .into_iter()
            .filter(|(number, _)| [3, 6].contains(number))
        {
            let reply = record(1, number).reply;
            assert_eq!(
                admit(&open, 1, number),
                Admission::Recorded { reply, stored }
            );
            let other = open.admit(record(1, number).operation, digest(99)).unwrap();
            assert_eq!(other, Admission::NumberReused);
        }
        assert_eq!(admit(&open, 1, 2), Admission::ReplyLost);
        assert_eq!(admit(&open, 1, 4), Admission::ReplyLost);
        assert_eq!(admit(&open, 1, 9), Admission::Run);
        assert_eq!(admit(&open, 2, 1), Admission::Run);
        match life {
            0 => drop(open.tend(Duration::from_secs(3600)).unwrap()),
            2 => open.close().unwrap(),
            _ => {}
        }
        // What was confirmed is so for ever once it was folded.
        for number in [1, 5] {
            assert_eq!(admit(&open, 1, number), Admission::AlreadyConfirmed);
        }
        let through = if life == 0 { 8 } else { 6 };
        assert_eq!(
            open.client(client(1)).unwrap(),
            Some(ClientRecord {
                executed_through: through
            })
        );
        assert!(open.keeps_every_record());
    }
}

#[test]
fn confirmations_that_were_not_folded_are_forgotten_by_a_crash_without_harm() {
    let folder = Folder::new();
    let store = folder.open();
    let stored = ran_and_wrote(&store, 1, 1);
    store.confirm(client(1), 1, &[]);
    assert_eq!(admit(&store, 1, 1), Admission::AlreadyConfirmed);
    drop(store);
    let store = folder.open();
    assert_eq!(
        admit(&store, 1, 1),
        Admission::Recorded {
            reply: record(1, 1).reply,
            stored
        }
    );
}

#[test]
fn replies_that_were_confirmed_take_no_room() {
    let folder = Folder::new();
    let store = folder.open();
    for number in 1..=5 {
        ran_and_wrote(&store, 1, number);
    }
    store.confirm(client(1), 2, &[4]);
    store.close().unwrap();
    store.confirm(client(1), 3, &[]);
    drop(store);
    let tables = rusqlite::Connection::open(folder.data("record.sqlite")).unwrap();
    let kept: Vec<i64> = tables
        .prepare("SELECT number FROM reply ORDER BY number")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(kept, [3, 5]);
}

#[test]
fn an_operation_runs_once_and_only_in_order() {
    let folder = Folder::new();
    let store = folder.open();
    ran_and_wrote(&store, 1, 5);
    for number in [5, 4] {
        match commit(&store, Some(record(1, number)), |t| {
            t.kv_set(&space(), "k", vec![]).unwrap()
        }) {
            Err(CommitError::OutOfOrder {
                executed_through: 5,
                ..
            }) => {}
            other => panic!("{other:?}"),
        }
    }
    // Numbers use all bits.
    ran_and_wrote(&store, 1, u64::MAX - 1);
    drop(store);
    let store = folder.open();
    assert!(matches!(
        admit(&store, 1, u64::MAX - 1),
        Admission::Recorded { .. }
    ));
    store.confirm(client(1), u64::MAX - 1, &[]);
    store.close().unwrap();
    drop(store);
    assert_eq!(admit(&folder.open(), 1, 5), Admission::AlreadyConfirmed);
}

#[test]
fn a_later_answer_takes_the_place_of_the_first() {
    let folder = Folder::new();
    for fold in [false, true] {
        let store = folder.open();
        store
            .wait(store.forget(client(1)).unwrap())
            .block()
            .unwrap();
        ran_and_wrote(&store, 1, 1);
        ran_and_wrote(&store, 1, 2);
        if fold {
            store.tend(Duration::from_secs(3600)).unwrap();
        }
        store.confirm(client(1), 1, &[]);
        let stored = write(&store, |t| {
            t.answer(
                OperationId {
                    client: client(1),
                    number: 2,
                },
                b"later".to_vec(),
            );
            t.answer(
                OperationId {
                    client: client(1),
                    number: 1,
                },
                b"too late".to_vec(),
            );
            assert!(t.has_writes());
        });
        assert_eq!(
            admit(&store, 1, 2),
            Admission::Recorded {
                reply: b"later".to_vec(),
                stored
            }
        );
        assert_eq!(admit(&store, 1, 1), Admission::AlreadyConfirmed);
        drop(store);
        let store = folder.open();
        assert_eq!(
            admit(&store, 1, 2),
            Admission::Recorded {
                reply: b"later".to_vec(),
                stored
            }
        );
        store.close().unwrap();
        drop(store);
        let store = folder.open();
        assert_eq!(
            admit(&store, 1, 2),
            Admission::Recorded {
                reply: b"later".to_vec(),
                stored
            }
        );
    }
}

#[test]
fn goodbye_drops_the_record_and_the_uploads() {
    let folder = Folder::new();
    let store = folder.open();
    ran_and_wrote(&store, 1, 1);
    ran_and_wrote(&store, 2, 1);
    uploaded(&store, 1, b"bytes");
    let position = store.forget(client(1)).unwrap();
    store.wait(position).block().unwrap();
    assert_eq!(folder.staged(), 0);
    let mut store = Some(store);
    for _ in 0..2 {
        let open = store.take().unwrap_or_else(|| folder.open());
        assert_eq!(open.client(client(1)).unwrap(), None);
        assert_eq!(admit(&open, 1, 1), Admission::Run);
        assert!(open.client(client(2)).unwrap().is_some());
        assert!(open.upload(client(1), 1).is_err());
        assert!(open.keeps_every_record(), "its own wish does not count");
    }
}

#[test]
fn records_age_by_uptime_over_restarts_unless_the_client_is_present() {
    let folder = Folder::new();
    let settings = Settings {
        client_age: Duration::from_secs(100),
        ..folder.settings()
    };
    let store = SqliteStore::open(settings.clone()).unwrap();
    ran_and_wrote(&store, 1, 1);
    ran_and_wrote(&store, 2, 1);
    store.ran(client(3), 1, store.begin());
    store.tend(Duration::from_secs(60)).unwrap();
    assert!(store.client(client(3)).unwrap().is_some());
    drop(store);
    let store = SqliteStore::open(settings).unwrap();
    store.present(client(2), true);
    store.tend(Duration::from_secs(60)).unwrap();
    assert_eq!(store.client(client(1)).unwrap(), None);
    assert!(store.client(client(2)).unwrap().is_some());
    assert!(!store.keeps_every_record());
    store.present(client(2), false);
    store.tend(Duration::from_secs(101)).unwrap();
    assert_eq!(store.client(client(2)).unwrap(), None);
    drop(store);
    assert!(!folder.open().keeps_every_record());
}

#[test]
fn over_the_cap_the_one_longest_away_is_forgotten_and_with_all_present_none_is_taken() {
    let folder = Folder::new();
    let store = SqliteStore::open(Settings {
        max_clients: 2,
        ..folder.settings()
    })
    .unwrap();
    ran_and_wrote(&store, 1, 1);
    store.tend(Duration::from_secs(1)).unwrap();
    ran_and_wrote(&store, 2, 1);
    store.confirm(client(2), 1, &[]);
    store.tend(Duration::from_secs(1)).unwrap();
    ran_and_wrote(&store, 3, 1);
    assert_eq!(
        store.client(client(2)).unwrap(),
        None,
        "everything of it was confirmed"
    );
    assert!(store.client(client(1)).unwrap().is_some());
    store.present(client(1), true);
    store.present(client(3), true);
    let refused = commit(&store, Some(record(4, 1)), |t| {
        t.kv_set(&space(), "k", vec![]).unwrap()
    });
    assert!(matches!(
        refused,
        Err(CommitError::TooManyClients { most: 2 })
    ));
    store.present(client(3), false);
    ran_and_wrote(&store, 4, 1);
    assert_eq!(store.client(client(3)).unwrap(), None);
    drop(store);
    let store = folder.open();
    assert!(
        store.client(client(1)).unwrap().is_some() && store.client(client(4)).unwrap().is_some()
    );
    assert_eq!(store.client(client(3)).unwrap(), None);
}

#[test]
fn a_reader_that_is_forgotten_is_not_taken_for_one_that_never_ran_anything() {
    for by_age in [false, true] {
        let folder = Folder::new();
        let store = SqliteStore::open(Settings {
            max_clients: if by_age { 9 } else { 1 },
            client_age: Duration::from_secs(100),
            ..folder.settings()
        })
        .unwrap();
        // Sessions alone leave nothing to remember.
        for n in 3..6 {
            store.present(client(n), true);
            store.present(client(n), false);
        }
        store.tend(Duration::from_secs(50)).unwrap();
        assert!(store.keeps_every_record());
        for n in 1..=2 {
            store.ran(client(n), 7, store.begin());
        }
        store.tend(Duration::from_secs(1)).unwrap();
        if by_age {
            store.tend(Duration::from_secs(101)).unwrap();
            store.tend(Duration::from_secs(1)).unwrap();
        }
        assert_eq!(store.client(client(1)).unwrap(), None);
        assert!(!store.keeps_every_record());
        drop(store);
        assert!(
            folder.open().keeps_every_record(),
            "nothing of it was on disk"
        );
    }
}
