//! Time is made up by the tests; nothing waits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::reel::gif::tests::{Part, file};
use crate::reel::list::ListReel;
use crate::{DisplaySettings, Source, reel};

const MS: Duration = Duration::from_millis(1);

fn look() -> Look {
    let settings = DisplaySettings {
        width: 1,
        height: 1,
        ..DisplaySettings::default()
    };
    settings.resolve().unwrap().0
}

fn pace() -> Pace {
    Pace {
        fps: None,
        loops: None,
        cache_bytes: 1 << 20,
    }
}

/// Frames of one pixel; the red part is the frame's number.
fn list(holds_ms: &[u32], loops: u32) -> Box<dyn Reel> {
    let frames = holds_ms
        .iter()
        .zip(0u8..)
        .map(|(hold, number)| (vec![number, 0, 0, 255], MS * *hold))
        .collect();
    Box::new(ListReel::frames(1, 1, frames, loops).unwrap())
}

fn start(reel: Box<dyn Reel>, pace: &Pace, now: Instant) -> Player {
    let (player, first) = Player::start(reel, &look(), pace, now).unwrap();
    assert_eq!(number(&first.frame), 0);
    player
}

fn number(frame: &Frame) -> u8 {
    frame.rgb()[0]
}

/// Wakes the player `late` after each of its due times, at most `count` times. What it presented, and
/// the due time in milliseconds; 255 is the end.
fn play(player: &mut Player, start: Instant, late: Duration, count: usize) -> Vec<(u8, u128)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        player.prepare();
        let Some(due) = player.due() else { break };
        let at = due.duration_since(start).as_millis();
        match player.turn(due + late) {
            Turn::Wait => panic!("it was due"),
            Turn::Present(frame) => seen.push((number(&frame), at)),
            Turn::Ended => seen.push((255, at)),
        }
    }
    seen
}

#[test]
fn every_frame_is_held_for_its_own_time() {
    let now = Instant::now();
    let mut player = start(list(&[10, 20, 30], 0), &pace(), now);
    let seen = play(&mut player, now, Duration::ZERO, 6);
    assert_eq!(
        seen,
        [(1, 10), (2, 30), (0, 60), (1, 70), (2, 90), (0, 120)]
    );
}

#[test]
fn nothing_is_presented_before_its_time() {
    let now = Instant::now();
    let mut player = start(list(&[10, 20], 0), &pace(), now);
    assert!(matches!(player.turn(now + MS * 9), Turn::Wait));
    assert!(matches!(player.turn(now + MS * 10), Turn::Present(_)));
    assert!(matches!(player.turn(now + MS * 10), Turn::Wait));
}

#[test]
fn lateness_does_not_add_up() {
    let now = Instant::now();
    let mut player = start(list(&[20, 20], 0), &pace(), now);
    let seen = play(&mut player, now, MS * 7, 10_000);
    for (turn, (number, at)) in seen.iter().enumerate() {
        assert_eq!(*at, (turn as u128 + 1) * 20);
        assert_eq!(usize::from(*number), (turn + 1) % 2);
    }
    assert_eq!(seen.len(), 10_000);
}

#[test]
fn a_frame_rate_replaces_the_files_timing_and_does_not_drift() {
    let now = Instant::now();
    let rate = Pace {
        fps: Some(30.0),
        ..pace()
    };
    let mut player = start(list(&[10, 500, 77], 0), &rate, now);
    play(&mut player, now, MS, 30 * 3600 - 1);
    let error = player
        .due()
        .unwrap()
        .duration_since(now + Duration::from_secs(3600));
    assert!(
        error < MS,
        "an hour of 30 frames a second ended {error:?} off"
    );
}

#[test]
fn frame_rates_that_make_no_sense_are_refused() {
    for fps in [0.0, -1.0, f64::NAN, f64::INFINITY, 200.1, 1e-9] {
        let pace = Pace {
            fps: Some(fps),
            ..pace()
        };
        let refused = Player::start(list(&[10], 0), &look(), &pace, Instant::now());
        assert!(
            matches!(refused, Err(DisplayError::FrameRate { .. })),
            "{fps}"
        );
    }
}

#[test]
fn plays_are_counted_and_the_last_frame_has_its_full_time() {
    let now = Instant::now();
    let mut player = start(list(&[10, 20], 2), &pace(), now);
    let seen = play(&mut player, now, Duration::ZERO, 100);
    assert_eq!(seen, [(1, 10), (0, 30), (1, 40), (255, 60)]);
    assert_eq!(player.due(), None);
}

