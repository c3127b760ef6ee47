//! Sound, as it is heard: commands over the wire, a recording of what the speaker got, and both on one clock.
//! Stated tolerances: a command is heard within 300 ms of being sent (a play within 700 ms); stretches of sound and
//! silence are as long as asked to 120 ms. On a quiet machine all are below a third of that.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "../../host/audio/tests/pulse/mod.rs"]
mod pulse;

use std::time::{Duration, SystemTime};

use harness::{Setup, Wire, args, field, wav};
use pixelboy_protocol::{Code, Value};
use pulse::{PulseAudio, Recording, Span};

const LATENCY_S: f64 = 0.300;
const START_S: f64 = 0.700;
const LENGTH_S: f64 = 0.120;
/// Root mean square of the tone that is played.
const LEVEL: f64 = 0.353_6;

/// Real time has to pass for there to be sound.
fn listen(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Calls an opcode; when it was sent.
#[track_caller]
fn tell(wire: &mut Wire, op: &str, args: Vec<Value>) -> SystemTime {
    let sent = SystemTime::now();
    wire.call(op, args);
    sent
}

fn store_tone(wire: &mut Wire) {
    let upload = wire.upload(&wav::tone(20.0, 44_100, 440.0));
    wire.call("sm", args![44_100, upload, "tone.wav"]);
}

#[track_caller]
fn near(what: &str, heard: f64, expected: f64, tolerance: f64) {
    println!("{what}: {heard:.3}, expected {expected:.3}");
    assert!(
        (heard - expected).abs() <= tolerance,
        "{what}: {heard:.3}, expected {expected:.3}"
    );
}

fn spans(recording: &Recording) -> Vec<Span> {
    let spans = recording.loud_spans(0.03, 0.2);
    for span in &spans {
        println!(
            "heard from {:.3} to {:.3} s at {:.3}",
            span.from_s, span.to_s, span.level
        );
    }
    spans
}

#[test]
fn play_pause_resume_volume_and_stop_are_heard_when_they_are_asked_for() {
    let pulse = PulseAudio::start().unwrap();
    let daemon = Setup::new()
        .audio("default")
        .environment(pulse.environment())
        .start();
    let mut wire = daemon.client();
    store_tone(&mut wire);
    let recorder = pulse.record().unwrap();
    listen(300);
    let play = tell(&mut wire, "rm", args!["tone.wav"]);
    let replied = SystemTime::now();
    listen(1_200);
    let pause = tell(&mut wire, "pm", args![]);
    listen(800);
    let resume = tell(&mut wire, "um", args![]);
    listen(800);
    let softer = tell(&mut wire, "sv", args![0.25]);
    listen(800);
    let louder = tell(&mut wire, "sv", args![1.0]);
    listen(600);
    let stop = tell(&mut wire, "stop", args![]);
    assert_eq!(wire.call_failing("um", args![]).code, Code::NothingPlaying);
    listen(600);
    let recording = recorder.stop();
    drop(daemon);

    let begun = recording.begun.unwrap();
    let at = |time: SystemTime| time.duration_since(begun).unwrap().as_secs_f64();
    let spans = spans(&recording);
    assert_eq!(spans.len(), 2, "{spans:?}");
    let late = |what: &str, heard: f64, sent: SystemTime, limit_s: f64| {
        let late = heard - at(sent);
        println!("{what}: heard {:.0} ms after it was sent", late * 1_000.0);
        assert!(
            (-0.020..=limit_s).contains(&late),
            "{what}: {late:.3} s late"
        );
    };
    late("play", spans[0].from_s, play, START_S);
    let reply_s = at(replied);
    println!(
        "the reply to the play came {:.0} ms after the sound",
        (reply_s - spans[0].from_s) * 1_000.0
    );
    assert!(
        spans[0].from_s - reply_s < LATENCY_S,
        "it replied long before there was sound"
    );
    late("pause", spans[0].to_s, pause, LATENCY_S);
    late("resume", spans[1].from_s, resume, LATENCY_S);
    late("stop", spans[1].to_s, stop, LATENCY_S);
    near(
        "the pause",
        spans[1].from_s - spans[0].to_s,
        at(resume) - at(pause),
        LENGTH_S,
    );
    near(
        "after the pause",
        spans[1].length_s(),
        at(stop) - at(resume),
        LENGTH_S,
    );
    // The median of short stretches: a machine that is too busy to play for a moment does not count.
    let level = |from: SystemTime, to: SystemTime| {
        let (from_s, to_s) = (at(from) + LATENCY_S, at(to));
        let parts = ((to_s - from_s) / 0.02) as u32;
        let part = |n: u32| {
            recording.level(
                from_s + f64::from(n) * 0.02,
                from_s + f64::from(n + 1) * 0.02,
            )
        };
        let mut levels: Vec<f64> = (0..parts).map(part).collect();
        levels.sort_by(f64::total_cmp);
        levels[levels.len() / 2]
    };
    near("level at first", level(play, pause), LEVEL, 0.05);
    near("level in the pause", level(pause, resume), 0.0, 0.001);
    near("level after the pause", level(resume, softer), LEVEL, 0.02);
    near(
        "level at a quarter",
        level(softer, louder),
        LEVEL / 4.0,
        0.01,
    );
    near("level in full again", level(louder, stop), LEVEL, 0.02);
    near(
        "pitch",
        recording.frequency(at(resume) + LATENCY_S, at(softer)),
        440.0,
        2.0,
    );
}

/// Through the capture backend, which writes what a speaker would have got, silence included.
#[test]
fn music_ends_with_its_session_unless_it_was_told_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heard.wav");
    let mut daemon = Setup::new()
        .host("session_grace_s = 0.5")
        .audio(&format!("wav:{}", file.display()))
        .start();
    let mut keeper = daemon.client();
    store_tone(&mut keeper);
    let seconds = |from: SystemTime| from.elapsed().unwrap().as_secs_f64();
    let silent =
        |keeper: &mut Wire| field(&keeper.call_one("status", args![]), "playing") == &Value::Null;
    let mut expected = Vec::new();

    // cc ends the session, and so its music.
    let mut wire = daemon.client();
    let play = tell(&mut wire, "rm", args!["tone.wav", false]);
    listen(600);
    wire.call("cc", args![]);
    expected.push(seconds(play));
    listen(500);
    assert!(silent(&mut keeper), "it is told to play after its session");

    // A broken connection ends it after the grace.
    let mut wire = daemon.client();
    let play = tell(&mut wire, "rm", args!["tone.wav"]);
    listen(400);
    drop(wire.break_off());
    expected.push(seconds(play) + 0.5);
    listen(1_000);
    assert!(silent(&mut keeper));

    // A client that is back in time keeps it.
    let mut wire = daemon.client();
    let play = tell(&mut wire, "rm", args!["tone.wav"]);
    listen(200);
    let mut wire = daemon.client_again(&wire.break_off());
    assert!(wire.welcome().resumed);
    listen(900);
    assert!(!silent(&mut keeper), "its session goes on, its music ended");
    wire.call("stop", args![]);
    expected.push(seconds(play));
    listen(400);

    // Told to go on it goes on after the session; anybody may stop it.
    let mut wire = daemon.client();
    let play = tell(&mut wire, "rm", args!["tone.wav", true]);
    listen(200);
    wire.call("cc", args![]);
    listen(1_000);
    assert!(!silent(&mut keeper), "it was told to go on");
    keeper.call("stop", args![]);
    expected.push(seconds(play));
    listen(400);

    // `um` decides anew.
    let mut wire = daemon.client();
    let play = tell(&mut wire, "rm", args!["tone.wav", true]);
    listen(150);
    wire.call("pm", args![]);
    wire.call("um", args![false]);
    listen(250);
    wire.call("cc", args![]);
    expected.push(seconds(play));
    listen(500);
    assert!(silent(&mut keeper), "um(false) gave it to the session");

    let (_, status) = daemon.stop();
    assert!(status.success());
    let heard = spans(&Recording::read_wav(&file).unwrap());
    assert_eq!(heard.len(), expected.len(), "{heard:?}");
    for (span, expected) in heard.iter().zip(expected) {
        near("level", span.level, LEVEL, 0.01);
        near("length", span.length_s(), expected, LENGTH_S + 0.1);
    }
}

