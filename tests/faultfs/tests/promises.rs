//! What the file system promises and what it does not, seen through the system's own calls.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use faultfs::{Call, Cut, Damage, Disk, Errno, FaultFs, Rule};

fn mount(disk: Disk) -> FaultFs {
    FaultFs::mount(disk, 1).unwrap()
}

fn sync_folder(folder: &Path) {
    File::open(folder).unwrap().sync_all().unwrap();
}

/// A file and its name, both on disk.
fn store(folder: &Path, name: &str, bytes: &[u8]) {
    let file = File::create(folder.join(name)).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    sync_folder(folder);
}

/// The files after a cut, for each of many seeds.
fn cuts(disk: &Disk) -> Vec<(BTreeMap<String, Vec<u8>>, Damage)> {
    let cut = |seed| {
        let (disk, damage) = disk.after_cut(seed);
        (disk.files(), damage)
    };
    (0..200).map(cut).collect()
}

/// All contents that one file had after the cuts; none where it was not there.
fn fates(disk: &Disk, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    let cuts = cuts(disk).into_iter();
    cuts.map(|(mut files, _)| files.remove(name)).collect()
}

#[test]
fn what_was_synced_stays_whatever_the_seed() {
    let fs = mount(Disk::new());
    let long: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    store(&fs.path(), "a", &long);
    fs::create_dir(fs.path().join("d")).unwrap();
    store(&fs.path().join("d"), "b", b"bytes");
    sync_folder(&fs.path());
    fs::hard_link(fs.path().join("a"), fs.path().join("d/second")).unwrap();
    fs::rename(fs.path().join("d/b"), fs.path().join("d/c")).unwrap();
    sync_folder(&fs.path().join("d"));
    let expected = BTreeMap::from([
        ("a".to_owned(), long.clone()),
        ("d/c".to_owned(), b"bytes".to_vec()),
        ("d/second".to_owned(), long),
    ]);
    let disk = fs.unmount();
    assert_eq!(disk.unsynced(), Vec::<String>::new());
    for (files, damage) in cuts(&disk) {
        assert!(files == expected, "{:?}", files.keys());
        assert_eq!(damage, Damage::default());
    }
}

#[test]
fn a_disk_that_is_mounted_again_reads_as_it_was() {
    let fs = mount(Disk::new());
    store(&fs.path(), "a", &[7; 70_000]);
    fs::hard_link(fs.path().join("a"), fs.path().join("b")).unwrap();
    sync_folder(&fs.path());
    let fs = mount(fs.unmount().after_cut(3).0);
    assert_eq!(fs::read(fs.path().join("b")).unwrap(), [7; 70_000]);
    let file = OpenOptions::new()
        .write(true)
        .open(fs.path().join("a"))
        .unwrap();
    file.write_all_at(b"both", 0).unwrap();
    assert_eq!(&fs::read(fs.path().join("b")).unwrap()[..5], b"both\x07");
}

#[test]
fn writes_that_were_not_synced_are_lost_kept_torn_or_overtaken() {
    let fs = mount(Disk::new());
    store(&fs.path(), "a", &[b'.'; 16_384]);
    let file = OpenOptions::new()
        .write(true)
        .open(fs.path().join("a"))
        .unwrap();
    for letter in *b"xyz" {
        file.write_all_at(&[letter; 8_192], 2_048).unwrap();
    }
    let disk = fs.unmount();
    let fates = fates(&disk, "a");
    let uniform = |letter: u8| {
        let mut bytes = vec![b'.'; 16_384];
        bytes[2_048..10_240].fill(letter);
        Some(bytes)
    };
    for letter in *b".xyz" {
        assert!(fates.contains(&uniform(letter)), "{:?}", letter as char);
    }
    let damage: Vec<_> = cuts(&disk).iter().map(|(_, damage)| *damage).collect();
    assert!(damage.iter().any(|damage| damage.torn_writes > 0));
    assert!(damage.iter().any(|damage| damage.overtaken_writes > 0));
    for bytes in fates.iter().flatten() {
        // Synced bytes beside them are whole, and a sector is never mixed.
        assert!(bytes[..2_048].iter().all(|byte| *byte == b'.'));
        assert!(bytes[10_240..].iter().all(|byte| *byte == b'.'));
        assert!(
            bytes
                .chunks(512)
                .all(|sector| sector.iter().all(|byte| *byte == sector[0]))
        );
    }
}

