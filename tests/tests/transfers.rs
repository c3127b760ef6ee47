//! Transfers: any chunks, every mistake, resuming both ways, and sizes that must not cost memory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::{Duration, Instant};

use harness::wire::Digesting;
use harness::{Identity, Setup, Wire, args, files, media, process, sha256_hex, text_field, wav};
use pixelboy_protocol::{
    Abort, Blob, Code, Credit, Data, Frame, OpenDownload, OpenState, OpenUpload, Outcome, Value,
    limits,
};

/// Sends an upload's first bytes; returns when the host has taken them.
#[track_caller]
fn send_part(wire: &mut Wire, transfer: u64, bytes: &[u8], upto: usize) {
    let (offset, limit) = wire.begin_upload(
        transfer,
        Some(bytes.len() as u64),
        Some(files::sha256(bytes)),
    );
    wire.send_from(transfer, &bytes[..upto], offset, limit, 10_000);
    settle(wire);
}

/// Returns when the host has read everything that was sent.
#[track_caller]
fn settle(wire: &mut Wire) {
    wire.send(pixelboy_protocol::Ping { token: 77 });
    wire.wait("Pong", |frame| {
        matches!(frame, Frame::Pong(_)).then_some(())
    });
}

#[track_caller]
fn aborted(wire: &mut Wire, transfer: u64) -> Abort {
    wire.wait("Abort", |frame| match frame {
        Frame::Abort(abort) if abort.transfer == transfer => Some(abort.clone()),
        _ => None,
    })
}

/// Text of a length, not the same everywhere.
fn text(bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|n| b'a' + (n % 23) as u8 + u8::from(n % 1_000 == 0))
        .collect()
}

#[test]
fn chunks_of_any_size_make_the_same_file() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    for (chunk, bytes) in [
        (1, 3_000),
        (7, 20_000),
        (4_096, 500_000),
        (65_535, 500_000),
        (65_536, 700_000),
    ] {
        let text = text(bytes);
        let upload = wire.upload_in_chunks(&text, chunk);
        wire.call("ss", args!["text.txt", upload, "w"]);
        assert!(daemon.on_disk("text.txt") == text, "in chunks of {chunk}");
    }
    // Sizes mixed.
    let text = text(100_000);
    let transfer = wire.next_transfer();
    wire.begin_upload(transfer, None, None);
    let mut at = 0;
    for size in [1, 60_000, 2, 39_997] {
        wire.send_chunk(transfer, at as u64, &text[at..at + size]);
        at += size;
    }
    wire.finish(transfer, 100_000, files::sha256(&text))
        .unwrap();
    wire.call("ss", args!["text.txt", Value::Upload(transfer), "w"]);
    assert!(daemon.on_disk("text.txt") == text);
}

#[test]
fn nothing_can_be_uploaded_too() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let upload = wire.upload(&[]);
    wire.call("ss", args!["empty.txt", upload, "w"]);
    assert_eq!(daemon.on_disk("empty.txt"), b"");
    let got = wire.call("get", args!["empty.txt"]);
    assert_eq!(wire.bytes(&got[0]), b"");
}

#[test]
fn a_wrong_chunk_closes_the_connection_and_the_part_before_it_stays() {
    let daemon = Setup::new().start();
    let text = text(600_000);
    type Mistake = fn(&mut Wire, u64, &[u8]);
    let mistakes: [(&str, Mistake); 4] = [
        ("an empty chunk", |wire, transfer, _| {
            wire.send_chunk(transfer, 50_000, b"")
        }),
        ("a wrong checksum", |wire, transfer, text| {
            let mut data = Data::new(transfer, 50_000, &text[50_000..51_000]);
            data.crc32c ^= 1;
            wire.send(data);
        }),
        ("a gap", |wire, transfer, text| {
            wire.send_chunk(transfer, 50_001, &text[50_001..51_000])
        }),
        ("an overlap", |wire, transfer, text| {
            wire.send_chunk(transfer, 49_999, &text[49_999..51_000])
        }),
    ];
    for (what, mistake) in mistakes {
        let mut wire = daemon.client();
        let transfer = wire.next_transfer();
        send_part(&mut wire, transfer, &text, 50_000);
        mistake(&mut wire, transfer, &text);
        let close = wire.closed_with(Code::BadChunk);
        assert!(
            close.message.contains(&transfer.to_string()),
            "{what}: {close:?}"
        );
        let mut wire = daemon.client_again(&wire.id);
        let digest = files::sha256(&text);
        let (offset, limit) = wire.begin_upload(transfer, Some(600_000), Some(digest));
        assert_eq!(offset, 50_000, "{what}");
        wire.send_from(transfer, &text, offset, limit, 65_536);
        wire.finish(transfer, 600_000, digest).unwrap();
        wire.call("ss", args!["text.txt", Value::Upload(transfer), "w"]);
        assert!(daemon.on_disk("text.txt") == text, "{what}");
    }
}

