//! What was on stays on: the device's state over stops, crashes, missing devices and files that went.
//! Stated tolerances: a change is kept within a second; an animation keeps its speed to 15 %.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "../../host/audio/tests/pulse/mod.rs"]
mod pulse;

use std::time::{Duration, Instant};

use faultfs::{Disk, FaultFs};
use harness::{Daemon, PATIENCE, Setup, Wire, args, field, media, panel, text_field, wav};
use pixelboy_protocol::{Code, Outcome, Value};
use pulse::{PulseAudio, Recording};

/// A change is promised to be kept within a second; a busy machine gets another one.
const KEPT: Duration = Duration::from_secs(2);

fn status(wire: &mut Wire, what: &str) -> Value {
    field(&wire.call_one("status", args![]), what).clone()
}

fn position_ms(playing: &Value) -> i64 {
    field(playing, "position_ms").as_int().unwrap()
}

fn store_tone(wire: &mut Wire, name: &str, seconds: f64) {
    let data = wire.data(&wav::tone(seconds, 8_000, 440.0));
    wire.call("sm", args![0, data, name]);
}

/// Waits for something that happens by itself.
#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "it did not happen: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Turns the device off.
type Off = fn(&mut Daemon);

/// Both ways to be off: asked to, and by a power cut.
const WAYS: [(&str, Off); 2] = [
    ("a stop", |daemon| {
        daemon.stop();
    }),
    ("a crash", |daemon| {
        std::thread::sleep(KEPT);
        daemon.kill();
    }),
];

/// The panel's frames since the last start are gone.
fn boot_dark(daemon: &mut Daemon) {
    std::fs::remove_dir_all(daemon.panel()).unwrap();
    daemon.boot();
}

#[test]
fn a_picture_comes_back_and_so_does_darkness() {
    let mut daemon = Setup::new().panel(64, 64).start();
    daemon
        .client()
        .call("si", args![media("logo.png"), "logo.png"]);
    for (way, off) in WAYS {
        daemon.client().call("ri", args!["logo.png"]);
        off(&mut daemon);
        boot_dark(&mut daemon);
        let shown = panel::now(&daemon.panel());
        let logo = panel::decoded(&media("logo.png"));
        assert_eq!(panel::difference(&shown, &logo), 0, "{way}");
        let shown = status(&mut daemon.client(), "shown");
        assert_eq!(text_field(&shown, "kind"), "picture", "{way}");
        assert_eq!(text_field(&shown, "path"), "logo.png", "{way}");
        daemon.client().call("clear", args![]);
        off(&mut daemon);
        boot_dark(&mut daemon);
        assert_eq!(
            status(&mut daemon.client(), "shown"),
            Value::Null,
            "after {way} in the dark"
        );
    }
}

/// Frames and how many came in a second, from now on.
fn watch(daemon: &Daemon, time: Duration) -> (Vec<image::RgbImage>, f64) {
    let before = panel::all(&daemon.panel()).last().map_or(0, |last| last.0);
    // Moving is what is promised: a time is waited for here.
    std::thread::sleep(time);
    let mut frames = panel::all(&daemon.panel());
    frames.retain(|(number, ..)| *number > before);
    let first = frames.first().expect("nothing moves").1;
    let last = frames.last().unwrap().1;
    let time_s = last.duration_since(first).unwrap().as_secs_f64();
    let rate = (frames.len() - 1) as f64 / time_s;
    (frames.into_iter().map(|(.., frame)| frame).collect(), rate)
}

#[test]
fn an_animation_goes_on_at_its_speed() {
    let mut daemon = Setup::new().panel(64, 64).actor().start();
    let mut wire = daemon.client();
    wire.call("sg", args![0, media("party.gif"), "party.gif"]);
    let party = panel::gif_frames(&media("party.gif"));
    for (way, off) in WAYS {
        // Its own speed, and one that has no short decimals.
        for (fps, rate) in [(Value::Null, 12.5), (Value::Float(20.0 / 3.0), 20.0 / 3.0)] {
            daemon
                .client()
                .call("animate", vec!["party.gif".into(), fps, Value::Int(0)]);
            off(&mut daemon);
            boot_dark(&mut daemon);
            let (frames, seen) = watch(&daemon, Duration::from_millis(2_000));
            assert!(frames.iter().all(|frame| party.contains(frame)), "{way}");
            assert!(
                (seen / rate - 1.0).abs() < 0.15,
                "{seen} frames per second instead of {rate} after {way}"
            );
        }
    }
    let shown = status(&mut daemon.client(), "shown");
    assert_eq!(text_field(&shown, "kind"), "animation");
}

