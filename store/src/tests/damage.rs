//! Bytes on the disk change by themselves or by hand: it is noticed, told, and never served as good.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use super::support::*;
use crate::{CommitError, Inspection, SqliteStore, Store, StoreError};

fn big() -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| noise(1, 200_000));
    &BYTES
}

fn part() -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| noise(2, 100_000));
    &BYTES
}

/// A folder with two files, a value and a finished upload, closed well or as if by a crash.
fn filled(closed: bool) -> Folder {
    let folder = Folder::quick();
    let store = folder.open();
    append(&store, "notes.txt", b"milk\n");
    put(&store, "big", big());
    write(&store, |t| {
        t.kv_set(&space(), "count", b"seven".to_vec()).unwrap()
    });
    uploaded(&store, 9, part());
    commit_as(&store, 1);
    append(&store, "notes.txt", b"bread\n");
    if closed {
        store.close().unwrap();
    }
    folder
}

fn commit_as(store: &dyn Store, number: u64) {
    let position = commit(store, Some(record(1, number)), |t| {
        t.kv_set(&space(), "last", vec![7]).unwrap()
    });
    store.wait(position.unwrap()).block().unwrap();
}

/// Changes a byte of a file.
fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x10;
    // In place, as a disk does it.
    let modified = fs::metadata(file).unwrap().modified().unwrap();
    let open = fs::File::options().write(true).open(file).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&open, &bytes, 0).unwrap();
    open.set_modified(modified).unwrap();
}

/// All that is in a folder, in another one.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for found in fs::read_dir(from).unwrap() {
        let found = found.unwrap();
        let to = to.join(found.file_name());
        if found.file_type().unwrap().is_dir() {
            copy(&found.path(), &to);
        } else {
            fs::copy(found.path(), &to).unwrap();
        }
    }
}

/// What the store gives: everything that it gives must be what was stored.
fn all_that_is_served_is_good(store: &dyn Store, what: &str) -> usize {
    let mut served = 0;
    for (name, expected) in [
        ("notes.txt", b"milk\nbread\n".to_vec()),
        ("big", big().to_vec()),
    ] {
        if let Ok(Some((_, blob))) = store.begin().open(&path(name)) {
            let mut bytes = Vec::new();
            if std::io::Read::read_to_end(&mut blob.reader(), &mut bytes).is_ok() {
                assert!(bytes == expected, "{what}: {name} is served wrong");
                served += 1;
            }
        }
    }
    if let Ok(Some(value)) = store.begin().kv_get(&space(), "count") {
        assert_eq!(value, b"seven", "{what}");
        served += 1;
    }
    if let Ok(blob) = store.upload(client(1), 9) {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut blob.reader(), &mut bytes).unwrap();
        assert!(bytes == part(), "{what}: the upload is served wrong");
    }
    served
}

fn inspect(folder: &Folder) -> Inspection {
    Inspection::of(folder.settings(), &mut |_| {}).unwrap()
}

#[test]
fn a_flipped_byte_anywhere_in_the_record_is_never_served() {
    for closed in [true, false] {
        let folder = filled(closed);
        let kept = tempfile::tempdir().unwrap();
        copy(&folder.data(""), &kept.path().join("data"));
        let (mut noticed, mut read_only) = (0, 0);
        for file in ["record.sqlite", "record.sqlite-wal"] {
            let Ok(length) = fs::metadata(folder.data(file)).map(|found| found.len() as usize)
            else {
                continue;
            };
            // Every byte would take minutes: the start and the end of every page are where its content is.
            let places = (0..length).filter(|at| {
                let within = at % 2048;
                within < 120 && within % 23 == 0 || within > 1850 && within % 31 == 0
            });
            for at in places {
                let what = format!("{file} byte {at}, closed: {closed}");
                flip(&folder.data(file), at);
                let before = fs::read(folder.data(file)).unwrap();
                let store = SqliteStore::open(folder.settings());
                if let Ok(store) = &store {
                    let served = all_that_is_served_is_good(store, &what);
                    let refuses = matches!(
                        commit(store, None, |t| t.kv_set(&space(), "new", vec![1]).unwrap()),
                        Err(CommitError::ReadOnly)
                    );
                    read_only += usize::from(refuses);
                    noticed += usize::from(refuses || served < 3);
                    if refuses {
                        assert!(
                            before == fs::read(folder.data(file)).unwrap(),
                            "{what}: left alone"
                        );
                    } else {
                        assert_eq!(served, 3, "{what}: lost without a word");
                    }
                }
                drop(store);
                fs::remove_dir_all(folder.data("")).unwrap();
                copy(&kept.path().join("data"), &folder.data(""));
            }
        }
        assert!(
            noticed > 30,
            "only {noticed} were noticed, {read_only} refused writes"
        );
    }
}