/// 128 MiB are sent without waiting for credit. A host that writes as fast as it reads may keep giving some, but not
/// so that there are never more than 256 KiB that it did not write.
#[test]
fn chunks_beyond_the_credit_close_the_connection() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let transfer = wire.next_transfer();
    let (_, limit) = wire.begin_upload(transfer, None, None);
    assert_eq!(limit, limits::UPLOAD_CREDIT_BYTES);
    let chunk = text(limits::CHUNK_BYTES);
    let mut bytes = Vec::new();
    for at in 0..2_048 {
        bytes.clear();
        Data::new(transfer, at * limits::CHUNK_BYTES as u64, &chunk)
            .encode(&mut bytes)
            .unwrap();
        if wire.try_send_raw(&bytes).is_err() {
            break;
        }
    }
    wire.closed_with(Code::BadChunk);
}

#[test]
fn other_bytes_than_announced_are_refused_and_dropped() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let text = text(100_000);
    let right = files::sha256(&text);
    let wrong = files::sha256(b"other");
    let name = |digest: Option<[u8; 32]>| match digest {
        None => "no digest",
        Some(digest) if digest == right => "the right digest",
        Some(_) => "a wrong digest",
    };
    // (announced length and digest, those of Finish)
    for (length, digest, last_length, last_digest) in [
        (None, None, 100_000, wrong),
        (None, None, 99_999, right),
        (Some(100_000), Some(wrong), 100_000, wrong),
        (Some(100_000), Some(wrong), 100_000, right),
        (Some(100_001), Some(right), 100_000, right),
    ] {
        let transfer = wire.next_transfer();
        let (_, limit) = wire.begin_upload(transfer, length, digest);
        wire.send_from(transfer, &text, 0, limit, 65_536);
        let case = format!(
            "announced {length:?} and {}, finished with {last_length} and {}",
            name(digest),
            name(Some(last_digest))
        );
        let ended = wire.finish(transfer, last_length, last_digest);
        let abort = ended.expect_err(&case);
        assert_eq!(abort.code, Code::DigestMismatch, "{case}: {abort:?}");
        let failure = wire.call_failing("ss", args!["text.txt", Value::Upload(transfer)]);
        assert!(
            matches!(failure.code, Code::UploadUnknown | Code::UploadNotReady),
            "{failure}"
        );
        let (offset, _) = wire.begin_upload(transfer, length, digest);
        wire.send(Abort::new(transfer, Code::Cancelled, "enough"));
        assert_eq!(offset, 0, "{case}: the part is not dropped");
    }
    assert!(!daemon.stored("text.txt").exists());
}

#[test]
fn an_upload_can_be_named_when_it_is_finished_and_used_once() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let text = text(80_000);
    let by = |wire: &mut Wire, upload: u64| {
        wire.call_reply("ss", args!["text.txt", Value::Upload(upload), "w"])
            .outcome
    };
    let code = |outcome: Outcome| match outcome {
        Outcome::Failed(failure) => Some(failure.code),
        Outcome::Done(_) => None,
    };
    assert_eq!(code(by(&mut wire, 700)), Some(Code::UploadUnknown));
    let transfer = wire.next_transfer();
    send_part(&mut wire, transfer, &text, 10_000);
    assert_eq!(code(by(&mut wire, transfer)), Some(Code::UploadNotReady));
    wire.send_from(transfer, &text, 10_000, 200_000, 65_536);
    wire.finish(transfer, 80_000, files::sha256(&text)).unwrap();

    // An operation that fails leaves it usable.
    let failure = wire.call_failing("ss", args!["../out", Value::Upload(transfer)]);
    assert_eq!(failure.code, Code::BadPath);
    let failure = wire.call_failing("si", args![Value::Upload(transfer), "a.png"]);
    assert_eq!(failure.code, Code::UnsupportedMedia);
    // Another client's numbers are its own.
    let failure = daemon
        .client()
        .call_failing("ss", args!["text.txt", Value::Upload(transfer)]);
    assert_eq!(failure.code, Code::UploadUnknown);

    let number = wire.id.next_number;
    assert_eq!(code(by(&mut wire, transfer)), None);
    assert!(daemon.on_disk("text.txt") == text);
    assert_eq!(code(by(&mut wire, transfer)), Some(Code::UploadConsumed));
    let opened = wire
        .open_upload(transfer, Some(80_000), Some(files::sha256(&text)))
        .unwrap();
    assert_eq!(opened.state, OpenState::Consumed { number });
    // One upload named twice in a request is used once.
    let upload = wire.upload(b"twice");
    let failure = wire.call_failing("ss", args![upload.clone(), upload]);
    assert_eq!(
        failure.code,
        Code::BadArguments,
        "a path is no upload: {failure}"
    );
}

