//! Scenes, owners and events, with a panel that remembers and time made up by the tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::Duration;

use tokio::sync::broadcast::error::TryRecvError;

use super::*;
use crate::reel::gif::tests::{Part, file};
use crate::{DisplaySettings, SceneKind, Source};

const MS: Duration = Duration::from_millis(1);
const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];

/// The first pixel of each frame.
type Seen = Vec<([u8; 3], Step)>;

/// Remembers what it got; fails while `broken` has a reason.
#[derive(Clone, Default)]
struct Memory {
    seen: Arc<Mutex<Seen>>,
    broken: Arc<Mutex<Option<String>>>,
}

impl Panel for Memory {
    fn present(&mut self, frame: &Frame, step: Step, _now: Instant) -> Delivery {
        self.seen
            .lock()
            .unwrap()
            .push((frame.rgb()[..3].try_into().unwrap(), step));
        self.broken
            .lock()
            .unwrap()
            .clone()
            .map_or(Delivery::Done, Delivery::Waiting)
    }
}

struct Test {
    stage: Stage,
    panel: Memory,
    current: Current,
    events: broadcast::Receiver<DisplayEvent>,
    now: Instant,
}

impl Test {
    fn new() -> Self {
        let settings = DisplaySettings {
            width: 2,
            height: 2,
            ..DisplaySettings::default()
        };
        let (events, receiver) = broadcast::channel(64);
        let (panel, current) = (Memory::default(), Current::default());
        let stage = Stage::new(
            settings.resolve().unwrap().0,
            Box::new(panel.clone()),
            Arc::clone(&current),
            events,
        );
        Self {
            stage,
            panel,
            current,
            events: receiver,
            now: Instant::now(),
        }
    }

    fn show(&mut self, scene: Scene, owner: u64) -> Result<Shown, DisplayError> {
        self.stage
            .show(scene, owner, format!("of {owner}"), self.now)
    }

    fn seen(&self) -> Seen {
        std::mem::take(&mut *self.panel.seen.lock().unwrap())
    }

    fn events(&mut self) -> Vec<DisplayEvent> {
        let mut events = Vec::new();
        loop {
            match self.events.try_recv() {
                Ok(event) => events.push(event),
                Err(TryRecvError::Empty) => return events,
                Err(other) => panic!("{other}"),
            }
        }
    }

    fn showing(&self) -> Option<(SceneKind, u64, bool)> {
        let showing = self.current.lock().unwrap().clone();
        showing.map(|showing| (showing.kind, showing.owner, showing.moving))
    }
}

fn pixels(colour: [u8; 3]) -> Scene {
    let [red, green, blue] = colour;
    Scene::Pixels {
        width: 1,
        height: 1,
        rgba: vec![red, green, blue, 255],
    }
}

fn frames(loops: u32) -> Scene {
    let frames = [RED, GREEN]
        .map(|[red, green, blue]| (vec![red, green, blue, 255], MS * 50))
        .to_vec();
    Scene::Frames {
        width: 1,
        height: 1,
        frames,
        loops,
    }
}

fn gif() -> Source {
    let part = |rows| Part {
        at: (0, 0),
        rows,
        dispose: gif::DisposalMethod::Keep,
        delay: 5,
    };
    file((1, 1), None, &[part(&["R"]), part(&["G"])]).into()
}

#[test]
fn the_last_writer_owns_the_screen_and_the_loser_is_told() {
    let mut test = Test::new();
    test.show(pixels(RED), 1).unwrap();
    test.show(pixels(GREEN), 1).unwrap();
    assert_eq!(test.events(), []);
    test.show(frames(0), 2).unwrap();
    assert_eq!(test.events(), [DisplayEvent::ScreenLost { owner: 1 }]);
    assert_eq!(test.showing(), Some((SceneKind::Frames, 2, true)));
    test.show(Scene::Clear, 3).unwrap();
    assert_eq!(test.events(), [DisplayEvent::ScreenLost { owner: 2 }]);
    assert_eq!(test.showing(), None);
    test.show(pixels(RED), 4).unwrap();
    assert_eq!(test.events(), []);
    let first = Step::First;
    assert_eq!(
        test.seen(),
        [
            (RED, first),
            (GREEN, first),
            (RED, first),
            ([0; 3], first),
            (RED, first)
        ]
    );
}

