//! A guest for the end-to-end tests: does what a plugin must not get away with.
//! On the raw contract, since the SDK does not let a plugin say some of this. Every opcode takes one number, logs that
//! it began, and answers `true` where it was let do what it tried.
//! Natively it is empty: the SDK has the raw contract for WebAssembly only.
#![cfg(target_family = "wasm")]

use pixelboy_plugin::bindings::pixelboy::plugin::types::{Failure, Node, Outcome, Values};
use pixelboy_plugin::bindings::pixelboy::plugin::{blob, calls, client, kv, log, store, timer};
use pixelboy_plugin::bindings::{self, Guest};

struct Hostile;

bindings::export!(Hostile with_types_in pixelboy_plugin::bindings);

type Deed = fn(&calls::Call, i64) -> Result<Values, Failure>;

const DEEDS: &[(&str, Deed)] = &[
    ("fine", |_, _| Ok(yes())),
    ("endless", |_, _| {
        loop {
            std::hint::black_box(());
        }
    }),
    ("bomb", |_, _| bomb()),
    ("recurse", |_, depth| Ok(number(recurse(depth)))),
    ("trap", |_, _| std::process::abort()),
    ("huge_reply", |_, bytes| {
        Ok(one(Node::Bytes(vec![7; bytes as usize])))
    }),
    ("many_values", |_, count| {
        let roots = (0..count as u32).collect();
        let nodes = (0..count).map(Node::Int).collect();
        Ok(Values { nodes, roots })
    }),
    ("cycle", |_, _| Ok(lists(&[&[1], &[0]]))),
    ("own_child", |_, _| Ok(lists(&[&[0]]))),
    ("two_parents", |_, _| Ok(lists(&[&[1, 1], &[]]))),
    ("out_of_range", |_, _| Ok(lists(&[&[4_000_000_000]]))),
    ("deep", |_, depth| {
        let nodes = (1..=depth as u32).map(|next| Node::List(vec![next]));
        Ok(Values {
            nodes: nodes.chain([Node::Null]).collect(),
            roots: vec![0],
        })
    }),
    ("flood_files", |_, _| {
        until_refused(|n| store::put(&format!("flood/{n}"), &made(b"x")?, "text", &[]))
    }),
    ("flood_bytes", |_, bytes| {
        let writer = store::Writer::new();
        for _ in 0..bytes >> 20 {
            writer.write(&vec![7; 1 << 20])?;
        }
        store::put("flood.bin", &writer.finish()?, "text", &[])?;
        Ok(yes())
    }),
    ("flood_kv", |_, _| {
        until_refused(|n| kv::set(&n.to_string(), &vec![7; 64 << 10]))
    }),
    ("flood_deletes", |_, _| {
        let pad = "k".repeat(480);
        until_refused(|n| kv::delete(&format!("{pad}{n}")))
    }),
    ("flood_timers", |_, _| {
        until_refused(|n| timer::set(&n.to_string(), 3_600_000, &[7; 1024], false))
    }),
    ("one_timer", |_, _| {
        until_refused(|_| timer::set("again", 3_600_000, &[], false))
    }),
    ("flood_cancels", |_, _| {
        until_refused(|_| timer::cancel("none"))
    }),
    ("flood_pushes", |call, _| {
        let session = call.session();
        until_refused(|n| client::push(session, "flood", number(n)))
    }),
    ("flood_log", |_, _| {
        let line = "x".repeat(1 << 20);
        loop {
            log::write(log::Level::Error, &line);
        }
    }),
    ("handles", |_, _| {
        let mut kept = Vec::new();
        until_refused(|_| {
            kept.push(made(b"x")?);
            Ok(())
        })
    }),
    ("outside", outside),
    ("slow_host", |_, _| {
        let data = made(&vec![7; 1 << 20])?;
        loop {
            // A megabyte is copied in each call.
            std::hint::black_box(data.read(0, 1 << 20)).ok();
        }
    }),
    ("slow_store", |_, _| {
        loop {
            std::hint::black_box(store::names("", None, 1000)).ok();
        }
    }),
];