#[test]
fn a_file_changed_by_hand_at_the_same_length_is_not_served_until_it_is_as_it_was() {
    let folder = filled(true);
    let good = fs::read(folder.data("media/big")).unwrap();
    let store = folder.open();
    assert_eq!(read(&store, "big").unwrap(), good);
    for at in [0, 100_000, good.len() - 1] {
        flip(&folder.data("media/big"), at);
        // The first read finds out, and those after it know.
        for _ in 0..2 {
            let opened = store.begin().open(&path("big"));
            let told = match opened {
                Err(error @ StoreError::ChangedByHand { .. }) => error.to_string(),
                Err(other) => panic!("{other}"),
                Ok(found) => {
                    let (_, blob) = found.unwrap();
                    let mut start = [0; 10];
                    assert!(blob.try_read_at_cached(0, &mut start).is_err_or_none());
                    blob.read_at(0, &mut start).unwrap_err().to_string()
                }
            };
            assert!(told.contains("changed by hand"), "{told}");
        }
        fs::write(folder.data("media/big"), &good).unwrap();
        assert_eq!(read(&store, "big").unwrap(), good, "put right again");
    }
}

trait ErrOrNone {
    fn is_err_or_none(&self) -> bool;
}

impl<T> ErrOrNone for std::io::Result<Option<T>> {
    fn is_err_or_none(&self) -> bool {
        !matches!(self, Ok(Some(_)))
    }
}

#[test]
fn a_file_that_was_changed_is_not_passed_on_by_what_changes_it() {
    let folder = filled(true);
    flip(&folder.data("media/notes.txt"), 2);
    let store = folder.open();
    let mut t = store.begin();
    t.append(&path("notes.txt"), &blob(b"more")).unwrap();
    let (_, longer) = t.open(&path("notes.txt")).unwrap().unwrap();
    assert!(longer.read_at(0, &mut [0; 4]).is_err());
    drop(t);
    let mut t = store.begin();
    assert!(t.overwrite(&path("notes.txt"), &blob(b"M")).is_err());
    let known = t.append(&path("notes.txt"), &blob(b"more")).unwrap_err();
    assert!(matches!(known, StoreError::ChangedByHand { .. }), "{known}");
}

#[test]
fn a_large_file_is_told_from_a_changed_one_by_its_time() {
    let folder = Folder::new();
    let store = folder.open();
    let size = (crate::engine::READ_BYTES + 10) as usize;
    let bytes = noise(3, size);
    let upload = uploaded(&store, 1, &bytes);
    write(&store, |t| {
        t.put(&path("long.wav"), &upload, "audio", vec![]).unwrap()
    });
    drop(upload);
    write(&store, |t| stage_append(t, "long.wav", b"end"));
    store.close().unwrap();
    drop(store);
    let store = folder.open();
    let (_, opened) = store.begin().open(&path("long.wav")).unwrap().unwrap();
    assert!(opened.is_checked(), "it bears the record's time");
    drop(opened);
    let changed = fs::File::options()
        .write(true)
        .open(folder.data("media/long.wav"))
        .unwrap();
    std::os::unix::fs::FileExt::write_all_at(&changed, b"?", 5).unwrap();
    let (_, opened) = store.begin().open(&path("long.wav")).unwrap().unwrap();
    assert!(!opened.is_checked());
    assert!(opened.check().is_err());
}

#[test]
fn a_large_upload_that_changed_after_it_was_finished_is_not_stored_after_a_restart() {
    let folder = Folder::quick();
    let store = folder.open();
    let size = (crate::engine::READ_BYTES + 10) as usize;
    drop(uploaded(&store, 1, &noise(3, size)));
    store.close().unwrap();
    drop(store);
    let store = folder.open();
    let stage = |store: &SqliteStore| {
        let upload = store.upload(client(1), 1).unwrap();
        let mut t = store.begin();
        t.put(&path("long.wav"), &upload, "audio", vec![])
            .map(|()| t)
    };
    drop(stage(&store).unwrap());
    let part = fs::read_dir(folder.data("staging"))
        .unwrap()
        .next()
        .unwrap();
    flip(&part.unwrap().path(), size / 2);
    let refused = stage(&store).unwrap_err().to_string();
    assert!(refused.contains("not what was stored"), "{refused}");
}

