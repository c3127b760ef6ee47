//! What is found out about every good file of the repository.

use crate::support::{GOOD, bytes, names, path, probe_bytes};
use pixelboy_probe::{Budget, Checked, Format, Kind, extension_agrees, probe};
use std::fs::File;
use std::time::Duration;

struct Facts {
    kind: Kind,
    size: (u32, u32),
    frames: u32,
    has_alpha: bool,
    loops: u32,
    duration_ms: Option<u64>,
    sound: Option<(u32, u16)>,
    describe: &'static str,
}

const PICTURE: Facts = Facts {
    kind: Kind::Image,
    size: (0, 0),
    frames: 1,
    has_alpha: false,
    loops: 1,
    duration_ms: None,
    sound: None,
    describe: "",
};
const ANIMATION: Facts = Facts {
    kind: Kind::Animation,
    ..PICTURE
};
const SOUND: Facts = Facts {
    kind: Kind::Audio,
    frames: 0,
    ..PICTURE
};

fn facts(name: &str) -> Facts {
    match name {
        "logo.png" => Facts {
            size: (64, 64),
            describe: "image/png 64x64",
            ..PICTURE
        },
        "sprite.png" => Facts {
            size: (16, 16),
            has_alpha: true,
            describe: "image/png 16x16",
            ..PICTURE
        },
        "photo.jpg" => Facts {
            size: (320, 240),
            describe: "image/jpeg 320x240",
            ..PICTURE
        },
        "picture.bmp" => Facts {
            size: (80, 60),
            describe: "image/bmp 80x60",
            ..PICTURE
        },
        "picture.webp" => Facts {
            size: (160, 120),
            describe: "image/webp 160x120",
            ..PICTURE
        },
        "interlaced.gif" => Facts {
            size: (16, 16),
            describe: "image/gif 16x16",
            ..PICTURE
        },
        "party.gif" => Facts {
            size: (64, 64),
            frames: 10,
            loops: 0,
            duration_ms: Some(800),
            describe: "image/gif 64x64, 10 frames, 0.8 s",
            ..ANIMATION
        },
        "disposal-none.gif" => Facts {
            size: (16, 16),
            frames: 4,
            loops: 0,
            duration_ms: Some(1000),
            describe: "image/gif 16x16, 4 frames, 1.0 s",
            ..ANIMATION
        },
        "disposal-background.gif" => Facts {
            size: (16, 16),
            frames: 4,
            has_alpha: true,
            loops: 3,
            duration_ms: Some(400),
            describe: "image/gif 16x16, 4 frames, 0.4 s",
            ..ANIMATION
        },
        "disposal-previous.gif" => Facts {
            size: (16, 16),
            frames: 4,
            has_alpha: true,
            loops: 1,
            duration_ms: Some(650),
            describe: "image/gif 16x16, 4 frames, 0.7 s",
            ..ANIMATION
        },
        "animated.webp" => Facts {
            size: (32, 32),
            frames: 4,
            has_alpha: true,
            loops: 2,
            duration_ms: Some(480),
            describe: "image/webp 32x32, 4 frames, 0.5 s",
            ..ANIMATION
        },
        "tone.mp3" => Facts {
            duration_ms: Some(3000),
            sound: Some((44_100, 1)),
            describe: "audio/mp3 3.0 s, 44100 hz, mono",
            ..SOUND
        },
        "music.mp3" => Facts {
            duration_ms: Some(6000),
            sound: Some((44_100, 1)),
            describe: "audio/mp3 6.0 s, 44100 hz, mono",
            ..SOUND
        },
        "tone.wav" => Facts {
            duration_ms: Some(1000),
            sound: Some((11_025, 1)),
            describe: "audio/wav 1.0 s, 11025 hz, mono",
            ..SOUND
        },
        "tone.flac" => Facts {
            duration_ms: Some(2000),
            sound: Some((22_050, 1)),
            describe: "audio/flac 2.0 s, 22050 hz, mono",
            ..SOUND
        },
        "tone.ogg" => Facts {
            duration_ms: Some(3000),
            sound: Some((44_100, 2)),
            describe: "audio/ogg 3.0 s, 44100 hz, stereo",
            ..SOUND
        },
        other => panic!("{other} is new: say here what it holds"),
    }
}