#[test]
fn reopening_tells_where_it_stands() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let text = text(300_000);
    let digest = files::sha256(&text);
    let transfer = wire.next_transfer();
    send_part(&mut wire, transfer, &text, 120_000);
    // Moving on this connection: that is a mistake.
    wire.send(OpenUpload {
        transfer,
        length: Some(300_000),
        sha256: Some(digest),
        mode: OpenUpload::STORED,
    });
    wire.closed_with(Code::BadNumber);

    let mut wire = daemon.client_again(&wire.id);
    let (offset, _) = wire.begin_upload(transfer, Some(300_000), Some(digest));
    assert_eq!(offset, 120_000);
    // Under another number, with the same length and digest, it takes the part over.
    let mut wire = daemon.client_again(&wire.break_off());
    let other = wire.next_transfer();
    let (offset, limit) = wire.begin_upload(other, Some(300_000), Some(digest));
    assert_eq!(offset, 120_000);
    wire.send_from(other, &text, offset, limit, 65_536);
    wire.finish(other, 300_000, digest).unwrap();
    let opened = wire
        .open_upload(other, Some(300_000), Some(digest))
        .unwrap();
    assert_eq!(opened.state, OpenState::Complete);
    // Complete, it can't become another one.
    let abort = wire
        .open_upload(other, Some(300_001), Some(digest))
        .unwrap_err();
    assert_eq!(abort.code, Code::NumberReused);
    wire.call("ss", args!["text.txt", Value::Upload(other), "w"]);
    assert!(daemon.on_disk("text.txt") == text);
    let abort = wire
        .open_upload(other, Some(300_001), Some(digest))
        .unwrap_err();
    assert_eq!(abort.code, Code::NumberReused);

    // Unfinished, with another length, it begins anew.
    let transfer = wire.next_transfer();
    send_part(&mut wire, transfer, &text, 50_000);
    let mut wire = daemon.client_again(&wire.break_off());
    let (offset, _) = wire.begin_upload(transfer, Some(299_999), Some(digest));
    assert_eq!(offset, 0);
}

#[test]
fn an_aborted_upload_is_gone() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let text = text(100_000);
    let transfer = wire.next_transfer();
    send_part(&mut wire, transfer, &text, 40_000);
    wire.send(Abort::new(transfer, Code::Cancelled, "enough"));
    // What crosses it is ignored.
    wire.send_chunk(transfer, 40_000, &text[40_000..50_000]);
    // Uploads stand outside the order of operations: it may take a moment.
    let begun = Instant::now();
    loop {
        let failure = wire.call_failing("ss", args!["text.txt", Value::Upload(transfer)]);
        if failure.code == Code::UploadUnknown {
            break;
        }
        assert_eq!(failure.code, Code::UploadNotReady, "{failure}");
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "it is not dropped"
        );
    }
    let mut wire = daemon.client_again(&wire.break_off());
    let (offset, _) = wire.begin_upload(transfer, Some(100_000), Some(files::sha256(&text)));
    assert_eq!(offset, 0);
}

#[test]
fn what_is_not_offered_or_does_not_fit_is_refused_at_open() {
    let daemon = Setup::new().store("media_quota_mib = 2").start();
    let mut wire = daemon.client();
    let transfer = wire.next_transfer();
    wire.send(OpenUpload {
        transfer,
        length: None,
        sha256: None,
        mode: OpenUpload::LIVE,
    });
    assert_eq!(wire.opened(transfer).unwrap_err().code, Code::Unsupported);
    let transfer = wire.next_transfer();
    let abort = wire.open_upload(transfer, Some(3 << 20), None).unwrap_err();
    assert_eq!(abort.code, Code::NoSpace, "over the quota: {abort:?}");
    assert!(abort.message.len() > 10);
    let transfer = wire.next_transfer();
    let abort = wire.open_upload(transfer, Some(1 << 60), None).unwrap_err();
    assert_eq!(abort.code, Code::NoSpace, "{abort:?}");
    // The quota counts what is stored.
    let first = wire.upload(&text(1 << 20));
    wire.call("ss", args!["first.txt", first]);
    let transfer = wire.next_transfer();
    let abort = wire
        .open_upload(transfer, Some((1 << 20) + (1 << 19)), None)
        .unwrap_err();
    assert_eq!(abort.code, Code::NoSpace, "{abort:?}");
    wire.call("del", args!["first.txt"]);
    let fits = wire.upload(&text((1 << 20) + (1 << 19)));
    wire.call("ss", args!["second.txt", fits]);
    // Without a length announced it shows later; nothing is stored then.
    let transfer = wire.next_transfer();
    let (_, limit) = wire.begin_upload(transfer, None, None);
    let long = text(2 << 20);
    let read = |at: u64, into: &mut [u8]| {
        into.copy_from_slice(&long[at as usize..at as usize + into.len()]);
    };
    let sent = wire.stream(transfer, 0..2 << 20, limit, 65_536, read, |_, _| {});
    match sent.and_then(|()| wire.finish(transfer, 2 << 20, files::sha256(&long))) {
        Ok(_) => {
            let failure = wire.call_failing("ss", args!["long.txt", Value::Upload(transfer)]);
            assert_eq!(failure.code, Code::NoSpace, "{failure}");
        }
        Err(abort) => assert_eq!(abort.code, Code::NoSpace, "{abort:?}"),
    }
    assert!(!daemon.stored("long.txt").exists());
}

