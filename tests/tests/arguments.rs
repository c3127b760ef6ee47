//! Arguments: what does not fit is refused with a sentence that shows what the opcode takes and what came.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use harness::{Setup, Wire, args, field};
use pixelboy_protocol::{ArgKind, Blob, Code, Outcome, Value, opcode};

#[track_caller]
fn assert_refused(wire: &mut Wire, op: &str, args: Vec<Value>, message: &str) {
    let failure = wire.call_failing(op, args);
    assert_eq!(
        (failure.code, failure.message.as_str()),
        (Code::BadArguments, message)
    );
}

#[track_caller]
fn assert_refused_by_name(
    wire: &mut Wire,
    op: &str,
    args: Vec<Value>,
    kwargs: Vec<(&str, Value)>,
    message: &str,
) {
    let mut request = wire.request(op, args);
    request.kwargs = kwargs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    match wire.exchange(request).outcome {
        Outcome::Failed(failure) => {
            assert_eq!(
                (failure.code, failure.message.as_str()),
                (Code::BadArguments, message)
            );
        }
        Outcome::Done(values) => panic!("{op} succeeded: {values:?}"),
    }
}

#[test]
fn a_number_for_a_path_is_refused_in_exactly_these_words() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    assert_refused(
        &mut wire,
        "ri",
        args![7],
        "ri takes (path: text), got (int)",
    );
    // The host and the connection go on.
    assert_eq!(
        wire.call_failing("ri", args!["none.png"]).code,
        Code::NotFound
    );
}

#[test]
fn wrong_numbers_and_types_of_arguments_are_refused() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let wire = &mut wire;
    let ss = "ss takes (path: text, text: data, mode: text = \"a\"), got";
    assert_refused(wire, "ri", args![], "ri takes (path: text), got ()");
    assert_refused(
        wire,
        "ri",
        args!["a", "b"],
        "ri takes (path: text), got (text, text)",
    );
    assert_refused(
        wire,
        "rg",
        args![vec![1u8, 2]],
        "rg takes (path: text), got (bytes)",
    );
    assert_refused(wire, "ss", args!["a"], &format!("{ss} (text)"));
    assert_refused(
        wire,
        "ss",
        args!["a", 1, "a"],
        &format!("{ss} (text, int, text)"),
    );
    assert_refused(
        wire,
        "ss",
        args!["a", Value::List(vec![])],
        &format!("{ss} (text, list)"),
    );
    assert_refused(
        wire,
        "rm",
        args!["a", 1],
        "rm takes (path: text, thread: bool = false), got (text, int)",
    );
    assert_refused(
        wire,
        "sv",
        args!["loud"],
        "sv takes (volume: float), got (text)",
    );
    assert_refused(
        wire,
        "sv",
        args![Value::Null],
        "sv takes (volume: float), got (null)",
    );
    assert_refused(wire, "clear", args![1], "clear takes (), got (int)");
    assert_refused(
        wire,
        "srto",
        args![true],
        "srto takes (seconds: float), got (bool)",
    );
    // (true, true) means nothing only where nothing can be given.
    assert_refused(
        wire,
        "ri",
        args![true, true],
        "ri takes (path: text), got (bool, bool)",
    );
}

#[test]
fn choices_and_ranges_are_kept_and_named() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let wire = &mut wire;
    assert_refused(
        wire,
        "ss",
        args!["a", "b", "x"],
        "ss takes (path: text, text: data, mode: text = \"a\"): \
         mode must be one of \"a\", \"w\", \"r+\", got \"x\"",
    );
    for (volume, shown) in [
        (f64::NAN, "NaN"),
        (1.5, "1.5"),
        (-0.1, "-0.1"),
        (f64::INFINITY, "inf"),
    ] {
        let message = format!("sv takes (volume: float): volume must be 0 to 1, got {shown}");
        assert_refused(wire, "sv", args![volume], &message);
    }
    let message = "sv takes (volume: float): volume must be 0 to 1, got 2";
    assert_refused(wire, "sv", args![2], message);
    assert_eq!(
        field(&wire.call_one("status", args![]), "volume"),
        &Value::Float(1.0)
    );
    for (seconds, shown) in [(0.04, "0.04"), (86_401.0, "86401.0"), (f64::NAN, "NaN")] {
        let message =
            format!("srto takes (seconds: float): seconds must be 0.05 to 86400, got {shown}");
        assert_refused(wire, "srto", args![seconds], &message);
    }
    assert_eq!(wire.call_one("srto", args![86_400]), Value::Float(86_400.0));
    assert_eq!(wire.call_one("srto", args![0.05]), Value::Float(0.05));
    let failure = wire.call_failing("sm", args![-1, "x", "a.mp3"]);
    assert!(
        failure
            .message
            .ends_with("frame_rate must be at least 0, got -1"),
        "{failure}"
    );
    let failure = wire.call_failing("sg", args![f64::NAN, "x", "a.gif"]);
    assert!(
        failure.message.ends_with("fps must be 0 to 200, got NaN"),
        "{failure}"
    );
    let failure = wire.call_failing("ls", args!["", Value::Null, 0]);
    assert_eq!(failure.code, Code::BadArguments, "{failure}");
}

