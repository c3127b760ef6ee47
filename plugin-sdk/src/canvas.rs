//! Pixels to draw on, in the form that the display takes.
//! With the feature `embedded-graphics` it is a target for that crate's texts, lines, circles and pictures.
//! What lies outside is not drawn, and no error.

use crate::{Result, display};

/// A picture to draw on, black at first. Show it with [`show`](Self::show), or make it a frame of an
/// [`Animation`](display::Animation).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canvas {
    width: u32,
    height: u32,
    rgba: Vec<u8>,
}

impl Canvas {
    /// A black one, width and height in pixels. The host scales it to the panel; [`display::panel`] tells the panel's size.
    pub fn new(width: u32, height: u32) -> Self {
        let rgba = [0, 0, 0, 255].repeat(width as usize * height as usize);
        Self {
            width,
            height,
            rgba,
        }
    }

    /// None where these are not so many pixels.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn of_rgba(width: u32, height: u32, rgba: &[u8]) -> Option<Self> {
        let bytes = (width as usize)
            .checked_mul(height as usize)?
            .checked_mul(4)?;
        (width > 0 && height > 0 && rgba.len() == bytes).then(|| Self {
            width,
            height,
            rgba: rgba.to_vec(),
        })
    }

    /// In pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// In pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Gives one pixel a colour: red, green, blue.
    pub fn set(&mut self, x: i32, y: i32, [red, green, blue]: [u8; 3]) {
        if let Some(pixel) = self.at(x, y).and_then(|at| self.rgba.get_mut(at..at + 4)) {
            pixel.copy_from_slice(&[red, green, blue, 255]);
        }
    }

    /// The colour of one pixel; none outside.
    pub fn get(&self, x: i32, y: i32) -> Option<[u8; 3]> {
        let at = self.at(x, y)?;
        self.rgba.get(at..at + 3)?.try_into().ok()
    }

    /// Row by row, 4 bytes (red, green, blue, alpha) a pixel.
    pub fn rgba(&self) -> &[u8] {
        &self.rgba
    }

    /// Shows it.
    pub fn show(&self) -> Result<()> {
        display::draw(self.width, self.height, &self.rgba)
    }

    fn at(&self, x: i32, y: i32) -> Option<usize> {
        let (x, y) = (u32::try_from(x).ok()?, u32::try_from(y).ok()?);
        let inside = x < self.width && y < self.height;
        inside.then_some((y as usize * self.width as usize + x as usize) * 4)
    }
}

#[cfg(feature = "embedded-graphics")]
mod target {
    use std::convert::Infallible;

    use embedded_graphics_core::Pixel;
    use embedded_graphics_core::draw_target::DrawTarget;
    use embedded_graphics_core::geometry::{OriginDimensions, Size};
    use embedded_graphics_core::pixelcolor::{Rgb888, RgbColor as _};

    use super::Canvas;

    impl OriginDimensions for Canvas {
        fn size(&self) -> Size {
            Size::new(self.width, self.height)
        }
    }

    impl DrawTarget for Canvas {
        type Color = Rgb888;
        type Error = Infallible;

        fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(
            &mut self,
            pixels: I,
        ) -> Result<(), Infallible> {
            for Pixel(at, colour) in pixels {
                self.set(at.x, at.y, [colour.r(), colour.g(), colour.b()]);
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Canvas;

    #[test]
    fn what_lies_outside_is_not_drawn() {
        let mut canvas = Canvas::new(3, 2);
        for (x, y) in [(-1, 0), (3, 0), (0, 2), (0, -1), (i32::MAX, i32::MAX)] {
            canvas.set(x, y, [9, 9, 9]);
            assert_eq!(canvas.get(x, y), None);
        }
        assert_eq!(canvas, Canvas::new(3, 2));
        canvas.set(2, 1, [1, 2, 3]);
        assert_eq!(canvas.get(2, 1), Some([1, 2, 3]));
        assert_eq!(canvas.rgba().get(20..), Some(&[1, 2, 3, 255][..]));
    }
}