#[test]
fn a_length_may_have_grown_before_its_bytes_came() {
    let fs = mount(Disk::new());
    store(&fs.path(), "a", b"old");
    let mut file = OpenOptions::new()
        .append(true)
        .open(fs.path().join("a"))
        .unwrap();
    file.write_all(&[b'n'; 9_000]).unwrap();
    let fates = fates(&fs.unmount(), "a");
    let zeros = |bytes: &Vec<u8>| bytes.len() > 3 && bytes[3..].contains(&0);
    assert!(fates.iter().flatten().any(zeros));
    assert!(fates.contains(&Some(b"old".to_vec())));
    assert!(
        fates
            .iter()
            .flatten()
            .all(|bytes| bytes.starts_with(b"old"))
    );
}

#[test]
fn within_one_sector_a_later_write_never_survives_without_the_earlier_one() {
    let fs = mount(Disk::new());
    store(&fs.path(), "a", &[b'.'; 512]);
    let file = OpenOptions::new()
        .write(true)
        .open(fs.path().join("a"))
        .unwrap();
    file.write_all_at(b"first", 0).unwrap();
    file.write_all_at(b"second", 100).unwrap();
    let fates = fates(&fs.unmount(), "a");
    assert_eq!(fates.len(), 3);
    for bytes in fates.into_iter().flatten() {
        assert!(&bytes[100..106] != b"second" || &bytes[..5] == b"first");
    }
}

#[test]
fn a_new_file_is_lost_in_some_seed_until_its_folder_is_synced() {
    let fs = mount(Disk::new());
    let file = File::create(fs.path().join("a")).unwrap();
    file.write_all_at(b"bytes", 0).unwrap();
    file.sync_all().unwrap();
    let here = Some(b"bytes".to_vec());
    assert_eq!(fates(&fs.disk(), "a"), BTreeSet::from([None, here.clone()]));
    sync_folder(&fs.path());
    assert_eq!(fates(&fs.disk(), "a"), BTreeSet::from([here]));
}

#[test]
fn a_new_folder_is_lost_with_all_in_it_until_the_folder_above_is_synced() {
    let fs = mount(Disk::new());
    fs::create_dir(fs.path().join("d")).unwrap();
    store(&fs.path().join("d"), "a", b"bytes");
    let here = Some(b"bytes".to_vec());
    assert_eq!(
        fates(&fs.disk(), "d/a"),
        BTreeSet::from([None, here.clone()])
    );
    sync_folder(&fs.path());
    assert_eq!(fates(&fs.disk(), "d/a"), BTreeSet::from([here]));
}

#[test]
fn a_rename_is_lost_in_some_seed_until_its_folder_is_synced_and_never_half_done() {
    let fs = mount(Disk::new());
    store(&fs.path(), "a", b"new");
    store(&fs.path(), "b", b"old");
    fs::rename(fs.path().join("a"), fs.path().join("b")).unwrap();
    let seen: BTreeSet<_> = cuts(&fs.disk())
        .into_iter()
        .map(|(mut files, _)| (files.remove("a"), files.remove("b")))
        .collect();
    let (old, new) = (Some(b"old".to_vec()), Some(b"new".to_vec()));
    assert_eq!(
        seen,
        BTreeSet::from([(new.clone(), old), (None, new.clone())])
    );
    sync_folder(&fs.path());
    assert_eq!(fates(&fs.disk(), "b"), BTreeSet::from([new]));
}

#[test]
fn a_rename_to_another_folder_may_lose_either_half() {
    let fs = mount(Disk::new());
    for folder in ["x", "y"] {
        fs::create_dir(fs.path().join(folder)).unwrap();
    }
    sync_folder(&fs.path());
    store(&fs.path().join("x"), "a", b"bytes");
    fs::rename(fs.path().join("x/a"), fs.path().join("y/a")).unwrap();
    let seen = |disk: &Disk| -> BTreeSet<(bool, bool)> {
        let cuts = cuts(disk).into_iter();
        cuts.map(|(files, _)| (files.contains_key("x/a"), files.contains_key("y/a")))
            .collect()
    };
    let all = [(false, false), (false, true), (true, false), (true, true)];
    assert_eq!(seen(&fs.disk()), BTreeSet::from(all));
    sync_folder(&fs.path().join("y"));
    assert_eq!(
        seen(&fs.disk()),
        BTreeSet::from([(false, true), (true, true)])
    );
}

#[test]
fn a_removal_is_undone_in_some_seed_until_its_folder_is_synced() {
    let fs = mount(Disk::new());
    store(&fs.path(), "a", b"bytes");
    fs::remove_file(fs.path().join("a")).unwrap();
    assert_eq!(
        fates(&fs.disk(), "a"),
        BTreeSet::from([None, Some(b"bytes".to_vec())])
    );
    sync_folder(&fs.path());
    assert_eq!(fates(&fs.disk(), "a"), BTreeSet::from([None]));
}

