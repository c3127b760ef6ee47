//! No input, however wrong, panics or takes more memory than its length justifies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "support/counting.rs"]
mod counting;
#[path = "support/strategies.rs"]
mod strategies;

use counting::{Allocated, allocated};
use pixelboy_protocol::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// A null takes one byte on the wire and 56 in memory; a map's smallest entry two and 80, and 16 to compare its key.
const BYTES_PER_INPUT_BYTE: usize = 64;
/// What a few short strings are rounded up to.
const SPARE_BYTES: usize = 256;

/// Decodes, and checks what it took.
fn decode_within_bounds(kind: Kind, body: &[u8]) -> bool {
    let (decoded, taken) = allocated(|| Frame::decode(kind, body).map(drop).is_ok());
    let bound = BYTES_PER_INPUT_BYTE * body.len() + SPARE_BYTES;
    assert!(
        taken.bytes <= bound,
        "{kind:?}: {taken:?} for {} bytes: {}",
        body.len(),
        hex::encode(body)
    );
    decoded
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn random_bodies_take_no_more_than_they_justify(body in vec(any::<u8>(), 0..300)) {
        for kind in Kind::ALL {
            decode_within_bounds(*kind, &body);
        }
        let _ = Value::decode(&body);
        let _ = Outcome::decode(&body);
        let _ = decode_values(&body);
        let _ = Request::decode_with_digest(&body);
    }

    #[test]
    fn small_numbers_take_no_more_than_they_justify(body in vec(0u8..12, 0..300)) {
        for kind in Kind::ALL {
            decode_within_bounds(*kind, &body);
        }
    }

    #[test]
    fn good_frames_with_wrong_bytes_take_no_more_than_they_justify(
        frame in strategies::frame(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..6),
    ) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes).unwrap();
        let mut body = bytes.split_off(frame::HEADER_BYTES);
        for (place, byte, what) in changes {
            if body.is_empty() {
                break;
            }
            let place = place.index(body.len());
            match what {
                0 => body[place] = byte,
                1 => body.insert(place, byte),
                2 => body.truncate(place),
                _ => drop(body.remove(place)),
            }
        }
        decode_within_bounds(frame.kind(), &body);
        if let Ok(changed) = Frame::decode(frame.kind(), &body) {
            // No two encodings mean the same, so a digest computed anew is the one over the bytes that came.
            if let Frame::Request(request) = &changed {
                assert_eq!(Request::decode_with_digest(&body).unwrap().1, request.digest().unwrap());
            }
            let mut again = Vec::new();
            changed.encode(&mut again).expect("what decodes can be encoded");
            assert!(again.len() <= body.len() + frame::HEADER_BYTES);
        }
    }

    #[test]
    fn random_streams_break_off_or_wait(stream in vec(any::<u8>(), 0..200)) {
        let mut reader = FrameReader::new();
        reader.push(&stream);
        let mut frames = 0;
        while let Ok(Some(raw)) = reader.next_frame() {
            let _ = raw.decode();
            frames += 1;
        }
        prop_assert!(frames * frame::HEADER_BYTES <= stream.len());
    }
}

fn request_with_args(encoded_args: &[u8]) -> Vec<u8> {
    [&[1, 0, 0, 2, b'u', b'm'], encoded_args, &[0]].concat()
}

#[test]
fn the_worst_that_is_known_stays_within_the_bound() {
    let mut entries = vec![1, 7, 0xff, 0x1f];
    for index in 0u16..4_095 {
        let key = [b' ' + (index / 90) as u8, b' ' + (index % 90) as u8];
        entries.extend([2, key[0], key[1], 0]);
    }
    let mut announced_deep = vec![1];
    for _ in 0..16 {
        announced_deep.extend([6, 0x80, 0x04]);
    }
    announced_deep.extend([0; 4_096]);
    let good = [
        request_with_args(&[&[0x80, 0x20][..], &[0; 4_096]].concat()),
        request_with_args(&[&[1, 6, 0xff, 0x1f][..], &[0; 4_095]].concat()),
        request_with_args(&entries),
    ];
    for body in good {
        assert!(decode_within_bounds(Kind::Request, &body));
    }
    let bad = [
        request_with_args(&announced_deep),
        request_with_args(&[0x80, 0x80, 0x80, 0x80, 0x10]),
        request_with_args(&[
            1, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
        ]),
        request_with_args(&[6, 1].repeat(60_000)),
    ];
    for body in bad {
        assert!(!decode_within_bounds(Kind::Request, &body));
    }
}

#[test]
fn a_list_of_two_to_the_32_in_ten_bytes_takes_nothing() {
    let body = [1, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x10, 0];
    let (result, taken) = allocated(|| Request::decode(&body).map(drop));
    assert_eq!(result, Err(WireError::Truncated));
    assert_eq!(taken, Allocated::default());
}

#[test]
fn a_chunk_is_not_copied() {
    let chunk = vec![7; 65_536];
    let mut frame = Vec::with_capacity(70_000);
    let (_, taken) = allocated(|| Data::new(1, 2, &chunk).encode(&mut frame).unwrap());
    assert_eq!(taken, Allocated::default());
    let (read, taken) = allocated(|| Data::decode(&frame[frame::HEADER_BYTES..]).unwrap());
    assert_eq!(taken, Allocated::default());
    assert!(std::ptr::eq(read.chunk, &frame[frame.len() - 65_536..]));
}

#[test]
fn a_small_request_and_its_reply_take_five_allocations() {
    let request = Request {
        number: 900,
        confirmed: 899,
        deadline_ms: None,
        op: "ss".to_owned(),
        args: vec![
            "notes.txt".into(),
            "one more line of text\n".into(),
            "a".into(),
        ],
        kwargs: Vec::new(),
    };
    let mut bytes = Vec::new();
    request.encode(&mut bytes).unwrap();
    let (read, taken) =
        allocated(|| Request::decode_with_digest(&bytes[frame::HEADER_BYTES..]).unwrap());
    assert_eq!(read.0, request);
    assert_eq!(taken.times, 5, "op, list and three texts");
    let reply = Reply {
        number: 900,
        stored: Some(7),
        recorded: false,
        outcome: Outcome::Done(vec![Value::Int(1)]),
    };
    let mut out = Vec::with_capacity(1_024);
    let (_, taken) = allocated(|| reply.encode(&mut out).unwrap());
    assert_eq!(taken, Allocated::default());
}

#[test]
fn arguments_that_all_came_by_position_match_without_an_allocation() {
    let entry = OpEntry {
        op: "ss".to_owned(),
        plugin: "store-media".to_owned(),
        doc: String::new(),
        args: vec![
            ArgEntry::new("path", ArgKind::Text, ""),
            ArgEntry::new("text", ArgKind::Data, ""),
            ArgEntry {
                choices: vec!["a".into(), "w".into()],
                ..ArgEntry::new("mode", ArgKind::Text, "").or("a")
            },
        ],
        returns: String::new(),
    };
    let args: Vec<Value> = vec!["notes.txt".into(), "hello".into(), "w".into()];
    let (matched, taken) = allocated(|| match_arguments(&entry, args, Vec::new()).unwrap());
    assert_eq!(taken, Allocated::default());
    assert_eq!(matched[2], Value::from("w"));
}
