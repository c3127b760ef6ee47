use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};

use super::support::*;
use crate::{Admission, CommitError, OutcomeUnknown, Position, Store, StoreError};

#[test]
fn many_who_wait_share_syncs() {
    let folder = Folder::new();
    let store = Arc::new(folder.open());
    let (threads, each) = (32, 20);
    let start = Arc::new(Barrier::new(threads));
    let running: Vec<_> = (0..threads)
        .map(|thread| {
            let (store, start) = (store.clone(), start.clone());
            std::thread::spawn(move || {
                start.wait();
                for n in 0..each {
                    append(
                        &*store,
                        &format!("{thread}.txt"),
                        format!("{n}\n").as_bytes(),
                    );
                }
            })
        })
        .collect();
    running
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let commits = (threads * each) as u64;
    assert_eq!(store.durable().position().0, commits);
    let groups = store.engine().groups();
    assert!(groups * 2 < commits, "{groups} syncs for {commits} commits");
    let expected: String = (0..each).map(|n| format!("{n}\n")).collect();
    for thread in 0..threads {
        assert_eq!(
            folder.plain(&format!("{thread}.txt")).unwrap(),
            expected.as_bytes()
        );
    }
}

#[test]
fn a_commit_that_would_not_be_synced_is_not_acknowledged() {
    for left in ["PRAGMA synchronous = NORMAL", "BEGIN"] {
        let folder = Folder::new();
        let store = folder.open();
        append(&store, "a", b"1");
        store.engine().hold_writer().execute_batch(left).unwrap();
        let position = commit(&store, None, |t| stage_append(t, "a", b"2")).unwrap();
        let outcome = store.wait(position).block();
        assert!(
            matches!(outcome, Err(crate::NotDurable::Unknown(_))),
            "{left}: {outcome:?}"
        );
    }
}

#[test]
fn one_sync_covers_every_commit_before_it() {
    let folder = Folder::new();
    let store = folder.open();
    let first = commit(&store, None, |t| stage_append(t, "a", b"1")).unwrap();
    let mut last = first;
    for _ in 0..50 {
        last = commit(&store, None, |t| stage_append(t, "a", b"2")).unwrap();
    }
    let before = store.engine().groups();
    store.wait(first).block().unwrap();
    assert_eq!(store.durable().position(), last);
    assert_eq!(store.engine().groups(), before + 1);
    store.wait(last).block().unwrap();
    assert_eq!(store.engine().groups(), before + 1);
}

struct Count(std::sync::atomic::AtomicU64);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn a_waiter_that_is_dropped_leaves_its_turn_to_another() {
    let folder = Folder::new();
    let store = folder.open();
    let position = commit(&store, None, |t| stage_append(t, "a", b"1")).unwrap();
    store.engine().pretend_sync(1);
    let wakes = [(); 2].map(|()| Arc::new(Count(0.into())));
    let wakers = wakes.clone().map(Waker::from);
    let held = store.engine().hold_writer();
    let mut first = Box::pin(store.wait(position));
    let mut second = pin!(store.wait(position));
    assert!(
        first
            .as_mut()
            .poll(&mut Context::from_waker(&wakers[0]))
            .is_pending()
    );
    assert!(
        second
            .as_mut()
            .poll(&mut Context::from_waker(&wakers[1]))
            .is_pending()
    );
    drop(held);
    store.engine().pass_on();
    assert_eq!(
        wakes[0].0.load(std::sync::atomic::Ordering::Relaxed),
        1,
        "the first is asked to lead"
    );
    drop(first);
    assert_eq!(
        wakes[1].0.load(std::sync::atomic::Ordering::Relaxed),
        1,
        "it is gone, so the second is asked"
    );
    assert!(matches!(
        second.as_mut().poll(&mut Context::from_waker(&wakers[1])),
        Poll::Ready(Ok(_))
    ));
}

