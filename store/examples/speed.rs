//! How long the store takes beside SQLite alone: `cargo run --release -p pixelboy-store --example speed [FOLDER]`.

#![allow(clippy::unwrap_used, reason = "a measuring tool")]
#![allow(missing_docs, reason = "a measuring tool")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use pixelboy_store::{
    Blob, ClientId, KvNamespace, OperationId, OperationRecord, RequestDigest, Settings,
    SqliteStore, Store,
};

const ROUNDS: u32 = 2_000;

fn main() {
    let folder = match std::env::args_os().nth(1) {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let sqlite = rusqlite::Connection::open(folder.path().join("alone.sqlite")).unwrap();
    sqlite
        .query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
        .unwrap();
    sqlite
        .execute_batch("PRAGMA synchronous = FULL; CREATE TABLE t (n INTEGER PRIMARY KEY, b BLOB)")
        .unwrap();
    let text = [b'x'; 100];
    report("SQLite alone, one INSERT of 100 bytes", ROUNDS, |n| {
        sqlite
            .prepare_cached("INSERT INTO t VALUES (?1, ?2)")
            .unwrap()
            .execute((n, &text[..]))
            .unwrap();
    });

    let store = Arc::new(SqliteStore::open(Settings::new(folder.path().join("data"))).unwrap());
    let tending = {
        let store = store.clone();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            while stopped
                .recv_timeout(Duration::from_secs(1))
                .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                store.tend(Duration::from_secs(1)).unwrap();
            }
        });
        (stop, thread)
    };
    report("begin and drop", 1_000_000, |_| {
        drop(std::hint::black_box(store.begin()))
    });
    report("append of 100 bytes, commit and wait", ROUNDS, |n| {
        append(&*store, 1, u64::from(n) + 1)
    });
    report("stat of a file in the tables", 20_000, |_| {
        store
            .begin()
            .stat(&"1.txt".parse().unwrap())
            .unwrap()
            .unwrap();
    });
    report("set of a key, commit and wait", ROUNDS, |n| {
        let mut t = store.begin();
        t.kv_set(&KvNamespace("k".into()), "key", n.to_le_bytes().to_vec())
            .unwrap();
        store.wait(store.commit(t, None).unwrap()).block().unwrap();
    });
    let started = Instant::now();
    let threads: Vec<_> = (2..66u8)
        .map(|client| {
            let store = store.clone();
            std::thread::spawn(move || (1..=500).for_each(|n| append(&*store, client, n)))
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    println!(
        "{:50} {:10.0} a second",
        "64 threads that append",
        64.0 * 500.0 / started.elapsed().as_secs_f64()
    );
    let big = vec![7; 8 << 20];
    report("upload of 8 MiB", 10, |n| {
        let upload = store
            .open_upload(ClientId([1; 16]), u64::from(n) + 1, Default::default())
            .unwrap();
        let pixelboy_store::UploadState::Open(mut upload) = upload else {
            return;
        };
        big.chunks(65_536)
            .for_each(|chunk| upload.write(chunk).unwrap());
        upload.finish(big.len() as u64, None).unwrap();
        let mut t = store.begin();
        t.put(
            &"big".parse().unwrap(),
            &store.upload(ClientId([1; 16]), u64::from(n) + 1).unwrap(),
            "audio",
            vec![],
        )
        .unwrap();
        store.wait(store.commit(t, None).unwrap()).block().unwrap();
    });
    drop(tending.0);
    tending.1.join().unwrap();
}

fn append(store: &dyn Store, client: u8, number: u64) {
    let mut t = store.begin();
    t.append(
        &format!("{client}.txt").parse().unwrap(),
        &Blob::from_bytes(vec![b'x'; 100]),
    )
    .unwrap();
    let record = OperationRecord {
        operation: OperationId {
            client: ClientId([client; 16]),
            number,
        },
        digest: RequestDigest([1; 16]),
        reply: vec![1; 40],
    };
    let position = store.commit(t, Some(record)).unwrap();
    store.wait(position).block().unwrap();
    store.confirm(ClientId([client; 16]), number, &[]);
}

fn report(what: &str, rounds: u32, mut work: impl FnMut(u32)) {
    let mut times: Vec<Duration> = Vec::with_capacity(rounds as usize);
    let all = Instant::now();
    for n in 0..rounds {
        let started = Instant::now();
        work(n);
        times.push(started.elapsed());
    }
    let mean = all.elapsed() / rounds;
    times.sort_unstable();
    let at = |part: f64| {
        times
            .get((times.len() as f64 * part) as usize)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{what:50} median {:>10?}  p99 {:>10?}  mean {mean:>10?}",
        at(0.5),
        at(0.99)
    );
}
