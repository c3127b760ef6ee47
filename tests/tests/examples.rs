//! The plugins in `examples/`, as a stranger would use them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::{Duration, Instant};

use harness::{Daemon, PATIENCE, Setup, Wire, args, field, lab, panel};
use image::{Rgb, RgbImage};
use pixelboy_protocol::{Frame, Goodbye, Outcome, Value};

/// A device with one of the examples.
fn with(setup: Setup, name: &str, allow: &str) -> Daemon {
    let table = format!("allow = [{allow}]");
    setup.plugin(name, &lab::example(name), &table).start()
}

/// Waits until the panel shows what fits.
#[track_caller]
fn until_shown(daemon: &Daemon, what: &str, fits: impl Fn(&RgbImage) -> bool) -> RgbImage {
    let begun = Instant::now();
    loop {
        if daemon.panel().join("last.png").exists() {
            let shown = panel::now(&daemon.panel());
            if fits(&shown) {
                return shown;
            }
        }
        assert!(begun.elapsed() < PATIENCE, "the panel never showed {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_dark(picture: &RgbImage) -> bool {
    picture.pixels().all(|pixel| pixel.0 == [0, 0, 0])
}

#[test]
fn counter_counts_a_request_once_however_often_it_is_sent() {
    let mut daemon = with(Setup::bare(), "counter", "\"kv\"");
    let mut wire = daemon.client();
    assert_eq!(wire.call_one("count", args![]), Value::Int(1));
    assert_eq!(wire.call_one("count", args!["cats", 3]), Value::Int(3));
    let request = wire.request("count", args!["cats", 4]);
    let first = wire.exchange(request.clone());
    assert_eq!(first.outcome, Outcome::Done(args![7]));
    let id = wire.break_off();
    let mut wire = daemon.client_again(&id);
    let again = wire.exchange(request.clone());
    assert!(again.recorded);
    assert_eq!((again.outcome, again.stored), (first.outcome, first.stored));
    // Also by a host that was killed.
    let id = wire.break_off();
    daemon.kill();
    daemon.boot();
    let mut wire = daemon.client_again(&id);
    assert!(wire.exchange(request).recorded);
    let counts = wire.call_one("counts", args![]);
    assert_eq!(field(&counts, "cats"), &Value::Int(7));
    assert_eq!(field(&counts, "things"), &Value::Int(1));
    // What does not fit is not counted.
    wire.call_failing("count", args!["cats", i64::MAX]);
    assert_eq!(wire.call_one("count", args!["cats", 0]), Value::Int(7));
}

#[test]
fn scroll_text_moves_by_one_pixel_a_frame() {
    let setup = Setup::new().panel(64, 32);
    let daemon = with(setup, "scroll-text", "\"display\"");
    let mut wire = daemon.client();
    let done = wire.call_one("scroll_text", args!["Hi!", "red", 100, 1]);
    // In from the right, 3 letters of 6 pixels, out on the left.
    assert_eq!(field(&done, "frames"), &Value::Int(64 + 18 + 1));
    let begun = Instant::now();
    let frames: Vec<RgbImage> = loop {
        let frames = panel::all(&daemon.panel());
        let mut pictures: Vec<_> = frames.into_iter().map(|(.., picture)| picture).collect();
        let end = pictures.iter().rposition(|picture| !is_dark(picture));
        if let Some(end) = end.filter(|end| *end + 1 < pictures.len()) {
            pictures.truncate(end + 1);
            break pictures;
        }
        assert!(begun.elapsed() < PATIENCE, "{} frames", pictures.len());
        std::thread::sleep(Duration::from_millis(20));
    };
    let frames: Vec<RgbImage> = frames.into_iter().filter(|it| !is_dark(it)).collect();
    // A busy machine leaves some out.
    assert!(frames.len() > 20, "{} frames", frames.len());
    // Each column is one that came in on the right.
    let column = |picture: &RgbImage, x| -> Vec<Rgb<u8>> {
        (0..32).map(|y| *picture.get_pixel(x, y)).collect()
    };
    let moved_by = |before: &RgbImage, after: &RgbImage, by: u32| {
        (by..64).all(|x| column(before, x) == column(after, x - by))
    };
    for pair in frames.windows(2) {
        let by = (1..64).find(|&by| moved_by(&pair[0], &pair[1], by));
        assert!(by.is_some_and(|by| by < 32), "moved by {by:?}");
    }
    let whole = frames
        .iter()
        .max_by_key(|it| it.pixels().filter(|it| it.0 != [0, 0, 0]).count());
    let drawn = drawn(whole.unwrap());
    assert_eq!(drawn, HI, "{drawn}");
    assert!(
        whole
            .unwrap()
            .pixels()
            .all(|it| it.0 == [0, 0, 0] || it.0 == [255, 0, 0])
    );

    let failure = wire.call_failing("scroll_text", args!["x".repeat(501)]);
    assert!(failure.message.contains("1 to 500 characters"), "{failure}");
    wire.call("scroll_text", args!["x".repeat(500)]);
}

/// `Hi!` as it is to be.
const HI: &str = "\
#...#...#.....#
#...#.........#
#...#..##.....#
#####...#.....#
#...#...#.....#
#...#...#......
#...#..###....#
";

/// What is lit, without the dark around it.
fn drawn(picture: &RgbImage) -> String {
    let lit = |x, y| picture.get_pixel(x, y).0 != [0, 0, 0];
    let rows: Vec<u32> = (0..picture.height())
        .filter(|&y| (0..picture.width()).any(|x| lit(x, y)))
        .collect();
    let columns: Vec<u32> = (0..picture.width())
        .filter(|&x| rows.iter().any(|&y| lit(x, y)))
        .collect();
    let mut text = String::new();
    for y in rows[0]..=rows[rows.len() - 1] {
        for x in columns[0]..=columns[columns.len() - 1] {
            text.push(if lit(x, y) { '#' } else { '.' });
        }
        text.push('\n');
    }
    text
}

#[track_caller]
fn heard(wire: &mut Wire) -> (String, Vec<Value>) {
    wire.wait("Push", |frame| match frame {
        Frame::Push(push) => Some((push.op.clone(), push.args.clone())),
        _ => None,
    })
}

#[test]
fn chat_tells_the_others_who_comes_who_goes_and_what_is_said() {
    let daemon = with(Setup::bare(), "chat", "\"client\"");
    let mut ada = daemon.client();
    let mut bob = daemon.client();
    let name = "end-to-end test";
    assert_eq!(heard(&mut ada), ("joined".to_owned(), args![name]));
    let mut eve = daemon.client();
    assert_eq!(heard(&mut ada), ("joined".to_owned(), args![name]));
    assert_eq!(heard(&mut bob), ("joined".to_owned(), args![name]));

    assert_eq!(ada.call_one("say", args!["hello"]), Value::Int(2));
    for other in [&mut bob, &mut eve] {
        assert_eq!(heard(other), ("said".to_owned(), args![name, "hello"]));
    }
    // Nobody hears herself: the next thing is what another says.
    assert_eq!(bob.call_one("say", args!["hi"]), Value::Int(2));
    for other in [&mut ada, &mut eve] {
        assert_eq!(heard(other), ("said".to_owned(), args![name, "hi"]));
    }
    eve.send(Goodbye {});
    assert_eq!(heard(&mut ada), ("left".to_owned(), args![name]));
    assert_eq!(heard(&mut bob), ("left".to_owned(), args![name]));
    assert_eq!(bob.call_one("say", args!["bye"]), Value::Int(1));
    bob.call_failing("say", args![""]);
}

#[test]
fn clock_redraws_itself_also_after_a_restart_until_something_else_is_shown() {
    let setup = Setup::new().panel(64, 32);
    let mut daemon = with(setup, "clock", "\"display\", \"timer\"");
    let mut wire = daemon.client();
    let face = wire.call_one("clock", args![0, true]);
    let face = face.as_text().unwrap();
    assert!(face.len() == 8 && face.matches(':').count() == 2, "{face}");
    let mut last = until_shown(&daemon, "a time", |shown| !is_dark(shown));
    for _ in 0..2 {
        last = until_shown(&daemon, "another time", |shown| *shown != last);
    }
    daemon.kill();
    std::fs::remove_dir_all(daemon.panel()).unwrap();
    daemon.boot();
    last = until_shown(&daemon, "a time", |shown| !is_dark(shown) && *shown != last);
    until_shown(&daemon, "another time", |shown| {
        !is_dark(shown) && *shown != last
    });

    let mut wire = daemon.client();
    let logo = wire.data(&harness::media("logo.png"));
    wire.call("si", args![logo, "logo.png"]);
    wire.call("ri", args!["logo.png"]);
    // It may have been about to draw once more.
    let calls = |wire: &mut Wire| {
        let status = wire.call_one("status", args![]);
        field(field(field(&status, "plugins"), "clock"), "calls").clone()
    };
    let begun = Instant::now();
    loop {
        let before = calls(&mut wire);
        std::thread::sleep(Duration::from_millis(1_500));
        if calls(&mut wire) == before {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "it ticks on: {before:?}");
    }
    daemon.stop();
    daemon.boot();
    let mut wire = daemon.client();
    std::thread::sleep(Duration::from_millis(1_500));
    let started = calls(&mut wire);
    assert!(matches!(started, Value::Int(0)), "{started:?}");
    let face = wire.call_one("clock", args![60]);
    assert_eq!(face.as_text().unwrap().len(), 5);
    wire.call("clock_stop", args![]);
    until_shown(&daemon, "nothing", is_dark);
}
