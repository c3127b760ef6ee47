//! Painted frames compared with pictures written by hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use super::*;
use crate::DisplaySettings;

fn look(width: u32, height: u32) -> Look {
    DisplaySettings {
        width,
        height,
        ..DisplaySettings::default()
    }
    .resolve()
    .unwrap()
    .0
}

/// One letter a pixel: its red part. Space is the background (0).
fn picture(rows: &[&str]) -> (u32, u32, Vec<u8>) {
    let bytes = rows.concat().bytes().flat_map(|red| [red, 0, 0]).collect();
    (
        u32::try_from(rows[0].len()).unwrap(),
        u32::try_from(rows.len()).unwrap(),
        bytes,
    )
}

fn rgb(picture: &(u32, u32, Vec<u8>)) -> Pixels<'_> {
    let (width, height, bytes) = picture;
    Pixels {
        width: *width,
        height: *height,
        channels: Channels::Rgb,
        bytes,
    }
}

fn painted(look: &Look, rows: &[&str]) -> Vec<String> {
    let picture = picture(rows);
    letters(&Canvas::new(look, rgb(&picture)).paint(rgb(&picture)))
}

fn letters(frame: &Frame) -> Vec<String> {
    let letter = |pixel: &[u8]| {
        if pixel[0] == 0 {
            ' '
        } else {
            char::from(pixel[0])
        }
    };
    frame
        .rows()
        .map(|row| row.chunks_exact(3).map(letter).collect())
        .collect()
}

#[test]
fn contain_shows_all_of_it_with_background_beside_it() {
    assert_eq!(
        painted(&look(4, 4), &["ab"]),
        ["    ", "aabb", "aabb", "    "]
    );
    assert_eq!(
        painted(&look(4, 4), &["a", "b"]),
        [" aa ", " aa ", " bb ", " bb "]
    );
    assert_eq!(
        painted(&look(3, 3), &["abc", "def", "ghi"]),
        ["abc", "def", "ghi"]
    );
    // A shape so extreme that one side would vanish keeps one pixel.
    assert_eq!(painted(&look(2, 2), &["aaaabbbb"])[0], "ab");
}

#[test]
fn cover_fills_the_panel_and_cuts_the_edges_off() {
    let look = Look {
        fit: Fit::Cover,
        ..look(2, 2)
    };
    assert_eq!(painted(&look, &["abcd", "efgh"]), ["bc", "fg"]);
    assert_eq!(painted(&look, &["ab", "cd", "ef", "gh"]), ["cd", "ef"]);
    assert_eq!(painted(&look, &["a"]), ["aa", "aa"]);
}

#[test]
fn stretch_uses_everything() {
    let look = Look {
        fit: Fit::Stretch,
        ..look(4, 2)
    };
    assert_eq!(painted(&look, &["a", "b"]), ["aaaa", "bbbb"]);
}

#[test]
fn none_keeps_the_pixels_and_centres_them() {
    let look = Look {
        fit: Fit::None,
        ..look(4, 3)
    };
    assert_eq!(painted(&look, &["ab"]), ["    ", " ab ", "    "]);
    assert_eq!(painted(&look, &["abcdef"]), ["    ", "bcde", "    "]);
}

#[test]
fn rotation_turns_the_picture_clockwise() {
    let turned = |rotate, width, height| {
        painted(
            &Look {
                rotate,
                ..look(width, height)
            },
            &["abc", "def"],
        )
    };
    assert_eq!(turned(Rotation::Upright, 3, 2), ["abc", "def"]);
    assert_eq!(turned(Rotation::Right, 2, 3), ["da", "eb", "fc"]);
    assert_eq!(turned(Rotation::Half, 3, 2), ["fed", "cba"]);
    assert_eq!(turned(Rotation::Left, 2, 3), ["cf", "be", "ad"]);
}

#[test]
fn transparency_is_mixed_with_the_background_before_scaling() {
    let look = Look {
        background: [0, 100, 200],
        ..look(4, 2)
    };
    let rgba = [255, 0, 0, 255, 255, 255, 255, 0];
    let pixels = Pixels {
        width: 2,
        height: 1,
        channels: Channels::Rgba,
        bytes: &rgba,
    };
    let frame = Canvas::new(&look, pixels).paint(pixels);
    let row = [[255, 0, 0], [255, 0, 0], [0, 100, 200], [0, 100, 200]].concat();
    assert_eq!(frame.rgb(), [row.clone(), row].concat());
    // Half transparent: 255 * 128/255 = 128, 100 * 127/255 = 49.8, 200 * 127/255 = 99.6.
    let half = [255, 0, 0, 128];
    let pixels = Pixels {
        width: 1,
        height: 1,
        channels: Channels::Rgba,
        bytes: &half,
    };
    let frame = Canvas::new(&look, pixels).paint(pixels);
    assert_eq!(frame.rgb()[3..6], [128, 50, 100]);
}

#[test]
fn a_transparent_edge_does_not_bleed_its_hidden_colour_when_made_smaller() {
    // Red on the left, invisible white on the right, made smaller smoothly onto black.
    let row = [[255, 0, 0, 255], [255, 0, 0, 255], [255, 255, 255, 0]].concat();
    let rgba = row.repeat(3);
    let pixels = Pixels {
        width: 3,
        height: 3,
        channels: Channels::Rgba,
        bytes: &rgba,
    };
    let look = Look {
        filter: Filter::Smooth,
        ..look(2, 2)
    };
    let frame = Canvas::new(&look, pixels).paint(pixels);
    for pixel in frame.rgb().chunks_exact(3) {
        assert_eq!(pixel[1..], [0, 0]);
    }
    assert!(frame.rgb()[0] > 200);
}

