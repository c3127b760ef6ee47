//! The main job: every opcode with real media. What a reply says, what lies on the disk, what the panel shows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::Duration;

use harness::{
    Daemon, Setup, Wire, args, field, media, panel, sha256_hex, snapshot, text_field, wav,
};
use pixelboy_protocol::{Code, Outcome, Value};

/// Checks what every reply about a stored file says, and the file on the disk.
#[track_caller]
fn assert_stored(daemon: &Daemon, said: &Value, path: &str, kind: &str, bytes: &[u8]) {
    assert_eq!(text_field(said, "path"), path);
    assert_eq!(text_field(said, "kind"), kind);
    assert_eq!(field(said, "size"), &Value::Int(bytes.len() as i64));
    assert_eq!(text_field(said, "sha256"), sha256_hex(bytes));
    assert!(
        daemon.on_disk(path) == bytes,
        "{path}: other bytes on the disk than were sent"
    );
}

/// Calls an opcode that must write: its one value.
#[track_caller]
fn store(wire: &mut Wire, op: &str, args: Vec<Value>) -> Value {
    let reply = wire.call_reply(op, args);
    assert!(!reply.recorded);
    match reply.outcome {
        Outcome::Done(mut values) if values.len() == 1 => {
            assert!(
                reply.stored.is_some(),
                "{op} wrote, and its reply does not say stored"
            );
            values.remove(0)
        }
        other => panic!("{op}: {other:?}"),
    }
}

/// Calls an opcode that must not write: its values.
#[track_caller]
fn act(wire: &mut Wire, op: &str, args: Vec<Value>) -> Vec<Value> {
    let reply = wire.call_reply(op, args);
    assert_eq!(reply.stored, None, "{op} says stored");
    match reply.outcome {
        Outcome::Done(values) => values,
        Outcome::Failed(failure) => panic!("{op}: {failure:?}"),
    }
}

#[test]
fn text_is_added_replaced_and_written_over_byte_for_byte() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    // (arguments after the path, offset, what is in the file then)
    let steps: [(Vec<Value>, i64, &str); 7] = [
        (args!["hello\n"], 0, "hello\n"),
        (args!["wörld\n", "a"], 6, "hello\nwörld\n"),
        (args!["HE", "r+"], 0, "HEllo\nwörld\n"),
        (
            args!["a longer text than before", "r+"],
            0,
            "a longer text than before",
        ),
        (args!["!", "a"], 25, "a longer text than before!"),
        (args!["new", "w"], 0, "new"),
        (args!["", "w"], 0, ""),
    ];
    for (more, offset, now) in steps {
        let text = more[0].as_text().unwrap().to_owned();
        let said = store(&mut wire, "ss", [args!["diary/monday.txt"], more].concat());
        assert_eq!(text_field(&said, "path"), "diary/monday.txt");
        assert_eq!(text_field(&said, "kind"), "text");
        assert_eq!(field(&said, "offset"), &Value::Int(offset), "{text:?}");
        assert_eq!(
            field(&said, "size"),
            &Value::Int(now.len() as i64),
            "{text:?}"
        );
        assert_eq!(text_field(&said, "sha256"), sha256_hex(text.as_bytes()));
        assert_eq!(
            String::from_utf8(daemon.on_disk("diary/monday.txt")).unwrap(),
            now
        );
    }
}

#[test]
fn text_can_be_named_inline_or_uploaded() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let mut named = wire.request("ss", args!["named.txt"]);
    named.kwargs = vec![
        ("mode".into(), "w".into()),
        ("text".into(), "by name".into()),
    ];
    assert!(matches!(wire.exchange(named).outcome, Outcome::Done(_)));
    assert_eq!(daemon.on_disk("named.txt"), b"by name");

    let long: String = (0..40_000).map(|n| format!("line {n}\n")).collect();
    let upload = wire.upload(long.as_bytes());
    let said = store(&mut wire, "ss", args!["long.txt", upload, "w"]);
    assert_eq!(text_field(&said, "sha256"), sha256_hex(long.as_bytes()));
    let upload = wire.upload(long.as_bytes());
    let said = store(&mut wire, "ss", args!["long.txt", upload]);
    assert_eq!(field(&said, "offset"), &Value::Int(long.len() as i64));
    assert!(daemon.on_disk("long.txt") == long.repeat(2).into_bytes());
}