#[test]
fn what_a_plugin_drew_comes_back_pixel_by_pixel() {
    let mut daemon = Setup::new().panel(64, 64).actor().start();
    for (way, off) in WAYS {
        // Larger than one value of the store, then smaller.
        for (side, colour) in [(256, [10, 20, 30]), (64, [200, 100, 50])] {
            let [red, green, blue] = colour.map(i64::from);
            daemon
                .client()
                .call("draw", args![side, side, red, green, blue]);
            off(&mut daemon);
            boot_dark(&mut daemon);
            let shown = panel::now(&daemon.panel());
            let expected = panel::plain(64, 64, colour);
            assert_eq!(panel::difference(&shown, &expected), 0, "{way}");
            let shown = status(&mut daemon.client(), "shown");
            assert_eq!(text_field(&shown, "kind"), "pixels");
        }
        daemon.client().call("blink", args![64, 64, 100]);
        off(&mut daemon);
        boot_dark(&mut daemon);
        let (frames, rate) = watch(&daemon, Duration::from_millis(2_000));
        let colours = [[255, 0, 0], [0, 0, 255]].map(|colour| panel::plain(64, 64, colour));
        assert!(frames.iter().all(|frame| colours.contains(frame)), "{way}");
        assert!(
            (rate / 10.0 - 1.0).abs() < 0.15,
            "{rate} frames per second after {way}"
        );
    }
    daemon.assert_no_stack_trace();
}

#[test]
fn music_goes_on_where_it_was_and_paused_music_stays_where_it_is() {
    let mut daemon = Setup::new().start();
    let mut wire = daemon.client();
    store_tone(&mut wire, "song.wav", 60.0);
    wire.call("sv", args![0.25]);
    wire.call("rm", args!["song.wav", true]);
    std::thread::sleep(Duration::from_millis(2_500));
    // A stop writes the position.
    daemon.stop();
    daemon.boot();
    let mut wire = daemon.client();
    let playing = status(&mut wire, "playing");
    assert_eq!(text_field(&playing, "path"), "song.wav");
    assert_eq!(field(&playing, "paused"), &Value::Bool(false));
    assert_eq!(field(&playing, "thread"), &Value::Bool(true));
    assert!(
        (2_000..10_000).contains(&position_ms(&playing)),
        "{playing:?}"
    );
    assert_eq!(status(&mut wire, "volume"), Value::Float(0.25));

    for (way, off) in WAYS {
        wire.call("pm", args![]);
        let at = position_ms(&status(&mut wire, "playing"));
        off(&mut daemon);
        // Twice: what was brought back once comes back again.
        for _ in 0..2 {
            daemon.boot();
            wire = daemon.client();
            let playing = status(&mut wire, "playing");
            assert_eq!(field(&playing, "paused"), &Value::Bool(true), "{way}");
            assert!(
                (at - 50..=at + 50).contains(&position_ms(&playing)),
                "paused at {at}, after {way} {playing:?}"
            );
            off(&mut daemon);
        }
        daemon.boot();
        wire = daemon.client();
        wire.call("um", args![true]);
        until("it goes on", || {
            (position_ms(&status(&mut wire, "playing")) > at + 200).then_some(())
        });
        assert_eq!(status(&mut wire, "volume"), Value::Float(0.25), "{way}");
    }

    // Music of a session ended with it.
    wire.call("rm", args!["song.wav", false]);
    std::thread::sleep(KEPT);
    daemon.kill();
    daemon.boot();
    assert_eq!(status(&mut daemon.client(), "playing"), Value::Null);
}