#[test]
fn brightness_dims_picture_and_background() {
    let look = Look {
        brightness: 0.5,
        background: [0, 0, 200],
        ..look(2, 1)
    };
    let bytes = [255, 100, 1];
    let pixels = Pixels {
        width: 1,
        height: 1,
        channels: Channels::Rgb,
        bytes: &bytes,
    };
    assert_eq!(
        Canvas::new(&look, pixels).paint(pixels).rgb(),
        [128, 50, 1, 0, 0, 100]
    );
    assert_eq!(blank(&look).rgb(), [0, 0, 100, 0, 0, 100]);
    let dark = Look {
        brightness: 0.0,
        ..look
    };
    assert_eq!(Canvas::new(&dark, pixels).paint(pixels).rgb(), [0; 6]);
}

#[test]
fn pixel_art_enlarged_before_comes_back_exactly() {
    // A 2 x 2 picture enlarged 3 times, on a panel of 2 x 2.
    let rows = ["aaabbb", "aaabbb", "aaabbb", "cccddd", "cccddd", "cccddd"];
    assert_eq!(painted(&look(2, 2), &rows), ["ab", "cd"]);
    // Blocks that are not uniform become their mean.
    assert_eq!(painted(&look(1, 1), &["ac", "ac"]), ["b"]);
}

#[test]
fn enlarging_by_any_factor_keeps_pixel_art_hard() {
    let stretch = Look {
        fit: Fit::Stretch,
        ..look(5, 1)
    };
    assert_eq!(painted(&stretch, &["ab"]), ["aabbb"]);
    let nearest = Look {
        filter: Filter::Nearest,
        ..look(3, 1)
    };
    assert_eq!(painted(&nearest, &["abcdef"]).concat(), "bdf");
}

#[test]
fn the_filter_suits_the_picture() {
    let from = |width, height| Area {
        x: 0,
        y: 0,
        width,
        height,
    };
    let chosen = |filter, (w, h), (tw, th), few| scaling(filter, from(w, h), from(tw, th), || few);
    let (lanczos, catmull, triangle) = (
        Scaling::Smooth(FilterType::Lanczos3),
        Scaling::Smooth(FilterType::CatmullRom),
        Scaling::Smooth(FilterType::Triangle),
    );
    let auto = Filter::Auto;
    assert_eq!(chosen(auto, (64, 64), (64, 64), false), Scaling::Copy);
    assert_eq!(chosen(auto, (4000, 3000), (64, 48), false), lanczos);
    assert_eq!(chosen(auto, (128, 128), (64, 64), true), Scaling::Blocks);
    assert_eq!(chosen(auto, (100, 100), (64, 64), true), triangle);
    assert_eq!(chosen(auto, (16, 16), (64, 64), false), Scaling::Nearest);
    assert_eq!(chosen(auto, (24, 24), (64, 64), true), Scaling::Nearest);
    assert_eq!(chosen(auto, (48, 48), (64, 64), false), catmull);
    assert_eq!(
        chosen(Filter::Nearest, (4000, 3000), (64, 48), false),
        Scaling::Nearest
    );
    assert_eq!(chosen(Filter::Smooth, (16, 16), (64, 64), true), catmull);
    assert_eq!(chosen(Filter::Smooth, (128, 128), (64, 64), true), lanczos);
}

#[test]
fn a_photograph_has_many_colours_and_a_drawing_few() {
    let many: Vec<u8> = (0..=256u16)
        .flat_map(|v| [v.to_be_bytes()[0], v.to_be_bytes()[1], 0])
        .collect();
    assert!(!has_few_colours(&many));
    assert!(has_few_colours(&many[3..]));
    assert!(has_few_colours(&[7; 3_000_000]));
}

#[test]
fn a_smooth_reduction_keeps_the_mean_brightness() {
    // Fine stripes of black and white: nearest would give one of them, smooth gives gray.
    let width = 300;
    let bytes: Vec<u8> = (0..width * width)
        .flat_map(|i| [if i % 2 == 0 { 255 } else { 0 }; 3])
        .collect();
    let pixels = Pixels {
        width,
        height: width,
        channels: Channels::Rgb,
        bytes: &bytes,
    };
    let frame = Canvas::new(&look(64, 64), pixels).paint(pixels);
    let mean = frame.rgb().iter().map(|v| u64::from(*v)).sum::<u64>() / frame.rgb().len() as u64;
    assert!((120..=135).contains(&mean), "{mean}");
}

#[test]
fn a_reduction_in_two_steps_looks_like_one_step() {
    // A soft wave, 1000 x 700, onto 64 x 45.
    let (width, height) = (1000u32, 700u32);
    let wave = |x: u32, y: u32| {
        ((f64::from(x) / 40.0).sin() * (f64::from(y) / 60.0).cos() * 120.0 + 128.0) as u8
    };
    let bytes: Vec<u8> = (0..width * height)
        .flat_map(|i| [wave(i % width, i / width), 7, (i % 251) as u8])
        .collect();
    let to = Area {
        x: 0,
        y: 0,
        width: 64,
        height: 45,
    };
    let ours = smooth(bytes.clone(), (width, height), to, FilterType::Lanczos3);
    let image = RgbImage::from_raw(width, height, bytes).unwrap();
    let slow = imageops::resize(&image, 64, 45, FilterType::Lanczos3).into_raw();
    let worst = ours
        .iter()
        .zip(&slow)
        .map(|(a, b)| a.abs_diff(*b))
        .max()
        .unwrap();
    assert!(worst <= 4, "off by {worst}");
}
