//! Composed frames compared with pictures written by hand: R, G, B, and a dot for transparent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use gif::{Encoder, Frame};

use super::*;

const PALETTE: &[u8] = &[0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255];

/// One frame of a test file.
pub(crate) struct Part {
    pub(crate) at: (u16, u16),
    pub(crate) rows: &'static [&'static str],
    pub(crate) dispose: DisposalMethod,
    pub(crate) delay: u16,
}

fn part(at: (u16, u16), rows: &'static [&'static str], dispose: DisposalMethod) -> Part {
    Part {
        at,
        rows,
        dispose,
        delay: 5,
    }
}

fn index(letter: u8) -> u8 {
    match letter {
        b'.' => 0,
        b'R' => 1,
        b'G' => 2,
        b'B' => 3,
        other => panic!("{}", char::from(other)),
    }
}

fn frame(part: &Part) -> Frame<'static> {
    let pixels: Vec<u8> = part
        .rows
        .iter()
        .flat_map(|row| row.bytes().map(index))
        .collect();
    Frame {
        left: part.at.0,
        top: part.at.1,
        width: u16::try_from(part.rows[0].len()).unwrap(),
        height: u16::try_from(part.rows.len()).unwrap(),
        dispose: part.dispose,
        delay: part.delay,
        transparent: Some(0),
        buffer: pixels.into(),
        ..Frame::default()
    }
}

/// A GIF file.
pub(crate) fn file(size: (u16, u16), repeat: Option<Repeat>, parts: &[Part]) -> Vec<u8> {
    let frames: Vec<_> = parts.iter().map(frame).collect();
    encode(size, repeat, &frames)
}

fn encode(size: (u16, u16), repeat: Option<Repeat>, frames: &[Frame<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, size.0, size.1, PALETTE).unwrap();
    if let Some(repeat) = repeat {
        encoder.set_repeat(repeat).unwrap();
    }
    for frame in frames {
        encoder.write_frame(frame).unwrap();
    }
    drop(encoder);
    bytes
}

fn drawn(pixels: Pixels<'_>) -> Vec<String> {
    assert_eq!(pixels.channels, Channels::Rgba);
    let letter = |pixel: &[u8]| match pixel {
        [_, _, _, 0] => '.',
        [255, 0, 0, 255] => 'R',
        [0, 255, 0, 255] => 'G',
        [0, 0, 255, 255] => 'B',
        other => panic!("{other:?}"),
    };
    pixels
        .bytes
        .chunks_exact(pixels.width as usize * 4)
        .map(|row| row.chunks_exact(4).map(letter).collect())
        .collect()
}

fn play(reel: &mut GifReel) -> Vec<Vec<String>> {
    let mut seen = Vec::new();
    while let Some(still) = reel.next().unwrap() {
        seen.push(drawn(still.pixels));
    }
    seen
}

fn opened(bytes: Vec<u8>) -> GifReel {
    GifReel::open(bytes.into()).unwrap()
}

fn composed(size: (u16, u16), parts: &[Part]) -> Vec<Vec<String>> {
    let mut reel = opened(file(size, None, parts));
    let first = play(&mut reel);
    reel.rewind().unwrap();
    assert_eq!(
        play(&mut reel),
        first,
        "the second play begins on an empty canvas"
    );
    first
}

use DisposalMethod::{Any, Background, Keep, Previous};

#[test]
fn kept_frames_stay_and_transparent_pixels_show_what_is_below() {
    for keep in [Any, Keep] {
        let seen = composed(
            (3, 3),
            &[
                part((0, 0), &["RRR", "RRR", "RRR"], keep),
                part((1, 1), &["G"], keep),
                part((0, 0), &[".B", "B."], keep),
            ],
        );
        assert_eq!(seen[0], ["RRR", "RRR", "RRR"]);
        assert_eq!(seen[1], ["RRR", "RGR", "RRR"]);
        assert_eq!(seen[2], ["RBR", "BGR", "RRR"]);
        assert_eq!(seen.len(), 3);
    }
}

#[test]
fn a_frame_disposed_to_background_leaves_its_whole_area_transparent() {
    let seen = composed(
        (3, 3),
        &[
            part((0, 0), &["RRR", "RRR", "RRR"], Keep),
            part((1, 0), &["GG", ".G"], Background),
            part((0, 2), &["B"], Keep),
        ],
    );
    assert_eq!(seen[1], ["RGG", "RRG", "RRR"]);
    assert_eq!(seen[2], ["R..", "R..", "BRR"]);
}

#[test]
fn a_frame_disposed_to_previous_brings_back_what_was_there() {
    let seen = composed(
        (3, 3),
        &[
            part((0, 0), &["RRR", "RRR", "RRR"], Keep),
            part((0, 0), &["GG", "G."], Previous),
            part((1, 1), &["BB", "BB"], Previous),
            part((2, 2), &["G"], Keep),
        ],
    );
    assert_eq!(seen[1], ["GGR", "GRR", "RRR"]);
    assert_eq!(seen[2], ["RRR", "RBB", "RBB"]);
    assert_eq!(seen[3], ["RRR", "RRR", "RRG"]);
}