#[test]
fn what_is_no_text_or_is_not_there_is_refused_by_ss() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    store(&mut wire, "si", args![media("logo.png"), "logo"]);
    let before = snapshot(&daemon.path("data/media"));
    let failure = wire.call_failing("ss", args!["new.txt", "x", "r+"]);
    assert_eq!(failure.code, Code::NotFound, "{failure}");
    let failure = wire.call_failing("ss", args!["new.txt", vec![0xFFu8, 0xFE]]);
    assert_eq!(failure.code, Code::UnsupportedMedia, "{failure}");
    for mode in ["a", "r+"] {
        let failure = wire.call_failing("ss", args!["logo", "x", mode]);
        assert_eq!(failure.code, Code::BadArguments, "{failure}");
    }
    assert!(
        snapshot(&daemon.path("data/media")) == before,
        "something was stored"
    );
}

#[test]
fn pictures_of_every_format_are_stored_as_they_were_sent() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    for (file, kind, format, width, height, frames) in [
        ("logo.png", "image", "png", 64, 64, 1),
        ("sprite.png", "image", "png", 16, 16, 1),
        ("photo.jpg", "image", "jpeg", 320, 240, 1),
        ("picture.bmp", "image", "bmp", 80, 60, 1),
        ("picture.webp", "image", "webp", 160, 120, 1),
        ("interlaced.gif", "image", "gif", 16, 16, 1),
        ("party.gif", "animation", "gif", 64, 64, 10),
        ("animated.webp", "animation", "webp", 32, 32, 4),
    ] {
        let bytes = media(file);
        let path = format!("pictures/{file}");
        let said = store(&mut wire, "si", args![bytes.clone(), path.as_str()]);
        assert_stored(&daemon, &said, &path, kind, &bytes);
        assert_eq!(text_field(&said, "format"), format);
        assert_eq!(field(&said, "width"), &Value::Int(width), "{file}");
        assert_eq!(field(&said, "height"), &Value::Int(height), "{file}");
        assert_eq!(field(&said, "frames"), &Value::Int(frames), "{file}");
    }
    // The same through an upload, and onto a name that is taken.
    let bytes = media("photo.jpg");
    let upload = wire.upload(&bytes);
    let said = store(&mut wire, "si", args![upload, "pictures/picture.jpg"]);
    assert_stored(&daemon, &said, "pictures/picture.jpg", "image", &bytes);
    let other = media("logo.png");
    let said = store(&mut wire, "si", args![other.clone(), "pictures/sprite.png"]);
    assert_stored(&daemon, &said, "pictures/sprite.png", "image", &other);
}

#[test]
fn sound_of_every_format_is_stored_and_a_wrong_frame_rate_is_refused() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    for (file, format, rate, channels, duration_ms) in [
        ("tone.mp3", "mp3", 44_100, 1, 3_000),
        ("music.mp3", "mp3", 44_100, 1, 6_000),
        ("tone.wav", "wav", 11_025, 1, 1_000),
        ("tone.flac", "flac", 22_050, 1, 2_000),
        ("tone.ogg", "ogg", 44_100, 2, 3_000),
    ] {
        let bytes = media(file);
        for frame_rate in [0, rate] {
            let data = wire.data(&bytes);
            let said = store(&mut wire, "sm", args![frame_rate, data, file]);
            assert_stored(&daemon, &said, file, "audio", &bytes);
            assert_eq!(text_field(&said, "format"), format);
            assert_eq!(field(&said, "sample_rate"), &Value::Int(rate));
            assert_eq!(field(&said, "channels"), &Value::Int(channels));
            let told = field(&said, "duration_ms").as_int().unwrap();
            assert!((told - duration_ms).abs() < 200, "{file}: {told} ms");
        }
        let data = wire.data(&bytes);
        let failure = wire.call_failing("sm", args![8_000, data, "wrong"]);
        assert_eq!(failure.code, Code::BadArguments, "{failure}");
        assert!(failure.message.contains(&rate.to_string()), "{failure}");
        assert!(failure.message.contains("8000"), "{failure}");
        assert!(!daemon.stored("wrong").exists());
    }
}