#[test]
fn every_good_file_of_the_repository_is_described_exactly() {
    for name in GOOD {
        let file = File::open(path(name)).unwrap();
        let len = file.metadata().unwrap().len();
        let media =
            probe(file, len, Budget::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = facts(name);
        assert_eq!(media.kind, expected.kind, "{name}");
        assert_eq!((media.width, media.height), expected.size, "{name}");
        assert_eq!(media.frames, expected.frames, "{name}");
        assert_eq!(media.has_alpha, expected.has_alpha, "{name}");
        assert_eq!(media.loops, expected.loops, "{name}");
        assert_eq!(
            media.duration,
            expected.duration_ms.map(Duration::from_millis),
            "{name}"
        );
        assert_eq!(
            media.sample_rate.zip(media.channels),
            expected.sound,
            "{name}"
        );
        assert_eq!(media.describe(), expected.describe, "{name}");
        assert!(extension_agrees(name, media.format.name()), "{name}");
        let is_whole = media.checked == Checked::Whole;
        assert_eq!(
            is_whole,
            media.format != Format::Mp3,
            "{name}: only of mp3 the middle is left out"
        );
    }
}

#[test]
fn every_file_of_the_folder_is_either_good_or_malformed() {
    let media = names()
        .into_iter()
        .filter(|name| !name.ends_with(".py") && !name.ends_with(".sh"));
    for name in media.filter(|name| name != "README.md") {
        let is_known =
            GOOD.contains(&name.as_str()) || crate::malformed::FILES.contains(&name.as_str());
        assert!(
            is_known,
            "{name} is new: add it to the good or to the malformed files"
        );
    }
}

#[test]
fn a_name_never_decides() {
    let (result, _) = probe_bytes(bytes("tone.wav"), Budget::default());
    let media = result.unwrap();
    assert_eq!(media.format, Format::Wav);
    assert!(!extension_agrees("tone.mp3", media.format.name()));
}

#[test]
fn a_photograph_with_bytes_behind_its_end_is_accepted() {
    let mut photo = bytes("photo.jpg");
    photo.extend_from_slice(b"a camera's own data \xff\xd8\xff\xc0 behind the end");
    let (result, _) = probe_bytes(photo, Budget::default());
    assert_eq!(result.unwrap().describe(), "image/jpeg 320x240");
}

#[test]
fn an_mp3_without_its_tag_and_header_is_as_long_as_its_frames() {
    let whole = bytes("tone.mp3");
    let info = whole.windows(4).position(|part| part == b"Info").unwrap() - 21;
    let frames = whole[info + 182..].to_vec();
    let (result, _) = probe_bytes(frames, Budget::default());
    let length = result.unwrap().duration.unwrap();
    assert!(
        length > Duration::from_millis(3000) && length < Duration::from_millis(3100),
        "{length:?}"
    );
}

#[test]
fn a_recording_of_a_stream_that_begins_within_a_frame_is_accepted() {
    let whole = bytes("tone.mp3");
    let info = whole.windows(4).position(|part| part == b"Info").unwrap() - 21;
    let (result, _) = probe_bytes(whole[info + 250..].to_vec(), Budget::default());
    assert_eq!(result.unwrap().format, Format::Mp3);
}

#[test]
fn tags_at_the_end_and_between_parts_of_an_mp3_are_no_sound() {
    let mut tagged = bytes("tone.mp3");
    assert!(tagged[tagged.len() - 128..].starts_with(b"TAG"));
    let mut ape = b"APETAGEX\xd0\x07\0\0\x2a\0\0\0\x01\0\0\0\0\0\0\xa0\0\0\0\0\0\0\0\0".to_vec();
    ape.extend_from_slice(&[b'x'; 10]);
    ape.extend_from_slice(b"APETAGEX\xd0\x07\0\0\x2a\0\0\0\x01\0\0\0\0\0\0\x80\0\0\0\0\0\0\0\0");
    tagged.splice(tagged.len() - 128..tagged.len() - 128, ape);
    let (result, _) = probe_bytes(tagged.clone(), Budget::default());
    assert_eq!(result.unwrap().duration, Some(Duration::from_secs(3)));
    // Both headers promise 3 s, the frames of both are counted.
    let (result, _) = probe_bytes(tagged.repeat(2), Budget::default());
    let length = result.unwrap().duration.unwrap();
    assert!(
        length > Duration::from_millis(6000) && length < Duration::from_millis(6200),
        "{length:?}"
    );
}

#[test]
fn a_wav_of_unknown_length_lasts_to_the_end_of_the_file() {
    let mut piped = bytes("tone.wav");
    piped[4..8].fill(0xff);
    let data = piped.windows(4).position(|part| part == b"data").unwrap();
    piped[data + 4..data + 8].fill(0xff);
    let (result, _) = probe_bytes(piped, Budget::default());
    assert_eq!(result.unwrap().duration, Some(Duration::from_secs(1)));
}