/// SPEC allows 64 unfinished uploads of a client; over it the one that rested longest goes.
#[test]
fn sixty_four_unfinished_uploads_are_kept_and_the_oldest_goes_for_one_more() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let text = text(1_000);
    for transfer in 1..=65 {
        send_part(&mut wire, transfer, &text[..1_000 - transfer as usize], 100);
        if transfer % 8 == 0 {
            // They rest.
            wire = daemon.client_again(&wire.break_off());
        }
    }
    let mut wire = daemon.client_again(&wire.break_off());
    let stands = |wire: &mut Wire, transfer: u64| {
        let part = &text[..1_000 - transfer as usize];
        wire.begin_upload(transfer, Some(part.len() as u64), Some(files::sha256(part)))
            .0
    };
    for transfer in [2, 3, 64, 65] {
        assert_eq!(stands(&mut wire, transfer), 100, "upload {transfer}");
    }
    assert_eq!(stands(&mut wire, 1), 0, "the oldest has gone");
}

#[test]
fn a_client_may_have_sixty_four_uploads_open_on_one_connection() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    for transfer in 1..=64 {
        let opened = wire.open_upload(transfer, Some(100), None);
        assert!(opened.is_ok(), "upload {transfer}: {opened:?}");
    }
    for transfer in 1..=64 {
        wire.send_chunk(transfer, 0, &[b'x'; 100]);
        wire.finish(transfer, 100, files::sha256(&[b'x'; 100]))
            .unwrap();
    }
}

#[test]
fn two_clients_store_under_one_name_at_once_and_one_of_them_is_there_whole() {
    let daemon = Setup::new().start();
    let pictures: Vec<Vec<u8>> = (0..2u8).map(|shade| wide_bmp(shade * 100)).collect();
    let path = "same.bmp";
    std::thread::scope(|scope| {
        for picture in &pictures {
            let daemon = &daemon;
            scope.spawn(move || {
                let mut wire = daemon.client();
                for _ in 0..5 {
                    let upload = wire.upload(picture);
                    let said = wire.call_one("si", args![upload, path]);
                    assert_eq!(
                        text_field(&said, "sha256"),
                        sha256_hex(picture),
                        "told of the other's picture"
                    );
                    let got = wire.call("get", args![path]);
                    let bytes = wire.bytes(&got[0]);
                    assert_eq!(
                        text_field(&got[1], "sha256"),
                        sha256_hex(&bytes),
                        "bytes and facts are of two files"
                    );
                }
            });
        }
    });
    let bytes = daemon.on_disk(path);
    assert!(pictures.contains(&bytes), "neither the one nor the other");
    let told = daemon.client().call_one("stat", args![path]);
    assert_eq!(text_field(&told, "sha256"), sha256_hex(&bytes));
}

fn wide_bmp(shade: u8) -> Vec<u8> {
    let picture = harness::panel::plain(400, 300, [shade; 3]);
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, image::ImageFormat::Bmp)
        .unwrap();
    bytes.into_inner()
}

#[track_caller]
fn blob_of(wire: &mut Wire, path: &str) -> Blob {
    match wire.call("get", args![path]).remove(0) {
        Value::Blob(blob) => blob,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_download_goes_on_from_any_offset() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let text = text(900_000);
    let upload = wire.upload(&text);
    wire.call("ss", args!["text.txt", upload]);
    let blob = blob_of(&mut wire, "text.txt");
    assert_eq!((blob.length, blob.form), (900_000, Blob::BYTES));
    // Half of it, then the connection breaks.
    let transfer = wire.next_transfer();
    wire.send(OpenDownload {
        transfer,
        blob: blob.id,
        offset: 0,
        limit: 450_000,
    });
    wire.opened(transfer).unwrap();
    let mut had = Vec::new();
    while had.len() < 450_000 {
        let chunk = wire.wait("Data", |frame| match frame {
            Frame::Data(data) if data.transfer == transfer => {
                assert!(data.is_intact() && data.chunk.len() <= limits::CHUNK_BYTES);
                assert_eq!(data.offset, had.len() as u64);
                Some(data.chunk.to_owned())
            }
            _ => None,
        });
        had.extend(chunk);
    }
    assert_eq!(had.len(), 450_000, "it sent beyond the credit");
    let mut wire = daemon.client_again(&wire.break_off());
    let digest = wire.download(&blob, 450_000, |part| had.extend_from_slice(part));
    assert!(had == text);
    assert_eq!(digest, files::sha256(&text), "the digest is of the whole");
    for offset in [0, 1, 65_536, 899_999, 900_000] {
        let mut rest = Vec::new();
        wire.download(&blob, offset, |part| rest.extend_from_slice(part));
        assert!(rest == text[offset as usize..], "from {offset}");
    }
    // What was fetched once stays what it was, whatever happens to the name.
    wire.call("ss", args!["text.txt", "another", "w"]);
    wire.call("del", args!["text.txt"]);
    let mut again = Vec::new();
    wire.download(&blob, 0, |part| again.extend_from_slice(part));
    assert!(again == text);
}

#[test]
fn a_recorded_reply_names_the_same_bytes_after_a_broken_connection() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let text = text(200_000);
    let upload = wire.upload(&text);
    wire.call("ss", args!["text.txt", upload]);
    let get = wire.request("get", args!["text.txt"]);
    let first = wire.exchange(get.clone());
    let mut wire = daemon.client_again(&wire.break_off());
    let again = wire.exchange(get);
    assert!(again.recorded);
    assert_eq!(again.outcome, first.outcome);
    let Outcome::Done(values) = again.outcome else {
        panic!()
    };
    assert!(wire.bytes(&values[0]) == text);
}

