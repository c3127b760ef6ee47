//! The display as the host uses it: real threads, real time, pictures captured as PNG files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use image::RgbImage;
use pixelboy_display::{
    Display, DisplayError, DisplayEvent, DisplaySettings, Scene, SceneKind, Shown, Source, limits,
};

fn capture(folder: &Path) -> Display {
    let spec = format!("png:{},scale=1", folder.display());
    let mut settings = DisplaySettings::from_backend(&spec).unwrap();
    settings.set_size("4x2").unwrap();
    Display::start(&settings)
}

fn picture(folder: &Path, name: &str) -> RgbImage {
    image::open(folder.join(name)).unwrap().into_rgb8()
}

fn pixels(colour: [u8; 3]) -> Scene {
    let [red, green, blue] = colour;
    Scene::Pixels {
        width: 1,
        height: 1,
        rgba: vec![red, green, blue, 255],
    }
}

#[test]
fn a_stored_file_is_shown_even_after_it_was_removed() {
    let folder = tempfile::tempdir().unwrap();
    let display = capture(folder.path());
    assert_eq!((display.size(), display.backend_name()), ((4, 2), "png"));
    assert_eq!(display.current(), None);
    let path = folder.path().join("cat.bmp");
    let image = RgbImage::from_fn(4, 2, |x, y| image::Rgb([x as u8, y as u8, 200]));
    image.save(&path).unwrap();
    let file = File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let shown = display
        .show(Scene::Picture(file.into()), 1, "cat.bmp")
        .blocking_recv()
        .unwrap();
    assert_eq!(
        shown,
        Ok(Shown {
            width: 4,
            height: 2,
            waiting: None
        })
    );
    assert_eq!(picture(folder.path(), "last.png"), image);
    let current = display.current().unwrap();
    assert_eq!(
        (current.kind, current.label.as_str()),
        (SceneKind::Picture, "cat.bmp")
    );
    display.shutdown();
}

#[test]
fn an_animation_runs_by_itself_in_real_time_and_its_end_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let display = capture(folder.path());
    let mut events = display.events();
    let hold = Duration::from_millis(20);
    let frames = (1..=5u8)
        .map(|shade| (vec![shade, 0, 0, 255], hold))
        .collect();
    let begun = Instant::now();
    let scene = Scene::Frames {
        width: 1,
        height: 1,
        frames,
        loops: 2,
    };
    display
        .show(scene, 9, "five")
        .blocking_recv()
        .unwrap()
        .unwrap();
    assert!(display.current().unwrap().moving);
    assert_eq!(
        events.blocking_recv().unwrap(),
        DisplayEvent::AnimationEnded { owner: 9 }
    );
    assert!(begun.elapsed() >= hold * 10, "{:?}", begun.elapsed());
    assert!(!display.current().unwrap().moving);
    assert_eq!(
        picture(folder.path(), "last.png").get_pixel(1, 0).0,
        [5, 0, 0]
    );
    display.shutdown();
}

#[test]
fn after_shutdown_scenes_are_refused_and_a_second_shutdown_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let display = capture(folder.path());
    let other = display.clone();
    let waiting = other.show(pixels([1, 2, 3]), 1, "last");
    display.shutdown();
    assert!(
        waiting.blocking_recv().unwrap().is_ok(),
        "what was in line is shown"
    );
    let refused = other
        .show(pixels([0; 3]), 1, "late")
        .blocking_recv()
        .unwrap();
    assert_eq!(refused, Err(DisplayError::Stopped));
    other.shutdown();
}

#[test]
fn without_a_panel_pictures_are_accepted_and_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for backend in [
        "none".to_owned(),
        format!("png:{}/sub", file.display()),
        "hologram".into(),
    ] {
        let settings = DisplaySettings {
            backend,
            ..DisplaySettings::default()
        };
        let display = Display::start(&settings);
        assert_eq!(display.backend_name(), "none");
        assert!(
            display
                .show(pixels([1; 3]), 1, "dot")
                .blocking_recv()
                .unwrap()
                .is_ok()
        );
        display.shutdown();
    }
}

#[test]
fn more_scenes_than_the_display_can_take_are_refused_as_busy() {
    let folder = tempfile::tempdir().unwrap();
    let display = capture(folder.path());
    // A source that takes its time holds the display's thread up.
    let (go, held_up) = std::sync::mpsc::channel();
    let (started, has_started) = std::sync::mpsc::channel();
    let slow = Source::new(move || {
        started.send(()).unwrap();
        Err(std::io::Error::other(held_up.recv().unwrap_or("gone")))
    });
    let first = display.show(Scene::Picture(slow), 1, "slow");
    has_started.recv().unwrap();
    let answers: Vec<_> = (0..limits::MAX_WAITING_SCENES + 2)
        .map(|_| display.show(pixels([7; 3]), 1, "dot"))
        .collect();
    go.send("at last").unwrap();
    let first = first.blocking_recv().unwrap();
    assert_eq!(first, Err(DisplayError::Read("at last".into())));
    let answers: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.blocking_recv().unwrap())
        .collect();
    let busy = answers
        .iter()
        .filter(|answer| **answer == Err(DisplayError::Busy))
        .count();
    assert_eq!(busy, 2);
    display.shutdown();
}

#[test]
fn the_example_for_a_pipe_draws_what_it_gets() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("panel.ppm");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pipe_display.py");
    let command = format!(
        "pipe:python3 '{}' --save '{}'",
        example.display(),
        saved.display()
    );
    let mut settings = DisplaySettings::from_backend(&command).unwrap();
    settings.set_size("3x2").unwrap();
    let display = Display::start(&settings);
    let shown = display
        .show(pixels([10, 20, 30]), 1, "dot")
        .blocking_recv()
        .unwrap()
        .unwrap();
    assert_eq!(shown.waiting, None);
    // Ends the command's input and waits for the command.
    display.shutdown();
    // One pixel enlarged to 2 x 2, background beside it.
    let row = [[10, 20, 30], [10, 20, 30], [0, 0, 0]].concat();
    let expected = [b"P6 3 2 255\n".to_vec(), row.clone(), row].concat();
    assert_eq!(fs::read(&saved).unwrap(), expected);
}
