use super::support::*;
use crate::{Blob, CommitError, Store, StoreError};

#[test]
fn what_was_put_is_read_back_and_lies_there_as_a_plain_file() {
    let folder = Folder::new();
    let store = folder.open();
    put(&store, "pics/cat.png", b"meow");
    let mut transaction = store.begin();
    let entry = transaction.stat(&path("pics/cat.png")).unwrap().unwrap();
    assert_eq!((entry.kind.as_str(), entry.size), ("image", 4));
    assert_eq!(entry.properties, [("fps".to_owned(), "12".to_owned())]);
    assert_eq!(entry.sha256, Some(sha256_of(b"meow")));
    assert_eq!(read(&store, "pics/cat.png").unwrap(), b"meow");
    assert_eq!(folder.plain("pics/cat.png").unwrap(), b"meow");
}

#[test]
fn everything_is_there_after_the_store_was_dropped_without_closing() {
    let folder = Folder::new();
    let big = noise(1, 300_000);
    for fold in [false, true] {
        let store = folder.open();
        put(&store, "a/small", b"small");
        put(&store, "a/big", &big);
        append(&store, "log.txt", b"line\n");
        write(&store, |t| {
            t.kv_set(&space(), "key", b"value".to_vec()).unwrap()
        });
        write(&store, |t| t.set_state("shown", b"cat".to_vec()).unwrap());
        if fold {
            store.close().unwrap();
        }
        drop(store);
        let store = folder.open();
        assert_eq!(read(&store, "a/small").unwrap(), b"small");
        assert_eq!(read(&store, "a/big").unwrap(), big);
        assert_eq!(folder.plain("a/big").unwrap(), big);
        assert!(read(&store, "log.txt").unwrap().starts_with(b"line\n"));
        assert_eq!(
            store.begin().kv_get(&space(), "key").unwrap().unwrap(),
            b"value"
        );
        assert_eq!(store.begin().state("shown").unwrap().unwrap(), b"cat");
        assert_eq!(folder.staged(), 0);
    }
    assert_eq!(folder.plain("log.txt").unwrap(), b"line\nline\n");
}

#[test]
fn a_transaction_sees_its_own_changes_and_nobody_else_does() {
    let folder = Folder::new();
    let store = folder.open();
    put(&store, "a", b"old");
    put(&store, "d/x", b"x");
    let mut t = store.begin();
    t.put(&path("a"), &blob(b"new"), "text", vec![]).unwrap();
    assert_eq!(t.append(&path("a"), &blob(b"er")).unwrap(), 3);
    t.overwrite(&path("a"), &blob(b"NE")).unwrap();
    t.rename(&path("d/x"), &path("e/y")).unwrap();
    t.kv_set(&space(), "k", vec![1]).unwrap();
    t.append(&path("z"), &blob(b"made")).unwrap();
    t.remove(&path("z")).unwrap();
    assert_eq!(read_in(&mut t, "a").unwrap(), b"NEwer");
    assert_eq!(read_in(&mut t, "e/y").unwrap(), b"x");
    assert_eq!(read_in(&mut t, "d/x"), None);
    assert_eq!(t.names(None, None, 10).unwrap(), ["a", "e/"]);
    assert_eq!(t.names(Some(&path("e")), None, 10).unwrap(), ["y"]);
    assert_eq!(t.kv_keys(&space(), "", None, 10).unwrap(), ["k"]);
    assert!(t.has_writes());

    assert_eq!(read(&store, "a").unwrap(), b"old");
    assert_eq!(store.begin().names(None, None, 10).unwrap(), ["a", "d/"]);
    drop(t);
    assert_eq!(read(&store, "d/x").unwrap(), b"x");
    assert_eq!(
        folder.staged(),
        0,
        "a dropped transaction left a staged file"
    );
}

