//! The world stops at every step that the store takes on the disk; what was acknowledged is there afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use super::faults::SKIP_REDO;
use super::support::*;
use crate::{Admission, Announced, Store, UploadState};

/// What was acknowledged before the stop.
#[derive(Default)]
struct Acknowledged {
    files: BTreeMap<&'static str, Option<Vec<u8>>>,
    operations: u64,
}

/// A run of everything that touches the disk, until it ends or the world stops. `done` holds what was acknowledged.
///
/// Each commit changes other files, so that one that was not acknowledged may be there whole, or not at all.
fn work(store: &dyn Store, done: &mut Acknowledged) -> Option<()> {
    let big = noise(1, 70_000);
    let mut number = 0;
    let mut commit = |stage: &mut dyn FnMut(&mut crate::Transaction) -> Option<()>,
                      files: &[(&'static str, Option<Vec<u8>>)]| {
        number += 1;
        let mut t = store.begin();
        stage(&mut t)?;
        let position = store.commit(t, Some(record(1, number))).ok()?;
        store.wait(position).block().ok()?;
        for (name, bytes) in files {
            done.files.insert(name, bytes.clone());
        }
        done.operations = number;
        Some(())
    };
    commit(
        &mut |t| t.append(&path("a.txt"), &blob(b"one\n")).ok().map(drop),
        &[("a.txt", Some(b"one\n".to_vec()))],
    )?;
    commit(
        &mut |t| t.append(&path("a.txt"), &blob(b"two\n")).ok().map(drop),
        &[("a.txt", Some(b"one\ntwo\n".to_vec()))],
    )?;
    commit(
        &mut |t| t.put(&path("d/big"), &blob(&big), "image", vec![]).ok(),
        &[("d/big", Some(big.clone()))],
    )?;
    let mut upload = match store.open_upload(client(1), 1, Announced::default()).ok()? {
        UploadState::Open(upload) => upload,
        _ => return None,
    };
    upload.write(&big).ok()?;
    upload.sync().ok()?;
    upload.write(b"end").ok()?;
    upload.finish(70_003, None).ok()?;
    let whole = [&big[..], b"end"].concat();
    commit(
        &mut |t| {
            t.put(
                &path("up"),
                &store.upload(client(1), 1).ok()?,
                "audio",
                vec![],
            )
            .ok()
        },
        &[("up", Some(whole.clone()))],
    )?;
    store.tend(Duration::from_secs(40)).ok()?;
    commit(
        &mut |t| t.append(&path("up"), &blob(b"+")).ok().map(drop),
        &[("up", Some([&whole[..], b"+"].concat()))],
    )?;
    commit(
        &mut |t| {
            t.rename(&path("up"), &path("d/up")).ok()?;
            t.append(&path("up"), &blob(b"other")).ok()?;
            t.remove(&path("a.txt")).ok()
        },
        &[
            ("up", Some(b"other".to_vec())),
            ("d/up", Some([&whole[..], b"+"].concat())),
            ("a.txt", None),
        ],
    )?;
    commit(
        &mut |t| {
            t.rename(&path("up"), &path("a.txt")).ok()?;
            t.overwrite(&path("d/big"), &blob(b"HEAD")).ok()
        },
        &[
            ("a.txt", Some(b"other".to_vec())),
            ("up", None),
            ("d/big", Some([b"HEAD", &big[4..]].concat())),
        ],
    )?;
    store.tend(Duration::from_secs(40)).ok()?;
    commit(
        &mut |t| {
            t.rename(&path("d/up"), &path("up")).ok()?;
            t.rename(&path("d/big"), &path("d")).ok()
        },
        &[
            ("d/up", None),
            ("d/big", None),
            ("up", Some([&whole[..], b"+"].concat())),
        ],
    )?;
    store.close().ok()
}

#[test]
fn what_was_acknowledged_survives_a_stop_at_every_step() {
    let mut stops = 0;
    for step in 1.. {
        let folder = Folder::new();
        let mut done = Acknowledged::default();
        let store = folder.open();
        store.engine().disk().faults.stop_at(step);
        let finished = work(&store, &mut done);
        let stopped = store.engine().disk().faults.has_stopped();
        assert!(
            finished.is_some() || stopped,
            "step {step} failed by itself"
        );
        drop(store);

        // Twice, since the first recovery may be cut off too.
        for again in 1..4 {
            if again < 3 && stopped {
                crate::tests::faults::STOP_AT_OPEN.set(again * 3);
                drop(crate::SqliteStore::open(folder.settings()));
                crate::tests::faults::STOP_AT_OPEN.set(0);
                continue;
            }
            let store = folder.open();
            let ran = (1..).take_while(|number| {
                let known = store
                    .admit(record(1, *number).operation, digest(*number))
                    .unwrap();
                matches!(known, Admission::Recorded { .. })
            });
            let ran = ran.count() as u64;
            assert!(
                ran == done.operations || ran == done.operations + 1,
                "step {step}: {ran} of {}",
                done.operations
            );
            if ran == done.operations {
                for (name, expected) in &done.files {
                    assert_eq!(read(&store, name), *expected, "step {step}: {name}");
                    assert_eq!(folder.plain(name), *expected, "step {step}: plain {name}");
                }
            } else {
                // The last one is there whole: every file that it names reads without an error.
                for name in ["a.txt", "d/big", "up", "d/up", "d"] {
                    assert_eq!(
                        read(&store, name),
                        folder.plain(name),
                        "step {step}: {name}"
                    );
                }
            }
            store.close().unwrap();
        }
        if !stopped {
            break;
        }
        stops += 1;
    }
    assert!(stops > 60, "only {stops} steps");
}

#[test]
fn a_crash_between_commit_and_rename_is_redone_at_open() {
    let folder = Folder::new();
    let store = folder.open();
    let big = noise(1, 100_000);
    append(&store, "log", b"one ");
    store.engine().disk().faults.fail(Some("rename"));
    commit(&store, None, |t| {
        t.put(&path("a"), &blob(&big), "image", vec![]).unwrap()
    })
    .unwrap();
    let position = commit(&store, None, |t| stage_append(t, "log", b"two")).unwrap();
    store.wait(position).block().unwrap();
    assert_eq!(folder.plain("a"), None);
    assert_eq!(
        folder.plain("log").unwrap(),
        b"one ",
        "what follows waits too"
    );
    assert_eq!(
        read(&store, "a").unwrap(),
        big,
        "reads go to the staged file"
    );
    assert_eq!(read(&store, "log").unwrap(), b"one two");
    assert!(matches!(
        commit(&store, None, |t| stage_append(t, "b", b"")),
        Err(crate::CommitError::Failed(_))
    ));
    drop(store);
    let store = folder.open();
    assert_eq!(folder.plain("a").unwrap(), big);
    assert_eq!(folder.plain("log").unwrap(), b"one two");
    assert_eq!(read(&store, "log").unwrap(), b"one two");
}

#[test]
fn plain_files_that_could_not_follow_do_so_later() {
    let folder = Folder::new();
    let store = folder.open();
    store.engine().disk().faults.fail(Some("rename"));
    append(&store, "log", b"one");
    store.tend(Duration::from_secs(1)).unwrap();
    assert_eq!(folder.plain("log"), None);
    store.engine().disk().faults.fail(None);
    store.tend(Duration::from_secs(1)).unwrap();
    assert_eq!(folder.plain("log").unwrap(), b"one");
    append(&store, "log", b" two");
    assert_eq!(folder.plain("log").unwrap(), b"one two");
}

/// Takes the guard out: without the redo the same check must fail.
#[test]
fn without_the_redo_the_loss_is_noticed() {
    for guarded in [true, false] {
        let folder = Folder::new();
        let store = folder.open();
        append(&store, "log", b"one ");
        store.close().unwrap();
        drop(store);
        let store = folder.open();
        store.engine().disk().faults.fail(Some("write"));
        append(&store, "log", b"two");
        drop(store);
        SKIP_REDO.set(!guarded);
        let store = folder.open();
        SKIP_REDO.set(false);
        let found = store.begin().open(&path("log"));
        assert_eq!(found.is_ok(), guarded, "{found:?}");
        if guarded {
            assert_eq!(folder.plain("log").unwrap(), b"one two");
        } else {
            assert_eq!(folder.plain("log").unwrap(), b"one ");
            drop(store);
            assert!(
                folder.open().begin().open(&path("log")).is_err(),
                "it is still told after another open"
            );
        }
    }
}

#[test]
fn a_file_cut_short_by_hand_before_the_redo_is_told_of_and_not_served() {
    let folder = Folder::new();
    let store = folder.open();
    append(&store, "log", b"one ");
    store.close().unwrap();
    drop(store);
    let store = folder.open();
    append(&store, "log", b"two");
    drop(store);
    std::fs::write(folder.data("media/log"), b"on").unwrap();
    let store = folder.open();
    assert!(store.begin().open(&path("log")).is_err());
    assert_eq!(
        folder.plain("log").unwrap(),
        b"on",
        "what a person did is left alone"
    );
    put(&store, "log", b"anew");
    assert_eq!(read(&store, "log").unwrap(), b"anew");
}

/// A rename alone could lose both names in a power cut: the removal from the one folder may be on the disk before the name
/// in the other.
#[test]
fn a_file_that_gets_no_second_name_now_keeps_its_staged_one_and_follows_later() {
    let folder = Folder::new();
    let store = folder.open();
    let big = noise(1, 100_000);
    store.engine().disk().faults.fail(Some("link"));
    commit(&store, None, |t| {
        t.put(&path("a"), &blob(&big), "image", vec![]).unwrap()
    })
    .unwrap();
    store.tend(Duration::from_secs(1)).unwrap();
    let staged = || {
        let names = std::fs::read_dir(folder.data("staging")).unwrap();
        names.filter(|name| std::fs::read(name.as_ref().unwrap().path()).unwrap() == big)
    };
    assert_eq!(folder.plain("a"), None);
    assert_eq!(staged().count(), 1, "the only name of its bytes is gone");
    assert_eq!(read(&store, "a").unwrap(), big);
    store.engine().disk().faults.fail(None);
    store.tend(Duration::from_secs(1)).unwrap();
    assert_eq!(folder.plain("a").unwrap(), big);
}

/// Commits that became durable together lie in one entry of the log; it stays until the files of all of them followed.
#[test]
fn a_fold_leaves_an_entry_of_which_a_file_has_not_followed() {
    let folder = Folder::new();
    let store = folder.open();
    append(&store, "log", b"one ");
    store.engine().disk().faults.fail(Some("rename"));
    commit(&store, None, |t| stage_append(t, "log", b"two")).unwrap();
    let last = commit(&store, None, |t| stage_append(t, "new", b"bytes")).unwrap();
    store.wait(last).block().unwrap();
    assert_eq!(folder.plain("log").unwrap(), b"one two");
    assert_eq!(folder.plain("new"), None, "it could not follow");
    store.engine().fold().unwrap();
    assert_eq!(read(&store, "log").unwrap(), b"one two");
    assert_eq!(read(&store, "new").unwrap(), b"bytes");
    drop(store);
    let store = folder.open();
    assert_eq!(folder.plain("log").unwrap(), b"one two");
    assert_eq!(read(&store, "new").unwrap(), b"bytes");
    assert_eq!(folder.plain("new").unwrap(), b"bytes");
}

/// After a failed sync the system may have dropped the bytes, and says nothing the next time: the log has the only ones.
#[test]
fn after_a_failed_sync_of_a_file_no_fold_takes_its_commit_from_the_log() {
    for step in ["sync", "sync folder"] {
        let folder = Folder::new();
        let store = folder.open();
        append(&store, "log", b"one");
        store.engine().disk().faults.fail(Some(step));
        assert!(store.engine().fold().is_err());
        store.engine().disk().faults.fail(None);
        assert!(store.engine().fold().is_err(), "{step}: it was folded");
        drop(store);
        // What a power cut may leave of a file that was never synced.
        std::fs::remove_file(folder.data("media/log")).unwrap();
        let store = folder.open();
        assert_eq!(read(&store, "log").unwrap(), b"one", "{step}");
    }
}
