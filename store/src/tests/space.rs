use super::support::*;
use crate::{
    Announced, CommitError, Settings, SpaceLimit, SqliteStore, Store, StoreError, UploadError,
};

fn limited(folder: &Folder, quota: u64) -> SqliteStore {
    SqliteStore::open(Settings {
        media_quota_bytes: Some(quota),
        ..folder.settings()
    })
    .unwrap()
}

#[test]
fn the_quota_holds_before_the_first_byte_and_what_goes_makes_room() {
    let folder = Folder::new();
    let store = limited(&folder, 100_000);
    put(&store, "a", &noise(1, 60_000));
    let mut t = store.begin();
    match t.put(&path("b"), &blob(&noise(2, 40_001)), "image", vec![]) {
        Err(StoreError::NoSpace(full)) => {
            assert_eq!(
                (full.needed, full.available, full.limit),
                (40_001, 40_000, SpaceLimit::Quota)
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(t.append(&path("a"), &blob(&noise(2, 40_001))).is_err());
    assert!(!t.has_writes());
    drop(t);
    assert!(matches!(
        store.open_upload(
            client(1),
            1,
            Announced {
                length: Some(40_001),
                sha256: None
            }
        ),
        Err(UploadError::NoSpace(_))
    ));
    assert_eq!(folder.staged(), 0);
    put(&store, "b", &noise(3, 40_000));
    drop(store);
    let store = limited(&folder, 100_000);
    assert!(
        store.begin().append(&path("b"), &blob(b"x")).is_err(),
        "it holds after a restart"
    );
    write(&store, |t| t.remove(&path("a")).unwrap());
    put(&store, "c", &noise(3, 60_000));
}

#[test]
fn announced_uploads_have_their_space_and_give_it_to_the_file() {
    let folder = Folder::new();
    let store = limited(&folder, 100_000);
    let upload = open_upload(
        &store,
        1,
        Announced {
            length: Some(70_000),
            sha256: None,
        },
    );
    assert!(
        store
            .begin()
            .put(&path("a"), &blob(&noise(1, 30_001)), "image", vec![])
            .is_err()
    );
    put(&store, "a", &noise(1, 30_000));
    let mut upload = upload;
    upload.write(&noise(2, 70_000)).unwrap();
    upload.finish(70_000, None).unwrap();
    let position = commit(&store, None, |t| {
        t.put(
            &path("b"),
            &store.upload(client(1), 1).unwrap(),
            "image",
            vec![],
        )
        .unwrap();
    });
    store.wait(position.unwrap()).block().unwrap();
    assert!(store.begin().append(&path("b"), &blob(b"x")).is_err());
}

#[test]
fn two_who_fill_the_quota_together_are_told_at_the_commit() {
    let folder = Folder::new();
    let store = limited(&folder, 100_000);
    let (mut one, mut two) = (store.begin(), store.begin());
    one.put(&path("a"), &blob(&noise(1, 60_000)), "image", vec![])
        .unwrap();
    two.put(&path("b"), &blob(&noise(2, 60_000)), "image", vec![])
        .unwrap();
    store.commit(one, None).unwrap();
    assert!(matches!(
        store.commit(two, None),
        Err(CommitError::NoSpace(_))
    ));
    assert_eq!(read(&store, "b"), None);
}

#[test]
fn a_full_disk_is_told_before_anything_is_stored_and_removing_still_works() {
    let folder = Folder::new();
    let store = SqliteStore::open(Settings {
        reserve_bytes: 1 << 20,
        ..folder.settings()
    })
    .unwrap();
    put(&store, "a", b"a");
    let set_free = |free| {
        store.engine().disk().faults.set_free_bytes(Some(free));
        store.engine().memory().space.forget_answer();
    };
    set_free((1 << 20) + 10_000);
    match store
        .begin()
        .put(&path("b"), &blob(&noise(1, 10_001)), "image", vec![])
    {
        Err(StoreError::NoSpace(full)) => {
            assert_eq!((full.available, full.limit), (10_000, SpaceLimit::Disk))
        }
        other => panic!("{other:?}"),
    }
    let unknown = open_upload(&store, 1, Announced::default());
    let mut unknown = unknown;
    assert!(matches!(
        unknown.write(&noise(1, 20_000)),
        Err(UploadError::NoSpace(_))
    ));
    assert!(matches!(
        store.open_upload(
            client(1),
            2,
            Announced {
                length: Some(10_001),
                sha256: None
            }
        ),
        Err(UploadError::NoSpace(_))
    ));
    set_free(1 << 19);
    assert!(commit(&store, None, |t| t.kv_set(&space(), "k", vec![]).unwrap()).is_err());
    write(&store, |t| t.remove(&path("a")).unwrap());
    write(&store, |t| t.kv_delete(&space(), "k").unwrap());
}