#[test]
fn commits_that_are_gone_from_the_record_are_missed() {
    let folder = filled(false);
    // SQLite takes this for the end of the write-ahead log.
    flip(&folder.data("record.sqlite-wal"), 100);
    let store = folder.open();
    assert!(matches!(
        commit(&store, None, |t| t
            .kv_set(&space(), "new", vec![1])
            .unwrap()),
        Err(CommitError::ReadOnly)
    ));
    all_that_is_served_is_good(&store, "without the last commits");
    drop(store);
    let inspection = inspect(&folder);
    let told = inspection.report().record.join(" ");
    assert!(told.contains("was on disk"), "{told}");
    inspection.repair(&|_| false).unwrap();
    let store = folder.open();
    append(&store, "new.txt", b"it goes on");
}

#[test]
fn a_record_that_is_gone_or_emptied_is_not_begun_anew_in_silence() {
    for how in ["gone", "empty", "zeros", "no database"] {
        let folder = filled(true);
        let at = folder.data("record.sqlite");
        match how {
            "gone" => fs::remove_file(&at).unwrap(),
            "empty" => fs::write(&at, b"").unwrap(),
            "zeros" => fs::write(&at, vec![0; 40_000]).unwrap(),
            _ => fs::write(&at, b"hello").unwrap(),
        }
        let store = folder.open();
        assert!(
            commit(&store, None, |t| t
                .kv_set(&space(), "new", vec![1])
                .unwrap())
            .is_err(),
            "{how}"
        );
        assert_eq!(all_that_is_served_is_good(&store, how), 0);
        drop(store);
        let inspection = inspect(&folder);
        assert!(!inspection.report().is_sound(), "{how}");
        inspection.repair(&|_| false).unwrap();
        let store = folder.open();
        assert_eq!(
            folder.plain("notes.txt").unwrap(),
            b"milk\nbread\n",
            "{how}"
        );
        assert_eq!(
            read(&store, "notes.txt"),
            None,
            "{how}: nothing vouches for it"
        );
        store.adopt(&path("notes.txt"), "text", vec![]).unwrap();
        assert_eq!(read(&store, "notes.txt").unwrap(), b"milk\nbread\n");
    }
}

#[test]
fn a_row_that_changes_under_a_running_store_is_not_served() {
    let folder = filled(true);
    let store = folder.open();
    let operation = record(1, 1).operation;
    let tables = rusqlite::Connection::open(folder.data("record.sqlite")).unwrap();
    tables
        .execute_batch(
            "UPDATE kv SET value = x'736576656f' WHERE key = 'count';
             UPDATE reply SET reply = x'21';
             UPDATE file SET size = size + 1;",
        )
        .unwrap();
    drop(tables);
    let damaged = |error: StoreError| {
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("pixelboyd verify"), "{error}");
    };
    damaged(store.begin().kv_get(&space(), "count").unwrap_err());
    damaged(store.begin().stat(&path("big")).unwrap_err());
    damaged(store.admit(operation, digest(1)).unwrap_err());
}

#[test]
fn a_record_that_is_gone_is_missed_also_in_a_folder_that_never_noted_how_far_it_went() {
    let folder = filled(true);
    fs::write(folder.data("lock"), b"").unwrap();
    fs::write(folder.data("record.sqlite"), b"").unwrap();
    let store = folder.open();
    assert!(matches!(
        commit(&store, None, |t| t
            .kv_set(&space(), "new", vec![1])
            .unwrap()),
        Err(CommitError::ReadOnly)
    ));
    drop(store);
    fs::remove_file(folder.data("record.sqlite")).unwrap();
    let refused = SqliteStore::open(folder.settings()).unwrap_err();
    assert!(
        matches!(refused, crate::OpenError::NotADataFolder { .. }),
        "{refused}"
    );
}

#[test]
fn a_sound_folder_is_found_sound_and_nothing_in_it_changes() {
    for closed in [true, false] {
        let folder = filled(closed);
        let content = |name: &str| fs::read(folder.data(name)).ok();
        let names = ["record.sqlite", "record.sqlite-wal", "media/big", "lock"];
        let before = names.map(content);
        let inspection = inspect(&folder);
        let report = inspection.report().clone();
        assert!(report.is_sound(), "{report:?}");
        assert_eq!((report.files, report.bytes), (2, 200_011));
        assert_eq!(report.uploads, 1);
        drop(inspection);
        assert!(before == names.map(content), "closed: {closed}");
        assert_eq!(read(&folder.open(), "notes.txt").unwrap(), b"milk\nbread\n");
    }
}

