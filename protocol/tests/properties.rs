//! What holds for every frame and for every way a stream is cut.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "support/strategies.rs"]
mod strategies;

use std::collections::BTreeSet;

use pixelboy_protocol::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

fn encoded(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(&mut out).unwrap();
    out
}

proptest! {
    #[test]
    fn every_frame_survives_the_wire(frame in strategies::frame()) {
        let bytes = encoded(&frame);
        let mut splitter = Splitter::new();
        splitter.welcomed();
        let Split::Frame { kind, body } = splitter.split(&bytes).unwrap() else { panic!("not a frame") };
        prop_assert_eq!(kind, frame.kind());
        prop_assert_eq!(body.end, bytes.len());
        let decoded = Frame::decode(kind, &bytes[body]).unwrap();
        // As text, so that NaN equals itself; the bytes compare what the text does not show.
        prop_assert_eq!(format!("{decoded:?}"), format!("{frame:?}"));
        prop_assert_eq!(encoded(&decoded), bytes);
    }

    #[test]
    fn what_is_appended_to_a_body_is_ignored(frame in strategies::frame(), more in vec(any::<u8>(), 0..20)) {
        if frame.kind() != Kind::Data {
            let mut bytes = encoded(&frame);
            bytes.extend(more);
            let decoded = Frame::decode(frame.kind(), &bytes[frame::HEADER_BYTES..]).unwrap();
            prop_assert_eq!(format!("{decoded:?}"), format!("{frame:?}"));
        }
    }

    #[test]
    fn a_body_that_is_cut_short_is_refused(frame in strategies::frame(), cut in any::<prop::sample::Index>()) {
        let bytes = encoded(&frame);
        let body = &bytes[frame::HEADER_BYTES..];
        if frame.kind() != Kind::Data && !body.is_empty() {
            let short = &body[..cut.index(body.len())];
            prop_assert_eq!(Frame::decode(frame.kind(), short), Err(WireError::Truncated));
        }
    }

    #[test]
    fn any_split_of_the_stream_gives_the_same_frames(
        frames in vec(strategies::frame(), 1..6),
        pieces in vec(1usize..200, 1..40),
        unknown in vec(any::<u8>(), 0..50),
    ) {
        let mut stream = Vec::new();
        for frame in &frames {
            frame.encode(&mut stream).unwrap();
            // An optional kind of a later version between any two.
            stream.extend((unknown.len() as u32).to_le_bytes());
            stream.push(0x8A);
            stream.extend(&unknown);
        }
        let mut reader = FrameReader::new();
        reader.welcomed();
        let mut seen = Vec::new();
        let mut rest = stream.as_slice();
        for length in pieces.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at((*length).min(rest.len()));
            rest = later;
            reader.push(piece);
            while let Some(raw) = reader.next_frame().unwrap() {
                seen.push(encoded(&raw.decode().unwrap()));
            }
        }
        let sent: Vec<Vec<u8>> = frames.iter().map(encoded).collect();
        prop_assert_eq!(seen, sent);
    }

    #[test]
    fn what_the_splitter_asks_for_is_never_more_than_the_frame(frame in strategies::frame(), cut in any::<prop::sample::Index>()) {
        let mut splitter = Splitter::new();
        splitter.welcomed();
        let bytes = encoded(&frame);
        let begun = cut.index(bytes.len());
        match splitter.split(&bytes[..begun]).unwrap() {
            Split::NeedMore { missing_bytes } => {
                prop_assert!(missing_bytes >= 1 && begun + missing_bytes <= bytes.len());
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_request_built_from_its_kept_call_is_the_same_request(
        op in strategies::text(), args in vec(strategies::value(), 0..4), number in any::<u64>(), deadline_ms in any::<Option<u64>>(),
    ) {
        let request = Request { number, confirmed: 7, deadline_ms, op, args, kwargs: vec![("k".into(), Value::Null)] };
        let mut whole = Vec::new();
        request.encode(&mut whole).unwrap();
        let mut call = Vec::new();
        encode_call(&request.op, &request.args, &request.kwargs, &mut call).unwrap();
        let mut rebuilt = Vec::new();
        encode_request_with(number, 7, deadline_ms, &call, &mut rebuilt).unwrap();
        prop_assert_eq!(&rebuilt, &whole);
        let (_, digest) = Request::decode_with_digest(&whole[frame::HEADER_BYTES..]).unwrap();
        prop_assert_eq!(digest, request_digest(&call));
        // Sent again later with other header fields, it has the same digest.
        rebuilt.clear();
        encode_request_with(number, 9, Some(0), &call, &mut rebuilt).unwrap();
        prop_assert_eq!(Request::decode_with_digest(&rebuilt[frame::HEADER_BYTES..]).unwrap().1, digest);
    }

    #[test]
    fn a_data_header_and_its_chunk_are_the_frame(transfer in any::<u64>(), offset in any::<u64>(), chunk in vec(any::<u8>(), 0..300)) {
        let data = Data::new(transfer, offset, &chunk);
        let mut whole = Vec::new();
        data.encode(&mut whole).unwrap();
        let mut header = b"earlier".to_vec();
        encode_data_header(&data, &mut header).unwrap();
        header.extend(&chunk);
        prop_assert_eq!(header.strip_prefix(b"earlier").unwrap(), whole);
    }

    #[test]
    fn values_kept_elsewhere_come_back(values in vec(strategies::value(), 0..5)) {
        let mut list = Vec::new();
        encode_values(&values, &mut list).unwrap();
        prop_assert_eq!(format!("{:?}", decode_values(&list).unwrap()), format!("{values:?}"));
    }
}

#[test]
fn the_frames_of_these_tests_are_of_every_kind() {
    let mut runner = TestRunner::deterministic();
    let strategy = strategies::frame();
    let seen: BTreeSet<u8> = (0..4_000)
        .map(|_| {
            strategy
                .new_tree(&mut runner)
                .unwrap()
                .current()
                .kind()
                .number()
        })
        .collect();
    assert_eq!(seen.len(), Kind::ALL.len());
}