#[test]
fn an_animation_is_stored_with_its_speed() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let bytes = media("party.gif");
    let said = store(&mut wire, "sg", args![12.5, bytes.clone(), "fast.gif"]);
    assert_stored(&daemon, &said, "fast.gif", "animation", &bytes);
    assert_eq!(field(&said, "fps"), &Value::Float(12.5));
    assert_eq!(field(&said, "frames"), &Value::Int(10));
    let said = store(&mut wire, "sg", args![0, bytes.clone(), "own.gif"]);
    assert_stored(&daemon, &said, "own.gif", "animation", &bytes);
    assert_eq!(said.get("fps"), None);
    let said = wire.call_one("stat", args!["fast.gif"]);
    assert_eq!(field(&said, "fps"), &Value::Float(12.5));
    let failure = wire.call_failing("sg", args![0, media("logo.png"), "logo.gif"]);
    assert_eq!(failure.code, Code::UnsupportedMedia, "{failure}");
    assert!(
        failure.message.contains("si"),
        "it should name the opcode that takes it: {failure}"
    );
}

/// A speed that `sg` takes must be one that `rg` can show.
#[test]
fn every_speed_that_sg_takes_can_be_shown() {
    let daemon = Setup::new().panel(64, 64).start();
    let mut wire = daemon.client();
    for fps in [0.0, 1e-9, 0.000_5, 0.001, 1.0, 200.0, 201.0, 1000.0] {
        let stored = wire.call_reply("sg", args![fps, media("party.gif"), "speed.gif"]);
        if let Outcome::Done(_) = stored.outcome {
            let shown = wire.call_reply("rg", args!["speed.gif"]).outcome;
            assert!(
                matches!(shown, Outcome::Done(_)),
                "{fps} frames per second: {shown:?}"
            );
        }
    }
}

#[test]
fn files_are_listed_told_of_fetched_and_removed() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let tone = wav::tone(2.0, 44_100, 440.0);
    for path in ["b.txt", "a.txt", "folder/x.txt", "folder/deeper/y.txt"] {
        store(&mut wire, "ss", args![path, path]);
    }
    let data = wire.data(&tone);
    store(&mut wire, "sm", args![0, data, "big.wav"]);

    let names = |listed: &Value| -> Vec<String> {
        let list = listed.as_list().unwrap();
        list.iter()
            .map(|entry| text_field(entry, "path").to_owned())
            .collect()
    };
    let top = wire.call_one("ls", args![]);
    assert_eq!(
        names(&top),
        ["a.txt", "b.txt", "big.wav", "folder"].map(fix_folder(&top))
    );
    let entry = &top.as_list().unwrap()[2];
    assert_eq!(text_field(entry, "name"), "big.wav");
    assert_eq!(text_field(entry, "kind"), "audio");
    assert_eq!(field(entry, "size"), &Value::Int(tone.len() as i64));
    assert_eq!(text_field(&top.as_list().unwrap()[3], "kind"), "folder");
    assert_eq!(
        names(&wire.call_one("ls", args!["", "a.txt", 1])),
        ["b.txt"]
    );
    assert_eq!(
        wire.call_one("ls", args!["folder"])
            .as_list()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        names(&wire.call_one("ls", args!["folder/deeper/"])),
        ["folder/deeper/y.txt"]
    );
    assert_eq!(
        wire.call_failing("ls", args!["nowhere"]).code,
        Code::NotFound
    );

    let told = wire.call_one("stat", args!["big.wav"]);
    assert_stored(&daemon, &told, "big.wav", "audio", &tone);
    let modified = field(&told, "modified_ms").as_int().unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    assert!(
        (now.as_millis() as i64 - modified).abs() < 120_000,
        "{modified}"
    );

    for (path, bytes) in [("a.txt", b"a.txt".to_vec()), ("big.wav", tone)] {
        let got = wire.call("get", args![path]);
        assert_eq!(text_field(&got[1], "path"), path);
        assert_eq!(text_field(&got[1], "sha256"), sha256_hex(&bytes));
        assert!(
            wire.bytes(&got[0]) == bytes,
            "{path} came back with other bytes"
        );
    }

    assert_eq!(
        text_field(&store(&mut wire, "del", args!["folder/x.txt"]), "path"),
        "folder/x.txt"
    );
    assert!(!daemon.stored("folder/x.txt").exists());
    for op in ["get", "stat", "del"] {
        let failure = wire.call_failing(op, args!["folder/x.txt"]);
        assert_eq!(failure.code, Code::NotFound, "{op}: {failure}");
        assert!(failure.message.contains("folder/x.txt"), "{failure}");
    }
    store(&mut wire, "del", args!["folder/deeper/y.txt"]);
    assert_eq!(
        names(&wire.call_one("ls", args![])),
        ["a.txt", "b.txt", "big.wav"]
    );
}