#[test]
fn everything_that_is_wrong_is_found_and_a_repair_keeps_the_rest() {
    use crate::Fault;
    for closed in [true, false] {
        let folder = filled(closed);
        let store = folder.open();
        put(&store, "gone.png", b"1234");
        put(&store, "short.png", b"1234");
        put(&store, "kept.png", b"1234");
        if closed {
            store.close().unwrap();
        } else {
            store.tend(std::time::Duration::from_secs(40)).unwrap();
        }
        drop(store);
        flip(&folder.data("media/big"), 17);
        fs::remove_file(folder.data("media/gone.png")).unwrap();
        fs::write(folder.data("media/short.png"), b"12").unwrap();
        fs::write(folder.data("media/mine.txt"), b"hello").unwrap();
        let part = fs::read_dir(folder.data("staging"))
            .unwrap()
            .map(|found| found.unwrap().path())
            .max_by_key(|path| path.metadata().unwrap().len())
            .unwrap();
        flip(&part, 3);
        let inspection = inspect(&folder);
        let report = inspection.report().clone();
        let found = |name: &str| {
            let of = |problem: &&crate::Problem| problem.place == format!("media/{name}");
            report
                .problems
                .iter()
                .find(of)
                .map(|problem| problem.fault.clone())
        };
        assert_eq!(found("big"), Some(Fault::Bytes));
        assert_eq!(found("gone.png"), Some(Fault::Gone));
        assert_eq!(
            found("short.png"),
            Some(Fault::Length {
                expected: 4,
                found: 2
            })
        );
        assert_eq!(found("mine.txt"), Some(Fault::Strange));
        assert_eq!(found("kept.png"), None);
        let parts = report
            .problems
            .iter()
            .filter(|problem| problem.fault == Fault::Part { sound: 0 });
        assert_eq!(parts.count(), 1, "{report:?}");
        assert_eq!(report.problems.len(), 5, "{report:?}");

        let repaired = inspection.repair(&|_| false).unwrap();
        let aside = folder.data("").join(repaired.aside.unwrap());
        assert_eq!(fs::read(aside.join("media/short.png")).unwrap(), b"12");
        assert_eq!(
            fs::metadata(aside.join("media/big")).unwrap().len(),
            200_000
        );
        let after = inspect(&folder);
        assert!(after.report().is_sound(), "{:?}", after.report());
        drop(after);
        let store = folder.open();
        for gone in ["big", "gone.png", "short.png"] {
            assert_eq!(read(&store, gone), None, "{gone}");
        }
        assert_eq!(read(&store, "kept.png").unwrap(), b"1234");
        assert_eq!(read(&store, "notes.txt").unwrap(), b"milk\nbread\n");
        assert_eq!(folder.plain("mine.txt").unwrap(), b"hello");
        assert!(
            store.upload(client(1), 9).is_err(),
            "a damaged part is not served"
        );
        store.adopt(&path("mine.txt"), "text", vec![]).unwrap();
        assert_eq!(read(&store, "mine.txt").unwrap(), b"hello");
    }
}

#[test]
fn an_unfinished_upload_is_sound_up_to_where_it_was_changed() {
    let folder = Folder::new();
    let store = folder.open();
    let mut upload = open_upload(&store, 1, crate::Announced::default());
    for piece in 0..3 {
        upload.write(&noise(piece, 10_000)).unwrap();
        upload.sync().unwrap();
    }
    drop(upload);
    store.close().unwrap();
    drop(store);
    assert!(inspect(&folder).report().is_sound());
    let part = fs::read_dir(folder.data("staging"))
        .unwrap()
        .next()
        .unwrap();
    flip(&part.unwrap().path(), 15_000);
    let inspection = inspect(&folder);
    let faults = inspection.report().problems.iter();
    let faults: Vec<_> = faults.map(|problem| problem.fault.clone()).collect();
    assert_eq!(faults, [crate::Fault::Part { sound: 10_000 }]);
    // There is nothing to give up: the client goes on from there.
    assert_eq!(inspection.repair(&|_| false).unwrap().aside, None);
    assert!(inspect(&folder).report().is_sound());
    let store = folder.open();
    let upload = open_upload(&store, 1, crate::Announced::default());
    assert_eq!(upload.offset(), 10_000);
}