#[test]
fn paused_music_is_not_heard_when_it_is_brought_back() {
    let folder = tempfile::tempdir().unwrap();
    let heard = |name: &str| folder.path().join(name);
    let backend = |name: &str| format!("wav:{}", heard(name).display());
    let mut daemon = Setup::new().audio(&backend("first.wav")).start();
    let mut wire = daemon.client();
    store_tone(&mut wire, "song.wav", 20.0);
    wire.call("rm", args!["song.wav", true]);
    std::thread::sleep(Duration::from_millis(500));
    wire.call("pm", args![]);
    daemon.stop();
    daemon.set_up_anew(|setup| setup.audio(&backend("second.wav")));
    daemon.boot();
    let mut wire = daemon.client();
    std::thread::sleep(Duration::from_millis(500));
    wire.call("um", args![true]);
    std::thread::sleep(Duration::from_millis(500));
    daemon.stop();
    let second = Recording::read_wav(&heard("second.wav")).unwrap();
    let spans = second.loud_spans(0.000_1, 0.2);
    assert_eq!(spans.len(), 1, "{spans:?}");
    let quiet_s = second.length_s() - spans[0].length_s();
    assert!(
        spans[0].from_s > 0.3 && quiet_s > 0.3,
        "it was heard before it was resumed: {spans:?}"
    );
}

#[test]
fn a_missing_speaker_erases_nothing_and_the_music_begins_when_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = folder.path().join("there");
    std::fs::create_dir(&shelf).unwrap();
    let backend = format!("wav:{}", shelf.join("heard.wav").display());
    let mut daemon = Setup::new().audio(&backend).start();
    let mut wire = daemon.client();
    store_tone(&mut wire, "song.wav", 60.0);
    wire.call("rm", args!["song.wav", true]);
    std::thread::sleep(Duration::from_millis(1_500));
    daemon.stop();
    std::fs::remove_dir_all(&shelf).unwrap();

    // Twice without a speaker, once ended by a crash: nothing is lost by that.
    for (way, off) in WAYS {
        daemon.boot();
        let mut wire = daemon.client();
        let playing = until("it is known that there is no speaker", || {
            let playing = status(&mut wire, "playing");
            playing.get("waiting").is_some().then_some(playing)
        });
        assert_eq!(text_field(&playing, "path"), "song.wav", "{way}");
        let at = position_ms(&playing);
        assert!((500..20_000).contains(&at), "after {way}: {playing:?}");
        // It can be paused all the same, and does not begin by being resumed.
        wire.call("pm", args![]);
        assert_eq!(wire.call_failing("um", args![true]).code, Code::NoDevice);
        let playing = status(&mut wire, "playing");
        assert_eq!(field(&playing, "paused"), &Value::Bool(false));
        assert_eq!(position_ms(&playing), at);
        off(&mut daemon);
    }

    daemon.boot();
    let mut wire = daemon.client();
    std::fs::create_dir(&shelf).unwrap();
    let playing = until("it plays", || {
        let playing = status(&mut wire, "playing");
        playing.get("waiting").is_none().then_some(playing)
    });
    assert!(
        (500..40_000).contains(&position_ms(&playing)),
        "{playing:?}"
    );
    wire.call("stop", args![]);
    assert_eq!(status(&mut wire, "playing"), Value::Null);
    // Nothing waits any more.
    std::fs::remove_dir_all(&shelf).unwrap();
    daemon.stop();
    daemon.boot();
    assert_eq!(status(&mut daemon.client(), "playing"), Value::Null);
}

#[test]
fn music_goes_on_by_itself_when_its_speaker_is_back() {
    let mut pulse = PulseAudio::start().unwrap();
    let daemon = Setup::new()
        .audio("default")
        .environment(pulse.environment())
        .start();
    let mut wire = daemon.client();
    store_tone(&mut wire, "tone.wav", 30.0);
    wire.call("rm", args!["tone.wav", true]);
    until("it plays", || {
        (position_ms(&status(&mut wire, "playing")) > 500).then_some(())
    });
    pulse.kill();
    until("it is known that the speaker is gone", || {
        status(&mut wire, "playing").get("waiting").map(drop)
    });
    let lost_at = position_ms(&status(&mut wire, "playing"));
    assert!((500..20_000).contains(&lost_at), "{lost_at}");
    pulse.restart().unwrap();
    let recorder = pulse.record().unwrap();
    until("it goes on", || {
        let waits = status(&mut wire, "playing").get("waiting").is_some();
        (!waits).then_some(())
    });
    let again_at = position_ms(&status(&mut wire, "playing"));
    assert!(
        (lost_at..lost_at + 5_000).contains(&again_at),
        "lost at {lost_at}, it goes on from {again_at}"
    );
    std::thread::sleep(Duration::from_millis(1_000));
    wire.call("stop", args![]);
    let spans = recorder.stop().loud_spans(0.03, 0.2);
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert!(spans[0].length_s() > 0.5, "{spans:?}");
}