/// A folder's own path may end in `/` or not.
fn fix_folder(top: &Value) -> impl Fn(&str) -> String {
    let slash = text_field(&top.as_list().unwrap()[3], "path").ends_with('/');
    move |name| {
        if name == "folder" && slash {
            "folder/".to_owned()
        } else {
            name.to_owned()
        }
    }
}

#[test]
fn a_picture_is_on_the_panel_when_ri_replies() {
    let daemon = Setup::new().panel(128, 128).start();
    let mut wire = daemon.client();
    for file in [
        "logo.png",
        "sprite.png",
        "photo.jpg",
        "party.gif",
        "interlaced.gif",
    ] {
        store(&mut wire, "si", args![media(file), file]);
    }
    let folder = daemon.panel();
    assert_eq!(
        act(&mut wire, "ri", args!["logo.png"]),
        vec![Value::Map(vec![("shown".into(), "logo.png".into())])]
    );
    let logo = panel::enlarged(&panel::decoded(&media("logo.png")), 2);
    assert_eq!(
        panel::difference(&panel::now(&folder), &logo),
        0,
        "the logo, every pixel twice as wide and high"
    );

    act(&mut wire, "ri", args!["sprite.png"]);
    let sprite = panel::enlarged(&panel::decoded(&media("sprite.png")), 8);
    let off = panel::difference(&panel::now(&folder), &sprite);
    assert!(off <= 2, "the sprite, mixed with black: off by {off}");

    act(&mut wire, "ri", args!["photo.jpg"]);
    let shown = panel::now(&folder);
    let scaled = image::imageops::resize(
        &panel::decoded(&media("photo.jpg")),
        128,
        96,
        image::imageops::FilterType::Triangle,
    );
    let middle = image::imageops::crop_imm(&shown, 0, 16, 128, 96).to_image();
    let off = panel::mean_difference(&middle, &scaled);
    assert!(
        off < 4.0,
        "the photograph, made smaller: off by {off} in the mean"
    );
    for y in (0..16).chain(112..128) {
        for x in 0..128 {
            assert_eq!(
                shown.get_pixel(x, y).0,
                [0; 3],
                "beside the photograph, at {x}, {y}"
            );
        }
    }

    act(&mut wire, "ri", args!["party.gif"]);
    let first = panel::enlarged(&panel::gif_frames(&media("party.gif"))[0], 2);
    assert_eq!(panel::difference(&panel::now(&folder), &first), 0);
    act(&mut wire, "ri", args!["interlaced.gif"]);
    let rows = panel::now(&folder);
    for y in 0..128u32 {
        assert_eq!(rows.get_pixel(5, y).0, [(y / 8 * 16) as u8; 3], "row {y}");
    }

    assert_eq!(act(&mut wire, "clear", args![]), vec![Value::Null; 0]);
    assert_eq!(panel::now(&folder), panel::plain(128, 128, [0; 3]));
}

