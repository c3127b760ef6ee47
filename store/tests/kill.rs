//! A process that appends and reports what was acknowledged is killed at a random time, over and over; everything that it
//! reported is there, byte for byte, and nothing is there half.
//!
//! This program is its own child: with a folder as its argument it appends until it is killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pixelboy_store::{
    Admission, Announced, Blob, ClientId, KvNamespace, MediaPath, OperationId, OperationRecord,
    RequestDigest, Settings, SqliteStore, Store, UploadState,
};

const ROUNDS: u32 = 20;

/// Threads of the child, each with a client and a file of its own.
const WRITERS: u8 = 4;

fn main() {
    match std::env::args_os().nth(1) {
        Some(folder) if Path::new(&folder).is_dir() => write_until_killed(Path::new(&folder)),
        _ => kill_and_look(),
    }
}

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(Settings {
        reserve_bytes: 0,
        ..Settings::new(folder.join("data"))
    })
    .unwrap()
}

fn file(writer: u8) -> MediaPath {
    format!("log/{writer}.txt").parse().unwrap()
}

fn line(writer: u8, number: u64) -> Vec<u8> {
    format!(
        "{writer} wrote line {number} {}\n",
        "x".repeat((number % 300) as usize)
    )
    .into_bytes()
}

/// A picture that is replaced at every so many lines; larger than what travels in the record every other time.
fn picture(writer: u8, number: u64) -> Vec<u8> {
    let len = if number.is_multiple_of(20) {
        90_000
    } else {
        9_000
    };
    (0..len)
        .map(|at| (at as u64 * number + u64::from(writer)) as u8)
        .collect()
}

fn picture_path(writer: u8) -> MediaPath {
    format!("picture/{writer}.png").parse().unwrap()
}

fn operation(writer: u8, number: u64) -> OperationId {
    OperationId {
        client: ClientId([writer; 16]),
        number,
    }
}

fn space() -> KvNamespace {
    KvNamespace("count".into())
}

fn write_until_killed(folder: &Path) {
    let store = Arc::new(open(folder));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            std::thread::spawn(move || write(&*store, writer))
        })
        .collect();
    std::thread::spawn(move || {
        loop {
            store.tend(Duration::from_secs(20)).unwrap();
            std::thread::yield_now();
        }
    });
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
}

fn write(store: &dyn Store, writer: u8) {
    let record = store.client(ClientId([writer; 16])).unwrap();
    let mut number = record.map_or(0, |record| record.executed_through);
    loop {
        number += 1;
        if number.is_multiple_of(7) {
            let client = ClientId([writer; 16]);
            if let UploadState::Open(mut upload) = store
                .open_upload(client, number, Announced::default())
                .unwrap()
            {
                let at = upload.offset() as usize;
                upload.write(&picture(writer, number)[at..]).unwrap();
                upload
                    .finish(picture(writer, number).len() as u64, None)
                    .unwrap();
            }
        }
        let mut t = store.begin();
        t.append(&file(writer), &Blob::from_bytes(line(writer, number)))
            .unwrap();
        if number.is_multiple_of(7) {
            let upload = store.upload(ClientId([writer; 16]), number).unwrap();
            t.put(&picture_path(writer), &upload, "image", vec![])
                .unwrap();
        } else if number.is_multiple_of(5) {
            t.put(
                &picture_path(writer),
                &Blob::from_bytes(picture(writer, number)),
                "image",
                vec![],
            )
            .unwrap();
        }
        t.kv_set(&space(), &writer.to_string(), number.to_le_bytes().to_vec())
            .unwrap();
        let record = OperationRecord {
            operation: operation(writer, number),
            digest: RequestDigest([writer; 16]),
            reply: number.to_string().into_bytes(),
        };
        let position = store.commit(t, Some(record)).unwrap();
        store.wait(position).block().unwrap();
        // One write call, so that the line arrives whole or not at all.
        std::io::stdout()
            .lock()
            .write_all(format!("{writer} {number}\n").as_bytes())
            .unwrap();
        if number.is_multiple_of(50) {
            store.confirm(ClientId([writer; 16]), number - 25, &[]);
        }
    }
}

fn kill_and_look() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = [0u64; WRITERS as usize];
    let mut random = std::process::id().wrapping_mul(2_654_435_761) | 1;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        let lines = 1 + random % 400;
        let mut reports = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut take = |report: String| {
            let (writer, number) = report.split_once(' ').unwrap();
            acknowledged[writer.parse::<usize>().unwrap()] = number.parse().unwrap();
        };
        for _ in 0..lines {
            take(reports.next().expect("the child ended by itself").unwrap());
        }
        // In the middle of whatever it does now.
        child.kill().unwrap();
        child.wait().unwrap();
        // What it reported before it died counts too.
        reports.map_while(Result::ok).for_each(&mut take);
        look(folder.path(), &acknowledged, round);
    }
    println!(
        "test result: ok. {ROUNDS} kills, {} acknowledged lines",
        acknowledged.iter().sum::<u64>()
    );
}

fn look(folder: &Path, acknowledged: &[u64], round: u32) {
    let store = open(folder);
    for (writer, acknowledged) in (0..WRITERS).zip(acknowledged) {
        let mut t = store.begin();
        let count = t.kv_get(&space(), &writer.to_string()).unwrap();
        let count = count.map_or(0, |count| u64::from_le_bytes(count.try_into().unwrap()));
        assert!(
            count >= *acknowledged,
            "round {round}: {count} of {acknowledged} lines of {writer}"
        );
        let expected: Vec<u8> = (1..=count)
            .flat_map(|number| line(writer, number))
            .collect();
        let plain = std::fs::read(folder.join("data/media").join(file(writer).as_str()))
            .unwrap_or_default();
        assert!(
            plain == expected,
            "round {round}: the plain file of {writer} is not what was written"
        );
        let last = (1..=count)
            .rev()
            .find(|number| number.is_multiple_of(5) || number.is_multiple_of(7));
        if let Some(number) = last {
            let (entry, blob) = t.open(&picture_path(writer)).unwrap().unwrap();
            let mut found = Vec::new();
            std::io::Read::read_to_end(&mut blob.reader(), &mut found).unwrap();
            assert!(
                found == picture(writer, number),
                "round {round}: picture {number} of {writer}"
            );
            assert_eq!(entry.crc32c, crc32c::crc32c(&found));
        }
        if count > 0 {
            let known = store
                .admit(operation(writer, count), RequestDigest([writer; 16]))
                .unwrap();
            assert!(
                matches!(known, Admission::Recorded { reply, .. } if reply == count.to_string().into_bytes())
            );
            let next = store
                .admit(operation(writer, count + 1), RequestDigest([writer; 16]))
                .unwrap();
            assert_eq!(next, Admission::Run);
        }
    }
    // Whatever was half done is gone; unfinished uploads stay.
    let staged = std::fs::read_dir(folder.join("data/staging"))
        .unwrap()
        .count();
    assert!(
        staged <= usize::from(WRITERS),
        "round {round}: {staged} staged files"
    );
}
