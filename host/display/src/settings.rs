//! Which panel, which size, how pictures are put on it.
//! Invariant: `Look` and `Choice` exist only for settings that were checked.
//! Not here: reading a file or a command line; `DisplaySettings` is a plain serde struct.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::backend::{BACKENDS, Backend};
use crate::{SettingsError, limits};

/// The `[display]` table. Every field has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DisplaySettings {
    /// `auto` (a terminal when standard output is one, else none), `terminal`, `pipe`, `png` or
    /// `none`; also `NAME:OPTIONS` in one, such as `pipe:python3 examples/pipe_display.py`.
    pub backend: String,
    /// The backend's own options; see [`BACKENDS`].
    pub options: String,
    /// The panel's pixels from left to right, before rotation: 1 to 2048.
    pub width: u32,
    /// The panel's pixels from top to bottom, before rotation: 1 to 2048.
    pub height: u32,
    /// Degrees by which pictures are turned clockwise: 0, 90, 180 or 270.
    pub rotate: Rotation,
    /// How a picture of another shape is put on the panel: contain, cover, stretch or none.
    pub fit: Fit,
    /// How a picture of another size is scaled: auto, nearest or smooth.
    pub filter: Filter,
    /// 0.0 (dark) to 1.0 (as bright as the panel can).
    pub brightness: f64,
    /// What shows beside and behind pictures, as `#rrggbb`.
    pub background: Colour,
}

impl Default for DisplaySettings {
    fn default() -> Self {
        Self {
            backend: "auto".into(),
            options: String::new(),
            width: 64,
            height: 64,
            rotate: Rotation::default(),
            fit: Fit::default(),
            filter: Filter::default(),
            brightness: 1.0,
            background: Colour::default(),
        }
    }
}

impl DisplaySettings {
    /// Default settings with the backend of a command line: `NAME[:OPTIONS]`.
    ///
    /// # Errors
    /// An unknown name, or options that the backend does not take.
    pub fn from_backend(spec: &str) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        settings.set_backend(spec)?;
        Ok(settings)
    }

    /// Replaces backend and options by `NAME[:OPTIONS]`.
    ///
    /// # Errors
    /// An unknown name, or options that the backend does not take; nothing is changed then.
    pub fn set_backend(&mut self, spec: &str) -> Result<(), SettingsError> {
        let (name, options) = spec.split_once(':').unwrap_or((spec, ""));
        choose(name, options)?;
        self.backend = name.into();
        self.options = options.into();
        Ok(())
    }

    /// Replaces width and height by `WIDTHxHEIGHT`, for instance `64x32`.
    ///
    /// # Errors
    /// Not of that form, or a side outside 1 to 2048; nothing is changed then.
    pub fn set_size(&mut self, size: &str) -> Result<(), SettingsError> {
        let refused = || SettingsError::Size { got: size.into() };
        let (width, height) = size.split_once(['x', 'X']).ok_or_else(refused)?;
        let width = width.trim().parse().map_err(|_| refused())?;
        let height = height.trim().parse().map_err(|_| refused())?;
        check_size(width, height)?;
        (self.width, self.height) = (width, height);
        Ok(())
    }

    /// Whether [`Display::start`](crate::Display::start) would take these settings as they are.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.resolve().map(drop)
    }

    pub(crate) fn resolve(&self) -> Result<(Look, Choice), SettingsError> {
        check_size(self.width, self.height)?;
        if !(0.0..=1.0).contains(&self.brightness) {
            return Err(SettingsError::Brightness(self.brightness));
        }
        let (name, options) = match self.backend.split_once(':') {
            Some((name, options)) if self.options.is_empty() => (name, options),
            _ => (self.backend.as_str(), self.options.as_str()),
        };
        Ok((self.look(), choose(name, options)?))
    }

    /// What is left when settings are refused: the default panel, shown nowhere.
    pub(crate) fn nowhere() -> (Look, Choice) {
        (Self::default().look(), Choice::None)
    }

    fn look(&self) -> Look {
        Look {
            width: self.width,
            height: self.height,
            rotate: self.rotate,
            fit: self.fit,
            filter: self.filter,
            brightness: self.brightness,
            background: self.background.0,
        }
    }
}

