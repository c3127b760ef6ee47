//! Each limit of the budget does what its documentation says.

use crate::support::{GOOD, bytes, probe_bytes, probe_counted};
use pixelboy_probe::{Budget, Checked, Limit, Media, Refusal};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::time::Duration;

#[test]
fn without_a_budget_for_decoding_the_container_still_tells_everything() {
    for name in GOOD {
        let frugal = Budget {
            max_bytes_decoded: 0,
            ..Budget::default()
        };
        let whole = probe_bytes(bytes(name), Budget::default()).0.unwrap();
        let part = probe_bytes(bytes(name), frugal)
            .0
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let as_part = |media: Media| Media {
            checked: Checked::Part,
            ..media
        };
        assert_eq!(part.checked, Checked::Part, "{name}");
        assert_eq!(part, as_part(whole), "{name}");
    }
}

#[test]
fn without_memory_no_picture_is_decoded_in_one_piece() {
    for name in [
        "photo.jpg",
        "picture.bmp",
        "picture.webp",
        "animated.webp",
        "sprite.png",
        "tone.flac",
    ] {
        let frugal = Budget {
            max_memory_bytes: 0,
            ..Budget::default()
        };
        let media = probe_bytes(bytes(name), frugal)
            .0
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(media.checked, Checked::Part, "{name}");
    }
}

#[test]
fn more_reading_than_allowed_is_refused_with_the_limit() {
    for name in [
        "logo.png",
        "photo.jpg",
        "picture.bmp",
        "party.gif",
        "tone.mp3",
        "tone.flac",
        "tone.ogg",
    ] {
        let whole = bytes(name);
        let limit = whole.len() as u64 / 4;
        let (result, read) = probe_bytes(
            whole,
            Budget {
                max_bytes_read: limit,
                ..Budget::default()
            },
        );
        assert_eq!(
            result,
            Err(Refusal::Budget {
                limit: Limit::BytesRead(limit)
            }),
            "{name}"
        );
        assert!(
            read <= limit,
            "{name}: {read} bytes were read, {limit} allowed"
        );
    }
}

#[test]
fn more_time_than_allowed_is_refused_with_the_limit() {
    for name in GOOD {
        let hasty = Budget {
            max_time: Duration::ZERO,
            ..Budget::default()
        };
        assert_eq!(
            probe_bytes(bytes(name), hasty).0,
            Err(Refusal::Budget {
                limit: Limit::TimeMs(0)
            }),
            "{name}"
        );
    }
}

#[test]
fn more_pixels_than_allowed_are_refused_with_both_numbers() {
    let small = Budget {
        max_pixels: 64 * 64 - 1,
        ..Budget::default()
    };
    for name in [
        "logo.png",
        "party.gif",
        "photo.jpg",
        "picture.bmp",
        "picture.webp",
    ] {
        let refusal = probe_bytes(bytes(name), small).0.unwrap_err();
        assert!(
            matches!(
                refusal,
                Refusal::TooLarge {
                    max_pixels: 4095,
                    ..
                }
            ),
            "{name}: {refusal}"
        );
    }
}

#[test]
fn a_source_shorter_than_said_is_a_cut_file() {
    let logo = bytes("logo.png");
    let len = logo.len() as u64;
    let short = Cursor::new(logo[..logo.len() - 100].to_vec());
    let refusal = probe_counted(short, len, Budget::default()).0.unwrap_err();
    assert!(matches!(refusal, Refusal::Truncated { .. }), "{refusal}");
}

#[test]
fn a_failing_source_is_not_taken_for_a_bad_file() {
    struct Failing(Cursor<Vec<u8>>);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.position() > 500 {
                return Err(io::Error::other("the card was pulled"));
            }
            let wanted = buffer.len().min(501);
            self.0.read(&mut buffer[..wanted])
        }
    }
    impl Seek for Failing {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    for name in [
        "logo.png",
        "party.gif",
        "photo.jpg",
        "music.mp3",
        "tone.ogg",
        "tone.flac",
        "picture.bmp",
    ] {
        let whole = bytes(name);
        let len = whole.len() as u64;
        let refusal = probe_counted(Failing(Cursor::new(whole)), len, Budget::default())
            .0
            .unwrap_err();
        assert_eq!(
            refusal,
            Refusal::Unreadable {
                reason: "the card was pulled".to_owned()
            },
            "{name}"
        );
    }
}

#[test]
fn a_panic_below_becomes_a_refusal_and_leaves_the_next_probe_alone() {
    struct Panicking(Cursor<Vec<u8>>);
    impl Read for Panicking {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            assert!(self.0.position() < 500, "as a decoder might");
            let wanted = buffer.len().min(501);
            self.0.read(&mut buffer[..wanted])
        }
    }
    impl Seek for Panicking {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    for name in ["logo.png", "photo.jpg", "tone.flac"] {
        let whole = bytes(name);
        let len = whole.len() as u64;
        let refusal = probe_counted(
            Panicking(Cursor::new(whole.clone())),
            len,
            Budget::default(),
        )
        .0
        .unwrap_err();
        assert!(
            refusal
                .to_string()
                .contains("its decoder gave up (as a decoder might)"),
            "{name}: {refusal}"
        );
        assert!(probe_bytes(whole, Budget::default()).0.is_ok(), "{name}");
    }
}