#[test]
fn a_slow_disk_is_left_to_the_committer_thread() {
    let folder = Folder::new();
    let store = folder.open();
    store.engine().pretend_sync(u64::MAX);
    let position = commit(&store, None, |t| stage_append(t, "a", b"1")).unwrap();
    let held = store.engine().hold_writer();
    let wake = Arc::new(Count(0.into()));
    let waker = Waker::from(wake.clone());
    let mut wait = pin!(store.wait(position));
    // With the writer free, a leader would have been ready here.
    drop(held);
    assert!(
        wait.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    crate::wait::block_on(wait).unwrap();
    assert_eq!(folder.plain("a").unwrap(), b"1");
}

#[test]
fn after_a_failed_sync_the_outcome_is_unknown_writes_are_refused_and_reads_go_back_to_what_is_durable()
 {
    for step in ["log", "logged"] {
        let folder = Folder::new();
        let store = folder.open();
        append(&store, "a", b"durable");
        put(&store, "b", b"durable");
        write(&store, |t| {
            t.kv_set(&space(), "k", b"durable".to_vec()).unwrap()
        });
        commit(&store, Some(record(1, 1)), |t| {
            stage_append(t, "a", b"lost?")
        })
        .unwrap();
        commit(&store, None, |t| t.remove(&path("b")).unwrap()).unwrap();
        commit(&store, None, |t| {
            t.kv_set(&space(), "k", b"lost?".to_vec()).unwrap()
        })
        .unwrap();
        let mut before = store.begin();
        assert_eq!(read_in(&mut before, "a").unwrap(), b"durablelost?");
        store.engine().disk().faults.fail(Some(step));
        let last = commit(&store, None, |t| stage_append(t, "new", b"lost?")).unwrap();
        assert_eq!(store.wait(last).block(), Err(OutcomeUnknown.into()));
        store.engine().disk().faults.fail(None);
        assert_eq!(
            store.wait(before.seen()).block(),
            Err(OutcomeUnknown.into())
        );
        drop(before);

        assert_eq!(read(&store, "a").unwrap(), b"durable");
        assert_eq!(read(&store, "b").unwrap(), b"durable");
        assert_eq!(read(&store, "new"), None);
        let mut t = store.begin();
        assert_eq!(t.kv_get(&space(), "k").unwrap().unwrap(), b"durable");
        store.wait(t.seen()).block().unwrap();
        drop(t);
        assert!(matches!(
            commit(&store, None, |t| stage_append(t, "a", b"x")),
            Err(CommitError::ReadOnly)
        ));
        assert!(matches!(
            store.begin().writer().write(&noise(1, 70_000)),
            Err(StoreError::ReadOnly)
        ));
        match store.admit(record(1, 1).operation, digest(1)).unwrap() {
            Admission::Recorded { stored, .. } => {
                assert_eq!(store.wait(stored).block(), Err(OutcomeUnknown.into()))
            }
            other => panic!("an operation that may have run is not to run again: {other:?}"),
        }
        store.tend(std::time::Duration::from_secs(3600)).unwrap();
        assert!(store.close().is_err());
        drop(store);

        let store = folder.open();
        let ran = store.admit(record(1, 1).operation, digest(1)).unwrap();
        if step == "logged" {
            assert!(
                matches!(ran, Admission::Recorded { .. }),
                "it is on disk after all"
            );
            assert_eq!(read(&store, "a").unwrap(), b"durablelost?");
            assert_eq!(read(&store, "b"), None);
        } else {
            assert_eq!(ran, Admission::Run);
            assert_eq!(read(&store, "a").unwrap(), b"durable");
        }
    }
}

#[test]
fn a_staged_file_that_cannot_be_synced_is_no_success() {
    let folder = Folder::new();
    let store = folder.open();
    append(&store, "a", b"1");
    let position = commit(&store, None, |t| {
        t.put(&path("b"), &blob(&noise(1, 100_000)), "image", vec![])
            .unwrap()
    });
    store.engine().disk().faults.fail(Some("sync"));
    assert_eq!(
        store.wait(position.unwrap()).block(),
        Err(OutcomeUnknown.into())
    );
    assert_eq!(read(&store, "b"), None);
    drop(store);
    let store = folder.open();
    assert_eq!(read(&store, "b"), None);
    assert_eq!(folder.staged(), 0);
}

#[test]
fn a_plain_file_that_cannot_be_synced_stays_in_the_record() {
    let folder = Folder::new();
    let store = folder.open();
    append(&store, "a", b"1");
    store.engine().disk().faults.fail(Some("sync"));
    assert!(store.tend(std::time::Duration::from_secs(3600)).is_err());
    assert!(matches!(
        commit(&store, None, |t| stage_append(t, "a", b"2")),
        Err(CommitError::ReadOnly)
    ));
    drop(store);
    // As if the system had dropped the bytes.
    std::fs::write(folder.data("media/a"), b"").unwrap();
    let store = folder.open();
    assert_eq!(read(&store, "a").unwrap(), b"1");
}

#[test]
fn waiting_for_what_is_durable_or_was_never_given_does_not_hang() {
    let folder = Folder::new();
    let store = folder.open();
    store.wait(crate::Position(0)).block().unwrap();
    assert_eq!(
        store.wait(crate::Position(7)).block(),
        Err(OutcomeUnknown.into())
    );
    append(&store, "a", b"1");
    assert_eq!(
        store.wait(crate::Position(1)).block().unwrap().position().0,
        1
    );
}

#[test]
fn reads_go_on_while_commits_and_folds_do() {
    let folder = Folder::new();
    let store = Arc::new(folder.open());
    put(&*store, "a", &noise(0, 1000));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, stop) = (store.clone(), stop.clone());
            std::thread::spawn(move || {
                let mut reads = 0u64;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let all = read(&*store, "a").unwrap();
                    assert!(all.len() >= 1000 && all.len().is_multiple_of(1000));
                    assert_eq!(
                        store.begin().names(None, None, 10).unwrap(),
                        ["a", "b"][..1]
                    );
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    for round in 0..60 {
        match round % 5 {
            0 => put(&*store, "a", &noise(round, 70_000)),
            1 => put(&*store, "a", &noise(round, 2000)),
            2 => drop(store.tend(std::time::Duration::from_secs(60)).unwrap()),
            3 => drop(write(&*store, |t| {
                t.rename(&path("a"), &path("b")).unwrap();
                t.rename(&path("b"), &path("a")).unwrap();
            })),
            _ => drop(append(&*store, "a", &noise(round, 1000))),
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for reader in readers {
        assert!(reader.join().unwrap() > 0);
    }
}

#[test]
fn appends_that_share_a_sync_are_one_write_of_their_file() {
    let folder = Folder::new();
    let store = folder.open();
    append(&store, "a", b"0");
    append(&store, "b", b"0");
    let mut last = Position::default();
    for n in 1..=9 {
        for name in ["a", "b"] {
            let more = |t: &mut _| stage_append(t, name, n.to_string().as_bytes());
            last = commit(&store, None, more).unwrap();
        }
    }
    // Three steps of the record, a write of each file; a sixth step would fail.
    let disk = store.engine().disk();
    disk.faults.stop_at(6);
    store.wait(last).block().unwrap();
    assert!(!disk.faults.has_stopped());
    for name in ["a", "b"] {
        assert_eq!(folder.plain(name).unwrap(), b"0123456789");
    }
    disk.faults.stop_at(0);
}

#[test]
fn appends_that_share_a_sync_do_not_pass_a_file_that_changes_places() {
    let folder = Folder::new();
    let store = folder.open();
    append(&store, "a", b"0");
    let more = |name: &'static str, text: &'static [u8]| {
        commit(&store, None, |t| stage_append(t, name, text)).unwrap()
    };
    more("a", b"1");
    commit(&store, None, |t| t.rename(&path("a"), &path("b")).unwrap()).unwrap();
    more("b", b"2");
    more("a", b"x");
    more("b", b"3");
    let last = more("a", b"y");
    store.wait(last).block().unwrap();
    assert_eq!(folder.plain("b").unwrap(), b"0123");
    assert_eq!(folder.plain("a").unwrap(), b"xy");
}
