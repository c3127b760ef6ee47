//! The screen's state: who owns it, what moves on it, how the panel is.
//! Invariant: a scene is decoded to its first frame before it replaces the one before; the last writer
//! owns the screen; only a change of the panel's health is told, not every frame of it.
//! Not here: a thread or a clock (`display`). The caller says what time it is.
//! A decoder that panics is a scene that does not decode.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use image::ImageFormat;
use tokio::sync::broadcast;

use crate::backend::{Delivery, Panel, Step};
use crate::canvas::{self, Canvas};
use crate::frame::Frame;
use crate::picture::{self, Picture};
use crate::player::{Pace, Player, Turn};
use crate::reel::list::ListReel;
use crate::reel::{self};
use crate::settings::Look;
use crate::{DisplayError, DisplayEvent, Scene, Showing, Shown, limits};

/// What is on the panel, shared with the handles.
pub(crate) type Current = Arc<Mutex<Option<Showing>>>;

/// The panel and what happens on it.
pub(crate) struct Stage {
    look: Look,
    panel: Box<dyn Panel>,
    player: Option<Player>,
    current: Current,
    events: broadcast::Sender<DisplayEvent>,
    /// Why the panel does not take pictures, if so.
    lost: Option<String>,
}

/// A scene whose first frame is ready.
struct Act {
    frame: Arc<Frame>,
    width: u32,
    height: u32,
    player: Option<Player>,
}

impl Stage {
    pub(crate) fn new(
        look: Look,
        panel: Box<dyn Panel>,
        current: Current,
        events: broadcast::Sender<DisplayEvent>,
    ) -> Self {
        Self {
            look,
            panel,
            player: None,
            current,
            events,
            lost: None,
        }
    }

    /// Puts a scene on the panel in place of what was there.
    pub(crate) fn show(
        &mut self,
        scene: Scene,
        owner: u64,
        label: String,
        now: Instant,
    ) -> Result<Shown, DisplayError> {
        let kind = scene.kind();
        let clears = matches!(scene, Scene::Clear);
        let act = sheltered(|| rehearse(scene, &self.look, now))??;
        self.player = act.player;
        let showing = (!clears).then(|| Showing {
            kind,
            label,
            owner,
            moving: self.player.is_some(),
        });
        self.take_screen(showing, owner);
        self.present(&act.frame, Step::First, now);
        self.prepare();
        Ok(Shown {
            width: act.width,
            height: act.height,
            waiting: self.lost.clone(),
        })
    }

    /// Does what is due.
    pub(crate) fn wake(&mut self, now: Instant) {
        if self.panel.tend_at().is_some_and(|at| at <= now) {
            let delivery = self.panel.tend(now);
            self.note(delivery);
        }
        let Some(player) = &mut self.player else {
            return;
        };
        match sheltered(|| player.turn(now)) {
            Ok(Turn::Wait) => {}
            Ok(Turn::Present(frame)) => {
                self.present(&frame, Step::Next, now);
                self.prepare();
            }
            Ok(Turn::Ended) => self.end_animation(),
            Err(error) => {
                tracing::warn!(%error, "animation stops");
                self.end_animation();
            }
        }
    }

    /// When `wake` has something to do; `None` when nothing will change by itself.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let frame = self.player.as_ref().and_then(Player::due);
        [frame, self.panel.tend_at()].into_iter().flatten().min()
    }

    /// Leaves the panel in order.
    pub(crate) fn close(&mut self) {
        self.player = None;
        self.panel.close();
    }

    fn present(&mut self, frame: &Frame, step: Step, now: Instant) {
        let delivery = self.panel.present(frame, step, now);
        self.note(delivery);
    }

    /// Decodes ahead while the current frame is held.
    fn prepare(&mut self) {
        let Some(player) = &mut self.player else {
            return;
        };
        if let Err(error) = sheltered(|| player.prepare()) {
            tracing::warn!(%error, "animation stops");
            self.end_animation();
        }
    }

    fn end_animation(&mut self) {
        self.player = None;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(showing) = current.as_mut() {
            showing.moving = false;
            self.tell(DisplayEvent::AnimationEnded {
                owner: showing.owner,
            });
        }
    }

    fn take_screen(&self, showing: Option<Showing>, owner: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, showing);
        drop(current);
        if let Some(loser) = before
            .map(|before| before.owner)
            .filter(|loser| *loser != owner)
        {
            self.tell(DisplayEvent::ScreenLost { owner: loser });
        }
    }

    /// Tells a change of the panel's health.
    fn note(&mut self, delivery: Delivery) {
        let lost = match delivery {
            Delivery::Done => None,
            Delivery::Waiting(reason) => Some(reason),
        };
        if lost == self.lost {
            return;
        }
        match &lost {
            Some(reason) => {
                tracing::warn!(%reason, "the display does not take pictures");
                self.tell(DisplayEvent::PanelLost {
                    reason: reason.clone(),
                });
            }
            None => {
                tracing::info!("the display takes pictures again");
                self.tell(DisplayEvent::PanelBack);
            }
        }
        self.lost = lost;
    }

    fn tell(&self, event: DisplayEvent) {
        // Nobody listens: nobody wants to know.
        let _ = self.events.send(event);
    }
}

/// Decodes a scene to its first frame, without touching what is shown.
fn rehearse(scene: Scene, look: &Look, now: Instant) -> Result<Act, DisplayError> {
    match scene {
        Scene::Clear => {
            let (width, height) = look.logical_size();
            Ok(Act {
                frame: Arc::new(canvas::blank(look)),
                width,
                height,
                player: None,
            })
        }
        Scene::Picture(mut source) => match picture::format(&mut source)? {
            ImageFormat::Gif => {
                let pace = Pace {
                    fps: None,
                    loops: Some(1),
                    cache_bytes: 0,
                };
                let reel = reel::open(source)?;
                let (_, first) = Player::start(reel, look, &pace, now)?;
                Ok(Act {
                    frame: first.frame,
                    width: first.width,
                    height: first.height,
                    player: None,
                })
            }
            format => Ok(still(&picture::decode(&mut source, format)?, look)),
        },
        Scene::Pixels {
            width,
            height,
            rgba,
        } => Ok(still(&Picture::from_rgba(width, height, rgba)?, look)),
        Scene::Animation { source, fps, loops } => {
            let pace = Pace {
                fps,
                loops,
                cache_bytes: limits::FRAME_CACHE_BYTES,
            };
            moving(Player::start(reel::open(source)?, look, &pace, now)?)
        }
        Scene::Frames {
            width,
            height,
            frames,
            loops,
        } => {
            let pace = Pace {
                fps: None,
                loops: None,
                cache_bytes: limits::FRAME_CACHE_BYTES,
            };
            let reel = Box::new(ListReel::frames(width, height, frames, loops)?);
            moving(Player::start(reel, look, &pace, now)?)
        }
    }
}

fn still(picture: &Picture, look: &Look) -> Act {
    let pixels = picture.pixels();
    let frame = Arc::new(Canvas::new(look, pixels).paint(pixels));
    Act {
        frame,
        width: picture.width,
        height: picture.height,
        player: None,
    }
}

fn moving((player, first): (Player, crate::player::First)) -> Result<Act, DisplayError> {
    Ok(Act {
        frame: first.frame,
        width: first.width,
        height: first.height,
        player: Some(player),
    })
}

/// Decoders work on foreign bytes; one that panics must not take the panel with it.
fn sheltered<T>(work: impl FnOnce() -> T) -> Result<T, DisplayError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| DisplayError::DecoderGaveUp)
}

#[cfg(test)]
mod tests;