#[test]
fn an_animation_moves_at_its_own_speed_or_the_one_it_was_stored_with() {
    let daemon = Setup::new().panel(64, 64).start();
    let mut wire = daemon.client();
    let gif = media("party.gif");
    let expected = panel::gif_frames(&gif);
    for (fps, per_second) in [(0.0, 12.5), (25.0, 25.0)] {
        store(&mut wire, "sg", args![fps, gif.clone(), "party.gif"]);
        act(&mut wire, "clear", args![]);
        let before = panel::all(&daemon.panel()).last().unwrap().0;
        act(&mut wire, "rg", args!["party.gif"]);
        // Moving is what is promised: a time is waited for here.
        std::thread::sleep(Duration::from_millis(1_600));
        act(&mut wire, "clear", args![]);
        let frames = panel::all(&daemon.panel());
        let frames: Vec<_> = frames
            .iter()
            .filter(|(number, ..)| *number > before)
            .collect();
        let moving = &frames[..frames.len() - 1];
        let which: Vec<usize> = moving
            .iter()
            .map(|(_, _, shown)| {
                let at = expected
                    .iter()
                    .position(|frame| panel::difference(frame, shown) == 0);
                at.expect("a frame that is not in the file")
            })
            .collect();
        assert_eq!(which[0], 0, "it begins with the first frame");
        let distinct = |frame: &usize| {
            expected
                .iter()
                .position(|other| *other == expected[*frame])
                .unwrap()
        };
        let steps = which.windows(2);
        let right = steps
            .clone()
            .filter(|pair| distinct(&pair[1]) == distinct(&((pair[0] + 1) % 10)))
            .count();
        assert!(right * 10 >= steps.len() * 8, "out of order: {which:?}");
        let time = moving
            .last()
            .unwrap()
            .1
            .duration_since(moving[0].1)
            .unwrap();
        let rate = (moving.len() - 1) as f64 / time.as_secs_f64();
        println!(
            "{fps} asked: {rate:.2} frames per second, {} of {} in order",
            right,
            steps.len()
        );
        assert!(
            (rate / per_second - 1.0).abs() < 0.15,
            "{rate} frames per second, expected {per_second}"
        );
    }
}

#[test]
fn only_what_is_there_and_can_be_seen_is_shown() {
    let daemon = Setup::new().panel(64, 64).start();
    let mut wire = daemon.client();
    store(&mut wire, "ss", args!["note.txt", "text"]);
    store(&mut wire, "sm", args![0, media("tone.wav"), "tone.wav"]);
    store(&mut wire, "si", args![media("logo.png"), "logo.png"]);
    act(&mut wire, "ri", args!["logo.png"]);
    for op in ["ri", "rg"] {
        for (path, code) in [
            ("nothing.png", Code::NotFound),
            ("note.txt", Code::UnsupportedMedia),
            ("tone.wav", Code::UnsupportedMedia),
        ] {
            let failure = wire.call_failing(op, args![path]);
            assert_eq!(failure.code, code, "{op} {path}: {failure}");
            assert!(failure.message.contains(path), "{failure}");
        }
    }
    assert_eq!(
        wire.call_failing("rg", args!["logo.png"]).code,
        Code::UnsupportedMedia
    );
    let logo = panel::decoded(&media("logo.png"));
    assert_eq!(
        panel::difference(&panel::now(&daemon.panel()), &logo),
        0,
        "what was shown stays"
    );
    let shown = field(&wire.call_one("status", args![]), "shown").clone();
    assert_eq!(text_field(&shown, "path"), "logo.png");
}

