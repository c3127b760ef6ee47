//! Senders keep the limits that receivers check, and leave nothing half-written.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use pixelboy_protocol::*;

fn push(args: Vec<Value>) -> Push {
    Push {
        op: "x".to_owned(),
        args,
    }
}

fn nested(depth: usize) -> Value {
    (1..depth).fold(Value::List(Vec::new()), |inner, _| Value::List(vec![inner]))
}

#[track_caller]
fn refused(args: Vec<Value>, expected: EncodeError) {
    let mut out = b"earlier".to_vec();
    assert_eq!(push(args).encode(&mut out), Err(expected));
    assert_eq!(out, b"earlier");
}

#[track_caller]
fn taken(args: Vec<Value>) {
    let mut out = Vec::new();
    push(args.clone()).encode(&mut out).unwrap();
    assert_eq!(Push::decode(&out[5..]).unwrap().args, args);
}

#[test]
fn values_at_a_limit_go_through_and_one_more_does_not() {
    taken(vec![nested(16)]);
    refused(vec![nested(17)], EncodeError::TooDeep);
    refused(vec![nested(2_000)], EncodeError::TooDeep);
    taken(vec![Value::Null; 4_096]);
    refused(vec![Value::Null; 4_097], EncodeError::TooManyValues);
    refused(
        vec![Value::List(vec![Value::Null; 4_096])],
        EncodeError::TooManyValues,
    );
    taken(vec![Value::from("x".repeat(65_536))]);
    refused(
        vec![Value::from("x".repeat(65_537))],
        EncodeError::ValueTooLarge,
    );
    refused(
        vec![Value::from(vec![0u8; 65_537])],
        EncodeError::ValueTooLarge,
    );
    let twice = Value::Map(vec![
        ("a".to_owned(), Value::Null),
        ("a".to_owned(), Value::Null),
    ]);
    refused(vec![twice], EncodeError::DuplicateKey);
    let too_large = EncodeError::FrameTooLarge {
        kind: "Push",
        limit_bytes: 131_072,
    };
    refused(
        vec![
            Value::from(vec![0u8; 65_536]),
            Value::from(vec![0u8; 65_536]),
        ],
        too_large,
    );
}

#[test]
fn a_map_of_many_keys_is_checked_for_one_that_is_there_twice() {
    let mut entries: Vec<(String, Value)> = (0..1_000)
        .map(|index| (format!("k{index}"), Value::Null))
        .collect();
    taken(vec![Value::Map(entries.clone())]);
    entries[999].0 = "k0".to_owned();
    refused(vec![Value::Map(entries)], EncodeError::DuplicateKey);
}

#[test]
fn the_values_of_a_reply_share_one_limit() {
    let half = || Value::from(vec![1u8; 32_768]);
    let reply = |values| Reply {
        number: 1,
        stored: None,
        recorded: false,
        outcome: Outcome::Done(values),
    };
    let mut out = Vec::new();
    reply(vec![half(), half()]).encode(&mut out).unwrap();
    out.clear();
    let over = reply(vec![half(), half(), "x".into()]).encode(&mut out);
    assert_eq!(over, Err(EncodeError::ValueTooLarge));
    assert!(out.is_empty());
    // The record's encoding keeps the same limit, so that what was recorded can be sent.
    assert_eq!(
        Outcome::Done(vec![half(), half(), "x".into()]).encode(&mut out),
        Err(EncodeError::ValueTooLarge)
    );
    Outcome::Done(vec![half(), half()])
        .encode(&mut out)
        .unwrap();
    let mut frame = Vec::new();
    encode_reply_with(1, Some(2), true, &out, &mut frame).unwrap();
    let read = Reply::decode(&frame[5..]).unwrap();
    assert_eq!(
        (read.stored, read.recorded, read.outcome),
        (Some(2), true, Outcome::Done(vec![half(), half()]))
    );
}

