//! Entries there and back, what is refused, and how a table is cut into frames.

use super::{ArgEntry, ArgKind, OpEntry, Table, TableError, table_digest};
use crate::error::EncodeError;
use crate::value::Value;

fn entry(op: &str, args: Vec<ArgEntry>) -> OpEntry {
    OpEntry {
        op: op.into(),
        plugin: "p".into(),
        doc: "Does.\nMore.".into(),
        args,
        returns: "nothing".into(),
    }
}

fn full() -> OpEntry {
    let mode = ArgEntry {
        choices: vec!["a".into(), "w".into()],
        ..ArgEntry::new("mode", ArgKind::Text, "How.")
    };
    let loud = ArgEntry {
        min: Some(0.0),
        max: Some(1.0),
        ..ArgEntry::new("loud", ArgKind::Float, "How loud.")
    };
    entry(
        "ss",
        vec![
            ArgEntry::new("path", ArgKind::Text, "Where."),
            mode.or("a"),
            loud.or(Value::Null),
        ],
    )
}

#[test]
fn an_entry_comes_back_from_its_map() {
    assert_eq!(OpEntry::from_value(&full().to_value()), Ok(full()));
    assert_eq!(
        full().parameters(),
        r#"(path: text, mode: text = "a", loud: float = null)"#
    );
    for kind in ArgKind::ALL {
        assert_eq!(ArgKind::from_name(kind.name()), Some(*kind));
    }
}

#[test]
fn keys_of_later_are_ignored_and_missing_ones_are_told() {
    let Value::Map(mut keys) = full().to_value() else {
        panic!("an entry is a map")
    };
    keys.insert(1, ("since".into(), 7.into()));
    assert_eq!(OpEntry::from_value(&Value::Map(keys.clone())), Ok(full()));
    keys.retain(|(key, _)| key != "doc");
    let missing = TableError::Key {
        key: "doc",
        expected: "text",
    };
    assert_eq!(OpEntry::from_value(&Value::Map(keys)), Err(missing));
    let unknown = Value::Map(vec![
        ("name".into(), "x".into()),
        ("type".into(), "tensor".into()),
        ("doc".into(), "".into()),
    ]);
    let odd = Value::Map(vec![
        ("op".into(), "odd".into()),
        ("args".into(), vec![unknown].into()),
    ]);
    let error = OpEntry::from_value(&odd).unwrap_err();
    assert_eq!(
        error.to_string(),
        "odd: x must be one of bool, int, float, text, bytes, data, list, map, any, got tensor"
    );
}

#[test]
fn entries_that_make_no_sense_are_refused_with_the_reason() {
    let new = ArgEntry::new;
    let ranged = |kind, min, max| ArgEntry {
        min: Some(min),
        max: Some(max),
        ..new("x", kind, "")
    };
    let chosen = |kind, choices| ArgEntry {
        choices,
        ..new("x", kind, "")
    };
    assert_eq!(full().check(), Ok(()));
    assert_eq!(
        entry("ok", vec![ranged(ArgKind::Int, 0.05, f64::MAX).or(6)]).check(),
        Ok(())
    );
    assert_eq!(
        entry(
            "ok",
            vec![chosen(ArgKind::Float, vec![1.into(), 2.5.into()]).or(1.0)]
        )
        .check(),
        Ok(())
    );
    let cases = [
        (
            vec![new("x", ArgKind::Int, ""), new("x", ArgKind::Int, "")],
            "op: x is there twice",
        ),
        (
            vec![new("x", ArgKind::Int, "").or(1), new("y", ArgKind::Int, "")],
            "op: y is required and must come before the optional arguments",
        ),
        (
            vec![new("Path", ArgKind::Int, "")],
            "op: Path must be named by 1 to 32 of a-z, 0-9 and _, no digit first",
        ),
        (
            vec![new("1st", ArgKind::Int, "")],
            "op: 1st must be named by 1 to 32 of a-z, 0-9 and _, no digit first",
        ),
        (
            vec![ranged(ArgKind::Text, 0.0, 1.0)],
            "op: x has a range and must be int or float",
        ),
        (
            vec![ranged(ArgKind::Int, 2.0, 1.0)],
            "op: x has a range whose min must not be above its max",
        ),
        (
            vec![ranged(ArgKind::Float, f64::NAN, 1.0)],
            "op: x has a range whose min must not be above its max",
        ),
        (
            vec![chosen(ArgKind::Text, vec![1.into()])],
            "op: x must have choices of its own type: text, int or float",
        ),
        (
            vec![new("x", ArgKind::Int, "").or("1")],
            "op: x must have a default of its own type",
        ),
        (
            vec![ranged(ArgKind::Float, 0.0, 1.0).or(2)],
            "op: x must have a default inside its range",
        ),
        (
            vec![chosen(ArgKind::Text, vec!["a".into()]).or("b")],
            "op: x must have a default among its choices",
        ),
    ];
    for (args, fault) in cases {
        assert_eq!(entry("op", args).check().unwrap_err().to_string(), fault);
    }
    let name = entry("@timer", Vec::new()).check().unwrap_err();
    assert_eq!(
        name.to_string(),
        r#"an opcode must be 1 to 32 of a-z, 0-9, _ and -, got "@timer""#
    );
}

/// Sends the parts through frames, and puts them together as a client does.
fn through_frames(ops: &[Value]) -> usize {
    let parts = Table::parts(ops.to_vec()).unwrap();
    let mut received = Vec::new();
    for part in &parts {
        let mut frame = Vec::new();
        part.encode(&mut frame).unwrap();
        let read = Table::decode(&frame[5..]).unwrap();
        assert_eq!(read.first as usize, received.len());
        assert_eq!(read.total as usize, ops.len());
        assert_eq!(read.digest, table_digest(ops).unwrap());
        received.extend(read.ops);
    }
    assert_eq!(received, ops);
    parts.len()
}

#[test]
fn a_table_of_any_size_goes_through_frames_in_order() {
    assert_eq!(through_frames(&[]), 1);
    assert_eq!(through_frames(&[full().to_value()]), 1);
    let many: Vec<Value> = (0..2_000)
        .map(|index| entry(&format!("op{index}"), full().args).to_value())
        .collect();
    assert!(
        through_frames(&many) > 10,
        "limited by the number of values"
    );
    let mut long = full();
    long.doc = "x".repeat(65_000);
    assert_eq!(
        through_frames(&vec![long.to_value(); 5]),
        3,
        "limited by the bytes"
    );
}

#[test]
fn an_entry_over_64_kib_is_refused() {
    let mut long = full();
    long.doc = "x".repeat(65_536);
    let error = Table::parts(vec![long.to_value()]).unwrap_err();
    assert_eq!(
        error,
        EncodeError::FrameTooLarge {
            kind: "an opcode's entry",
            limit_bytes: 65_536
        }
    );
}