#[test]
fn music_is_played_paused_resumed_stopped_and_told_of() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    for op in ["pm", "um", "stop"] {
        let failure = wire.call_failing(op, args![]);
        assert_eq!(failure.code, Code::NothingPlaying, "{op}: {failure}");
    }
    assert_eq!(
        wire.call_failing("rm", args!["song.wav"]).code,
        Code::NotFound
    );
    let song = wav::tone(30.0, 8_000, 440.0);
    let data = wire.data(&song);
    store(&mut wire, "sm", args![0, data, "song.wav"]);
    store(&mut wire, "si", args![media("logo.png"), "logo.png"]);
    assert_eq!(
        wire.call_failing("rm", args!["logo.png"]).code,
        Code::UnsupportedMedia
    );
    assert_eq!(
        field(&wire.call_one("status", args![]), "playing"),
        &Value::Null
    );

    let said = act(&mut wire, "rm", args!["song.wav"]).remove(0);
    assert_eq!(text_field(&said, "playing"), "song.wav");
    assert_eq!(field(&said, "duration_ms"), &Value::Int(30_000));
    assert_eq!(field(&said, "thread"), &Value::Bool(false));
    let playing = field(&wire.call_one("status", args![]), "playing").clone();
    assert_eq!(text_field(&playing, "path"), "song.wav");
    assert_eq!(field(&playing, "paused"), &Value::Bool(false));

    let said = act(&mut wire, "pm", args![]).remove(0);
    assert_eq!(text_field(&said, "paused"), "song.wav");
    let position = |wire: &mut Wire| {
        let playing = field(&wire.call_one("status", args![]), "playing").clone();
        (
            field(&playing, "position_ms").as_int().unwrap(),
            field(&playing, "paused").clone(),
        )
    };
    let (there, paused) = position(&mut wire);
    assert_eq!(paused, Value::Bool(true));
    // A pause is promised to last.
    std::thread::sleep(Duration::from_millis(300));
    let (still, _) = position(&mut wire);
    assert!(
        still - there < 60,
        "it went on from {there} to {still} ms while paused"
    );
    let said = act(&mut wire, "um", args![true]).remove(0);
    assert_eq!(text_field(&said, "playing"), "song.wav");
    assert_eq!(field(&said, "thread"), &Value::Bool(true));
    std::thread::sleep(Duration::from_millis(300));
    let (on, paused) = position(&mut wire);
    assert_eq!(paused, Value::Bool(false));
    assert!(
        (200..2_000).contains(&(on - still)),
        "from {still} to {on} ms in 300 ms"
    );

    let said = act(&mut wire, "stop", args![]).remove(0);
    assert_eq!(text_field(&said, "stopped"), "song.wav");
    assert_eq!(wire.call_failing("um", args![]).code, Code::NothingPlaying);
    assert_eq!(
        field(&wire.call_one("status", args![]), "playing"),
        &Value::Null
    );

    act(&mut wire, "rm", args!["song.wav", true]);
    let short = media("tone.wav");
    store(&mut wire, "sm", args![0, short, "short.wav"]);
    act(&mut wire, "rm", args!["short.wav"]);
    let playing = field(&wire.call_one("status", args![]), "playing").clone();
    assert_eq!(
        text_field(&playing, "path"),
        "short.wav",
        "it replaces what played"
    );
    let begun = std::time::Instant::now();
    while field(&wire.call_one("status", args![]), "playing") != &Value::Null {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "a second of sound does not end"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(
        wire.call_failing("pm", args![]).code,
        Code::NothingPlaying,
        "it is over"
    );
}

#[test]
fn the_volume_is_set_and_told() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    assert_eq!(
        field(&wire.call_one("status", args![]), "volume"),
        &Value::Float(1.0)
    );
    for volume in [Value::Float(0.0), Value::Float(0.25), Value::Int(1)] {
        let said = act(&mut wire, "sv", vec![volume.clone()]).remove(0);
        assert_eq!(field(&said, "volume").as_float(), volume.as_float());
        let told = field(&wire.call_one("status", args![]), "volume")
            .as_float()
            .unwrap();
        assert!((told - volume.as_float().unwrap()).abs() < 1e-6);
    }
}

#[test]
fn status_tells_of_device_plugins_and_session() {
    let daemon = Setup::new().panel(48, 32).start();
    let mut wire = daemon.client();
    let status = wire.call_one("status", args![]);
    let display = field(&status, "display");
    assert_eq!(text_field(display, "backend"), "png");
    assert_eq!(
        (field(display, "width"), field(display, "height")),
        (&Value::Int(48), &Value::Int(32))
    );
    assert!(text_field(&status, "host").starts_with("pixelboyd "));
    assert_eq!(field(&status, "protocol"), &Value::Int(1));
    assert_eq!(field(&status, "receive_timeout_s"), &Value::Float(5.0));
    assert_eq!(field(&status, "pass_time_out"), &Value::Bool(false));
    assert_eq!(field(&status, "shown"), &Value::Null);
    for name in ["store-media", "show-gif", "play-audio"] {
        let plugin = field(field(&status, "plugins"), name);
        assert!(!text_field(plugin, "version").is_empty());
    }
}

#[test]
fn old_clients_two_times_true_means_no_arguments() {
    let daemon = Setup::new().panel(16, 16).start();
    let mut wire = daemon.client();
    let nothing = || args![true, true];
    let song = wav::tone(10.0, 8_000, 440.0);
    let data = wire.data(&song);
    store(&mut wire, "sm", args![0, data, "song.wav"]);
    act(&mut wire, "rm", args!["song.wav"]);
    for op in ["pm", "um", "stop", "clear", "sptt"] {
        act(&mut wire, op, nothing());
    }
    let status = wire.call_one("status", nothing());
    assert_eq!(field(&status, "pass_time_out"), &Value::Bool(true));
    act(&mut wire, "sptf", nothing());
    let status = wire.call_one("status", args![]);
    assert_eq!(field(&status, "pass_time_out"), &Value::Bool(false));
    act(&mut wire, "cc", nothing());
    wire.closed_with(Code::Closed);
}