/// Appends and syncs until something fails; how many syncs were answered.
fn append_until_it_fails(folder: &Path) -> u32 {
    let mut file = File::create(folder.join("log")).unwrap();
    sync_folder(folder);
    for answered in 0..50 {
        let written = file.write_all(&[b'a' + answered as u8; 5_000]);
        if written.and_then(|()| file.sync_data()).is_err() {
            return answered;
        }
    }
    50
}

#[test]
fn the_power_goes_at_the_moment_that_was_asked_for_and_stays_away() {
    // The folder's sync is the first; each line is a cut, how many appends were acknowledged, and how many are durable.
    for (cut, answered, durable) in [
        (Cut::BeforeSync(4), 2, 2),
        (Cut::DuringSync(4), 2, 3),
        (Cut::AfterSync(4), 3, 3),
        (Cut::InWrite(1), 0, 0),
    ] {
        let fs = mount(Disk::new());
        fs.cut_at(cut);
        assert_eq!(append_until_it_fails(&fs.path()), answered, "{cut:?}");
        assert!(fs.is_off());
        assert!(File::create(fs.path().join("other")).is_err());
        assert!(fs::read_dir(fs.path()).is_err());
        let mut more = 0;
        for (files, _) in cuts(&fs.unmount()) {
            let log = &files["log"];
            for line in 0..durable {
                let at = line as usize * 5_000;
                assert_eq!(log[at..at + 5_000], [b'a' + line; 5_000], "{cut:?}");
            }
            more += u32::from(log.len() > durable as usize * 5_000);
        }
        let unsynced = matches!(cut, Cut::BeforeSync(_) | Cut::InWrite(_));
        assert_eq!(more > 0, unsynced, "{cut:?}");
    }
}

#[test]
fn after_the_change_of_a_name_the_power_goes() {
    let fs = mount(Disk::new());
    fs.cut_at(Cut::AfterName(2));
    fs::write(fs.path().join("a"), b"").unwrap();
    assert!(fs::rename(fs.path().join("a"), fs.path().join("b")).is_err());
    assert!(fs.is_off());
    assert!(fs.disk().files().contains_key("b"));
}

#[test]
fn calls_fail_by_rule_and_work_again_when_mended() {
    let fs = mount(Disk::new());
    let path = |name: &str| fs.path().join(name);
    let code = |failed: std::io::Result<()>| Errno::from_io_error(&failed.unwrap_err()).unwrap();
    let write = |name: &str| {
        let file = OpenOptions::new().append(true).open(path(name))?;
        file.write_all_at(b"bytes", 0)
    };
    store(&fs.path(), "log", b"");
    store(&fs.path(), "other", b"");
    fs.fail(Rule::new(Call::Write, "log", Errno::NOSPC).from(2));
    write("log").unwrap();
    assert_eq!(code(write("log")), Errno::NOSPC);
    assert_eq!(code(write("log")), Errno::NOSPC);
    write("other").unwrap();
    fs.fail(Rule::new(Call::Sync, "other", Errno::IO).once());
    let other = File::open(path("other")).unwrap();
    assert_eq!(code(other.sync_all()), Errno::IO);
    other.sync_all().unwrap();
    for (call, error) in [
        (Call::Rename, Errno::ROFS),
        (Call::Unlink, Errno::IO),
        (Call::Create, Errno::DQUOT),
        (Call::Link, Errno::MLINK),
        (Call::SetLen, Errno::NOSPC),
        (Call::SyncFolder, Errno::IO),
    ] {
        fs.fail(Rule::new(call, "", error));
    }
    assert_eq!(code(fs::rename(path("log"), path("new"))), Errno::ROFS);
    assert_eq!(code(fs::remove_file(path("log"))), Errno::IO);
    assert_eq!(code(File::create(path("new")).map(drop)), Errno::DQUOT);
    assert_eq!(code(fs::hard_link(path("log"), path("new"))), Errno::MLINK);
    let log = OpenOptions::new().write(true).open(path("log")).unwrap();
    assert_eq!(code(log.set_len(1)), Errno::NOSPC);
    let folder = File::open(fs.path()).unwrap();
    assert_eq!(code(folder.sync_all()), Errno::IO);
    assert_eq!(fs.counts().failed, 9);
    fs.mend();
    fs::rename(path("log"), path("new")).unwrap();
    fs::remove_file(path("new")).unwrap();
    folder.sync_all().unwrap();
}

