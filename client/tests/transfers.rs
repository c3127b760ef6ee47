//! Uploads and downloads against a scripted host.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod scripted;

use pixelboy_client::{Blob, Client, Error, Options, Source, Value};
use pixelboy_protocol::{
    Abort, Close, Code, Credit, Data, Finish, Finished, Frame, Kind, OpenDownload, OpenState,
    OpenUpload, Opened, encode_values,
};
use scripted::{Connection, Host};
use sha2::Digest as _;

async fn connected() -> (Host, Client, Connection) {
    let host = Host::new().await;
    let (client, (connection, _)) = tokio::join!(
        Client::connect(&host.address, Options::default()),
        host.welcome()
    );
    (host, client.unwrap(), connection)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index / 251 + index) as u8)
        .collect()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}

async fn opened(device: &mut Connection, transfer: u64, offset: u64, limit: u64) {
    let state = OpenState::At { offset, limit };
    device
        .send(Opened {
            transfer,
            state,
            length: None,
            sha256: None,
        })
        .await;
}

/// Takes chunks until `end`, with more credit as they come; the credit is never passed.
async fn take_chunks(
    device: &mut Connection,
    transfer: u64,
    taken: &mut Vec<u8>,
    mut limit: u64,
    end: usize,
) {
    while taken.len() < end {
        let body = device.expect(Kind::Data).await;
        let data = Data::decode(&body).unwrap();
        assert!(data.is_intact() && data.transfer == transfer && data.offset == taken.len() as u64);
        taken.extend_from_slice(data.chunk);
        assert!(taken.len() as u64 <= limit);
        limit += data.chunk.len() as u64;
        device.send(Credit { transfer, limit }).await;
    }
}

#[tokio::test]
async fn an_upload_goes_on_where_the_device_says_it_stands() {
    let (host, client, mut device) = connected().await;
    let whole = bytes(700_001);
    let source = Source::bytes(whole.clone());
    let mut told = Vec::new();
    let mut progress = |done: u64, total: u64| told.push((done, total));
    let script = async {
        let open = OpenUpload::decode(&device.expect(Kind::OpenUpload).await).unwrap();
        assert_eq!(
            (open.length, open.sha256),
            (Some(700_001), Some(sha256(&whole)))
        );
        let mut taken = Vec::new();
        opened(&mut device, open.transfer, 0, 131_072).await;
        take_chunks(&mut device, open.transfer, &mut taken, 131_072, 300_000).await;
        drop(device);
        let (mut device, _) = host.welcome().await;
        let again = OpenUpload::decode(&device.expect(Kind::OpenUpload).await).unwrap();
        assert_eq!(again, open);
        // Less is on disk than was sent.
        taken.truncate(100_003);
        opened(&mut device, open.transfer, 100_003, 200_000).await;
        take_chunks(&mut device, open.transfer, &mut taken, 200_000, 700_001).await;
        assert!(taken == whole);
        let finish = Finish::decode(&device.expect(Kind::Finish).await).unwrap();
        assert_eq!((finish.length, finish.sha256), (700_001, sha256(&whole)));
        device
            .send(Finished {
                transfer: open.transfer,
                sha256: finish.sha256,
            })
            .await;
        (device, open.transfer)
    };
    let (upload, (mut device, transfer)) =
        tokio::join!(client.upload(&source, &mut progress), script);
    let upload = upload.unwrap();
    assert_eq!(
        (upload.number, upload.length, upload.sha256),
        (transfer, 700_001, sha256(&whole))
    );
    assert!(told.is_sorted() && told.last() == Some(&(700_001, 700_001)));
    let (reply, ()) = tokio::join!(
        client.call("si", [upload.into(), "a.png".into()], [], None),
        async {
            assert_eq!(device.request().await.args[0], Value::Upload(transfer));
            device.stored(1, 5, vec![]).await;
        }
    );
    reply.unwrap();
    tokio::join!(client.close(), device.goodbye());
}