/// The record outlives the session, and so do the bytes that its replies name.
#[test]
fn a_recorded_reply_names_the_same_bytes_after_the_session_too() {
    let daemon = Setup::new().host("session_grace_s = 0.2").start();
    let mut wire = daemon.client();
    let text = text(200_000);
    let upload = wire.upload(&text);
    wire.call("ss", args!["text.txt", upload]);
    let get = wire.request("get", args!["text.txt"]);
    let first = wire.exchange(get.clone());
    let id = wire.break_off();
    std::thread::sleep(Duration::from_millis(600));
    let mut wire = daemon.client_again(&id);
    assert!(!wire.welcome().resumed);
    let again = wire.exchange(get);
    assert!(again.recorded);
    assert_eq!(again.outcome, first.outcome);
    let Outcome::Done(values) = again.outcome else {
        panic!()
    };
    assert!(wire.bytes(&values[0]) == text);
}

/// Sixteen downloads move at a time over a slow reader; each arrives whole and in order.
#[test]
fn many_downloads_at_once_all_arrive_whole() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let text = text(2 << 20);
    let upload = wire.upload(&text);
    wire.call("ss", args!["text.txt", upload]);
    let blob = blob_of(&mut wire, "text.txt");
    let first = wire.id.next_transfer;
    for _ in 0..16 {
        let transfer = wire.next_transfer();
        wire.send(OpenDownload {
            transfer,
            blob: blob.id,
            offset: 0,
            limit: blob.length,
        });
    }
    // So that everything between the two is full.
    std::thread::sleep(Duration::from_millis(300));
    let mut had = [0; 16];
    let mut ended = 0;
    while ended < 16 {
        let finished = wire.wait("Data or Finish", |frame| match frame {
            Frame::Data(data) => {
                let at = &mut had[(data.transfer - first) as usize];
                assert_eq!(
                    data.offset, *at as u64,
                    "a gap in download {}",
                    data.transfer
                );
                assert!(data.is_intact());
                assert!(text[*at..*at + data.chunk.len()] == *data.chunk);
                *at += data.chunk.len();
                Some(false)
            }
            Frame::Finish(finish) => {
                assert_eq!(had[(finish.transfer - first) as usize], text.len());
                Some(true)
            }
            Frame::Abort(abort) => panic!("{abort:?}"),
            _ => None,
        });
        ended += usize::from(finished);
    }
}

/// A backup reads every file of a device; what its replies hold must not use up the host's files.
#[test]
fn a_thousand_large_replies_do_not_use_up_the_host() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let upload = wire.upload(&text(100_000));
    wire.call("ss", args!["text.txt", upload]);
    let mut last = None;
    for _ in 0..1_100 {
        last = wire.call("get", args!["text.txt"]).into_iter().next();
        wire.confirmed = wire.id.next_number - 1;
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid()))
        .unwrap()
        .count();
    println!("{open} files are open in the host");
    assert!(open < 400, "{open} files are open in the host");
    assert_eq!(
        wire.bytes(&last.unwrap()).len(),
        100_000,
        "the newest can be fetched"
    );
    daemon.client().call("ss", args!["other.txt", "works"]);
}

#[test]
fn a_download_that_can_not_be_is_refused() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let upload = wire.upload(&text(200_000));
    wire.call("ss", args!["text.txt", upload]);
    let blob = blob_of(&mut wire, "text.txt");
    let refused = |wire: &mut Wire, blob: u64, offset: u64| {
        let transfer = wire.next_transfer();
        wire.send(OpenDownload {
            transfer,
            blob,
            offset,
            limit: 1_000_000,
        });
        wire.opened(transfer).unwrap_err().code
    };
    assert_eq!(refused(&mut wire, blob.id ^ 2, 0), Code::BlobGone);
    assert_ne!(refused(&mut wire, blob.id, 200_001), Code::BlobGone);
    // Another client can't fetch by guessing the id.
    assert_eq!(refused(&mut daemon.client(), blob.id, 0), Code::BlobGone);
    // Stopped by the client: nothing more comes, and the connection goes on.
    let transfer = wire.next_transfer();
    wire.send(OpenDownload {
        transfer,
        blob: blob.id,
        offset: 0,
        limit: 65_536,
    });
    wire.opened(transfer).unwrap();
    wire.send(Abort::new(transfer, Code::Cancelled, "enough"));
    wire.send(Credit {
        transfer,
        limit: 1_000_000,
    });
    settle(&mut wire);
    let after = wire.listen(Duration::from_millis(200));
    let bytes: usize = after.iter().map(|(_, body)| body.len()).sum();
    assert!(bytes < 66_000, "{bytes} bytes came after the abort");
    wire.call("status", args![]);
}