#[test]
fn what_went_meanwhile_stays_off_and_what_was_replaced_begins_anew() {
    let mut daemon = Setup::new().panel(64, 64).start();
    let mut wire = daemon.client();
    wire.call("si", args![media("logo.png"), "logo.png"]);
    store_tone(&mut wire, "song.wav", 60.0);
    wire.call("ri", args!["logo.png"]);
    wire.call("rm", args!["song.wav", true]);
    std::thread::sleep(Duration::from_millis(1_500));
    wire.call("pm", args![]);
    assert!(position_ms(&status(&mut wire, "playing")) > 0);
    // Another picture, and another piece: where the old one stood means nothing there.
    wire.call("si", args![media("sprite.png"), "logo.png"]);
    store_tone(&mut wire, "song.wav", 30.0);
    daemon.stop();
    boot_dark(&mut daemon);
    let mut wire = daemon.client();
    let shown = status(&mut wire, "shown");
    assert_eq!(text_field(&shown, "path"), "logo.png");
    let sprite = panel::decoded(&media("sprite.png"));
    let times = 64 / sprite.width().max(sprite.height());
    let now = panel::now(&daemon.panel());
    assert!(times >= 1 && panel::difference(&now, &panel::plain(64, 64, [0; 3])) > 0);
    let playing = status(&mut wire, "playing");
    assert_eq!(text_field(&playing, "path"), "song.wav");
    assert_eq!(position_ms(&playing), 0, "{playing:?}");
    assert_eq!(field(&playing, "paused"), &Value::Bool(true));

    for name in ["logo.png", "song.wav"] {
        wire.call("del", args![name]);
    }
    for (way, off) in WAYS {
        off(&mut daemon);
        boot_dark(&mut daemon);
        let mut wire = daemon.client();
        assert_eq!(status(&mut wire, "shown"), Value::Null, "{way}");
        assert_eq!(status(&mut wire, "playing"), Value::Null, "{way}");
    }
    daemon.assert_no_stack_trace();
}

/// A disk that forgets what was not synced: what is kept within a second is synced within it, and timers with their commit.
#[test]
fn what_was_on_outlives_a_power_cut() {
    let fs = FaultFs::mount(Disk::new(), 1).unwrap();
    let on = |setup: Setup, fs: &FaultFs| {
        let data = fs.path().join("data");
        setup.host(&format!("data = {:?}", data.display().to_string()))
    };
    let mut daemon = Setup::new().panel(64, 64).actor().start();
    daemon.stop();
    let full = daemon.setup().clone();
    // The folder is made by a first start, which need not wait for the plugins to be compiled.
    daemon.set_up_anew(|_| on(Setup::bare(), &fs));
    daemon.boot();
    daemon.stop();
    let compiled = fs.path().join("data/cache");
    for file in std::fs::read_dir(daemon.path("data/cache"))
        .unwrap()
        .flatten()
    {
        if file.file_type().unwrap().is_file() {
            std::fs::copy(file.path(), compiled.join(file.file_name())).unwrap();
        }
    }
    daemon.set_up_anew(|_| on(full, &fs));
    daemon.boot();
    let mut wire = daemon.client();
    store_tone(&mut wire, "song.wav", 60.0);
    wire.call("rm", args!["song.wav", true]);
    wire.call("pm", args![]);
    wire.call("sv", args![0.5]);
    wire.call("draw", args![200, 200, 9, 8, 7]);
    let at = position_ms(&status(&mut wire, "playing"));
    wire.call("set_timer", args!["alarm", 1_000, "note", true]);
    std::thread::sleep(KEPT);
    fs.cut();
    daemon.kill();
    let (disk, damage) = fs.unmount().after_cut(7);
    println!("{damage:?}");
    let fs = FaultFs::mount(disk, 2).unwrap();
    daemon.set_up_anew(|setup| on(setup, &fs));
    boot_dark(&mut daemon);
    let shown = panel::now(&daemon.panel());
    assert_eq!(
        panel::difference(&shown, &panel::plain(64, 64, [9, 8, 7])),
        0
    );
    let mut wire = daemon.client();
    assert_eq!(status(&mut wire, "volume"), Value::Float(0.5));
    let playing = status(&mut wire, "playing");
    assert_eq!(field(&playing, "paused"), &Value::Bool(true));
    assert!(
        (at - 50..=at + 50).contains(&position_ms(&playing)),
        "paused at {at}, it stands at {playing:?}"
    );
    until("the timer fires", || {
        let notes = std::fs::read_to_string(fs.path().join("data/media/happened.txt"));
        let fired = notes.is_ok_and(|notes| notes.contains("fired alarm note"));
        fired.then_some(())
    });
    daemon.stop();
}