#[tokio::test]
async fn calls_pass_a_long_upload() {
    let (_host, client, mut device) = connected().await;
    let source = Source::bytes(bytes(2_000_000));
    let mut ignored = |_, _| {};
    let upload = client.upload(&source, &mut ignored);
    let script = async {
        let open = OpenUpload::decode(&device.expect(Kind::OpenUpload).await).unwrap();
        opened(&mut device, open.transfer, 0, 65_536).await;
        device.expect(Kind::Data).await;
        // No credit is left: the upload stands, the call goes through.
        let (reply, ()) = tokio::join!(client.call("say", [], [], None), async {
            device.request().await;
            device.done(1, vec![]).await;
        });
        reply.unwrap();
        device
            .send(Abort::new(open.transfer, Code::NoSpace, "the disk is full"))
            .await;
    };
    let (upload, ()) = tokio::join!(upload, script);
    assert_eq!(upload.unwrap_err().code(), Some(Code::NoSpace));
}

#[tokio::test]
async fn an_upload_that_is_there_already_sends_nothing() {
    let (_host, client, mut device) = connected().await;
    let source = Source::bytes(bytes(100_000));
    let mut ignored = |_, _| {};
    let (upload, ()) = tokio::join!(client.upload(&source, &mut ignored), async {
        let open = OpenUpload::decode(&device.expect(Kind::OpenUpload).await).unwrap();
        let state = OpenState::Complete;
        device
            .send(Opened {
                transfer: open.transfer,
                state,
                length: open.length,
                sha256: open.sha256,
            })
            .await;
    });
    upload.unwrap();
    tokio::join!(client.close(), device.goodbye());
}

#[tokio::test]
async fn a_number_that_was_used_is_replaced() {
    let (_host, client, mut device) = connected().await;
    let source = Source::bytes(bytes(10));
    let mut ignored = |_, _| {};
    let (upload, ()) = tokio::join!(client.upload(&source, &mut ignored), async {
        let open = OpenUpload::decode(&device.expect(Kind::OpenUpload).await).unwrap();
        device
            .send(Abort::new(open.transfer, Code::NumberReused, "used"))
            .await;
        let open = OpenUpload::decode(&device.expect(Kind::OpenUpload).await).unwrap();
        let state = OpenState::Consumed { number: 3 };
        device
            .send(Opened {
                transfer: open.transfer,
                state,
                length: None,
                sha256: None,
            })
            .await;
        let open = OpenUpload::decode(&device.expect(Kind::OpenUpload).await).unwrap();
        opened(&mut device, open.transfer, 0, 262_144).await;
        device.expect(Kind::Data).await;
        device.expect(Kind::Finish).await;
        device
            .send(Finished {
                transfer: open.transfer,
                sha256: sha256(&bytes(10)),
            })
            .await;
    });
    assert_eq!(upload.unwrap().number, 3);
}

#[tokio::test]
async fn an_upload_that_nobody_waits_for_is_aborted() {
    let (_host, client, mut device) = connected().await;
    let source = Source::bytes(bytes(1_000_000));
    let mut ignored = |_, _| {};
    let transfer = tokio::select! {
        _ = client.upload(&source, &mut ignored) => panic!("it cannot be through"),
        transfer = async {
            let open = OpenUpload::decode(&device.expect(Kind::OpenUpload).await).unwrap();
            opened(&mut device, open.transfer, 0, 65_536).await;
            device.expect(Kind::Data).await;
            open.transfer
        } => transfer,
    };
    assert_eq!(
        Abort::decode(&device.expect(Kind::Abort).await)
            .unwrap()
            .transfer,
        transfer
    );
}