#[test]
fn a_request_passes_the_chunks_that_wait() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let upload = wire.upload(&text(8 << 20));
    wire.call("ss", args!["text.txt", upload]);
    let blob = blob_of(&mut wire, "text.txt");
    let transfer = wire.next_transfer();
    wire.send(OpenDownload {
        transfer,
        blob: blob.id,
        offset: 0,
        limit: 8 << 20,
    });
    let number = wire.ask("status", args![]);
    let mut before = 0;
    loop {
        let ended = wire.wait("Reply", |frame| match frame {
            Frame::Reply(reply) if reply.number == number => Some(true),
            Frame::Data(_) => Some(false),
            _ => None,
        });
        if ended {
            break;
        }
        before += 1;
    }
    // The kernel's buffers hold some of what was sent before.
    println!("{before} of 128 chunks came before the reply");
    assert!(before < 128, "the reply waited for the whole download");
}

#[test]
fn sixty_four_mib_go_there_and_back() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let sound = wav::Endless::new(64 << 20);
    let begun = Instant::now();
    let digest = upload_endless(&mut wire, &sound, |_, _| {});
    let sent = begun.elapsed();
    let said = wire.call_one("sm", args![44_100, Value::Upload(1), "long.wav"]);
    println!("64 MiB up in {sent:?}, stored after {:?}", begun.elapsed());
    assert_eq!(text_field(&said, "sha256"), hex::encode(digest));
    let mut on_disk = Digesting::default();
    on_disk.add(&daemon.on_disk("long.wav"));
    assert_eq!(on_disk.end(), digest);
    let blob = blob_of(&mut wire, "long.wav");
    let begun = Instant::now();
    let mut fetched = Digesting::default();
    let told = wire.download(&blob, 0, |part| fetched.add(part));
    println!("64 MiB down in {:?}", begun.elapsed());
    assert_eq!((told, fetched.end()), (digest, digest));
}

/// Uploads under the next number; `between` is called after each chunk.
fn upload_endless(
    wire: &mut Wire,
    sound: &wav::Endless,
    between: impl FnMut(&mut Wire, u64),
) -> [u8; 32] {
    let transfer = wire.next_transfer();
    let (_, limit) = wire.begin_upload(transfer, Some(sound.len()), None);
    let mut digest = Digesting::default();
    let read = |at: u64, into: &mut [u8]| {
        sound.read_at(at, into);
        digest.add(into);
    };
    wire.stream(
        transfer,
        0..sound.len(),
        limit,
        limits::CHUNK_BYTES,
        read,
        between,
    )
    .unwrap();
    let digest = digest.end();
    let finished = wire.finish(transfer, sound.len(), digest).unwrap();
    assert_eq!(finished.sha256, digest);
    digest
}

/// A GiB must cost the host no memory, and `pm` on the same connection must not wait for it: the aim is 100 ms; a busy
/// machine may take 400, or 1,000 for one in twenty.
#[test]
fn a_gibibyte_costs_no_memory_and_pause_is_answered_meanwhile() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let music = wav::tone(120.0, 8_000, 440.0);
    let upload = wire.upload(&music);
    wire.call("sm", args![0, upload, "music.wav"]);
    wire.call("rm", args!["music.wav"]);
    // Once around, so that buffers and threads that everybody needs are there.
    let small = wire.upload(&text(4 << 20));
    wire.call("ss", args!["text.txt", small]);

    let sound = wav::Endless::new(1 << 30);
    let before = process::memory(daemon.pid());
    let (mut peak_kib, mut peak_resident_kib) = (before.own_kib, before.resident_kib);
    let mut asked: Option<(u64, Instant)> = None;
    let mut took: Vec<Duration> = Vec::new();
    let mut pause = true;
    let begun = Instant::now();
    upload_endless(&mut wire, &sound, |wire, at| {
        if at % (8 << 20) == 0 {
            let now = process::memory(daemon.pid());
            peak_kib = peak_kib.max(now.own_kib);
            peak_resident_kib = peak_resident_kib.max(now.resident_kib);
        }
        match asked {
            Some((number, since)) => {
                // Looks only; the time counts from when it was sent.
                if let Ok(reply) = wire.try_reply(number, Duration::from_micros(1)) {
                    assert!(
                        matches!(reply.outcome, Outcome::Done(_)),
                        "{:?}",
                        reply.outcome
                    );
                    took.push(since.elapsed());
                    asked = None;
                }
            }
            None if at % (16 << 20) == 0 => {
                let op = if pause { "pm" } else { "um" };
                pause = !pause;
                asked = Some((wire.ask(op, args![]), Instant::now()));
            }
            None => {}
        }
    });
    let uploaded = begun.elapsed();
    let begun = Instant::now();
    wire.call(
        "sm",
        args![
            44_100,
            Value::Upload(wire.id.next_transfer - 1),
            "gibibyte.wav"
        ],
    );
    let stored = begun.elapsed();
    let now = process::memory(daemon.pid());
    peak_kib = peak_kib.max(now.own_kib);
    peak_resident_kib = peak_resident_kib.max(now.resident_kib);
    took.sort();
    let growth_mib = (peak_kib - before.own_kib) as f64 / 1024.0;
    println!(
        "1 GiB up in {uploaded:?}, probed and stored in {stored:?}; RssAnon grew by {growth_mib:.1} MiB (VmRSS by {:.1}); \
         {} pauses and resumes: median {:?}, slowest {:?} (aim: 100 ms)",
        (peak_resident_kib - before.resident_kib) as f64 / 1024.0,
        took.len(),
        took[took.len() / 2],
        took.last().unwrap(),
    );
    assert!(growth_mib < 16.0, "RssAnon grew by {growth_mib:.1} MiB");
    assert!(took.len() >= 20, "only {} were answered", took.len());
    assert!(
        took[took.len() * 19 / 20] < Duration::from_millis(400),
        "{took:?}"
    );
    assert!(*took.last().unwrap() < Duration::from_secs(1), "{took:?}");
    let told = wire.call_one("stat", args!["gibibyte.wav"]);
    assert_eq!(told.get("size"), Some(&Value::Int(1 << 30)));
    assert_eq!(
        std::fs::metadata(daemon.stored("gibibyte.wav"))
            .unwrap()
            .len(),
        1 << 30
    );
}