#[test]
fn a_scene_that_cannot_be_shown_leaves_the_former_one_running() {
    let mut test = Test::new();
    test.show(frames(0), 1).unwrap();
    test.seen();
    let bad: Vec<(Scene, DisplayError)> = vec![
        (
            Scene::Picture(b"no picture at all".to_vec().into()),
            DisplayError::UnknownFormat,
        ),
        (
            Scene::Pixels {
                width: 2,
                height: 2,
                rgba: vec![0; 15],
            },
            DisplayError::WrongLength {
                width: 2,
                height: 2,
                expected: 16,
                got: 15,
            },
        ),
        (
            Scene::Pixels {
                width: 0,
                height: 2,
                rgba: vec![],
            },
            DisplayError::Empty("the picture has no pixels"),
        ),
        (
            Scene::Frames {
                width: 1,
                height: 1,
                frames: vec![],
                loops: 0,
            },
            DisplayError::Empty("the animation has no frames"),
        ),
        (
            Scene::Animation {
                source: gif(),
                fps: Some(1e9),
                loops: None,
            },
            DisplayError::FrameRate { got: 1e9 },
        ),
        (
            Scene::Picture(Source::new(|| {
                Err(std::io::Error::other("the disk is gone"))
            })),
            DisplayError::Read("the disk is gone".into()),
        ),
    ];
    for (scene, expected) in bad {
        assert_eq!(test.show(scene, 2), Err(expected));
    }
    assert_eq!(test.seen(), []);
    assert_eq!(test.events(), []);
    assert_eq!(test.showing(), Some((SceneKind::Frames, 1, true)));
    test.stage.wake(test.now + MS * 50);
    assert_eq!(test.seen(), [(GREEN, Step::Next)]);
}

#[test]
fn an_animation_moves_ends_and_leaves_its_last_frame() {
    let mut test = Test::new();
    let scene = Scene::Animation {
        source: gif(),
        fps: None,
        loops: Some(2),
    };
    assert_eq!(
        test.show(scene, 7),
        Ok(Shown {
            width: 1,
            height: 1,
            waiting: None
        })
    );
    let mut at = Vec::new();
    while let Some(due) = test.stage.wake_at() {
        at.push(due.duration_since(test.now).as_millis());
        test.stage.wake(due);
    }
    assert_eq!(at, [50, 100, 150, 200]);
    let next = Step::Next;
    assert_eq!(
        test.seen(),
        [
            (RED, Step::First),
            (GREEN, next),
            (RED, next),
            (GREEN, next)
        ]
    );
    assert_eq!(test.events(), [DisplayEvent::AnimationEnded { owner: 7 }]);
    assert_eq!(test.showing(), Some((SceneKind::Animation, 7, false)));
}

#[test]
fn a_gif_shown_as_a_picture_is_its_first_frame() {
    let mut test = Test::new();
    test.show(Scene::Picture(gif()), 1).unwrap();
    assert_eq!(test.seen(), [(RED, Step::First)]);
    assert_eq!(test.stage.wake_at(), None);
    assert_eq!(test.showing(), Some((SceneKind::Picture, 1, false)));
}

#[test]
fn a_new_picture_stops_the_animation_before_it() {
    let mut test = Test::new();
    test.show(frames(0), 1).unwrap();
    assert!(test.stage.wake_at().is_some());
    test.show(pixels(GREEN), 1).unwrap();
    assert_eq!(test.stage.wake_at(), None);
    assert_eq!(test.events(), []);
}

#[test]
fn the_panels_health_is_told_once_per_change() {
    let mut test = Test::new();
    let reason = || "unplugged".to_owned();
    *test.panel.broken.lock().unwrap() = Some(reason());
    let shown = test.show(pixels(RED), 1).unwrap();
    assert_eq!(shown.waiting, Some(reason()));
    test.show(pixels(GREEN), 1).unwrap();
    assert_eq!(
        test.events(),
        [DisplayEvent::PanelLost { reason: reason() }]
    );
    *test.panel.broken.lock().unwrap() = None;
    assert_eq!(test.show(pixels(RED), 1).unwrap().waiting, None);
    assert_eq!(test.events(), [DisplayEvent::PanelBack]);
}

#[test]
fn a_decoder_that_panics_is_a_picture_that_does_not_decode() {
    let mut test = Test::new();
    let scene = Scene::Picture(Source::new(|| panic!("damaged beyond belief")));
    assert_eq!(test.show(scene, 1), Err(DisplayError::DecoderGaveUp));
    assert!(test.show(pixels(RED), 1).is_ok());
}