#[test]
fn a_repaired_record_keeps_what_is_intact_and_knows_no_client() {
    let folder = filled(false);
    let id = folder.open().id();
    let store = folder.open();
    append(&store, "late.txt", b"after the fold");
    drop(store);
    // A log entry that SQLite itself finds nothing wrong with.
    let tables = rusqlite::Connection::open(folder.data("record.sqlite")).unwrap();
    tables
        .execute(
            "INSERT INTO log (position, body) VALUES (100, x'0100000000')",
            [],
        )
        .unwrap();
    drop(tables);
    let inspection = inspect(&folder);
    assert!(!inspection.report().record.is_empty());
    assert!(
        inspection.report().problems.is_empty(),
        "{:?}",
        inspection.report()
    );
    let repaired = inspection.repair(&|_| false).unwrap();
    let aside = folder.data("").join(repaired.aside.unwrap());
    assert!(aside.join("record.sqlite").exists());
    let store = folder.open();
    assert_ne!(
        store.id(),
        id,
        "clients learn that it is not the store they knew"
    );
    assert_eq!(store.client(client(1)).unwrap(), None);
    assert_eq!(read(&store, "late.txt").unwrap(), b"after the fold");
    assert_eq!(all_that_is_served_is_good(&store, "repaired"), 3);
    append(&store, "late.txt", b"!");
    assert!(!folder.data("record.view.sqlite").exists());
}

#[test]
fn what_was_put_by_hand_where_a_stored_file_is_to_be_is_told_and_moved_aside_at_the_next_start() {
    let folder = Folder::new();
    let store = folder.open();
    fs::create_dir_all(folder.data("media/cat.png")).unwrap();
    fs::write(folder.data("media/cat.png/mine"), b"mine").unwrap();
    append(&store, "cat.png", b"stored");
    let refused = commit(&store, None, |t| stage_append(t, "other", b"x")).unwrap_err();
    let told = refused.to_string();
    assert!(
        told.contains("`media/cat.png`") && told.contains("move it away"),
        "{told}"
    );
    assert_eq!(
        read(&store, "cat.png").unwrap(),
        b"stored",
        "from the record"
    );
    drop(store);
    let store = folder.open();
    assert_eq!(folder.plain("cat.png").unwrap(), b"stored");
    assert_eq!(
        fs::read(folder.data("aside/1/media/cat.png/mine")).unwrap(),
        b"mine"
    );
    append(&store, "other", b"x");
}

#[test]
fn a_folder_where_a_file_is_in_the_way_goes_on_when_that_is_moved_away() {
    let folder = Folder::new();
    let store = folder.open();
    fs::write(folder.data("media/d"), b"mine").unwrap();
    append(&store, "d/cat.png", b"stored");
    let told = commit(&store, None, |t| stage_append(t, "other", b"x"))
        .unwrap_err()
        .to_string();
    assert!(told.contains("`media/d`"), "{told}");
    fs::remove_file(folder.data("media/d")).unwrap();
    store.tend(std::time::Duration::from_secs(1)).unwrap();
    assert_eq!(folder.plain("d/cat.png").unwrap(), b"stored");
    append(&store, "other", b"x");
}

#[test]
fn a_data_folder_of_format_1_is_brought_to_the_new_one() {
    let folder = filled(true);
    let tables = rusqlite::Connection::open(folder.data("record.sqlite")).unwrap();
    for table in ["meta", "file", "kv", "client", "reply", "upload"] {
        tables
            .execute_batch(&format!("ALTER TABLE {table} DROP COLUMN crc"))
            .unwrap();
    }
    tables.pragma_update(None, "user_version", 1).unwrap();
    drop(tables);
    let store = folder.open();
    assert_eq!(all_that_is_served_is_good(&store, "format 1"), 3);
    append(&store, "notes.txt", b"!");
    drop(store);
    assert!(inspect(&folder).report().is_sound());
}

#[test]
fn after_a_clean_end_the_record_is_one_file() {
    let folder = filled(true);
    let names = || {
        let mut names: Vec<String> = fs::read_dir(folder.data(""))
            .unwrap()
            .map(|found| found.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("record"))
            .collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(), ["record.sqlite"]);
    let store = folder.open();
    assert!(read(&store, "big").is_some());
    store.close().unwrap();
    assert!(read(&store, "big").is_some(), "reads go on");
    assert_eq!(names(), ["record.sqlite"]);
}
