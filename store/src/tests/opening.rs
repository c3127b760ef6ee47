use super::support::*;
use crate::{OpenError, SqliteStore, Store};

#[test]
fn a_folder_in_use_is_refused() {
    let folder = Folder::new();
    let store = folder.open();
    assert!(matches!(
        SqliteStore::open(folder.settings()),
        Err(OpenError::InUse { .. })
    ));
    drop(store);
    folder.open();
}

#[test]
fn the_store_keeps_its_id_and_another_folder_has_another() {
    let folder = Folder::new();
    let id = folder.open().id();
    assert_eq!(folder.open().id(), id);
    assert_ne!(Folder::new().open().id(), id);
}

#[test]
fn a_folder_with_other_things_in_it_is_refused_and_left_alone() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.data("media")).unwrap();
    std::fs::write(folder.data("media/cat.png"), b"mine").unwrap();
    let refused = SqliteStore::open(folder.settings()).unwrap_err();
    assert!(
        matches!(refused, OpenError::NotADataFolder { .. }),
        "{refused}"
    );
    assert!(!folder.data("lock").exists());
}

#[test]
fn a_newer_format_is_refused_in_one_sentence() {
    let folder = Folder::new();
    drop(folder.open());
    let tables = rusqlite::Connection::open(folder.data("record.sqlite")).unwrap();
    tables.pragma_update(None, "user_version", 3).unwrap();
    drop(tables);
    match SqliteStore::open(folder.settings()).unwrap_err() {
        error @ OpenError::Newer {
            found: 3, known: 2, ..
        } => assert!(error.to_string().contains("install a newer one")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_programs_database_is_refused_and_left_alone() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.data("")).unwrap();
    let tables = rusqlite::Connection::open(folder.data("record.sqlite")).unwrap();
    tables
        .execute_batch("CREATE TABLE bookmarks (url TEXT); PRAGMA application_id = 7;")
        .unwrap();
    drop(tables);
    let before = std::fs::read(folder.data("record.sqlite")).unwrap();
    let refused = SqliteStore::open(folder.settings()).unwrap_err();
    assert!(
        matches!(refused, OpenError::NotADataFolder { .. }),
        "{refused}"
    );
    assert!(refused.to_string().contains("another program"), "{refused}");
    assert!(before == std::fs::read(folder.data("record.sqlite")).unwrap());
}

#[test]
fn a_damaged_log_is_served_as_far_as_it_is_intact_and_nothing_is_written() {
    let folder = Folder::new();
    let store = folder.open();
    append(&store, "a", b"x");
    append(&store, "b", b"y");
    drop(store);
    let damage = |sql: &str| {
        let tables = rusqlite::Connection::open(folder.data("record.sqlite")).unwrap();
        tables.execute(sql, []).unwrap();
    };
    damage("UPDATE log SET body = CAST(body || x'00' AS BLOB) WHERE position = 1");
    let store = folder.open();
    assert_eq!(read(&store, "a"), None);
    assert_eq!(read(&store, "b").unwrap(), b"y");
    assert!(matches!(
        commit(&store, None, |t| stage_append(t, "a", b"x")),
        Err(crate::CommitError::ReadOnly)
    ));
    assert!(store.tend(std::time::Duration::from_secs(100)).is_ok());
    assert!(folder.data("record.view.sqlite").exists());
    drop(store);
    // Restored from a copy, say.
    damage("UPDATE log SET body = substr(body, 1, length(body) - 1) WHERE position = 1");
    let store = folder.open();
    assert_eq!(read(&store, "a").unwrap(), b"x");
    append(&store, "a", b"!");
    assert!(!folder.data("record.view.sqlite").exists());
}

#[test]
fn no_permission_is_said_with_the_path() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    std::fs::create_dir_all(folder.data("")).unwrap();
    std::fs::set_permissions(folder.data(""), std::fs::Permissions::from_mode(0o555)).unwrap();
    match SqliteStore::open(folder.settings()) {
        Err(OpenError::NoPermission { path }) => assert!(path.starts_with(folder.data(""))),
        // Root may write everywhere.
        Ok(_) => assert!(std::fs::write(folder.data("probe"), b"").is_ok()),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn staged_files_of_nobody_are_cleared_at_open() {
    let folder = Folder::new();
    drop(folder.open());
    std::fs::write(folder.data("staging/torn"), b"garbage").unwrap();
    drop(folder.open());
    assert_eq!(folder.staged(), 0);
}

#[test]
fn after_close_writes_are_refused_and_reads_go_on() {
    let folder = Folder::new();
    let store = folder.open();
    append(&store, "a", b"x");
    store.close().unwrap();
    assert!(matches!(
        commit(&store, None, |t| stage_append(t, "a", b"y")),
        Err(crate::CommitError::ReadOnly)
    ));
    assert_eq!(read(&store, "a").unwrap(), b"x");
}