#[test]
fn an_upload_of_another_run_of_the_client_goes_on() {
    let daemon = Setup::new().start();
    let bytes = [media("music.mp3"), vec![0; 400_000]].concat();
    let id = Identity::new();
    let mut wire = daemon.client_again(&id);
    let transfer = wire.next_transfer();
    send_part(&mut wire, transfer, &bytes, 200_000);
    // The program starts anew and knows its id and its next numbers, not what it sent.
    let later = Identity {
        next_transfer: 50,
        ..wire.break_off()
    };
    let mut wire = daemon.client_again(&later);
    let transfer = wire.next_transfer();
    let (offset, _) = wire.begin_upload(
        transfer,
        Some(bytes.len() as u64),
        Some(files::sha256(&bytes)),
    );
    assert_eq!(offset, 200_000);
}

#[test]
fn a_refused_upload_says_why() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let transfer = wire.next_transfer();
    wire.begin_upload(transfer, Some(10), None);
    wire.send_chunk(transfer, 0, b"0123456789");
    wire.send_chunk(transfer, 10, b"more than it announced");
    wire.send(pixelboy_protocol::Finish {
        transfer,
        length: 32,
        sha256: [0; 32],
    });
    let abort = aborted(&mut wire, transfer);
    assert_eq!(abort.code, Code::DigestMismatch, "{abort:?}");
    assert!(abort.message.len() > 10, "{abort:?}");
}

/// The same file twice at a time, as a client does that stores it under two names: neither takes the other's part away.
#[test]
fn the_same_bytes_can_be_uploaded_twice_at_once() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let text = text(200_000);
    let digest = files::sha256(&text);
    let [first, second] = [wire.next_transfer(), wire.next_transfer()];
    let (at, limit) = wire.begin_upload(first, Some(200_000), Some(digest));
    assert_eq!(at, 0);
    wire.send_from(first, &text[..90_000], 0, limit, 30_000);
    let begun = Instant::now();
    let (at, limit) = wire.begin_upload(second, Some(200_000), Some(digest));
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(1),
        "the second waited {took:?} for the first"
    );
    wire.send_from(second, &text[..150_000], at, limit, 30_000);
    wire.send_from(first, &text, 90_000, 262_144, 30_000);
    wire.send_from(second, &text, 150_000, 262_144, 30_000);
    for transfer in [first, second] {
        wire.finish(transfer, 200_000, digest).unwrap();
        let path = format!("{transfer}.txt");
        wire.call("ss", args![path.as_str(), Value::Upload(transfer)]);
        assert!(daemon.on_disk(&path) == text);
    }
}

/// Whatever another upload with the same announcement is doing: what is announced is what must come.
#[test]
fn an_announced_digest_holds_beside_an_upload_that_announced_the_same() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let text = text(100_000);
    let (right, wrong) = (files::sha256(&text), files::sha256(b"other"));
    let resting = wire.next_transfer();
    wire.begin_upload(resting, Some(100_000), Some(wrong));
    let transfer = wire.next_transfer();
    let (at, limit) = wire.begin_upload(transfer, Some(100_000), Some(wrong));
    assert_eq!(at, 0);
    wire.send_from(transfer, &text, 0, limit, 65_536);
    let ended = wire.finish(transfer, 100_000, right);
    assert_eq!(ended.unwrap_err().code, Code::DigestMismatch);
}