#[test]
fn a_number_of_plays_asked_for_goes_before_the_files_own() {
    let now = Instant::now();
    let once = Pace {
        loops: Some(1),
        ..pace()
    };
    let mut player = start(list(&[10, 10], 7), &once, now);
    assert_eq!(play(&mut player, now, MS, 100), [(1, 10), (255, 20)]);
    let for_ever = Pace {
        loops: Some(0),
        ..pace()
    };
    let mut player = start(list(&[10, 10], 1), &for_ever, now);
    assert_eq!(play(&mut player, now, MS, 100).len(), 100);
}

#[test]
fn one_frame_for_ever_never_wakes_the_machine() {
    let now = Instant::now();
    let mut player = start(list(&[10], 0), &pace(), now);
    player.prepare();
    assert_eq!(player.due(), None);
    let mut player = start(list(&[10], 3), &pace(), now);
    assert_eq!(
        play(&mut player, now, MS, 100),
        [(0, 10), (0, 20), (255, 30)]
    );
}

#[test]
fn frames_whose_time_is_over_are_passed_over() {
    let now = Instant::now();
    let mut player = start(list(&[20, 20, 20, 20, 20], 0), &pace(), now);
    // At 65 ms the fourth frame (60 to 80 ms) is due.
    let Turn::Present(frame) = player.turn(now + MS * 65) else {
        panic!()
    };
    assert_eq!(number(&frame), 3);
    assert_eq!(player.due(), Some(now + MS * 80));
}

#[test]
fn after_a_long_stall_frames_do_not_rush_by() {
    let now = Instant::now();
    let mut player = start(list(&[20, 20, 20], 0), &pace(), now);
    let awake = now + Duration::from_secs(3600);
    let Turn::Present(frame) = player.turn(awake) else {
        panic!()
    };
    assert_eq!(number(&frame), 1);
    assert_eq!(player.due(), Some(awake + MS * 20));
}

/// A GIF of three frames (red, green, blue), 20 ms each, and a count of how often it was opened.
fn counted_gif(repeat: gif::Repeat, cut: usize) -> (Source, Arc<AtomicUsize>) {
    let parts = ["R", "G", "B"].map(|row| Part {
        at: (0, 0),
        rows: match row {
            "R" => &["R"],
            "G" => &["G"],
            _ => &["B"],
        },
        dispose: gif::DisposalMethod::Keep,
        delay: 2,
    });
    let mut bytes = file((1, 1), Some(repeat), &parts);
    bytes.truncate(bytes.len() - cut);
    let opened = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&opened);
    let source = Source::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Cursor::new(bytes.clone())))
    });
    (source, opened)
}

fn colours(cache_bytes: usize, cut: usize) -> (Vec<[u8; 3]>, usize) {
    let (source, opened) = counted_gif(gif::Repeat::Finite(2), cut);
    let now = Instant::now();
    let pace = Pace {
        cache_bytes,
        ..pace()
    };
    let (mut player, first) =
        Player::start(reel::open(source).unwrap(), &look(), &pace, now).unwrap();
    let mut seen = vec![first.frame.rgb().try_into().unwrap()];
    while let Some(due) = player.due() {
        if let Turn::Present(frame) = player.turn(due) {
            seen.push(frame.rgb().try_into().unwrap());
        }
    }
    (seen, opened.load(Ordering::Relaxed))
}

#[test]
fn a_short_animation_is_decoded_once_and_a_long_one_in_every_play() {
    let (red, green, blue) = ([255, 0, 0], [0, 255, 0], [0, 0, 255]);
    let expected = [red, green, blue].repeat(3);
    // Opened once to look at its format.
    assert_eq!(colours(1 << 20, 0), (expected.clone(), 2));
    assert_eq!(colours(0, 0), (expected.clone(), 4));
    // Two frames fit, the third does not.
    let two = 2 * (3 + size_of::<Frame>() + size_of::<Held>());
    assert_eq!(colours(two, 0), (expected, 4));
}

#[test]
fn an_animation_that_breaks_off_is_played_up_to_there_in_every_play() {
    let expected = [[255, 0, 0], [0, 255, 0]].repeat(3);
    assert_eq!(colours(1 << 20, 5).0, expected);
    assert_eq!(colours(0, 5).0, expected);
}