/// An operation that writes takes its state with it.
#[test]
fn what_a_writing_operation_shows_is_kept_at_once() {
    let mut daemon = Setup::new().panel(64, 64).actor().start();
    let mut wire = daemon.client();
    wire.call("si", args![media("logo.png"), "logo.png"]);
    store_tone(&mut wire, "song.wav", 60.0);
    for _ in 0..3 {
        wire.call("clear", args![]);
        wire.call("note_and_show", args!["a.txt", "x", "logo.png"]);
        wire.call("note_and_play", args!["a.txt", "x", "song.wav", true]);
        daemon.kill();
        boot_dark(&mut daemon);
        wire = daemon.client();
        assert_eq!(text_field(&status(&mut wire, "shown"), "path"), "logo.png");
        let playing = status(&mut wire, "playing");
        assert_eq!(text_field(&playing, "path"), "song.wav");
        wire.call("stop", args![]);
    }
}

/// Commits of the host's own since this was called last: every commit has the next position.
struct Writes {
    last: u64,
}

impl Writes {
    fn begin(wire: &mut Wire) -> Self {
        // What came before is written.
        std::thread::sleep(Duration::from_millis(1_500));
        let reply = wire.call_reply("ss", args!["count.txt", "x"]);
        let last = reply.stored.unwrap();
        Self { last }
    }

    fn since(&mut self, wire: &mut Wire) -> u64 {
        let reply = wire.call_reply("ss", args!["count.txt", "x"]);
        let now = reply.stored.unwrap();
        now - std::mem::replace(&mut self.last, now) - 1
    }
}

#[test]
fn an_sd_card_is_written_to_once_for_a_change_and_not_in_between() {
    let daemon = Setup::new().panel(64, 64).actor().start();
    let mut wire = daemon.client();
    wire.call("si", args![media("logo.png"), "logo.png"]);
    store_tone(&mut wire, "song.wav", 120.0);
    let mut writes = Writes::begin(&mut wire);
    let settle = || std::thread::sleep(Duration::from_millis(1_300));
    settle();
    assert_eq!(writes.since(&mut wire), 0, "nothing happened");
    for (op, args) in [
        ("ri", args!["logo.png"]),
        ("rm", args!["song.wav", true]),
        ("pm", args![]),
        ("um", args![true]),
        ("sv", args![0.5]),
        ("clear", args![]),
    ] {
        wire.call(op, args);
        let mut count = 0;
        until("the change is written", || {
            count += writes.since(&mut wire);
            (count > 0).then_some(())
        });
        settle();
        assert_eq!(count + writes.since(&mut wire), 1, "{op}");
    }
    for step in 0..20 {
        wire.call("sv", args![f64::from(step) / 20.0]);
    }
    settle();
    assert!(writes.since(&mut wire) <= 2, "changes are written together");
    // The same again is no change.
    wire.call("sv", args![0.95]);
    settle();
    assert_eq!(writes.since(&mut wire), 0);

    // A plugin that draws all the time.
    let begun = Instant::now();
    let mut drawn = 0;
    while begun.elapsed() < Duration::from_secs(4) {
        drawn += 1;
        wire.call("draw", args![64, 64, drawn % 256, 0, 0]);
        std::thread::sleep(Duration::from_millis(20));
    }
    settle();
    let seconds = begun.elapsed().as_secs_f64();
    let count = writes.since(&mut wire);
    println!("{drawn} pictures in {seconds:.1} s are {count} writes");
    assert!(count as f64 <= seconds / 0.85 + 1.0, "{count} writes");

    // Music of a session is not kept: nothing is to be written for it.
    wire.call("stop", args![]);
    settle();
    writes.since(&mut wire);
    for op in ["rm", "pm", "um"] {
        let args = if op == "rm" {
            args!["song.wav"]
        } else {
            args![]
        };
        wire.call(op, args);
        settle();
        assert_eq!(writes.since(&mut wire), 0, "{op}");
    }
}

