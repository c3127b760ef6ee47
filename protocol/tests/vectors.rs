//! The bytes of `vectors/` mean what they say, and everything encodes to them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "vectors/json.rs"]
mod json;
#[path = "vectors/sections.rs"]
mod sections;

use std::collections::BTreeSet;

use pixelboy_protocol::{
    Frame, Kind, OpEntry, Opening, Request, Split, Splitter, Value, WireError, match_arguments,
    table_digest,
};
use sections::{Section, sections};

const GOOD: &[&str] = &[
    "connection.txt",
    "requests.txt",
    "calls.txt",
    "transfers.txt",
    "table.txt",
    "growth.txt",
];

/// Decodes the one frame that the section holds.
fn decode(section: &Section) -> (Kind, Frame<'_>) {
    let mut splitter = Splitter::new();
    splitter.welcomed();
    match splitter.split(&section.bytes) {
        Ok(Split::Frame { kind, body }) => {
            assert_eq!(
                body.end,
                section.bytes.len(),
                "{}: bytes after the frame",
                section.title
            );
            let frame = Frame::decode(kind, &section.bytes[body])
                .unwrap_or_else(|error| panic!("{}: {error}", section.title));
            (kind, frame)
        }
        other => panic!("{}: {other:?}", section.title),
    }
}

#[test]
fn every_frame_decodes_to_its_json_and_encodes_to_its_bytes() {
    for section in GOOD.iter().flat_map(|file| sections(file)) {
        let Some(name) = section.property("frame").filter(|name| *name != "skip") else {
            continue;
        };
        let (kind, frame) = decode(&section);
        assert_eq!(kind.name(), name, "{}", section.title);
        assert_eq!(
            json::frame(&frame),
            json::expand(section.json("json")),
            "{}",
            section.title
        );
        let mut encoded = Vec::new();
        frame.encode(&mut encoded).unwrap();
        assert_eq!(
            encoded != section.bytes,
            section.property("one-way").is_some(),
            "{}",
            section.title
        );
        let (_, body) = encoded.split_at(5);
        let mut again = Vec::new();
        Frame::decode(kind, body)
            .unwrap()
            .encode(&mut again)
            .unwrap();
        assert_eq!(again, encoded, "{}: encoding is stable", section.title);
    }
}

#[test]
fn every_kind_has_a_vector() {
    let sections: Vec<Section> = GOOD.iter().flat_map(|file| sections(file)).collect();
    let seen: BTreeSet<&str> = sections
        .iter()
        .filter_map(|section| section.property("frame"))
        .collect();
    for kind in Kind::ALL {
        assert!(seen.contains(kind.name()), "no vector of {}", kind.name());
    }
}

#[test]
fn the_openings_are_recognised() {
    let all = sections("connection.txt");
    let mut seen = 0;
    for section in all
        .iter()
        .filter(|section| section.property("opening").is_some())
    {
        let expected = match section.property("opening").unwrap() {
            "pixelboy" => Opening::Pixelboy,
            "other-framing" => Opening::OtherFraming,
            "http" => Opening::Http,
            "text" => Opening::Text,
            "other" => Opening::Other,
            other => panic!("{other}"),
        };
        assert_eq!(
            Opening::check(&section.bytes),
            expected,
            "{}",
            section.title
        );
        seen += 1;
    }
    assert!(seen >= 5);
}

#[test]
fn digests_are_over_the_bytes_as_sent_and_over_the_table() {
    let mut digests = 0;
    for section in GOOD.iter().flat_map(|file| sections(file)) {
        if let Some(digest) = section.property("digest") {
            let (request, computed) = Request::decode_with_digest(&section.bytes[5..]).unwrap();
            assert_eq!(hex::encode(computed), digest, "{}", section.title);
            assert_eq!(request.digest().unwrap(), computed, "{}", section.title);
            digests += 1;
        }
        if section.property("whole").is_some() {
            let (_, Frame::Table(table)) = decode(&section) else {
                panic!("{}", section.title)
            };
            assert_eq!(
                table_digest(&table.ops).unwrap(),
                table.digest,
                "{}",
                section.title
            );
            for op in &table.ops {
                OpEntry::from_value(op).unwrap().check().unwrap();
            }
            digests += 1;
        }
    }
    assert!(digests >= 10);
}