#[test]
fn syncs_are_as_slow_as_asked_and_hold_nothing_else_up() {
    let fs = mount(Disk::new());
    store(&fs.path(), "a", b"bytes");
    fs.slow_syncs(Duration::from_millis(500));
    let file = File::open(fs.path().join("a")).unwrap();
    let begun = Instant::now();
    let sync = std::thread::spawn(move || file.sync_all().unwrap());
    let path = fs.path().join("b");
    while !sync.is_finished() {
        let other = Instant::now();
        fs::write(&path, b"x").unwrap();
        assert!(other.elapsed() < Duration::from_millis(400));
        std::thread::sleep(Duration::from_millis(10));
    }
    sync.join().unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(500));
}

#[test]
fn it_tells_the_free_space_it_is_told() {
    let fs = mount(Disk::new());
    fs.set_free_bytes(5 << 20);
    let found = rustix::fs::statvfs(fs.path()).unwrap();
    assert_eq!(found.f_bavail * found.f_frsize, 5 << 20);
}

/// Rows that SQLite said were committed are there after any cut, and none is there half; a foreign program's word that what
/// is lost here is no more than what may be lost.
#[test]
fn sqlite_in_wal_mode_keeps_what_it_committed() {
    let (mut cut, mut more) = (0, 0);
    for seed in 0..25u32 {
        let fs = FaultFs::mount(Disk::new(), seed.into()).unwrap();
        let begin = |fs: &FaultFs| {
            let open = rusqlite::Connection::open(fs.path().join("db"))?;
            // Without its index in shared memory: this process serves the file system and must not map files of it.
            open.pragma_update(None, "locking_mode", "exclusive")?;
            open.pragma_update(None, "journal_mode", "wal")?;
            open.pragma_update(None, "synchronous", "full")?;
            open.pragma_update(None, "wal_autocheckpoint", 20)?;
            open.execute_batch(
                "create table if not exists log (number integer primary key, text blob)",
            )?;
            Ok::<_, rusqlite::Error>(open)
        };
        let open = begin(&fs).unwrap();
        sync_folder(&fs.path());
        fs.cut_at(match seed % 4 {
            0 => Cut::BeforeSync(1 + u64::from(seed) * 3),
            1 => Cut::DuringSync(1 + u64::from(seed) * 3),
            2 => Cut::InWrite(1 + u64::from(seed) * 7),
            _ => Cut::AfterSync(1 + u64::from(seed) * 3),
        });
        let text = |number: u32| vec![number as u8; 100 + (number * 977 % 9_000) as usize];
        let mut done = 0;
        while done < 200
            && open
                .execute("insert into log values (?1, ?2)", (done, text(done)))
                .is_ok()
        {
            done += 1;
        }
        cut += u32::from(fs.is_off());
        drop(open);
        let disk = fs.unmount();
        for again in 0..4 {
            let fs = mount(disk.after_cut(u64::from(seed) * 100 + again).0);
            let open = begin(&fs).unwrap();
            let sound: String = open
                .query_row("pragma integrity_check", [], |row| row.get(0))
                .unwrap();
            assert_eq!(sound, "ok", "seed {seed}, {again}");
            let mut select = open
                .prepare("select number, text from log order by number")
                .unwrap();
            let rows = select
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap();
            let rows: Vec<(u32, Vec<u8>)> = rows.map(Result::unwrap).collect();
            assert!(rows.len() as u32 >= done, "seed {seed}, {again}");
            assert!(rows.len() as u32 <= done + 1, "seed {seed}, {again}");
            more += u32::from(rows.len() as u32 > done);
            for (number, (at, bytes)) in rows.iter().enumerate() {
                assert!(*at == number as u32 && *bytes == text(*at));
            }
        }
    }
    assert!(cut > 15, "only {cut} cuts");
    assert!(more > 0, "a commit that was not answered was always lost");
}

/// The test above can fail: with a disk that is asked for no syncs rows are lost.
#[test]
fn sqlite_without_syncs_loses_rows_in_some_seed() {
    let lost = (0..10).any(|seed| {
        let fs = mount(Disk::new());
        let open = rusqlite::Connection::open(fs.path().join("db")).unwrap();
        open.pragma_update(None, "locking_mode", "exclusive")
            .unwrap();
        open.pragma_update(None, "journal_mode", "wal").unwrap();
        open.pragma_update(None, "synchronous", "off").unwrap();
        open.execute_batch("create table log (number integer)")
            .unwrap();
        sync_folder(&fs.path());
        for number in 0..20u32 {
            open.execute("insert into log values (?1)", [number])
                .unwrap();
        }
        fs.cut();
        drop(open);
        let fs = mount(fs.unmount().after_cut(seed).0);
        let open = rusqlite::Connection::open(fs.path().join("db")).unwrap();
        open.pragma_update(None, "locking_mode", "exclusive")
            .unwrap();
        let count = open.query_row("select count(*) from log", [], |row| row.get::<_, u32>(0));
        count.ok() != Some(20)
    });
    assert!(lost);
}