#[test]
fn what_was_on_is_on_again_after_a_crash() {
    let mut daemon = Setup::new().panel(64, 64).start();
    let mut wire = daemon.client();
    store(&mut wire, "si", args![media("logo.png"), "logo.png"]);
    let song = wav::tone(60.0, 8_000, 440.0);
    let data = wire.data(&song);
    store(&mut wire, "sm", args![0, data, "song.wav"]);
    act(&mut wire, "sv", args![0.5]);
    act(&mut wire, "ri", args!["logo.png"]);
    act(&mut wire, "rm", args!["song.wav", true]);
    // Within a second of a change it is written: that second is given here.
    std::thread::sleep(Duration::from_millis(1_100));
    daemon.kill();
    std::fs::remove_dir_all(daemon.panel()).unwrap();
    daemon.boot();
    let mut wire = daemon.client();
    let status = wire.call_one("status", args![]);
    assert_eq!(field(&status, "volume"), &Value::Float(0.5));
    assert_eq!(text_field(field(&status, "shown"), "path"), "logo.png");
    let playing = field(&status, "playing");
    assert_eq!(text_field(playing, "path"), "song.wav");
    assert_eq!(field(playing, "paused"), &Value::Bool(false));
    let logo = panel::decoded(&media("logo.png"));
    assert_eq!(
        panel::difference(&panel::now(&daemon.panel()), &logo),
        0,
        "nobody asked for it again"
    );

    // Paused music comes back paused, where it was.
    act(&mut wire, "pm", args![]);
    let before = field(&wire.call_one("status", args![]), "playing").clone();
    std::thread::sleep(Duration::from_millis(1_100));
    daemon.kill();
    daemon.boot();
    let after = field(&daemon.client().call_one("status", args![]), "playing").clone();
    assert_eq!(field(&after, "paused"), &Value::Bool(true));
    let at = |playing: &Value| field(playing, "position_ms").as_int().unwrap();
    assert!(
        (at(&before) - at(&after)).abs() < 500,
        "{before:?} became {after:?}"
    );
}

#[test]
fn without_a_display_and_a_speaker_the_device_stores_all_the_same() {
    // The audio folder does not exist: no output can be opened.
    let daemon = Setup::new()
        .audio("wav:/nonexistent/folder/out.wav")
        .start();
    let mut wire = daemon.client();
    store(&mut wire, "si", args![media("logo.png"), "logo.png"]);
    store(&mut wire, "sm", args![0, media("tone.wav"), "tone.wav"]);
    let failure = wire.call_failing("rm", args!["tone.wav"]);
    assert_eq!(failure.code, Code::NoDevice, "{failure}");
    assert_eq!(
        field(&wire.call_one("status", args![]), "playing"),
        &Value::Null
    );
    daemon.assert_no_stack_trace();
}

/// More than fits a reply: it travels as a blob that stands for all values.
#[test]
fn a_folder_of_a_thousand_files_is_listed_whole() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    for from in (0..1_000).step_by(250) {
        let numbers: Vec<u64> = (from..from + 250)
            .map(|n| wire.ask("ss", args![format!("many/{n:04}.txt"), "x"]))
            .collect();
        for number in numbers {
            let outcome = wire.reply(number).outcome;
            assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        }
        wire.confirm(wire.id.next_number - 1);
    }
    let listed = wire.call("ls", args!["many"]);
    let listed = wire.values(listed);
    let names: Vec<&str> = listed[0]
        .as_list()
        .unwrap()
        .iter()
        .map(|entry| text_field(entry, "name"))
        .collect();
    let expected: Vec<String> = (0..1_000).map(|n| format!("{n:04}.txt")).collect();
    assert_eq!(names, expected);
    let page = wire.call_one("ls", args!["many", "0499.txt", 3]);
    let page: Vec<&str> = page
        .as_list()
        .unwrap()
        .iter()
        .map(|entry| text_field(entry, "name"))
        .collect();
    assert_eq!(page, ["0500.txt", "0501.txt", "0502.txt"]);
}