#[test]
fn names_are_matched_and_a_wrong_one_is_shown() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let wire = &mut wire;
    let ss = "ss takes (path: text, text: data, mode: text = \"a\"):";
    assert_refused_by_name(
        wire,
        "ri",
        args![],
        vec![("file", "a".into())],
        "ri takes (path: text): no argument named file",
    );
    assert_refused_by_name(
        wire,
        "ri",
        args!["a"],
        vec![("path", "b".into())],
        "ri takes (path: text): path is given twice",
    );
    assert_refused_by_name(
        wire,
        "ss",
        args![],
        vec![("path", "a".into()), ("path", "b".into())],
        &format!("{ss} path is given twice"),
    );
    assert_refused_by_name(
        wire,
        "ss",
        args![],
        vec![("path", "a".into()), ("mode", "w".into())],
        &format!("{ss} text is missing"),
    );
    // Null for an optional argument is none.
    let values = wire.call("ss", args!["a.txt", "x", Value::Null]);
    assert_eq!(values.len(), 1);
}

#[test]
fn an_unknown_opcode_is_answered_with_those_there_are() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let failure = wire.call_failing("play", args![]);
    assert_eq!(failure.code, Code::UnknownOp);
    for word in ["play", "ss", "rm", "status"] {
        assert!(failure.message.contains(word), "{failure}");
    }
    let long = "a".repeat(33);
    for op in [
        "",
        "SS",
        "s s",
        "@timer",
        "@event",
        "ss\0",
        "ß",
        long.as_str(),
    ] {
        let failure = wire.call_failing(op, args![]);
        assert_eq!(failure.code, Code::UnknownOp, "{op:?}: {failure}");
    }
}

#[test]
fn a_blob_is_no_argument() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let blob = Blob {
        id: 1,
        length: 1,
        sha256: None,
        form: Blob::BYTES,
    };
    let failure = wire.call_failing("ss", args!["a", blob]);
    assert_eq!(failure.code, Code::BadArguments, "{failure}");
}

#[test]
fn the_table_on_the_wire_is_what_the_plugins_declare() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let (table, digest) = wire.table();
    assert_eq!(digest, wire.welcome().table);
    let rows: Vec<(&str, &str, String)> = table
        .iter()
        .map(|entry| (entry.op.as_str(), entry.plugin.as_str(), entry.parameters()))
        .collect();
    let expected = [
        ("cc", "host", "()"),
        ("clear", "show-gif", "()"),
        ("del", "store-media", "(path: text)"),
        ("get", "store-media", "(path: text)"),
        (
            "ls",
            "store-media",
            "(folder: text = \"\", after: text = null, limit: int = null)",
        ),
        ("pm", "play-audio", "()"),
        ("rg", "show-gif", "(path: text)"),
        ("ri", "show-gif", "(path: text)"),
        ("rm", "play-audio", "(path: text, thread: bool = false)"),
        ("sg", "store-media", "(fps: float, gif: data, name: text)"),
        ("si", "store-media", "(image: data, name: text)"),
        (
            "sm",
            "store-media",
            "(frame_rate: int, audio: data, name: text)",
        ),
        ("sptf", "host", "()"),
        ("sptt", "host", "()"),
        ("srto", "host", "(seconds: float)"),
        (
            "ss",
            "store-media",
            "(path: text, text: data, mode: text = \"a\")",
        ),
        ("stat", "store-media", "(path: text)"),
        ("status", "host", "()"),
        ("stop", "play-audio", "()"),
        ("sv", "play-audio", "(volume: float)"),
        ("um", "play-audio", "(thread: bool = false)"),
    ];
    let rows: Vec<(&str, &str, &str)> = rows
        .iter()
        .map(|(op, plugin, takes)| (*op, *plugin, takes.as_str()))
        .collect();
    assert_eq!(rows, expected);
    for entry in &table {
        assert!(opcode::valid(&entry.op));
        assert!(!entry.doc.is_empty(), "{} has no doc", entry.op);
        entry.check().unwrap();
        for arg in &entry.args {
            assert!(
                !arg.doc.is_empty(),
                "{} of {} has no doc",
                arg.name,
                entry.op
            );
        }
    }
    let arg =
        |op: &str, at: usize| table.iter().find(|entry| entry.op == op).unwrap().args[at].clone();
    assert_eq!(arg("ss", 2).choices, args!["a", "w", "r+"]);
    assert_eq!((arg("sv", 0).min, arg("sv", 0).max), (Some(0.0), Some(1.0)));
    assert_eq!(
        (arg("srto", 0).min, arg("srto", 0).max),
        (Some(0.05), Some(86_400.0))
    );
    assert_eq!(arg("sm", 0).min, Some(0.0));
    assert_eq!(arg("si", 0).kind, ArgKind::Data);
}