/// An upload that waits for its client holds no thread: however many stall, others go on.
#[test]
fn uploads_that_stall_hold_nobody_up() {
    let daemon = Setup::new().start();
    let text = text(300_000);
    let before = process::threads(daemon.pid());
    let mut stalled: Vec<Wire> = (0..4).map(|_| daemon.client()).collect();
    for wire in &mut stalled {
        for transfer in 1..=64 {
            wire.begin_upload(transfer, Some(300_000), None);
            wire.send_chunk(transfer, 0, &text[..10_000]);
        }
        settle(wire);
    }
    let begun = Instant::now();
    let mut wire = daemon.client();
    let upload = wire.upload(&text);
    wire.call("ss", args!["text.txt", upload]);
    let took = begun.elapsed();
    println!("beside 256 stalled uploads one took {took:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    // They stall on disk: what came is durable without more of it.
    for wire in &mut stalled {
        for _ in 0..64 {
            wire.wait("Durable", |frame| match frame {
                Frame::Durable(durable) if durable.offset == 10_000 => Some(()),
                _ => None,
            });
        }
    }
    // And they go on.
    for wire in &mut stalled {
        wire.send_from(7, &text, 10_000, 200_000, 65_536);
        wire.finish(7, 300_000, files::sha256(&text)).unwrap();
    }
    // Idle threads of the pool end by themselves; what must not be is a thread for each.
    let now = process::threads(daemon.pid());
    println!("{before} threads before, {now} now");
    assert!(now < before + 100, "{before} threads before, {now} now");
}

/// Those that wait for their turn go with their connection.
#[test]
fn uploads_of_a_connection_that_broke_leave_nothing_behind() {
    let daemon = Setup::new().host("session_grace_s = 0.1").start();
    daemon.client().call("status", args![]);
    let before = process::open_files(daemon.pid());
    let mut id = Identity::new();
    for round in 0..10 {
        let mut wire = daemon.client_again(&id);
        for transfer in 1..=64 {
            let sha256 = Some(files::sha256(&[round]));
            wire.send(OpenUpload {
                transfer,
                length: Some(1_000),
                sha256,
                mode: OpenUpload::STORED,
            });
        }
        id = wire.break_off();
    }
    let mut wire = daemon.client_again(&id);
    for transfer in 1..=64 {
        wire.send(Abort::new(transfer, Code::Cancelled, "enough"));
    }
    let upload = wire.upload(b"whole");
    wire.call("ss", args!["text.txt", upload]);
    wire.send(pixelboy_protocol::Goodbye {});
    wire.closed_with(Code::Closed);
    let begun = Instant::now();
    while process::open_files(daemon.pid()) > before {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{before} files were open before, {} are now",
            process::open_files(daemon.pid())
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A recorded reply may be asked for after a restart, when the bytes that it would name have changed.
#[test]
fn an_operation_that_wrote_names_no_blob_in_its_reply() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    let small = wire.call_one("noted", args!["small.txt", "small"]);
    assert_eq!(small, Value::Bytes(b"small".to_vec()));
    let upload = wire.upload(&text(200_000));
    wire.call("ss", args!["large.txt", upload]);
    let failure = wire.call_failing("noted", args!["large.txt", "more"]);
    assert_eq!(failure.code, Code::TooLarge, "{failure}");
    assert!(
        failure.message.contains("lab") && failure.message.contains("65536"),
        "{failure}"
    );
    assert_eq!(
        daemon.on_disk("large.txt").len(),
        200_000,
        "nothing of it happened"
    );
}

/// Chunks that were on their way when the upload was aborted, or opened again, belong to nothing.
#[test]
fn data_between_an_abort_and_the_next_opened_is_ignored() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let text = text(200_000);
    let digest = files::sha256(&text);
    let transfer = wire.next_transfer();
    send_part(&mut wire, transfer, &text, 50_000);
    wire.send(Abort::new(transfer, Code::Cancelled, "anew"));
    for at in [50_000, 60_000, 0] {
        wire.send_chunk(transfer, at, &text[at as usize..at as usize + 10_000]);
    }
    wire.send(pixelboy_protocol::Finish {
        transfer,
        length: 70_000,
        sha256: [0; 32],
    });
    let (offset, limit) = wire.begin_upload(transfer, Some(200_000), Some(digest));
    assert_eq!(offset, 0);
    wire.send_from(transfer, &text, 0, limit, 65_536);
    wire.finish(transfer, 200_000, digest).unwrap();
    // Behind its Finish too.
    wire.send_chunk(transfer, 0, &text[..100]);
    wire.call("ss", args!["text.txt", Value::Upload(transfer)]);
    assert!(daemon.on_disk("text.txt") == text);
}

/// A client that reads nothing is read on: what it asks is done.
#[test]
fn a_client_that_does_not_read_is_heard_all_the_same() {
    let daemon = Setup::new().start();
    let mut other = daemon.client();
    let upload = other.upload(&text(32 << 20));
    other.call("ss", args!["huge.txt", upload]);
    let mut deaf = daemon.client();
    let blob = blob_of(&mut deaf, "huge.txt");
    for _ in 0..4 {
        let transfer = deaf.next_transfer();
        deaf.send(OpenDownload {
            transfer,
            blob: blob.id,
            offset: 0,
            limit: 32 << 20,
        });
    }
    // Everything between the two is full of chunks; requests and uploads go on.
    let bytes = text(100_000);
    deaf.send(OpenUpload {
        transfer: 900,
        length: Some(100_000),
        sha256: None,
        mode: OpenUpload::STORED,
    });
    for n in 0..200 {
        deaf.ask("ss", args!["log.txt", format!("{n}\n")]);
    }
    let lines: String = (0..200).map(|n| format!("{n}\n")).collect();
    let begun = Instant::now();
    while !daemon.stored("log.txt").exists() || daemon.on_disk("log.txt") != lines.as_bytes() {
        assert!(begun.elapsed() < harness::PATIENCE, "it is not read");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Now it reads: everything is there.
    let opened = deaf.opened(900).unwrap();
    assert!(matches!(opened.state, OpenState::At { offset: 0, .. }));
    deaf.send_from(900, &bytes, 0, 262_144, 65_536);
    deaf.finish(900, 100_000, files::sha256(&bytes)).unwrap();
    deaf.call("status", args![]);
}