/// Real time has to pass: half a minute.
#[test]
fn the_position_in_playing_music_is_written_every_thirty_seconds() {
    let mut daemon = Setup::new().start();
    let mut wire = daemon.client();
    store_tone(&mut wire, "song.wav", 120.0);
    wire.call("rm", args!["song.wav", true]);
    let mut writes = Writes::begin(&mut wire);
    std::thread::sleep(Duration::from_secs(25));
    assert_eq!(writes.since(&mut wire), 0, "too early");
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(writes.since(&mut wire), 1);
    daemon.kill();
    daemon.boot();
    let playing = status(&mut daemon.client(), "playing");
    let at = position_ms(&playing);
    assert!(
        (28_000..50_000).contains(&at),
        "it is at {at} after a crash at 34 s"
    );
}

#[test]
fn a_picture_that_the_display_refuses_leaves_what_was_shown() {
    let mut daemon = Setup::new().panel(64, 64).actor().start();
    let mut wire = daemon.client();
    wire.call("si", args![media("logo.png"), "logo.png"]);
    wire.call("keep", args!["broken.png", "no picture", "image"]);
    wire.call("ri", args!["logo.png"]);
    for op in ["ri", "show"] {
        let failure = wire.call_failing(op, args!["broken.png"]);
        assert_eq!(failure.code, Code::UnsupportedMedia, "{op}: {failure}");
        let shown = status(&mut wire, "shown");
        assert_eq!(text_field(&shown, "path"), "logo.png", "{op}");
    }
    // Several at once: each is refused, none is believed.
    let asked: Vec<u64> = (0..8)
        .map(|_| wire.ask("ri", args!["broken.png"]))
        .collect();
    for number in asked {
        assert!(matches!(wire.reply(number).outcome, Outcome::Failed(_)));
    }
    let shown = status(&mut wire, "shown");
    assert_eq!(text_field(&shown, "path"), "logo.png");
    let logo = panel::decoded(&media("logo.png"));
    assert_eq!(
        panel::difference(&panel::now(&daemon.panel()), &logo),
        0,
        "the panel"
    );
    std::thread::sleep(KEPT);
    daemon.kill();
    boot_dark(&mut daemon);
    assert_eq!(
        panel::difference(&panel::now(&daemon.panel()), &logo),
        0,
        "after a crash"
    );
}

#[test]
fn sound_that_can_not_be_played_leaves_what_was_played() {
    let daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    store_tone(&mut wire, "song.wav", 60.0);
    wire.call("keep", args!["broken.mp3", "no sound", "audio"]);
    wire.call("rm", args!["song.wav", true]);
    let failure = wire.call_failing("rm", args!["broken.mp3", true]);
    assert_eq!(failure.code, Code::UnsupportedMedia, "{failure}");
    let playing = status(&mut wire, "playing");
    assert_eq!(text_field(&playing, "path"), "song.wav");
    wire.call("pm", args![]);

    // What was written stays written, and the reply is the record's.
    let reply = wire.call_reply("note_and_play", args!["a.txt", "x", "broken.mp3", true]);
    assert!(reply.stored.is_some(), "{reply:?}");
    assert_eq!(reply.outcome, Outcome::Done(vec![]));
    assert_eq!(daemon.on_disk("a.txt"), b"x");
    daemon.wait_for_log(&["its effect did not begin"]);
    let playing = status(&mut wire, "playing");
    assert_eq!(text_field(&playing, "path"), "song.wav");
}

