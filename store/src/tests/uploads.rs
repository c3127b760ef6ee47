use std::time::Duration;

use super::support::*;
use crate::{Announced, CommitError, Settings, SqliteStore, Store, UploadError, UploadState};

const NONE: Announced = Announced {
    length: None,
    sha256: None,
};

fn announced(bytes: &[u8]) -> Announced {
    Announced {
        length: Some(bytes.len() as u64),
        sha256: Some(sha256_of(bytes)),
    }
}

fn part_of(folder: &Folder) -> std::path::PathBuf {
    std::fs::read_dir(folder.data("staging"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
}

#[test]
fn an_upload_is_stored_without_another_copy_and_then_consumed() {
    let folder = Folder::new();
    let store = folder.open();
    let bytes = noise(1, 3_000_000);
    let upload = uploaded(&store, 1, &bytes);
    assert_eq!(upload.known_sha256(), Some(sha256_of(&bytes)));
    use std::os::unix::fs::MetadataExt;
    let inode = std::fs::metadata(part_of(&folder)).unwrap().ino();
    let mut t = store.begin();
    t.consume_upload(client(1), 1);
    assert!(!t.has_writes());
    t.put(&path("song.mp3"), &upload, "audio", vec![]).unwrap();
    let position = store.commit(t, Some(record(1, 4))).unwrap();
    store.wait(position).block().unwrap();
    assert_eq!(
        std::fs::metadata(folder.data("media/song.mp3"))
            .unwrap()
            .ino(),
        inode
    );
    assert_eq!(read(&store, "song.mp3").unwrap(), bytes);
    let mut store = Some(store);
    for _ in 0..2 {
        let open = store.take().unwrap_or_else(|| folder.open());
        assert!(matches!(
            open.upload(client(1), 1),
            Err(UploadError::Consumed { by: 4, .. })
        ));
        assert!(matches!(
            open.open_upload(client(1), 1, NONE),
            Ok(UploadState::Consumed { number: 4 })
        ));
        let mut t = open.begin();
        t.consume_upload(client(1), 1);
        t.kv_set(&space(), "k", vec![]).unwrap();
        let refused = open.commit(t, Some(record(1, 5)));
        assert!(matches!(
            refused,
            Err(CommitError::UploadConsumed { number: 1, by: 4 })
        ));
    }
    let store = folder.open();
    store.confirm(client(1), 4, &[]);
    store.close().unwrap();
    drop(store);
    assert!(matches!(
        folder.open().upload(client(1), 1),
        Err(UploadError::Unknown { .. })
    ));
}

#[test]
fn a_refused_operation_leaves_its_upload_usable() {
    let folder = Folder::new();
    let store = folder.open();
    let bytes = noise(1, 100_000);
    for _ in 0..2 {
        let upload = store
            .upload(client(1), 1)
            .unwrap_or_else(|_| uploaded(&store, 1, &bytes));
        let mut t = store.begin();
        t.consume_upload(client(1), 1);
        t.put(&path("a"), &upload, "image", vec![]).unwrap();
        drop(t);
    }
    put(&store, "a", b"other");
    let (mut one, mut two) = (store.begin(), store.begin());
    one.put(
        &path("a"),
        &store.upload(client(1), 1).unwrap(),
        "image",
        vec![],
    )
    .unwrap();
    two.put(&path("a"), &blob(b"first"), "image", vec![])
        .unwrap();
    store.commit(two, None).unwrap();
    assert!(matches!(
        store.commit(one, None),
        Err(CommitError::Conflict)
    ));
    write(&store, |t| {
        t.put(
            &path("b"),
            &store.upload(client(1), 1).unwrap(),
            "image",
            vec![],
        )
        .unwrap()
    });
    assert_eq!(read(&store, "b").unwrap(), bytes);
}

#[test]
fn an_operation_that_only_read_consumes_too() {
    let folder = Folder::new();
    let store = folder.open();
    let upload = uploaded(&store, 1, b"pixels");
    let mut t = store.begin();
    t.consume_upload(client(1), 1);
    store.ran(client(1), 2, t);
    assert!(matches!(
        store.upload(client(1), 1),
        Err(UploadError::Consumed { by: 2, .. })
    ));
    store.tend(Duration::from_secs(1)).unwrap();
    assert_eq!(folder.staged(), 0);
    assert_eq!(all(&upload), b"pixels", "who has it keeps it");
}

#[test]
fn what_is_not_finished_is_refused_and_only_once_open() {
    let folder = Folder::new();
    let store = folder.open();
    assert!(matches!(
        store.upload(client(1), 1),
        Err(UploadError::Unknown { .. })
    ));
    let upload = open_upload(&store, 1, NONE);
    assert!(matches!(
        store.upload(client(1), 1),
        Err(UploadError::NotReady { .. })
    ));
    assert!(matches!(
        store.open_upload(client(1), 1, NONE),
        Err(UploadError::Busy { .. })
    ));
    assert!(matches!(
        store.abort_upload(client(1), 1),
        Err(UploadError::Busy { .. })
    ));
    let mut t = store.begin();
    t.consume_upload(client(1), 1);
    t.kv_set(&space(), "k", vec![]).unwrap();
    assert!(matches!(
        store.commit(t, None),
        Err(CommitError::UploadMissing { number: 1 })
    ));
    upload.suspend();
    assert!(matches!(
        store.upload(client(1), 1),
        Err(UploadError::NotReady { .. })
    ));
    store.abort_upload(client(1), 1).unwrap();
    assert!(matches!(
        store.upload(client(1), 1),
        Err(UploadError::Unknown { .. })
    ));
    assert!(matches!(
        store.abort_upload(client(1), 1),
        Err(UploadError::Unknown { .. })
    ));
    store.tend(Duration::from_secs(1)).unwrap();
    assert_eq!(folder.staged(), 0);
}

#[test]
fn wrong_bytes_are_refused_by_digest_and_by_length() {
    let folder = Folder::new();
    let store = folder.open();
    let bytes = noise(1, 1000);
    let mut upload = open_upload(&store, 1, announced(&bytes));
    assert!(matches!(
        upload.write(&noise(2, 1001)),
        Err(UploadError::LengthMismatch {
            came: 1001,
            announced: 1000
        })
    ));
    upload.write(&bytes[..999]).unwrap();
    assert!(matches!(
        upload.finish(999, None),
        Err(UploadError::LengthMismatch {
            came: 999,
            announced: 1000
        })
    ));
    let mut upload = open_upload(&store, 1, announced(&bytes));
    assert_eq!(upload.offset(), 0, "it begins anew");
    upload.write(&noise(3, 1000)).unwrap();
    assert!(matches!(
        upload.finish(1000, None),
        Err(UploadError::DigestMismatch)
    ));
    assert_eq!(open_upload(&store, 1, announced(&bytes)).offset(), 0);
    let mut upload = open_upload(&store, 2, NONE);
    upload.write(&bytes).unwrap();
    assert!(matches!(
        upload.finish(1000, Some(sha256_of(b"other"))),
        Err(UploadError::DigestMismatch)
    ));
}

#[test]
fn a_part_goes_when_that_it_was_dropped_is_durable_and_not_before() {
    let folder = Folder::new();
    let store = folder.open();
    let mut upload = open_upload(&store, 1, NONE);
    upload.write(b"bytes").unwrap();
    upload.sync().unwrap();
    assert!(matches!(
        upload.finish(5, Some(sha256_of(b"other"))),
        Err(UploadError::DigestMismatch)
    ));
    assert_eq!(folder.staged(), 1, "its row is on disk yet");
    store.tend(Duration::from_secs(1)).unwrap();
    assert_eq!(folder.staged(), 0);
}

#[test]
fn a_part_that_is_made_anew_has_its_name_synced() {
    let folder = Folder::new();
    let store = folder.open();
    let mut upload = open_upload(&store, 1, NONE);
    upload.write(b"bytes").unwrap();
    upload.sync().unwrap();
    drop(upload);
    drop(store);
    std::fs::remove_file(part_of(&folder)).unwrap();
    let store = folder.open();
    let mut upload = open_upload(&store, 1, NONE);
    upload.write(b"bytes").unwrap();
    store.engine().disk().faults.fail(Some("sync folder"));
    assert!(upload.sync().is_err());
    drop(upload);
    // The file is there now, but still nobody knows for how long.
    let mut upload = open_upload(&store, 1, NONE);
    upload.write(b"bytes").unwrap();
    assert!(upload.sync().is_err());
}

#[test]
fn an_upload_goes_on_where_it_was_in_the_same_life_and_where_the_disk_says_after_a_restart() {
    let folder = Folder::new();
    let store = folder.open();
    let bytes = noise(1, 400_000);
    let mut upload = open_upload(&store, 1, announced(&bytes));
    upload.write(&bytes[..150_000]).unwrap();
    assert_eq!(upload.sync().unwrap(), 150_000);
    upload.write(&bytes[150_000..200_000]).unwrap();
    assert_eq!(upload.sync().unwrap(), 200_000);
    upload.write(&bytes[200_000..300_000]).unwrap();
    drop(upload);
    assert_eq!(open_upload(&store, 1, NONE).offset(), 300_000);
    drop(store);
    let store = folder.open();
    let mut upload = open_upload(&store, 1, announced(&bytes));
    assert_eq!(upload.offset(), 200_000);
    assert_eq!(upload.announced(), announced(&bytes));
    upload.write(&bytes[200_000..]).unwrap();
    assert_eq!(upload.finish(400_000, None).unwrap(), sha256_of(&bytes));
    drop(store);
    let store = folder.open();
    assert!(matches!(
        store.open_upload(client(1), 1, NONE),
        Ok(UploadState::Complete { length: 400_000, sha256 }) if sha256 == sha256_of(&bytes)
    ));
    assert!(matches!(
        store.open_upload(client(1), 1, announced(b"x")),
        Err(UploadError::NumberReused { .. })
    ));
    assert_eq!(all(&store.upload(client(1), 1).unwrap()), bytes);
}

#[test]
fn a_damaged_part_is_kept_up_to_the_last_sound_run() {
    let bytes = noise(1, 300_000);
    for (damaged_at, kept) in [(250_000, 200_000), (150_000, 100_000), (50, 0)] {
        let folder = Folder::new();
        let store = folder.open();
        let mut upload = open_upload(&store, 1, announced(&bytes));
        for run in bytes.chunks(100_000) {
            upload.write(run).unwrap();
            upload.sync().unwrap();
        }
        drop(upload);
        drop(store);
        let mut part = std::fs::read(part_of(&folder)).unwrap();
        part[damaged_at] ^= 1;
        std::fs::write(part_of(&folder), &part).unwrap();
        let store = folder.open();
        let mut upload = open_upload(&store, 1, announced(&bytes));
        assert_eq!(upload.offset(), kept as u64);
        upload.write(&bytes[kept..]).unwrap();
        upload.finish(300_000, Some(sha256_of(&bytes))).unwrap();
        assert_eq!(all(&store.upload(client(1), 1).unwrap()), bytes);
    }
}

#[test]
fn a_part_cut_short_or_gone_is_gone_on_with_from_what_is_left() {
    let bytes = noise(1, 200_000);
    for left in [Some(150_000), None] {
        let folder = Folder::new();
        let store = folder.open();
        let mut upload = open_upload(&store, 1, NONE);
        for run in bytes.chunks(100_000) {
            upload.write(run).unwrap();
            upload.sync().unwrap();
        }
        drop(upload);
        drop(store);
        match left {
            Some(left) => std::fs::write(part_of(&folder), &bytes[..left]).unwrap(),
            None => std::fs::remove_file(part_of(&folder)).unwrap(),
        }
        let store = folder.open();
        let mut upload = open_upload(&store, 1, NONE);
        let from = upload.offset() as usize;
        assert_eq!(from, if left.is_some() { 100_000 } else { 0 });
        upload.write(&bytes[from..]).unwrap();
        upload.finish(200_000, Some(sha256_of(&bytes))).unwrap();
    }
}

#[test]
fn many_runs_are_made_fewer_and_still_prove_the_part() {
    let folder = Folder::new();
    let store = folder.open();
    let bytes = noise(1, 60_000);
    let mut upload = open_upload(&store, 1, NONE);
    for run in bytes.chunks(100) {
        upload.write(run).unwrap();
        upload.sync().unwrap();
    }
    drop(upload);
    drop(store);
    let store = folder.open();
    assert_eq!(open_upload(&store, 1, NONE).offset(), 60_000);
    drop(store);
    let mut part = std::fs::read(part_of(&folder)).unwrap();
    part[59_950] ^= 1;
    std::fs::write(part_of(&folder), &part).unwrap();
    let offset = open_upload(&folder.open(), 1, NONE).offset();
    assert!((59_000..60_000).contains(&offset), "{offset}");
}

#[test]
fn a_new_number_with_the_same_bytes_takes_over_and_other_bytes_begin_anew() {
    let folder = Folder::new();
    let store = folder.open();
    let bytes = noise(1, 100_000);
    let mut upload = open_upload(&store, 1, announced(&bytes));
    upload.write(&bytes[..50_000]).unwrap();
    upload.sync().unwrap();
    drop(upload);
    let mut upload = open_upload(&store, 7, announced(&bytes));
    assert_eq!(upload.offset(), 50_000);
    assert!(matches!(
        store.upload(client(1), 1),
        Err(UploadError::Unknown { .. })
    ));
    upload.sync().unwrap();
    drop(upload);
    drop(store);
    let store = folder.open();
    assert_eq!(open_upload(&store, 8, announced(&bytes)).offset(), 50_000);
    assert_eq!(open_upload(&store, 8, announced(b"other")).offset(), 0);
    assert_eq!(
        open_upload(&store, 9, announced(&bytes)).offset(),
        0,
        "the part is gone"
    );
}

#[test]
fn over_the_limit_the_one_that_rested_longest_goes_and_old_ones_go_by_themselves() {
    let folder = Folder::new();
    let settings = Settings {
        max_uploads: 2,
        upload_age: Duration::from_secs(100),
        ..folder.settings()
    };
    let store = SqliteStore::open(settings).unwrap();
    for number in 1..=3 {
        open_upload(&store, number, NONE).write(b"bytes").unwrap();
        store.tend(Duration::from_secs(1)).unwrap();
    }
    assert!(matches!(
        store.upload(client(1), 1),
        Err(UploadError::Unknown { .. })
    ));
    assert!(matches!(
        store.upload(client(1), 2),
        Err(UploadError::NotReady { .. })
    ));
    let busy = [open_upload(&store, 2, NONE), open_upload(&store, 3, NONE)];
    assert!(matches!(
        store.open_upload(client(1), 4, NONE),
        Err(UploadError::Busy { .. })
    ));
    drop(busy);
    uploaded(&store, 5, b"finished");
    store.tend(Duration::from_secs(101)).unwrap();
    store.tend(Duration::from_secs(1)).unwrap();
    assert!(matches!(
        store.upload(client(1), 3),
        Err(UploadError::Unknown { .. })
    ));
    assert!(matches!(
        store.upload(client(1), 5),
        Err(UploadError::Unknown { .. })
    ));
    assert_eq!(folder.staged(), 0);
}

#[test]
fn a_client_that_goes_takes_an_upload_under_way_with_it() {
    let folder = Folder::new();
    let store = folder.open();
    let mut upload = open_upload(&store, 1, NONE);
    upload.write(b"bytes").unwrap();
    store
        .wait(store.forget(client(1)).unwrap())
        .block()
        .unwrap();
    assert!(matches!(upload.sync(), Err(UploadError::Unknown { .. })));
    drop(upload);
    assert_eq!(folder.staged(), 0);
}

#[test]
fn after_a_failed_sync_an_upload_goes_on_from_what_was_durable() {
    let folder = Folder::new();
    let store = folder.open();
    let mut upload = open_upload(&store, 1, NONE);
    upload.write(b"first").unwrap();
    upload.sync().unwrap();
    upload.write(b"second").unwrap();
    store.engine().disk().faults.fail(Some("sync"));
    assert!(upload.sync().is_err());
    drop(upload);
    store.engine().disk().faults.fail(None);
    assert_eq!(open_upload(&store, 1, NONE).offset(), 5);
    append(&store, "a", b"other things go on");
}