#[test]
fn a_later_transaction_sees_what_is_not_durable_yet_and_says_so() {
    let folder = Folder::new();
    let store = folder.open();
    put(&store, "a", b"1");
    let durable = store.durable().position();
    let position = commit(&store, None, |t| stage_append(t, "a", b"2")).unwrap();
    assert!(position > durable);
    let mut t = store.begin();
    assert_eq!(t.seen().0, 0);
    assert_eq!(read_in(&mut t, "a").unwrap(), b"12");
    assert_eq!(t.seen(), position);
    let kv = commit(&store, None, |t| t.kv_set(&space(), "k", vec![]).unwrap()).unwrap();
    let mut t = store.begin();
    t.kv_get(&space(), "other").unwrap();
    assert_eq!(t.seen().0, 0);
    t.kv_get(&space(), "k").unwrap();
    assert_eq!(t.seen(), kv);
    let mut t = store.begin();
    t.names(None, None, 1).unwrap();
    assert_eq!(t.seen(), kv, "a list counts as everything");
    assert_eq!(
        folder.plain("a").unwrap(),
        b"1",
        "the plain file waits for the sync"
    );
    store.wait(position).block().unwrap();
    assert_eq!(folder.plain("a").unwrap(), b"12");
}

#[test]
fn two_who_change_the_same_file_conflict_and_two_files_do_not() {
    let folder = Folder::new();
    let store = folder.open();
    put(&store, "a", b"a");
    put(&store, "b", b"b");
    for fold in [false, true] {
        let mut one = store.begin();
        let mut two = store.begin();
        let mut three = store.begin();
        one.append(&path("a"), &blob(b"1")).unwrap();
        two.append(&path("a"), &blob(b"2")).unwrap();
        three.append(&path("b"), &blob(b"3")).unwrap();
        store.commit(one, None).unwrap();
        if fold {
            store.wait(store.begin().seen()).block().unwrap();
            store.tend(std::time::Duration::from_secs(3600)).unwrap();
        }
        assert!(matches!(
            store.commit(two, None),
            Err(CommitError::Conflict)
        ));
        store.commit(three, None).unwrap();
    }
    assert_eq!(read(&store, "a").unwrap(), b"a11");
    assert_eq!(read(&store, "b").unwrap(), b"b33");
}

#[test]
fn a_file_and_a_folder_of_the_same_name_conflict_also_across_transactions() {
    let folder = Folder::new();
    let store = folder.open();
    for fold in [false, true] {
        let (mut file, mut inside) = (store.begin(), store.begin());
        file.put(&path("x"), &blob(b""), "text", vec![]).unwrap();
        inside
            .put(&path("x/y"), &blob(b""), "text", vec![])
            .unwrap();
        store.commit(file, None).unwrap();
        if fold {
            store.tend(std::time::Duration::from_secs(3600)).unwrap();
        }
        assert!(matches!(
            store.commit(inside, None),
            Err(CommitError::Conflict)
        ));
        let (mut file, mut inside) = (store.begin(), store.begin());
        inside
            .put(&path("z/y"), &blob(b""), "text", vec![])
            .unwrap();
        file.put(&path("z"), &blob(b""), "text", vec![]).unwrap();
        store.commit(inside, None).unwrap();
        if fold {
            store.tend(std::time::Duration::from_secs(3600)).unwrap();
        }
        assert!(matches!(
            store.commit(file, None),
            Err(CommitError::Conflict)
        ));
        write(&store, |t| {
            t.remove(&path("x")).unwrap();
            t.remove(&path("z/y")).unwrap();
        });
    }
}

#[test]
fn names_that_clash_are_refused_with_what_is_in_the_way() {
    let folder = Folder::new();
    let store = folder.open();
    put(&store, "a/b", b"");
    let mut t = store.begin();
    match t.put(&path("a/b/c"), &blob(b""), "text", vec![]) {
        Err(StoreError::FileInTheWay { file, .. }) => assert_eq!(file, path("a/b")),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        t.put(&path("a"), &blob(b""), "text", vec![]),
        Err(StoreError::FolderInTheWay { .. })
    ));
    assert!(
        matches!(t.rename(&path("a/b"), &path("a")), Ok(())),
        "the folder is empty without the file"
    );
    assert!(
        matches!(t.rename(&path("a"), &path("a/b/c")), Ok(())),
        "and the other way round"
    );
    assert!(t.has_writes());
    store.wait(store.commit(t, None).unwrap()).block().unwrap();
    assert!(folder.plain("a/b/c").is_some());
    write(&store, |t| t.remove(&path("a/b/c")).unwrap());
    assert!(
        !folder.data("media/a").exists(),
        "empty folders go with their last file"
    );
}