#[tokio::test]
async fn a_transfer_that_rests_too_long_ends() {
    let host = Host::new().await;
    let options = Options {
        deadline: std::time::Duration::from_millis(150),
        ..Options::default()
    };
    let (client, (mut device, _)) =
        tokio::join!(Client::connect(&host.address, options), host.welcome());
    let client = client.unwrap();
    let source = Source::bytes(bytes(100_000));
    let mut ignored = |_, _| {};
    let (upload, _) = tokio::join!(
        client.upload(&source, &mut ignored),
        device.expect(Kind::OpenUpload)
    );
    let error = upload.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    assert!(
        error.to_string().contains("0 of 100000 bytes are there"),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_is_refused() {
    let (_host, client, mut device) = connected().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("song.mp3");
    std::fs::write(&path, bytes(300_000)).unwrap();
    let source = Source::file(&path).unwrap();
    let mut ignored = |_, _| {};
    let (uploaded, ()) = tokio::join!(client.upload(&source, &mut ignored), async {
        let open = OpenUpload::decode(&device.expect(Kind::OpenUpload).await).unwrap();
        assert_eq!(open.sha256, Some(sha256(&bytes(300_000))));
        std::fs::write(&path, vec![9; 300_000]).unwrap();
        opened(&mut device, open.transfer, 0, 300_000).await;
        let mut came = Vec::new();
        take_chunks(&mut device, open.transfer, &mut came, 300_000, 300_000).await;
        assert!(came != bytes(300_000));
        device.expect(Kind::Finish).await;
        device
            .send(Abort::new(
                open.transfer,
                Code::DigestMismatch,
                "other bytes",
            ))
            .await;
    });
    let said = uploaded.unwrap_err().to_string();
    assert!(
        said.contains("song.mp3: changed while it was sent; nothing was stored"),
        "{said}"
    );
}

fn blob(whole: &[u8], form: u8) -> Blob {
    Blob {
        id: 44,
        length: whole.len() as u64,
        sha256: Some(sha256(whole)),
        form,
    }
}

/// Sends what was asked for, as far as the credit goes.
async fn serve(device: &mut Connection, whole: &[u8], until: usize) -> OpenDownload {
    let open = OpenDownload::decode(&device.expect(Kind::OpenDownload).await).unwrap();
    assert_eq!(open.blob, 44);
    let state = OpenState::At {
        offset: open.offset,
        limit: open.limit,
    };
    device
        .send(Opened {
            transfer: open.transfer,
            state,
            length: Some(whole.len() as u64),
            sha256: None,
        })
        .await;
    let (mut offset, mut limit) = (open.offset as usize, open.limit);
    while offset < until {
        while limit <= offset as u64 {
            limit = Credit::decode(&device.expect(Kind::Credit).await)
                .unwrap()
                .limit;
        }
        let end = until.min(offset + 65_536).min(limit as usize);
        device
            .send(Data::new(open.transfer, offset as u64, &whole[offset..end]))
            .await;
        offset = end;
    }
    if until == whole.len() {
        device
            .send(Finish {
                transfer: open.transfer,
                length: whole.len() as u64,
                sha256: sha256(whole),
            })
            .await;
    }
    open
}

#[tokio::test]
async fn a_download_goes_on_after_a_break_and_is_checked() {
    let (host, client, mut device) = connected().await;
    let whole = bytes(3_000_000);
    let (fetched, ()) = tokio::join!(client.download(blob(&whole, 0)).bytes(), async {
        serve(&mut device, &whole, 2_000_000).await;
        drop(device);
        let (mut device, _) = host.welcome().await;
        let open = serve(&mut device, &whole, 3_000_000).await;
        assert!(open.offset > 0 && open.offset <= 2_000_000);
    });
    assert!(fetched.unwrap() == whole);
}

#[tokio::test]
async fn a_damaged_chunk_breaks_the_connection_not_the_download() {
    let (host, client, mut device) = connected().await;
    let whole = bytes(200_000);
    let (fetched, ()) = tokio::join!(client.download(blob(&whole, 0)).bytes(), async {
        let open = OpenDownload::decode(&device.expect(Kind::OpenDownload).await).unwrap();
        let mut data = Data::new(open.transfer, 0, &whole[..1_000]);
        data.crc32c ^= 1;
        device.send(data).await;
        let close = loop {
            let (kind, body) = device.next().await.unwrap();
            if kind == Kind::Close {
                break Close::decode(&body).unwrap();
            }
        };
        assert_eq!(close.code, Code::BadChunk);
        let (mut device, _) = host.welcome().await;
        serve(&mut device, &whole, 200_000).await;
    });
    assert!(fetched.unwrap() == whole);
}

#[tokio::test]
async fn other_bytes_than_announced_are_refused() {
    let (_host, client, mut device) = connected().await;
    let whole = bytes(1_000);
    let announced = Blob {
        sha256: Some([1; 32]),
        ..blob(&whole, 0)
    };
    let (fetched, _) = tokio::join!(
        client.download(announced).bytes(),
        serve(&mut device, &whole, 1_000)
    );
    assert!(matches!(fetched, Err(Error::Mismatch)));
}

#[tokio::test]
async fn a_saved_file_goes_on_from_the_part_of_an_earlier_attempt() {
    let (_host, client, mut device) = connected().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("song.mp3");
    let part = folder.path().join("song.mp3.part");
    let whole = bytes(500_000);
    std::fs::write(&part, &whole[..123_456]).unwrap();
    let mut ignored = |_, _| {};
    let (saved, open) = tokio::join!(
        client.download(blob(&whole, 0)).save(&path, &mut ignored),
        serve(&mut device, &whole, 500_000)
    );
    saved.unwrap();
    assert_eq!(open.offset, 123_456);
    assert!(std::fs::read(&path).unwrap() == whole && !part.exists());

    // A part of something else is found out, and fetched anew.
    std::fs::write(&part, [9; 1_000]).unwrap();
    let (saved, ()) = tokio::join!(
        client.download(blob(&whole, 0)).save(&path, &mut ignored),
        async {
            assert_eq!(serve(&mut device, &whole, 500_000).await.offset, 1_000);
            assert_eq!(serve(&mut device, &whole, 500_000).await.offset, 0);
        }
    );
    saved.unwrap();
    assert!(std::fs::read(&path).unwrap() == whole && !part.exists());
}

#[tokio::test]
async fn two_that_save_under_one_name_at_once_do_not_spoil_it() {
    let (_host, client, _device) = connected().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("song.mp3");
    let part = std::fs::File::create(folder.path().join("song.mp3.part")).unwrap();
    part.try_lock().unwrap();
    let saved = client
        .download(blob(&bytes(9), 0))
        .save(&path, &mut |_, _| {})
        .await;
    let said = saved.unwrap_err().to_string();
    assert!(said.contains("another program is fetching to it"), "{said}");
}

#[tokio::test]
async fn large_text_and_large_lists_look_like_small_ones() {
    let (_host, client, mut device) = connected().await;
    let long = "ä".repeat(50_000);
    let (reply, ()) = tokio::join!(client.call("say", [], [], None), async {
        device.request().await;
        let inner = Value::Map(vec![(
            "text".to_owned(),
            blob(long.as_bytes(), Blob::TEXT).into(),
        )]);
        device.done(1, vec![1.into(), inner]).await;
        serve(&mut device, long.as_bytes(), long.len()).await;
    });
    let reply = reply.unwrap();
    assert_eq!(reply.get("text").unwrap().as_text(), Some(long.as_str()));

    let values: Vec<Value> = vec![long.as_str().into(), Value::Null];
    let mut encoded = Vec::new();
    encode_values(&values, &mut encoded).unwrap();
    let (reply, ()) = tokio::join!(client.call("say", [], [], None), async {
        device.request().await;
        device
            .done(2, vec![blob(&encoded, Blob::VALUES).into()])
            .await;
        serve(&mut device, &encoded, encoded.len()).await;
    });
    assert_eq!(reply.unwrap().values, values);
}

#[tokio::test]
async fn few_bytes_go_along_with_the_call_and_many_are_uploaded() {
    let (_host, client, mut device) = connected().await;
    let mut ignored = |_, _| {};
    let small = client
        .data(&Source::bytes(bytes(65_536)), &mut ignored)
        .await
        .unwrap();
    assert_eq!(small.as_bytes().unwrap().len(), 65_536);
    let large = Source::bytes(bytes(65_537));
    let (large, ()) = tokio::join!(client.data(&large, &mut ignored), async {
        let open = OpenUpload::decode(&device.expect(Kind::OpenUpload).await).unwrap();
        let state = OpenState::Complete;
        device
            .send(Opened {
                transfer: open.transfer,
                state,
                length: open.length,
                sha256: open.sha256,
            })
            .await;
    });
    assert_eq!(large.unwrap(), Value::Upload(1));
    let (kind, _) = tokio::join!(device.next(), async { drop(client) })
        .0
        .unwrap();
    assert_eq!(kind, Kind::Goodbye);
    let _ = Frame::decode(kind, &[]);
}