impl Guest for Hostile {
    fn describe(manifest: &calls::Manifest) {
        // The tests change the mood in the built file.
        match std::hint::black_box("mood: calm") {
            "mood: spin" => loop {
                std::hint::black_box(());
            },
            "mood: trap" => std::process::abort(),
            "mood: bomb" => std::hint::black_box(bomb()),
            "mood: host" => drop(std::hint::black_box(store::names("", None, 9))),
            "mood: many" => (0..20_000).for_each(|n| drop(manifest.opcode(&n.to_string()))),
            _ => {}
        }
        manifest.version("1");
        manifest.about("Does what a plugin must not get away with.");
        for (name, _) in DEEDS {
            let default = number(0);
            manifest
                .opcode(name)
                .optional("n", "int", "How much.", default);
        }
    }

    fn handle(call: &calls::Call, op: String, args: Values) -> Result<Outcome, Failure> {
        log::write(log::Level::Info, &format!("begun {op}"));
        let n = match args.nodes.first() {
            Some(Node::Int(n)) => *n,
            _ => 0,
        };
        match DEEDS.iter().find(|(name, _)| *name == op) {
            Some((_, deed)) => deed(call, n).map(Outcome::Done),
            None => Err(said("unsupported", "no such deed".to_owned())),
        }
    }
}

fn bomb() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(std::hint::black_box(vec![7u8; 1 << 20]));
    }
}

#[expect(unconditional_recursion, reason = "as asked")]
fn recurse(depth: i64) -> i64 {
    let here = std::hint::black_box([depth; 16]);
    recurse(depth + 1) + here.iter().sum::<i64>()
}

/// What lies outside of the media folder, by every name for it that comes to mind.
fn outside(_: &calls::Call, _: i64) -> Result<Values, Failure> {
    let long = "../".repeat(20) + "etc/passwd";
    for path in [
        "/etc/passwd",
        "../config.toml",
        "a/../../config.toml",
        "./../config.toml",
        "..",
        "\0",
        "a\\..\\b",
        "../media/../record.db",
        &long,
    ] {
        let found = store::open(path).is_ok_and(|file| file.is_some());
        let listed = store::names(path, None, 9).is_ok_and(|names| !names.is_empty());
        let written = made(b"x").is_ok_and(|data| store::put(path, &data, "text", &[]).is_ok())
            && path != "a\\..\\b";
        if found || listed || written {
            return Err(said("failed", format!("{path:?} was let through")));
        }
    }
    // Other plugins' keys are not there either.
    let keys = kv::keys("", None, 100)?;
    Ok(one(Node::Boolean(keys.is_empty())))
}

fn until_refused(mut once: impl FnMut(i64) -> Result<(), Failure>) -> Result<Values, Failure> {
    let mut n = 0;
    loop {
        if let Err(failure) = once(n) {
            let message = format!("after {n}: {}", failure.message);
            return Err(said(&failure.code, message));
        }
        n += 1;
    }
}

fn made(bytes: &[u8]) -> Result<blob::Data, Failure> {
    let writer = store::Writer::new();
    writer.write(bytes)?;
    writer.finish()
}

fn said(code: &str, message: String) -> Failure {
    Failure {
        code: code.to_owned(),
        message,
        details: Vec::new(),
    }
}

fn yes() -> Values {
    one(Node::Boolean(true))
}

fn number(n: i64) -> Values {
    one(Node::Int(n))
}

fn one(node: Node) -> Values {
    Values {
        nodes: vec![node],
        roots: vec![0],
    }
}

/// Lists by the indices of what is in them.
fn lists(lists: &[&[u32]]) -> Values {
    Values {
        nodes: lists.iter().map(|list| Node::List(list.to_vec())).collect(),
        roots: vec![0],
    }
}
