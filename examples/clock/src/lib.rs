//! The time of day on the panel. A timer redraws it; drawing and setting the timer again commit together, and the timer
//! is durable, so that the clock goes on after a restart without anybody's doing.
//! A durable timer costs a write to the disk each time: once a minute is nothing, once a second is for a demonstration.

use std::time::Duration;

use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_6X10;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::text::{Baseline, Text};
use pixelboy_plugin::display::{self, Canvas};
use pixelboy_plugin::prelude::*;
use pixelboy_plugin::timer;

const TIMER: &str = "tick";

/// The time of day on the panel.
#[plugin]
impl Clock {
    /// Shows the time until something else is shown.
    ///
    /// Returns: what it shows now.
    #[op]
    fn clock(
        call: &Call,
        /// From UTC, such as 60 for Bern in winter.
        #[default(0)]
        #[range(-720..=840)]
        offset_minutes: i32,
        /// With seconds.
        #[default(false)]
        seconds: bool,
    ) -> Result<String> {
        show(call, offset_minutes, seconds)
    }

    /// Stops the clock, and makes the panel dark.
    #[op]
    fn clock_stop() -> Result<()> {
        timer::cancel(TIMER)?;
        display::clear()
    }

    /// The payload is what the clock was asked for; nothing else is kept anywhere.
    #[timer]
    fn tick(call: &Call, _id: String, payload: Vec<u8>) -> Result<()> {
        let payload = String::from_utf8(payload)?;
        let (offset_minutes, unit) = payload.split_once(' ').unwrap_or_default();
        show(call, offset_minutes.parse()?, unit == "seconds").map(drop)
    }

    /// Another plugin shows something: this one is not to take the panel back.
    #[event("screen-lost")]
    fn screen_lost(_details: Map) -> Result<()> {
        timer::cancel(TIMER)
    }
}

/// Draws the time, and sets the timer for when it will be another.
fn show(call: &Call, offset_minutes: i32, seconds: bool) -> Result<String> {
    let local_ms = (call.now_ms() as i64 + i64::from(offset_minutes) * 60_000).max(0) as u64;
    let (step_ms, unit) = if seconds {
        (1_000, "seconds")
    } else {
        (60_000, "minutes")
    };
    let left = Duration::from_millis(step_ms - local_ms % step_ms);
    timer::set_durable(TIMER, left, format!("{offset_minutes} {unit}"))?;

    let face = face(local_ms / 1_000, seconds);
    let style = MonoTextStyle::new(&FONT_6X10, Rgb888::WHITE);
    let text = Text::with_baseline(&face, Point::zero(), style, Baseline::Top);
    // As large as the text: the host scales it to the panel.
    let Size { width, height } = text.bounding_box().size;
    let mut canvas = Canvas::new(width, height);
    text.draw(&mut canvas)?;
    canvas.show()?;
    Ok(face)
}

/// `09:41`, or `09:41:07`
fn face(local_s: u64, seconds: bool) -> String {
    let (hour, minute, second) = (local_s / 3_600 % 24, local_s / 60 % 60, local_s % 60);
    match seconds {
        true => format!("{hour:02}:{minute:02}:{second:02}"),
        false => format!("{hour:02}:{minute:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pixelboy_plugin::test::{Device, Screen, assert_golden};

    /// 09:41:07 on some day.
    const NOW_MS: u64 = 1_893_456_000_000 + 34_867_000;

    #[test]
    fn it_redraws_itself_when_the_time_is_another() {
        let mut device = Device::of::<Clock>();
        device.set_clock(NOW_MS);
        assert_eq!(device.call("clock", values![]), Ok("09:41".into()));
        assert_golden("tests/09-41.png", device.picture());
        let before = device.picture().clone();
        device.pass(Duration::from_secs(52)).unwrap();
        assert_eq!(*device.picture(), before);
        device.restart();
        device.pass(Duration::from_secs(1)).unwrap();
        assert_golden("tests/09-42.png", device.picture());
    }

    #[test]
    fn it_keeps_its_offset_and_ends_when_the_screen_is_lost() {
        let mut device = Device::of::<Clock>();
        device.set_clock(NOW_MS);
        assert_eq!(
            device.call("clock", values![-600, true]),
            Ok("23:41:07".into())
        );
        device.pass(Duration::from_secs(5)).unwrap();
        assert_eq!(device.timers()[TIMER].payload, b"-600 seconds");
        device
            .event("screen-lost", map! { kind: "picture" })
            .unwrap();
        assert!(device.timers().is_empty());
        device.call("clock_stop", values![]).unwrap();
        assert_eq!(*device.screen(), Screen::Dark);
    }
}