#[test]
fn what_fails_leaves_the_draft_as_it_was() {
    let folder = Folder::new();
    let store = folder.open();
    put(&store, "a", b"a");
    put(&store, "f/g", b"g");
    let mut t = store.begin();
    assert!(t.rename(&path("a"), &path("f")).is_err());
    assert!(!t.has_writes());
    assert_eq!(read_in(&mut t, "a").unwrap(), b"a");
    t.append(&path("a"), &blob(b"b")).unwrap();
    assert!(t.rename(&path("a"), &path("f")).is_err());
    assert_eq!(read_in(&mut t, "a").unwrap(), b"ab");
    assert!(t.remove(&path("nothing")).is_err());
    assert!(t.overwrite(&path("nothing"), &blob(b"")).is_err());
    store.commit(t, None).unwrap();
    assert_eq!(read(&store, "a").unwrap(), b"ab");
}

#[test]
fn a_blob_stays_as_it_was_when_its_file_is_replaced_appended_to_and_removed() {
    let folder = Folder::new();
    let store = folder.open();
    let big = noise(2, 200_000);
    put(&store, "a", &big);
    let (_, before) = store.begin().open(&path("a")).unwrap().unwrap();
    append(&store, "a", b"more");
    let (_, appended) = store.begin().open(&path("a")).unwrap().unwrap();
    put(&store, "a", b"other");
    write(&store, |t| t.remove(&path("a")).unwrap());
    put(&store, "a", b"again");
    store.close().unwrap();
    assert_eq!(all(&before), big);
    assert_eq!(all(&appended), [&big[..], b"more"].concat());
    assert_eq!(
        appended.sha256().unwrap(),
        sha256_of(&[&big[..], b"more"].concat())
    );
}

#[test]
fn a_blob_over_file_and_memory_reads_the_same_from_every_offset() {
    let folder = Folder::new();
    let store = folder.open();
    put(&store, "a", b"0123456789");
    let mut t = store.begin();
    for piece in [&b"abc"[..], b"d", b"", b"efgh"] {
        t.append(&path("a"), &blob(piece)).unwrap();
    }
    let expected = b"0123456789abcdefgh";
    let (_, blob) = t.open(&path("a")).unwrap().unwrap();
    for offset in 0..=expected.len() + 2 {
        for len in 1..8 {
            let mut got = Vec::new();
            while got.len() < len {
                let mut buffer = vec![0; len - got.len()];
                let filled = blob
                    .read_at((offset + got.len()) as u64, &mut buffer)
                    .unwrap();
                let cached = blob
                    .try_read_at_cached((offset + got.len()) as u64, &mut buffer.clone())
                    .unwrap();
                assert!(cached.is_none_or(|cached| cached == filled));
                if filled == 0 {
                    break;
                }
                got.extend_from_slice(&buffer[..filled]);
            }
            let end = (offset + len).min(expected.len());
            assert_eq!(got, expected.get(offset..end).unwrap_or_default());
        }
    }
}

#[test]
fn lists_come_in_byte_order_by_pages_with_folders_once() {
    let folder = Folder::new();
    let store = folder.open();
    let mut t = store.begin();
    for name in ["a.txt", "a/x", "a/y/z", "a0", "b", "ü", "c/1", "c/2"] {
        t.put(&path(name), &blob(b""), "text", vec![]).unwrap();
    }
    for n in 0..600 {
        t.put(
            &path(&format!("many/{n:03}/file")),
            &blob(b""),
            "text",
            vec![],
        )
        .unwrap();
    }
    store.commit(t, None).unwrap();
    for fold in [false, true] {
        if fold {
            store.tend(std::time::Duration::from_secs(3600)).unwrap();
            write(&store, |t| t.remove(&path("b")).unwrap());
        }
        let mut t = store.begin();
        let mut expected = vec!["a.txt", "a/", "a0", "b", "c/", "many/", "ü"];
        expected.retain(|name| !fold || *name != "b");
        assert_eq!(t.names(None, None, 100).unwrap(), expected);
        let mut paged = Vec::new();
        while let [name] = &t.names(None, paged.last().map(String::as_str), 1).unwrap()[..] {
            paged.push(name.clone());
        }
        assert_eq!(paged, expected);
        assert_eq!(t.names(Some(&path("a")), None, 9).unwrap(), ["x", "y/"]);
        assert_eq!(t.names(Some(&path("many")), None, 1000).unwrap().len(), 600);
        assert_eq!(
            t.names(Some(&path("many")), Some("597/"), 9).unwrap(),
            ["598/", "599/"]
        );
        assert_eq!(t.names(Some(&path("nothing")), None, 9).unwrap(), [""; 0]);
    }
}

