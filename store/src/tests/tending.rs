//! Housekeeping has nothing to do while nothing happens, and knows when something does.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::support::*;
use crate::{SqliteStore, Store};

const SECOND: Duration = Duration::from_secs(1);

fn is_stirred(store: &SqliteStore) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(pin!(store.stirred()).poll(&mut context), Poll::Ready(()))
}

#[test]
fn housekeeping_rests_until_something_is_written_or_confirmed() {
    let folder = Folder::new();
    let store = folder.open();
    assert_eq!(store.tend(SECOND).unwrap(), 60 * SECOND);
    assert!(!is_stirred(&store));
    assert!(read(&store, "a").is_none());
    assert!(!is_stirred(&store), "reading is no reason");

    let position = commit(&store, Some(record(1, 1)), |t| stage_append(t, "a", b"x")).unwrap();
    assert!(is_stirred(&store));
    assert!(!store.is_durable(position));
    let rest = store.tend(SECOND).unwrap();
    assert!(store.is_durable(position), "nobody waited for it");
    assert!(!is_stirred(&store));
    assert!(rest > 20 * SECOND && rest <= 30 * SECOND, "{rest:?}");
    assert_eq!(store.tend(rest).unwrap(), 60 * SECOND, "it is folded");

    store.confirm(client(1), 1, &[]);
    assert!(is_stirred(&store));
    assert!(store.tend(SECOND).unwrap() <= 30 * SECOND);
    store.tend(30 * SECOND).unwrap();
    assert_eq!(store.tend(30 * SECOND).unwrap(), 60 * SECOND);
}

#[test]
fn who_waits_for_a_stir_is_woken() {
    let folder = Folder::new();
    let store = folder.open();
    store.tend(SECOND).unwrap();
    std::thread::scope(|threads| {
        let waiting = threads.spawn(|| crate::wait::block_on(store.stirred()));
        append(&store, "a", b"x");
        waiting.join().unwrap();
    });
}

#[test]
fn what_is_tried_again_is_tried_every_second() {
    let folder = Folder::new();
    let store = folder.open();
    store.engine().disk().faults.fail(Some("rename"));
    append(&store, "a", b"x");
    assert_eq!(store.tend(SECOND).unwrap(), SECOND);
}

#[test]
fn a_log_that_was_made_longer_beforehand_is_read_back_after_a_crash() {
    let folder = Folder::new();
    for round in 0..3 {
        let store = folder.open();
        if round > 0 {
            append(&store, "a", b"before\n");
        }
        store.tend(Duration::from_secs(1)).unwrap();
        let log = std::fs::metadata(folder.data("record.sqlite-wal")).unwrap();
        assert!(log.len() >= 1 << 20);
        append(&store, "a", b"after\n");
        // As a crash leaves it.
        drop(store);
        let log = std::fs::metadata(folder.data("record.sqlite-wal")).unwrap();
        assert_eq!(log.len(), 1 << 20);
    }
    let expected = b"after\nbefore\nafter\nbefore\nafter\n";
    assert_eq!(read(&folder.open(), "a").unwrap(), expected);
}