/// Two plugins and two clients that show at the same time: what committed last is on the panel.
#[test]
fn the_last_writer_owns_the_screen_whichever_plugin_it_used() {
    let daemon = Setup::new().panel(64, 64).actor().start();
    let (mut one, mut other) = (daemon.client(), daemon.client());
    // One that is slow to decode, one that is quick.
    one.call("si", args![media("logo.png"), "logo.png"]);
    let photo = one.data(&media("photo.jpg"));
    one.call("si", args![photo, "photo.jpg"]);
    let mut pictures = Vec::new();
    for name in ["photo.jpg", "logo.png"] {
        one.call("ri", args![name]);
        pictures.push((name, panel::now(&daemon.panel())));
    }
    let mut won = [0, 0];
    for round in 0..40 {
        let first = one.ask("ri", args!["photo.jpg"]);
        if round % 2 == 0 {
            std::thread::sleep(Duration::from_micros(round * 200));
        }
        let second = other.ask("show", args!["logo.png"]);
        one.reply(first);
        other.reply(second);
        let shown = status(&mut one, "shown");
        let path = text_field(&shown, "path");
        let now = panel::now(&daemon.panel());
        let at = pictures.iter().position(|(name, _)| *name == path).unwrap();
        assert_eq!(
            panel::difference(&now, &pictures[at].1),
            0,
            "round {round}: the panel shows another picture than {path}"
        );
        won[at] += 1;
    }
    println!("photo {}, logo {}", won[0], won[1]);
}

#[test]
fn music_that_begins_when_its_session_is_over_is_not_heard() {
    let mut daemon = Setup::new().host("session_grace_s = 0.0").actor().start();
    let mut keeper = daemon.client();
    store_tone(&mut keeper, "tone.wav", 60.0);
    keeper.call("slow_play", args![1, "tone.wav", true]);
    let mut wire = daemon.client();
    wire.ask("slow_play", args![100_000_000_i64, "tone.wav", false]);
    // Read, and so under way, before the connection breaks.
    wire.send(pixelboy_protocol::GetTable {});
    wire.wait("Table", |frame| {
        matches!(frame, pixelboy_protocol::Frame::Table(_)).then_some(())
    });
    drop(wire.break_off());
    until("its session is over", || {
        let sessions = status(&mut keeper, "sessions");
        (sessions == Value::Int(1)).then_some(())
    });
    // Runs when the one before it has: serial for each plugin.
    keeper.call("keep", args!["behind.txt", "x", "text"]);
    let playing = status(&mut keeper, "playing");
    assert_eq!(field(&playing, "thread"), &Value::Bool(true), "{playing:?}");
    daemon.stop();
}

#[test]
fn music_of_a_session_that_ends_as_it_begins_is_over_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heard.wav");
    let mut daemon = Setup::new()
        .host("session_grace_s = 0.0")
        .audio(&format!("wav:{}", file.display()))
        .start();
    let mut keeper = daemon.client();
    store_tone(&mut keeper, "tone.wav", 60.0);
    for round in 0..30_u64 {
        let mut wire = daemon.client();
        wire.ask("rm", args!["tone.wav"]);
        std::thread::sleep(Duration::from_micros(round * 700));
        if round % 3 == 0 {
            wire.send(pixelboy_protocol::Goodbye {});
        }
        drop(wire.break_off());
        if round % 5 == 0 {
            until("the music of a session that is over ends", || {
                (status(&mut keeper, "playing") == Value::Null).then_some(())
            });
        }
    }
    until("the music of a session that is over ends", || {
        (status(&mut keeper, "playing") == Value::Null).then_some(())
    });
    std::thread::sleep(Duration::from_millis(1_500));
    daemon.stop();
    let heard = Recording::read_wav(&file).unwrap();
    let end_s = heard.length_s();
    assert!(end_s > 1.0, "{end_s}");
    let level = heard.level(end_s - 0.9, end_s);
    assert!(level < 0.000_1, "it plays on at {level}");
}