#[test]
fn files_change_places_in_one_commit() {
    let folder = Folder::new();
    let big = noise(3, 100_000);
    for fold in [true, false] {
        let store = folder.open();
        put(&store, "a", b"small a");
        put(&store, "b", &big);
        if fold {
            store.tend(std::time::Duration::from_secs(3600)).unwrap();
        }
        // Not durable when it is moved, and moved again after.
        commit(&store, None, |t| stage_append(t, "a", b"!")).unwrap();
        commit(&store, None, |t| stage_append(t, "new", b"n")).unwrap();
        commit(&store, None, |t| {
            t.rename(&path("a"), &path("t")).unwrap();
            t.rename(&path("b"), &path("a")).unwrap();
            t.rename(&path("t"), &path("b")).unwrap();
            t.rename(&path("new"), &path("newer")).unwrap();
            t.append(&path("newer"), &blob(b"w")).unwrap();
            t.append(&path("b"), &blob(b"?")).unwrap();
        })
        .unwrap();
        write(&store, |t| {
            t.rename(&path("newer"), &path("d/newest")).unwrap()
        });
        for reopened in [false, true] {
            let store = if reopened { None } else { Some(&store) };
            for (name, expected) in [("a", &big[..]), ("b", b"small a!?"), ("d/newest", b"nw")] {
                if let Some(store) = store {
                    assert_eq!(read(store, name).unwrap(), expected);
                }
                assert_eq!(folder.plain(name).unwrap(), expected);
            }
            assert!(folder.plain("t").is_none() && folder.plain("newer").is_none());
        }
        drop(store);
        let store = folder.open();
        assert_eq!(read(&store, "a").unwrap(), big);
        assert_eq!(read(&store, "b").unwrap(), b"small a!?");
        assert_eq!(read(&store, "d/newest").unwrap(), b"nw");
        write(&store, |t| {
            for name in ["a", "b", "d/newest"] {
                t.remove(&path(name)).unwrap();
            }
        });
    }
}

#[test]
fn large_appends_and_overwrites_are_built_anew_and_keep_the_rest() {
    let folder = Folder::new();
    let store = folder.open();
    let (big, more) = (noise(4, 150_000), noise(5, 300_000));
    put(&store, "a", &big);
    assert_eq!(append(&store, "a", &more), 150_000);
    write(&store, |t| t.overwrite(&path("a"), &blob(b"HEAD")).unwrap());
    let expected = [b"HEAD", &big[4..], &more].concat();
    assert_eq!(read(&store, "a").unwrap(), expected);
    let entry = store.begin().stat(&path("a")).unwrap().unwrap();
    assert_eq!((entry.kind.as_str(), entry.properties.len()), ("image", 1));
    let mut t = store.begin();
    for _ in 0..10 {
        t.append(&path("a"), &blob(&more[..50_000])).unwrap();
    }
    assert!(t.staged_bytes() >= 500_000);
    store.wait(store.commit(t, None).unwrap()).block().unwrap();
    assert_eq!(read(&store, "a").unwrap().len(), expected.len() + 500_000);
    assert_eq!(folder.plain("a").unwrap().len(), expected.len() + 500_000);
    store.close().unwrap();
    assert_eq!(
        folder.staged(),
        0,
        "the staged names go once the folders are synced"
    );
}

#[test]
fn a_writers_bytes_are_adopted_and_dropped_with_the_transaction() {
    let folder = Folder::new();
    let store = folder.open();
    let big = noise(6, 2_500_000);
    for keep in [false, true] {
        let mut t = store.begin();
        let mut writer = t.writer();
        big.chunks(70_000)
            .for_each(|chunk| writer.write(chunk).unwrap());
        let made = writer.finish().unwrap();
        assert_eq!(made.known_sha256(), Some(sha256_of(&big)));
        t.put(&path("one"), &made, "animation", vec![]).unwrap();
        t.put(&path("two"), &made, "animation", vec![]).unwrap();
        drop(made);
        if keep {
            store.wait(store.commit(t, None).unwrap()).block().unwrap();
        } else {
            drop(t);
            assert_eq!(folder.staged(), 0);
        }
    }
    drop(store.begin().writer());
    assert_eq!(read(&store, "one").unwrap(), big);
    append(&store, "one", b"+");
    assert_eq!(
        read(&store, "two").unwrap(),
        big,
        "two copies are two files"
    );
}

