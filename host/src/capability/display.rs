//! `display`: what is to be shown, staged.

use std::sync::Arc;
use std::time::Duration;

use pixelboy_display::limits::FRAME_RATES;
use pixelboy_store::{Blob, Entry};
use wasmtime::component::Resource;

use super::device::{Drawing, Shown};
use super::effect::{Effect, Picture};
use super::store::path;
use super::{Guest, failure};
use crate::plugin::contract::pixelboy::plugin::display::{Host, HostAnimation};
use crate::plugin::contract::pixelboy::plugin::types::Failure;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

/// The resource behind `animation`.
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export the types behind resources"
)]
pub struct Animation {
    width: u32,
    height: u32,
    loops: u32,
    frames: Vec<(Vec<u8>, Duration)>,
}

/// A side of what a plugin draws, in pixels.
const MAX_SIDE: u32 = 4096;

impl Guest {
    fn stage_scene(&mut self, picture: Picture, shown: Option<Shown>) -> Result<(), Failure> {
        let token = self.services.device.new_token();
        let shown = shown.map(|shown| Shown { token, ..shown });
        self.work.stage(Effect::Scene {
            token,
            owner: self.identity.name.clone(),
            picture,
            shown,
        })
    }

    fn stage_drawing(&mut self, kind: &str, drawing: Drawing) -> Result<(), Failure> {
        let drawing = Arc::new(drawing);
        let shown = Shown {
            drawing: Some(drawing.clone()),
            ..self.as_shown(kind, None)
        };
        self.stage_scene(Picture::Drawn(drawing), Some(shown))
    }

    fn as_shown(&self, kind: &str, path: Option<String>) -> Shown {
        Shown {
            kind: kind.to_owned(),
            path,
            fps: None,
            loops: None,
            owner: self.identity.name.clone(),
            drawing: None,
            token: 0,
        }
    }

    /// The bytes of a stored file that an effect will use.
    pub(crate) fn media(&mut self, at: &str) -> Answer<(Entry, Blob)> {
        let at = match path(at) {
            Ok(at) => at,
            Err(failure) => return Ok(Err(failure)),
        };
        Ok(match self.work.transaction()?.open(&at) {
            // What was changed by hand is told now, by its name, and not as a picture that does not decode.
            Ok(Some((entry, blob))) if !blob.is_checked() => {
                match tokio::task::block_in_place(|| blob.check()) {
                    Ok(()) => Ok((entry, blob)),
                    Err(error) => Err(failure::unreadable(&at, &error)),
                }
            }
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(failure::no_file(&at)),
            Err(error) => Err(failure::of_store(error)),
        })
    }
}

/// Whether `rgba` is `width * height` pixels of a sensible size.
fn check_pixels(width: u32, height: u32, rgba: &[u8]) -> Result<(), Failure> {
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return Err(failure::bad_arguments(format!(
            "a picture must be 1 to {MAX_SIDE} pixels wide and high, got {width} x {height}"
        )));
    }
    let expected = width as usize * height as usize * 4;
    if rgba.len() != expected {
        return Err(failure::bad_arguments(format!(
            "{width} x {height} pixels are {expected} bytes of RGBA, got {}",
            rgba.len()
        )));
    }
    Ok(())
}

impl Host for Guest {
    fn size(&mut self) -> wasmtime::Result<(u32, u32)> {
        Ok(match self.services.display.backend_name() {
            "none" => (0, 0),
            _ => self.services.display.size(),
        })
    }

    fn show(&mut self, at: String) -> Answer<()> {
        Ok(self.media(&at)?.and_then(|(_, bytes)| {
            let shown = self.as_shown("picture", Some(at));
            self.stage_scene(Picture::Still(bytes), Some(shown))
        }))
    }

    fn play(&mut self, at: String, fps: Option<f64>, loops: Option<u32>) -> Answer<()> {
        if let Some(fps) = fps.filter(|fps| !FRAME_RATES.contains(fps)) {
            let (least, most) = (FRAME_RATES.start(), FRAME_RATES.end());
            return Ok(Err(failure::bad_arguments(format!(
                "fps must be {least} to {most}, got {fps}"
            ))));
        }
        Ok(self.media(&at)?.and_then(|(_, bytes)| {
            let shown = Shown {
                fps,
                loops,
                ..self.as_shown("animation", Some(at))
            };
            self.stage_scene(Picture::Moving { bytes, fps, loops }, Some(shown))
        }))
    }

    fn draw(&mut self, width: u32, height: u32, rgba: Vec<u8>) -> Answer<()> {
        Ok(check_pixels(width, height, &rgba).and_then(|()| {
            let drawing = Drawing {
                width,
                height,
                frames: vec![(rgba, Duration::ZERO)],
                loops: None,
            };
            self.stage_drawing("pixels", drawing)
        }))
    }

    fn animate(&mut self, animation: Resource<Animation>) -> Answer<()> {
        let Animation {
            width,
            height,
            loops,
            frames,
        } = self.table.delete(animation)?;
        if frames.is_empty() {
            let none = "an animation needs at least one frame";
            return Ok(Err(failure::bad_arguments(none)));
        }
        let drawing = Drawing {
            width,
            height,
            frames,
            loops: Some(loops),
        };
        Ok(self.stage_drawing("animation", drawing))
    }

    fn clear(&mut self) -> Answer<()> {
        Ok(self.stage_scene(Picture::Clear, None))
    }

    fn shown(&mut self) -> wasmtime::Result<Option<(String, Option<String>)>> {
        let state = self.services.device.state_after(&self.work.effects);
        Ok(state.shown.map(|shown| (shown.kind, shown.path)))
    }
}

impl HostAnimation for Guest {
    fn new(
        &mut self,
        width: u32,
        height: u32,
        loops: u32,
    ) -> wasmtime::Result<Resource<Animation>> {
        Ok(self.table.push(Animation {
            width,
            height,
            loops,
            frames: Vec::new(),
        })?)
    }

    fn frame(&mut self, this: Resource<Animation>, rgba: Vec<u8>, duration_ms: u32) -> Answer<()> {
        let animation = self.table.get_mut(&this)?;
        let checked = check_pixels(animation.width, animation.height, &rgba)
            .and_then(|()| self.work.hold(rgba.len()));
        Ok(checked.map(|()| {
            animation
                .frames
                .push((rgba, Duration::from_millis(u64::from(duration_ms))));
        }))
    }

    fn drop(&mut self, this: Resource<Animation>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