fn check_size(width: u32, height: u32) -> Result<(), SettingsError> {
    let sides = 1..=limits::MAX_PANEL_SIDE;
    if sides.contains(&width) && sides.contains(&height) {
        Ok(())
    } else {
        Err(SettingsError::Size {
            got: format!("{width}x{height}"),
        })
    }
}

fn choose(name: &str, options: &str) -> Result<Choice, SettingsError> {
    if name == "auto" && options.is_empty() {
        return Ok(Choice::Auto);
    }
    let backend = BACKENDS
        .iter()
        .find(|backend| backend.name == name)
        .ok_or_else(|| {
            let names: Vec<_> = BACKENDS.iter().map(|backend| backend.name).collect();
            SettingsError::Backend {
                got: name.into(),
                known: names.join(", "),
            }
        })?;
    (backend.check)(options).map_err(|reason| SettingsError::Options {
        backend: backend.name,
        reason,
    })?;
    Ok(Choice::Named(backend, options.into()))
}

/// Which backend was asked for.
pub(crate) enum Choice {
    /// Whatever standard output allows.
    Auto,
    /// No panel.
    None,
    /// This one, with its options.
    Named(&'static Backend, String),
}

/// Checked settings: all that drawing needs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Look {
    /// The panel's pixels a row, before rotation.
    pub(crate) width: u32,
    /// The panel's rows, before rotation.
    pub(crate) height: u32,
    pub(crate) rotate: Rotation,
    pub(crate) fit: Fit,
    pub(crate) filter: Filter,
    pub(crate) brightness: f64,
    pub(crate) background: [u8; 3],
}

impl Look {
    /// What pictures are fitted into: the panel as a person sees it.
    pub(crate) fn logical_size(&self) -> (u32, u32) {
        match self.rotate {
            Rotation::Upright | Rotation::Half => (self.width, self.height),
            Rotation::Right | Rotation::Left => (self.height, self.width),
        }
    }
}

/// How far pictures are turned clockwise on the panel. Written as degrees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum Rotation {
    /// 0 degrees.
    #[default]
    Upright,
    /// 90 degrees clockwise.
    Right,
    /// 180 degrees.
    Half,
    /// 270 degrees clockwise.
    Left,
}

impl TryFrom<u32> for Rotation {
    type Error = SettingsError;

    fn try_from(degrees: u32) -> Result<Self, SettingsError> {
        match degrees {
            0 => Ok(Self::Upright),
            90 => Ok(Self::Right),
            180 => Ok(Self::Half),
            270 => Ok(Self::Left),
            other => Err(SettingsError::Rotation(other)),
        }
    }
}

impl From<Rotation> for u32 {
    fn from(rotation: Rotation) -> Self {
        match rotation {
            Rotation::Upright => 0,
            Rotation::Right => 90,
            Rotation::Half => 180,
            Rotation::Left => 270,
        }
    }
}

/// How a picture of another shape is put on the panel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// All of it, as large as it goes, with background beside it.
    #[default]
    Contain,
    /// The whole panel, with the picture's edges cut off.
    Cover,
    /// All of it on the whole panel, distorted.
    Stretch,
    /// Its own pixels in the centre, cut off where they don't fit.
    None,
}

impl FromStr for Fit {
    type Err = SettingsError;

    fn from_str(word: &str) -> Result<Self, SettingsError> {
        match word {
            "contain" => Ok(Self::Contain),
            "cover" => Ok(Self::Cover),
            "stretch" => Ok(Self::Stretch),
            "none" => Ok(Self::None),
            other => Err(SettingsError::Word {
                expected: "contain, cover, stretch or none",
                got: other.into(),
            }),
        }
    }
}

/// How a picture of another size is scaled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// Hard pixels for pixel art and whole-number enlargement, smooth for photographs.
    #[default]
    Auto,
    /// Always hard pixels.
    Nearest,
    /// Always smooth.
    Smooth,
}