#[test]
fn a_file_changed_by_hand_is_refused_and_can_be_stored_again() {
    let folder = Folder::new();
    let store = folder.open();
    put(&store, "a", b"as stored");
    std::fs::write(folder.data("media/a"), b"changed").unwrap();
    for _ in 0..2 {
        let refused = store.begin().open(&path("a")).unwrap_err();
        assert!(refused.to_string().contains("changed by hand"), "{refused}");
        assert!(store.begin().append(&path("a"), &blob(b"x")).is_err());
        store.tend(std::time::Duration::from_secs(3600)).unwrap();
    }
    std::fs::remove_file(folder.data("media/a")).unwrap();
    assert!(
        store
            .begin()
            .open(&path("a"))
            .unwrap_err()
            .to_string()
            .contains("gone")
    );
    put(&store, "a", b"new");
    assert_eq!(read(&store, "a").unwrap(), b"new");
}

#[test]
fn kv_keeps_its_limits_and_its_namespaces_apart() {
    let folder = Folder::new();
    let store = folder.open();
    let other = crate::KvNamespace("other".into());
    let mut t = store.begin();
    assert!(matches!(
        t.kv_set(&space(), "", vec![]),
        Err(StoreError::KeyLength { bytes: 0 })
    ));
    assert!(matches!(
        t.kv_get(&space(), &"k".repeat(513)),
        Err(StoreError::KeyLength { bytes: 513 })
    ));
    assert!(matches!(
        t.kv_set(&space(), "k", vec![0; 65_537]),
        Err(StoreError::ValueLength { .. })
    ));
    assert!(!t.has_writes());
    t.kv_set(&space(), &"k".repeat(512), vec![7; 65_536])
        .unwrap();
    for n in 0..700 {
        t.kv_set(&space(), &format!("n/{n:03}"), vec![]).unwrap();
    }
    t.kv_set(&other, "n/1", vec![]).unwrap();
    store.commit(t, None).unwrap();
    store.close().unwrap();
    drop(store);
    let store = folder.open();
    write(&store, |t| t.kv_delete(&space(), "n/001").unwrap());
    let mut t = store.begin();
    t.kv_set(&space(), "n/0005", vec![]).unwrap();
    t.kv_delete(&space(), "n/002").unwrap();
    assert_eq!(
        t.kv_get(&space(), &"k".repeat(512)).unwrap().unwrap().len(),
        65_536
    );
    assert_eq!(
        t.kv_keys(&space(), "n/", None, 4).unwrap(),
        ["n/000", "n/0005", "n/003", "n/004"]
    );
    assert_eq!(
        t.kv_keys(&space(), "n/", Some("n/698"), 4).unwrap(),
        ["n/699"]
    );
    assert_eq!(t.kv_keys(&space(), "n/", None, 1000).unwrap().len(), 699);
    assert_eq!(t.kv_keys(&other, "", None, 9).unwrap(), ["n/1"]);
    assert_eq!(t.kv_get(&other, "n/003").unwrap(), None);
}

#[test]
fn a_blob_can_be_put_where_another_file_was_opened() {
    let folder = Folder::new();
    let store = folder.open();
    let big = noise(7, 120_000);
    put(&store, "a", &big);
    write(&store, |t| {
        let (_, bytes) = t.open(&path("a")).unwrap().unwrap();
        t.put(&path("copy"), &bytes, "image", vec![]).unwrap();
        t.append(&path("a"), &blob(b"more")).unwrap();
    });
    assert_eq!(read(&store, "copy").unwrap(), big);
    assert_eq!(read(&store, "a").unwrap().len(), big.len() + 4);
    assert_eq!(all(&Blob::from_bytes(b"x".to_vec())), b"x");
}

#[test]
fn what_was_read_first_must_still_hold_when_the_file_is_changed_later() {
    let folder = Folder::new();
    let store = folder.open();
    for known in [false, true] {
        let mut one = store.begin();
        assert_eq!(one.stat(&path("log")).unwrap().is_some(), known);
        append(&store, "log", b"theirs\n");
        one.append(&path("log"), &blob(b"mine\n")).unwrap();
        assert!(matches!(
            store.commit(one, None),
            Err(CommitError::Conflict)
        ));
    }
    assert_eq!(read(&store, "log").unwrap(), b"theirs\ntheirs\n");
}