#[test]
fn a_first_frame_disposed_to_previous_leaves_nothing() {
    let seen = composed(
        (2, 1),
        &[part((0, 0), &["R"], Previous), part((1, 0), &["B"], Keep)],
    );
    assert_eq!(seen[0], ["R."]);
    assert_eq!(seen[1], [".B"]);
}

#[test]
fn disposals_follow_each_other_in_any_mixture() {
    let seen = composed(
        (4, 1),
        &[
            part((0, 0), &["RRRR"], Background),
            part((0, 0), &["GG"], Keep),
            part((1, 0), &["BB"], Previous),
            part((3, 0), &["R"], Background),
            part((3, 0), &["."], Keep),
        ],
    );
    let expected = ["RRRR", "GG..", "GBB.", "GG.R", "GG.."];
    assert_eq!(seen.concat(), expected);
}

#[test]
fn frames_that_reach_beyond_the_canvas_are_cut_off() {
    let seen = composed(
        (2, 2),
        &[
            part((1, 1), &["RG", "BB"], Background),
            part((5, 5), &["R"], Background),
            part((0, 0), &["BBBB"], Keep),
        ],
    );
    assert_eq!(seen[0], ["..", ".R"]);
    assert_eq!(seen[1], ["..", ".."]);
    assert_eq!(seen[2], ["BB", ".."]);
}

#[test]
fn interlaced_rows_come_in_their_order() {
    // In the file: every 8th row from 0, every 8th from 4, every 4th from 2, every 2nd from 1.
    let stored = [0, 8, 4, 2, 6, 1, 3, 5, 7, 9];
    let rows = ["RG", "GB", "BR", "RR", "GG", "BB", ".R", "G.", "B.", "RB"];
    let buffer: Vec<u8> = stored
        .iter()
        .flat_map(|row| rows[*row].bytes().map(index))
        .collect();
    let frame = Frame {
        width: 2,
        height: 10,
        interlaced: true,
        transparent: Some(0),
        buffer: buffer.into(),
        ..Frame::default()
    };
    let seen = play(&mut opened(encode((2, 10), None, &[frame])));
    assert_eq!(seen, [rows]);
}

#[test]
fn a_local_palette_replaces_the_global_one() {
    let frame = Frame {
        width: 2,
        height: 1,
        palette: Some(vec![0, 0, 255, 255, 0, 0]),
        buffer: vec![0, 1].into(),
        ..Frame::default()
    };
    assert_eq!(play(&mut opened(encode((2, 1), None, &[frame]))), [["BR"]]);
}

#[test]
fn mistaken_delays_become_a_tenth_of_a_second_and_others_are_exact() {
    let delays = [0, 1, 2, 10, 65_535];
    let parts: Vec<_> = delays
        .iter()
        .map(|delay| Part {
            at: (0, 0),
            rows: &["R"],
            dispose: Keep,
            delay: *delay,
        })
        .collect();
    let mut reel = opened(file((1, 1), None, &parts));
    let mut holds = Vec::new();
    while let Some(still) = reel.next().unwrap() {
        holds.push(still.hold.as_millis());
    }
    assert_eq!(holds, [100, 100, 20, 100, 655_350]);
}

#[test]
fn a_loop_count_means_repetitions_and_none_means_one_play() {
    let parts = [part((0, 0), &["R"], Keep)];
    let plays = |repeat| opened(file((1, 1), repeat, &parts)).plays();
    assert_eq!(plays(None), Some(1));
    assert_eq!(plays(Some(Repeat::Infinite)), None);
    assert_eq!(plays(Some(Repeat::Finite(1))), Some(2));
    assert_eq!(plays(Some(Repeat::Finite(65_535))), Some(65_536));
}

#[test]
fn a_file_that_breaks_off_gives_its_whole_frames_and_then_an_error() {
    let parts = [
        part((0, 0), &["RG", "BR"], Keep),
        part((0, 0), &["GG", "GG"], Keep),
    ];
    let bytes = file((2, 2), None, &parts);
    let mut reel = opened(bytes[..bytes.len() - 4].to_vec());
    assert_eq!(drawn(reel.next().unwrap().unwrap().pixels), ["RG", "BR"]);
    let error = reel.next().map(drop).unwrap_err();
    assert!(
        matches!(error, DisplayError::Decode { format: "GIF", .. }),
        "{error}"
    );
}

#[test]
fn a_bomb_is_refused_before_its_memory_is_taken() {
    let mut bytes = file((1, 1), None, &[part((0, 0), &["R"], Keep)]);
    let mut canvas = bytes.clone();
    canvas[6..10].fill(0xff);
    let error = GifReel::open(canvas.into()).map(drop).unwrap_err();
    assert!(
        matches!(
            error,
            DisplayError::TooLarge {
                width: 65_535,
                height: 65_535,
                ..
            }
        ),
        "{error}"
    );
    // The image descriptor of the only frame: a comma, left, top, width, height.
    let at = bytes
        .windows(5)
        .position(|window| window == [0x2c, 0, 0, 0, 0])
        .unwrap();
    bytes[at + 5..at + 9].fill(0xff);
    let error = opened(bytes).next().map(drop).unwrap_err();
    assert!(matches!(error, DisplayError::TooLarge { .. }), "{error}");
}
