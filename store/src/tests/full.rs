//! The disk is full, read-only or fails at a write: what was not stored never was, and the store goes on.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

use super::faults::FAIL_AT_OPEN;
use super::support::*;
use crate::{
    Admission, CommitError, NotDurable, Position, SqliteStore, Store, StoreError, Unwritten,
};

fn fail(store: &SqliteStore, step: &'static str, kind: ErrorKind) {
    store.engine().disk().faults.fail_as(step, kind);
}

fn heal(store: &SqliteStore) {
    store.engine().disk().faults.fail(None);
}

fn taken_back(store: &SqliteStore, position: Position) -> Unwritten {
    match store.wait(position).block() {
        Err(NotDurable::TakenBack(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn on_a_full_disk_what_waits_is_taken_back_whole_and_the_store_goes_on_when_there_is_room() {
    let folder = Folder::new();
    let store = folder.open();
    append(&store, "log", b"one ");
    put(&store, "big", &noise(1, 90_000));
    let part = uploaded(&store, 5, &noise(2, 80_000));
    let staged = folder.staged();
    let mut early = store.begin();
    stage_append(&mut early, "log", b"early ");

    fail(&store, "write log", ErrorKind::StorageFull);
    let first = commit(&store, Some(record(1, 1)), |t| {
        stage_append(t, "log", b"two ");
        t.put(&path("big"), &blob(&noise(3, 70_000)), "image", vec![])
            .unwrap();
        t.put(&path("new"), &part, "audio", vec![]).unwrap();
        t.kv_set(&space(), "k", vec![1]).unwrap();
    })
    .unwrap();
    // Another sees it, and adds to it.
    let mut reader = store.begin();
    assert_eq!(read_in(&mut reader, "log").unwrap(), b"one two ");
    let saw = reader.seen();
    drop(reader);
    let mut late = store.begin();
    stage_append(&mut late, "log", b"late ");
    let second = commit(&store, Some(record(2, 1)), |t| {
        stage_append(t, "log", b"three ");
        t.rename(&path("big"), &path("moved")).unwrap();
    })
    .unwrap();
    assert!(matches!(taken_back(&store, second), Unwritten::NoSpace(_)));
    assert!(matches!(taken_back(&store, first), Unwritten::NoSpace(_)));

    assert_eq!(read(&store, "log").unwrap(), b"one ");
    assert_eq!(read(&store, "big").unwrap(), noise(1, 90_000));
    assert_eq!((read(&store, "new"), read(&store, "moved")), (None, None));
    assert_eq!(store.begin().kv_get(&space(), "k").unwrap(), None);
    assert_eq!(folder.plain("log").unwrap(), b"one ");
    assert_eq!(folder.staged(), staged, "nothing half-stored");
    // It was answered; it does not run again under this number.
    assert_eq!(
        store.admit(record(1, 1).operation, digest(1)).unwrap(),
        Admission::ReplyLost
    );
    for began_before in [early, late] {
        assert!(matches!(
            store.commit(began_before, None),
            Err(CommitError::Conflict)
        ));
    }

    heal(&store);
    let next = append(&store, "log", b"four ");
    assert_eq!(next, 4);
    assert!(
        matches!(taken_back(&store, saw), Unwritten::NoSpace(_)),
        "who saw what never was is told so, also later"
    );
    assert!(!store.is_durable(saw) && store.is_durable(store.durable().position()));
    write(&store, |t| {
        t.put(
            &path("new"),
            &store.upload(client(1), 5).unwrap(),
            "audio",
            vec![],
        )
        .unwrap()
    });
    let position = commit(&store, Some(record(1, 2)), |t| {
        stage_append(t, "log", b"five")
    });
    store.wait(position.unwrap()).block().unwrap();
    for _ in 0..2 {
        assert_eq!(read(&store, "log").unwrap(), b"one four five");
    }
    drop(store);
    let store = folder.open();
    assert_eq!(read(&store, "log").unwrap(), b"one four five");
    assert_eq!(read(&store, "new").unwrap(), noise(2, 80_000));
    assert_eq!(read(&store, "big").unwrap(), noise(1, 90_000));
    assert_eq!(folder.plain("log").unwrap(), b"one four five");
    assert!(matches!(
        store.admit(record(1, 2).operation, digest(2)).unwrap(),
        Admission::Recorded { .. }
    ));
    append(&store, "log", b"!");
}

#[test]
fn a_failed_sync_while_room_is_made_ends_the_writing() {
    let folder = Folder::new();
    let store = folder.open();
    append(&store, "a", b"x");
    fail(&store, "write log", ErrorKind::StorageFull);
    store.engine().disk().faults.fail_also("rescue");
    let position = commit(&store, None, |t| stage_append(t, "a", b"y")).unwrap();
    let outcome = store.wait(position).block();
    assert!(
        matches!(outcome, Err(NotDurable::Unknown(_))),
        "{outcome:?}"
    );
    heal(&store);
    assert!(matches!(
        commit(&store, None, |t| stage_append(t, "a", b"z")),
        Err(CommitError::ReadOnly)
    ));
}

#[test]
fn an_upload_whose_end_was_taken_back_is_not_complete_and_one_whose_going_was_is_there() {
    let folder = Folder::new();
    let store = folder.open();
    let bytes = noise(1, 1000);
    let upload = || open_upload(&store, 1, crate::Announced::default());
    let mut sent = upload();
    sent.write(&bytes).unwrap();
    fail(&store, "write log", ErrorKind::StorageFull);
    assert!(sent.finish(1000, None).is_err());
    heal(&store);
    let again = upload();
    assert_eq!(again.offset(), 1000);
    again.finish(1000, Some(sha256_of(&bytes))).unwrap();

    fail(&store, "write log", ErrorKind::StorageFull);
    store.abort_upload(client(1), 1).unwrap();
    let position = commit(&store, None, |t| stage_append(t, "a", b"x")).unwrap();
    taken_back(&store, position);
    heal(&store);
    assert_eq!(all(&store.upload(client(1), 1).unwrap()), bytes);
    store.abort_upload(client(1), 1).unwrap();
    append(&store, "a", b"y");
    assert_eq!(folder.staged(), 0);
    assert!(store.upload(client(1), 1).is_err());
}

#[test]
fn complete_is_said_of_an_upload_only_when_that_is_durable() {
    let folder = Folder::new();
    let store = folder.open();
    let mut sent = open_upload(&store, 1, crate::Announced::default());
    sent.write(b"bytes").unwrap();
    let (say, said) = std::sync::mpsc::channel();
    std::thread::scope(|threads| {
        let held = store.engine().hold_writer();
        threads.spawn(move || sent.finish(5, None).unwrap());
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while store.upload(client(1), 1).is_err() {
            assert!(std::time::Instant::now() < deadline, "it does not end");
            std::thread::yield_now();
        }
        let store = &store;
        threads.spawn(move || {
            let state = store.open_upload(client(1), 1, crate::Announced::default());
            say.send(state.unwrap()).unwrap();
        });
        let early = said.recv_timeout(Duration::from_millis(300));
        drop(held);
        store.engine().pass_on();
        assert!(early.is_err(), "{early:?}");
    });
    assert!(matches!(
        said.recv().unwrap(),
        crate::UploadState::Complete { length: 5, .. }
    ));
}

#[test]
fn every_way_in_which_a_write_fails_has_its_error() {
    for (kind, is) in [
        (ErrorKind::StorageFull, "full"),
        (ErrorKind::QuotaExceeded, "full"),
        (ErrorKind::ReadOnlyFilesystem, "read-only"),
        (ErrorKind::Other, "made to fail"),
    ] {
        let folder = Folder::new();
        let store = folder.open();
        append(&store, "a", b"x");
        let large = noise(1, 100_000);
        let said = |error: &dyn std::fmt::Display| {
            let text = error.to_string();
            assert!(text.contains(is), "{kind:?}: {text}");
        };
        // A staged file.
        for step in ["create", "write"] {
            fail(&store, step, kind);
            said(
                &store
                    .begin()
                    .put(&path("b"), &blob(&large), "image", vec![])
                    .unwrap_err(),
            );
        }
        // An upload.
        heal(&store);
        let mut upload = open_upload(&store, 1, crate::Announced::default());
        fail(&store, "write", kind);
        said(&upload.write(&large).unwrap_err());
        heal(&store);
        upload.write(&large).unwrap();
        fail(&store, "sync", kind);
        said(&upload.sync().unwrap_err());
        drop(upload);
        heal(&store);
        let again = open_upload(&store, 1, crate::Announced::default());
        assert_eq!(again.offset(), 0, "what was not synced is asked for again");
        drop(again);
        // A plain file that follows.
        fail(&store, "write", kind);
        let position = commit(&store, None, |t| stage_append(t, "a", b"z")).unwrap();
        store.wait(position).block().unwrap();
        assert_eq!(read(&store, "a").unwrap(), b"xz", "it is in the record");
        said(&commit(&store, None, |t| stage_append(t, "b", b"z")).unwrap_err());
        write(&store, |t| t.kv_set(&space(), "k", vec![1]).unwrap());
        heal(&store);
        store.tend(Duration::from_secs(1)).unwrap();
        // The record.
        fail(&store, "write log", kind);
        let position = commit(&store, None, |t| stage_append(t, "a", b"y")).unwrap();
        said(&taken_back(&store, position));
        heal(&store);
        append(&store, "a", b"!");
        assert_eq!(folder.plain("a").unwrap(), b"xz!");
        drop(store);
        assert_eq!(read(&folder.open(), "a").unwrap(), b"xz!");
    }
}

#[test]
fn who_waits_with_others_on_a_full_disk_is_told_and_none_hangs() {
    let folder = Folder::new();
    let store = folder.open();
    append(&store, "a", b"x");
    fail(&store, "write log", ErrorKind::StorageFull);
    for slow in [false, true] {
        if slow {
            store.engine().pretend_sync(10_000_000);
        }
        std::thread::scope(|threads| {
            for thread in 0..8 {
                let store = &store;
                threads.spawn(move || {
                    for round in 0..20 {
                        let name = format!("{thread}-{round}");
                        let position = commit(store, None, |t| stage_append(t, &name, b"x"));
                        match position {
                            Ok(position) => drop(taken_back(store, position)),
                            Err(CommitError::Conflict) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                });
            }
        });
    }
    heal(&store);
    append(&store, "a", b"y");
    assert_eq!(read(&store, "a").unwrap(), b"xy");
    assert_eq!(store.begin().names(None, None, 10).unwrap(), ["a"]);
}

#[test]
fn a_start_on_a_full_disk_serves_what_is_there_and_loses_nothing() {
    for step in ["fold", "create", "write", "rename", "adopt"] {
        let folder = Folder::new();
        let store = folder.open();
        append(&store, "log", b"one ");
        put(&store, "big", &noise(1, 90_000));
        store.close().unwrap();
        drop(store);
        let store = folder.open();
        // What the plain files have not followed yet.
        fail(&store, "rename", ErrorKind::Other);
        let commits = [
            commit(&store, None, |t| stage_append(t, "new", b"text")),
            commit(&store, None, |t| {
                t.put(&path("big"), &blob(&noise(2, 90_000)), "image", vec![])
                    .unwrap()
            }),
            commit(&store, None, |t| stage_append(t, "log", b"two")),
        ];
        for position in commits {
            store.wait(position.unwrap()).block().unwrap();
        }
        drop(store);

        FAIL_AT_OPEN.set(Some((step, ErrorKind::StorageFull)));
        let store = folder.open();
        FAIL_AT_OPEN.set(None);
        let all = |store: &SqliteStore| {
            assert_eq!(read(store, "log").unwrap(), b"one two", "{step}");
            assert_eq!(read(store, "new").unwrap(), b"text", "{step}");
            assert_eq!(read(store, "big").unwrap(), noise(2, 90_000), "{step}");
        };
        all(&store);
        let rest = store.tend(Duration::from_secs(1));
        let is_due = rest.is_ok_and(|rest| rest <= Duration::from_secs(30));
        assert_eq!(is_due, step == "fold", "{step}: to be tidied later");
        let removed = commit(&store, None, |t| t.remove(&path("new")).unwrap());
        match (step, removed) {
            // Only the record could not be tidied: writing goes on, and so does tidying when there is room.
            ("fold", Ok(position)) => {
                store.wait(position).block().unwrap();
                heal(&store);
                append(&store, "new", b"text");
                store.tend(Duration::from_secs(40)).unwrap();
                all(&store);
            }
            (_, Err(CommitError::ReadOnly)) if step != "fold" => {}
            (_, other) => panic!("{step}: {other:?}"),
        }
        drop(store);
        let store = folder.open();
        all(&store);
        append(&store, "log", b"!");
        assert_eq!(folder.plain("log").unwrap(), b"one two!", "{step}");
    }
}

#[test]
fn what_did_not_fit_into_the_group_is_taken_back_too() {
    let folder = Folder::new();
    let store = folder.open();
    append(&store, "a", b"x");
    fail(&store, "write log", ErrorKind::StorageFull);
    let many = commit(&store, None, |t| {
        for number in 0..70 {
            let name = format!("small/{number}");
            t.put(
                &path(&name),
                &blob(&noise(number, 64 << 10)),
                "image",
                vec![],
            )
            .unwrap();
        }
    });
    let large = commit(&store, None, |t| {
        t.put(&path("large"), &blob(&noise(9, 90_000)), "image", vec![])
            .unwrap()
    });
    taken_back(&store, many.unwrap());
    taken_back(&store, large.unwrap());
    assert_eq!(folder.staged(), 0);
    heal(&store);
    append(&store, "a", b"y");
    assert_eq!(store.begin().names(None, None, 10).unwrap(), ["a"]);
}

/// A disk that is full now and then, against what was acknowledged.
#[test]
fn what_was_acknowledged_is_all_there_is_however_often_the_disk_was_full() {
    let mut state = 7u64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    let folder = Folder::quick();
    let mut store = folder.open();
    let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for round in 0..600 {
        match random(12) {
            0..=2 => fail(&store, "write log", ErrorKind::StorageFull),
            3 => drop(store.tend(Duration::from_secs(random(40)))),
            4 if random(4) == 0 => {
                drop(store);
                store = folder.open();
            }
            _ => heal(&store),
        }
        let mut waits = Vec::new();
        let mut after = model.clone();
        for _ in 0..=random(3) {
            let name = format!("f{}", random(4));
            let mut t = store.begin();
            let staged = match random(4) {
                0 => {
                    let bytes = noise(round, 66_000 + random(1000) as usize);
                    t.put(&path(&name), &blob(&bytes), "image", vec![]).unwrap();
                    after.insert(name, bytes);
                    true
                }
                1 if after.contains_key(&name) => {
                    t.remove(&path(&name)).unwrap();
                    after.remove(&name);
                    true
                }
                2 if after.contains_key(&name) => {
                    let to = format!("g{}", random(3));
                    t.rename(&path(&name), &path(&to)).unwrap();
                    let moved = after.remove(&name).unwrap();
                    after.insert(to, moved);
                    true
                }
                _ => {
                    let line = format!("line {round}\n");
                    stage_append(&mut t, &name, line.as_bytes());
                    after.entry(name).or_default().extend(line.bytes());
                    true
                }
            };
            assert!(staged);
            match store.commit(t, None) {
                Ok(position) => waits.push((position, after.clone())),
                // What came before it was just taken back.
                Err(CommitError::Conflict) => break,
                Err(other) => panic!("{other}"),
            }
        }
        // Nothing after the first that was taken back.
        let mut lost = false;
        for (position, then) in waits {
            let durable = store.wait(position).block().is_ok();
            assert!(!(durable && lost), "round {round}");
            lost |= !durable;
            if durable {
                model = then;
            }
        }
        for name in ["f0", "f1", "f2", "f3", "g0", "g1", "g2"] {
            assert!(
                read(&store, name) == model.get(name).cloned(),
                "round {round}: {name}"
            );
        }
    }
    drop(store);
    heal(&folder.open());
    let store = folder.open();
    for name in ["f0", "f1", "f2", "f3", "g0", "g1", "g2"] {
        let expected = model.get(name).cloned();
        assert!(read(&store, name) == expected, "{name}");
        assert!(folder.plain(name) == expected, "plain {name}");
    }
    assert_eq!(folder.staged(), 0);
}

#[test]
fn the_ballast_is_given_up_on_a_full_disk_and_laid_again_when_there_is_room() {
    let folder = Folder::new();
    let store = folder.open();
    append(&store, "a", b"x");
    assert_eq!(
        std::fs::metadata(folder.data("ballast")).unwrap().len(),
        1 << 20
    );
    fail(&store, "write log", ErrorKind::StorageFull);
    let position = commit(&store, None, |t| t.remove(&path("a")).unwrap()).unwrap();
    taken_back(&store, position);
    assert!(!folder.data("ballast").exists());
    heal(&store);
    // The room of the ballast is for what frees space, not for more.
    let disk = store.engine().disk();
    disk.faults.set_free_bytes(Some(1 << 20));
    store.tend(Duration::from_secs(1)).unwrap();
    assert!(matches!(
        store.begin().append(&path("b"), &blob(b"y")),
        Err(StoreError::NoSpace(_))
    ));
    write(&store, |t| t.remove(&path("a")).unwrap());
    disk.faults.set_free_bytes(None);
    store.tend(Duration::from_secs(1)).unwrap();
    assert!(folder.data("ballast").exists());
    append(&store, "b", b"y");
    assert!(matches!(
        store.begin().remove(&path("a")),
        Err(StoreError::NotFound { .. })
    ));
}