#[test]
fn what_is_shown_and_played_stays_when_its_file_goes() {
    let daemon = Setup::new().panel(64, 64).start();
    let mut wire = daemon.client();
    store(&mut wire, "sg", args![0, media("party.gif"), "party.gif"]);
    let upload = wire.upload(&wav::tone(20.0, 44_100, 440.0));
    store(&mut wire, "sm", args![0, upload, "song.wav"]);
    act(&mut wire, "rg", args!["party.gif"]);
    act(&mut wire, "rm", args!["song.wav"]);
    store(&mut wire, "si", args![media("interlaced.gif"), "party.gif"]);
    store(&mut wire, "del", args!["song.wav"]);
    let before = panel::all(&daemon.panel()).len();
    std::thread::sleep(Duration::from_millis(500));
    let frames = panel::all(&daemon.panel());
    assert!(frames.len() > before + 2, "the animation stands still");
    let party = panel::gif_frames(&media("party.gif"));
    let (.., last) = frames.last().unwrap();
    assert!(
        party.contains(last),
        "another picture is shown than was asked for"
    );
    let playing = field(&wire.call_one("status", args![]), "playing").clone();
    assert_eq!(text_field(&playing, "path"), "song.wav");
    assert_eq!(
        wire.call_failing("rm", args!["song.wav"]).code,
        Code::NotFound
    );
}

/// Plugins run beside each other: one that computes holds nobody else up.
#[test]
fn a_plugin_that_computes_holds_no_other_up() {
    let daemon = Setup::new().lab().start();
    let mut busy = daemon.client();
    let rounds = harness::lab::rounds_for(&mut busy, Duration::from_secs(5));
    let number = busy.ask("spin", args![rounds]);
    let mut wire = daemon.client();
    let begun = std::time::Instant::now();
    // Each waits for the disk, which may be slow; held up, the first would wait for the plugin to end.
    for _ in 0..3 {
        wire.call("ss", args!["log.txt", "x"]);
    }
    let took = begun.elapsed();
    assert!(
        busy.try_reply(number, Duration::ZERO).is_err(),
        "three appends took {took:?}, until it had computed"
    );
}

/// What `si` and `sg` take must be showable: both have limits, which must be the same.
#[test]
fn every_size_that_is_stored_can_be_shown() {
    let daemon = Setup::new().panel(64, 64).start();
    let mut wire = daemon.client();
    let png = |width: u32, height: u32| {
        let picture = image::GrayImage::new(width, height);
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    };
    // Two frames of one pixel on a large canvas.
    let gif = |width: u16, height: u16| {
        let mut bytes = b"GIF89a".to_vec();
        bytes.extend(width.to_le_bytes());
        bytes.extend(height.to_le_bytes());
        bytes.extend([0x80, 0, 0, 0, 0, 0, 255, 255, 255]);
        for _ in 0..2 {
            bytes.extend([0x21, 0xF9, 4, 0, 5, 0, 0, 0]);
            bytes.extend([0x2C, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0]);
        }
        bytes.push(0x3B);
        bytes
    };
    let mut check = |op: &str, show: &str, bytes: &[u8], what: &str| {
        let data = wire.data(bytes);
        let arguments = match op {
            "si" => args![data, "large"],
            _ => args![0, data, "large"],
        };
        let stored = wire.call_reply(op, arguments).outcome;
        println!(
            "{what}: {op} {}",
            if matches!(stored, Outcome::Done(_)) {
                "takes it"
            } else {
                "refuses it"
            }
        );
        if let Outcome::Done(_) = stored {
            let shown = wire.call_reply(show, args!["large"]).outcome;
            assert!(
                matches!(shown, Outcome::Done(_)),
                "{op} takes {what}, and {show} says: {shown:?}"
            );
        }
    };
    for (width, height) in [
        (1, 1),
        (5_000, 4_900),
        (5_100, 5_000),
        (16_384, 16),
        (16_385, 16),
        (20_000, 2),
    ] {
        check(
            "si",
            "ri",
            &png(width, height),
            &format!("a picture of {width} x {height}"),
        );
    }
    for (width, height) in [
        (3_840, 2_160),
        (3_900, 2_200),
        (5_000, 4_900),
        (16_000, 100),
        (20_000, 10),
    ] {
        let bytes = gif(width, height);
        check(
            "sg",
            "rg",
            &bytes,
            &format!("an animation of {width} x {height}"),
        );
        check(
            "si",
            "ri",
            &bytes,
            &format!("the first frame of {width} x {height}"),
        );
    }
}