#[test]
fn every_format_is_heard_in_full_through_the_capture() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heard.wav");
    let mut daemon = Setup::new()
        .audio(&format!("wav:{}", file.display()))
        .start();
    let mut wire = daemon.client();
    let pieces = [
        ("tone.wav", 1.0),
        ("tone.flac", 2.0),
        ("tone.ogg", 3.0),
        ("tone.mp3", 3.0),
    ];
    for (name, seconds) in pieces {
        let data = wire.data(&harness::media(name));
        wire.call("sm", args![0, data, name]);
        wire.call("rm", args![name]);
        listen((seconds * 1_000.0) as u64);
        let begun = std::time::Instant::now();
        while field(&wire.call_one("status", args![]), "playing") != &Value::Null {
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "{name} does not end"
            );
            listen(20);
        }
        listen(300);
    }
    daemon.stop();
    let recording = Recording::read_wav(&file).unwrap();
    let heard = spans(&recording);
    assert_eq!(heard.len(), pieces.len(), "{heard:?}");
    for (span, (name, seconds)) in heard.iter().zip(pieces) {
        near(name, span.length_s(), seconds, 0.1);
        near(
            "pitch",
            recording.frequency(span.from_s + 0.2, span.to_s - 0.2),
            440.0,
            2.0,
        );
    }
}