impl FromStr for Filter {
    type Err = SettingsError;

    fn from_str(word: &str) -> Result<Self, SettingsError> {
        match word {
            "auto" => Ok(Self::Auto),
            "nearest" => Ok(Self::Nearest),
            "smooth" => Ok(Self::Smooth),
            other => Err(SettingsError::Word {
                expected: "auto, nearest or smooth",
                got: other.into(),
            }),
        }
    }
}

/// Red, green and blue. Written as `#rrggbb`. Black by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Colour(pub [u8; 3]);

impl FromStr for Colour {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        let hex = digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let value = u32::from_str_radix(digits, 16).ok().filter(|_| hex);
        let [_, red, green, blue] = value
            .ok_or_else(|| SettingsError::Colour(text.into()))?
            .to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

impl TryFrom<String> for Colour {
    type Error = SettingsError;

    fn try_from(text: String) -> Result<Self, SettingsError> {
        text.parse()
    }
}

impl From<Colour> for String {
    fn from(colour: Colour) -> Self {
        colour.to_string()
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use super::*;

    #[test]
    fn a_backend_is_written_as_name_and_options() {
        let settings =
            DisplaySettings::from_backend("pipe:python3 examples/pipe_display.py --save a:b")
                .unwrap();
        assert_eq!(settings.backend, "pipe");
        assert_eq!(
            settings.options,
            "python3 examples/pipe_display.py --save a:b"
        );
        assert_eq!(
            DisplaySettings::from_backend("auto").unwrap(),
            DisplaySettings::default()
        );
        let error = DisplaySettings::from_backend("hologram")
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "unknown display \"hologram\"; expected auto, terminal, pipe, png, none"
        );
        assert!(
            DisplaySettings::from_backend("pipe").is_err(),
            "a pipe needs a command"
        );
        assert!(DisplaySettings::from_backend("none:x").is_err());
        assert!(DisplaySettings::from_backend("png:shots,scale=0").is_err());
    }

    #[test]
    fn a_refused_change_leaves_the_settings_alone() {
        let mut settings = DisplaySettings::default();
        for size in ["64", "0x64", "64x", "x", "64x2049", "-1x5", "64x64x64"] {
            let error = settings.set_size(size).unwrap_err();
            assert!(matches!(error, SettingsError::Size { .. }), "{size}");
        }
        assert!(settings.set_backend("hologram").is_err());
        assert_eq!(settings, DisplaySettings::default());
        settings.set_size("128x32").unwrap();
        assert_eq!((settings.width, settings.height), (128, 32));
    }

    #[test]
    fn a_configuration_table_is_read_and_unknown_fields_are_refused() {
        let text = "backend = 'pipe:cat'\nrotate = 90\nwidth = 32\nfit = 'cover'\nfilter = 'smooth'\nbackground = '#102030'\n";
        let settings: DisplaySettings = toml::from_str(text).unwrap();
        assert_eq!(settings.background, Colour([0x10, 0x20, 0x30]));
        assert_eq!(
            (settings.fit, settings.filter),
            (Fit::Cover, Filter::Smooth)
        );
        let (look, choice) = settings.resolve().unwrap();
        assert_eq!(look.logical_size(), (64, 32));
        assert!(
            matches!(choice, Choice::Named(backend, options) if backend.name == "pipe" && options == "cat")
        );
        let again: DisplaySettings = toml::from_str(&toml::to_string(&settings).unwrap()).unwrap();
        assert_eq!(again, settings);
        for wrong in [
            "colour = 1",
            "rotate = 45",
            "background = '#12'",
            "background = '#+12345'",
            "fit = 'huge'",
        ] {
            assert!(toml::from_str::<DisplaySettings>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn brightness_must_be_a_number_between_nothing_and_everything() {
        for brightness in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let settings = DisplaySettings {
                brightness,
                ..DisplaySettings::default()
            };
            assert!(
                matches!(settings.check(), Err(SettingsError::Brightness(_))),
                "{brightness}"
            );
        }
    }
}
