//! A text that runs across the panel from right to left.
//! All frames are drawn at once and handed over: the host plays them, so that nothing jerks and nothing runs meanwhile.

use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_6X10;
use embedded_graphics::pixelcolor::{Rgb888, WebColors as _};
use embedded_graphics::prelude::*;
use embedded_graphics::text::{Baseline, Text};
use pixelboy_plugin::display::{self, Animation, Canvas};
use pixelboy_plugin::prelude::*;

/// Wide enough to read; the host scales it up to a larger panel.
const MAX_WIDTH: u32 = 64;

/// So that all frames fit into what one operation may stage.
const MAX_CHARACTERS: usize = 500;

/// A text that runs across the panel.
#[plugin]
impl ScrollText {
    /// Lets a text run across the panel.
    ///
    /// Returns: {frames, ms}: how many there are, and how long one pass takes.
    #[op]
    fn scroll_text(
        text: String,
        #[default("white")]
        #[choices("white", "red", "green", "blue", "orange", "magenta")]
        colour: String,
        /// Pixels a second.
        #[default(30)]
        #[range(1..=200)]
        speed: u32,
        /// How often it runs; 0 is for ever.
        #[default(0)]
        loops: u32,
    ) -> Result<Map> {
        let characters = text.chars().count();
        if !(1..=MAX_CHARACTERS).contains(&characters) {
            return Err(Failure::bad_arguments(format!(
                "scroll_text takes 1 to {MAX_CHARACTERS} characters, got {characters}"
            )));
        }
        let style = MonoTextStyle::new(&FONT_6X10, rgb(&colour));
        let height = FONT_6X10.character_size.height;
        let width = display::panel()?.0.min(MAX_WIDTH);
        let hold_ms = 1_000 / speed;

        let mut frames = Animation::new(width, height, loops);
        // From just outside on the right to just outside on the left.
        let way = width + FONT_6X10.character_size.width * characters as u32;
        for gone in 0..=way {
            let mut canvas = Canvas::new(width, height);
            let left = Point::new(width as i32 - gone as i32, 0);
            Text::with_baseline(&text, left, style, Baseline::Top).draw(&mut canvas)?;
            frames.frame(canvas.rgba(), hold_ms)?;
        }
        display::animate(frames)?;
        Ok(map! { frames: way + 1, ms: (way + 1) * hold_ms })
    }
}

fn rgb(colour: &str) -> Rgb888 {
    match colour {
        "red" => Rgb888::CSS_RED,
        "green" => Rgb888::CSS_LIME,
        "blue" => Rgb888::CSS_BLUE,
        "orange" => Rgb888::CSS_ORANGE,
        "magenta" => Rgb888::CSS_MAGENTA,
        _ => Rgb888::WHITE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pixelboy_plugin::test::{Device, assert_golden};

    #[test]
    fn the_text_comes_in_on_the_right_and_goes_out_on_the_left() {
        let mut device = Device::of::<ScrollText>().panel(64, 32);
        let reply = device.call("scroll_text", values!["Hi!", "orange", 50]);
        assert_eq!(reply, Ok(map! { frames: 83, ms: 1_660 }.into()));
        let frames = device.frames();
        assert_eq!(frames.len(), 83);
        assert_eq!(frames[0].0, Canvas::new(64, 10));
        assert_golden("tests/scroll-text.png", &frames[40].0);
        assert_eq!(frames[82].0, Canvas::new(64, 10));
    }

    #[test]
    fn a_device_without_a_display_says_so() {
        let mut device = Device::of::<ScrollText>().panel(0, 0);
        let failure = device.call("scroll_text", values!["Hi!"]).unwrap_err();
        assert_eq!(failure.code(), "no-device");
    }
}