#[test]
fn a_chunk_is_intact_or_not_as_told() {
    for section in sections("transfers.txt") {
        if let Some(intact) = section.property("intact") {
            let (_, Frame::Data(data)) = decode(&section) else {
                panic!("{}", section.title)
            };
            assert_eq!(data.is_intact().to_string(), intact, "{}", section.title);
        }
    }
}

#[test]
fn every_value_decodes_to_its_json_and_encodes_to_its_bytes() {
    for section in sections("values.txt") {
        let expected = json::expand(section.json("value"));
        let value = Value::decode(&section.bytes)
            .unwrap_or_else(|error| panic!("{}: {error}", section.title));
        assert_eq!(json::value(&value), expected, "{}", section.title);
        for value in [value, json::to_value(&expected)] {
            let mut encoded = Vec::new();
            value.encode(&mut encoded).unwrap();
            assert_eq!(encoded, section.bytes, "{}", section.title);
        }
    }
}

#[test]
fn optional_kinds_are_skipped_whole() {
    let mut skipped = 0;
    for section in sections("growth.txt") {
        if section.property("frame") == Some("skip") {
            match Splitter::new().split(&section.bytes) {
                Ok(Split::Skip { number, end }) => {
                    assert_eq!(
                        (number, end),
                        (section.bytes[4], section.bytes.len()),
                        "{}",
                        section.title
                    );
                }
                other => panic!("{}: {other:?}", section.title),
            }
            skipped += 1;
        }
    }
    assert!(skipped >= 4);
}

#[test]
fn what_is_bad_is_refused_with_the_fault_and_the_code_told() {
    for section in sections("bad.txt") {
        let mut splitter = Splitter::new();
        match section.property("limit") {
            None => splitter.welcomed(),
            Some(limit) => assert_eq!(limit, "16384"),
        }
        let refused: Result<(), WireError> = match splitter.split(&section.bytes) {
            Ok(Split::NeedMore { .. }) => {
                assert_eq!(
                    section.property("error"),
                    Some("need-more"),
                    "{}",
                    section.title
                );
                continue;
            }
            Ok(Split::Frame { kind, body }) => Frame::decode(kind, &section.bytes[body]).map(drop),
            Ok(Split::Skip { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        let error = refused.expect_err(&section.title);
        assert_eq!(
            Some(error.name()),
            section.property("error"),
            "{}",
            section.title
        );
        assert_eq!(
            Some(error.code().name()),
            section.property("close"),
            "{}",
            section.title
        );
    }
}

#[test]
fn arguments_give_the_list_or_the_message_told() {
    let mut entry = None;
    for section in sections("arguments.txt") {
        if section.property("op").is_some() {
            let read = OpEntry::from_value(&json::to_value(&section.json("op"))).unwrap();
            read.check()
                .unwrap_or_else(|error| panic!("{}: {error}", section.title));
            entry = Some(read);
        }
        let args = section
            .json("args")
            .as_array()
            .unwrap()
            .iter()
            .map(json::to_value)
            .collect();
        let kwargs = json::to_pairs(&section.json("kwargs"));
        match match_arguments(entry.as_ref().unwrap(), args, kwargs) {
            Ok(given) => assert_eq!(
                json::values(&given),
                json::expand(section.json("gives")),
                "{}",
                section.title
            ),
            Err(error) => assert_eq!(
                Some(error.to_string().as_str()),
                section.property("says"),
                "{}",
                section.title
            ),
        }
    }
}