#[test]
fn a_list_for_a_blob_may_hold_large_text() {
    let values = vec![Value::from("x".repeat(300_000)), Value::Int(1)];
    let mut out = Vec::new();
    encode_values(&values, &mut out).unwrap();
    assert_eq!(decode_values(&out).unwrap(), values);
    assert_eq!(
        encode_values(&[nested(17)], &mut out),
        Err(EncodeError::TooDeep)
    );
}

#[test]
fn a_failure_that_is_too_long_is_cut_between_characters() {
    let long = Failure {
        code: Code::Failed,
        message: format!("x{}", "ä".repeat(1_000)),
        details: vec![("ü".repeat(10), "ö".repeat(1_000)); 20],
    };
    let mut out = Vec::new();
    Outcome::Failed(long).encode(&mut out).unwrap();
    let Outcome::Failed(read) = Outcome::decode(&out).unwrap() else {
        panic!("failed comes back")
    };
    assert_eq!(read.message, format!("x{}", "ä".repeat(511)));
    assert_eq!(read.details, vec![("ü".repeat(10), "ö".repeat(502)); 16]);
}

#[test]
fn what_is_said_before_welcome_fits_before_welcome() {
    let mut out = Vec::new();
    Close::new(Code::Version, &"ä".repeat(100_000))
        .encode(&mut out)
        .unwrap();
    assert!(matches!(
        Splitter::new().split(&out),
        Ok(Split::Frame {
            kind: Kind::Close,
            ..
        })
    ));
    let hello = Hello::new(ClientId([7; 16]), &"ä".repeat(100));
    assert_eq!(hello.name, "ä".repeat(32));
    let too_long = Hello {
        name: "x".repeat(65),
        ..hello
    };
    assert_eq!(too_long.encode(&mut out), Err(EncodeError::NameTooLong));
    let data = Challenge {
        method: String::new(),
        data: vec![0; 16_384],
    };
    let error = EncodeError::FrameTooLarge {
        kind: "Challenge",
        limit_bytes: 16_384,
    };
    assert_eq!(data.encode(&mut out), Err(error));
}

#[test]
fn the_full_limit_holds_from_welcome_on() {
    let mut out = Vec::new();
    push(vec![Value::from(vec![0u8; 20_000])])
        .encode(&mut out)
        .unwrap();
    let mut reader = FrameReader::new();
    reader.push(&out);
    let refused = WireError::FrameTooLarge {
        bytes: 20_007,
        limit_bytes: 16_384,
    };
    assert_eq!(reader.next_frame().unwrap_err(), refused);
    reader.welcomed();
    assert_eq!(reader.next_frame().unwrap().unwrap().kind, Kind::Push);
}

#[test]
fn a_chunk_over_its_limit_is_not_sent() {
    let chunk = vec![0; 65_537];
    let data = Data::new(1, 0, &chunk);
    let mut out = Vec::new();
    assert_eq!(data.encode(&mut out), Err(EncodeError::ValueTooLarge));
    assert_eq!(
        encode_data_header(&data, &mut out),
        Err(EncodeError::ValueTooLarge)
    );
    assert!(out.is_empty());
}

#[test]
fn a_confirmation_is_sent_only_rising_and_not_too_long() {
    let mut out = Vec::new();
    Confirm {
        through: 0,
        also: (2..1_026).collect(),
    }
    .encode(&mut out)
    .unwrap();
    let too_many = Confirm {
        through: 0,
        also: (2..1_027).collect(),
    };
    assert_eq!(too_many.encode(&mut out), Err(EncodeError::TooManyNumbers));
    assert_eq!(
        Confirm {
            through: 0,
            also: vec![3, 3]
        }
        .encode(&mut out),
        Err(EncodeError::NotRising)
    );
}

#[test]
fn a_client_id_is_never_shown() {
    let hello = Hello::new(ClientId([0xAB; 16]), "me");
    let shown = format!("{hello:?}").to_lowercase();
    assert!(
        !shown.contains("171") && !shown.contains("ab, ab"),
        "{shown}"
    );
}
