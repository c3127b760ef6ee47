//! Which output, and how loud at first: `NAME[:OPTIONS]` as written on a command line or in `config.toml`.
//! Invariant: a parsed setting names a backend that exists and has the options it needs.
//! Not here: opening anything; whether the device or file is there shows when the station starts.

use crate::backend::{self, OptionsRule};
use std::fmt;
use std::str::FromStr;

/// The output and the volume a station starts with.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioSettings {
    /// Name of a backend in the table, see [`backends`](crate::backends()).
    pub backend: String,
    /// What follows the name's colon: the file for `wav`, empty for the others.
    pub options: String,
    /// Volume at the start, 0.0 (silent) to 1.0 (full).
    pub volume: f32,
}

/// Why a setting is not understood.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// No backend has this name.
    #[error("there is no audio output called {name:?}; use one of {known}")]
    UnknownBackend {
        /// The name that came.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The backend needs an option that is missing.
    #[error("the audio output {name:?} needs a file: {name}:FILE")]
    MissingFile {
        /// The backend's name.
        name: String,
    },
    /// The backend takes no options.
    #[error("the audio output {name:?} takes no options, but {options:?} followed its name")]
    UnexpectedOptions {
        /// The backend's name.
        name: String,
        /// What came after the colon.
        options: String,
    },
    /// A volume outside 0.0 to 1.0, or not a number.
    #[error("the volume must be from 0.0 (silent) to 1.0 (full), not {0}")]
    VolumeOutOfRange(f32),
}

impl Default for AudioSettings {
    /// The default device at full volume.
    fn default() -> Self {
        Self {
            backend: "default".to_owned(),
            options: String::new(),
            volume: 1.0,
        }
    }
}

impl AudioSettings {
    /// The same output with another volume at the start, 0.0 to 1.0.
    ///
    /// # Errors
    /// [`SettingsError::VolumeOutOfRange`] for anything else, NaN included.
    pub fn with_volume(mut self, volume: f32) -> Result<Self, SettingsError> {
        if !(0.0..=1.0).contains(&volume) {
            return Err(SettingsError::VolumeOutOfRange(volume));
        }
        self.volume = volume;
        Ok(self)
    }
}

impl FromStr for AudioSettings {
    type Err = SettingsError;

    /// Reads `NAME[:OPTIONS]`, such as `default`, `wav:/tmp/out.wav` or `null`.
    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        let Some(row) = backend::find(name) else {
            return Err(SettingsError::UnknownBackend {
                name: name.to_owned(),
                known: backend::names(),
            });
        };
        match row.options {
            OptionsRule::File if options.is_empty() => Err(SettingsError::MissingFile {
                name: name.to_owned(),
            }),
            OptionsRule::None if text.contains(':') => Err(SettingsError::UnexpectedOptions {
                name: name.to_owned(),
                options: options.to_owned(),
            }),
            OptionsRule::File | OptionsRule::None => Ok(Self {
                backend: name.to_owned(),
                options: options.to_owned(),
                ..Self::default()
            }),
        }
    }
}

impl fmt::Display for AudioSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.backend)?;
        if !self.options.is_empty() {
            write!(f, ":{}", self.options)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_of_the_command_line_are_read_and_written_back() {
        for text in [
            "default",
            "null",
            "wav:/tmp/out.wav",
            "wav:odd:name.wav",
            "wav:relative.wav",
        ] {
            let settings: AudioSettings = text.parse().unwrap();
            assert_eq!(settings.to_string(), text);
            assert_eq!(settings.volume, 1.0);
        }
        let wav: AudioSettings = "wav:odd:name.wav".parse().unwrap();
        assert_eq!(
            (wav.backend.as_str(), wav.options.as_str()),
            ("wav", "odd:name.wav")
        );
    }

    #[test]
    fn what_is_not_understood_is_answered_with_what_would_be() {
        let unknown = "speaker".parse::<AudioSettings>().unwrap_err().to_string();
        for name in ["speaker", "default", "wav", "null"] {
            assert!(unknown.contains(name), "{unknown}");
        }
        assert!(matches!(
            "".parse::<AudioSettings>(),
            Err(SettingsError::UnknownBackend { .. })
        ));
        for text in ["wav", "wav:"] {
            let missing = text.parse::<AudioSettings>().unwrap_err().to_string();
            assert!(missing.contains("wav:FILE"), "{missing}");
        }
        for text in ["null:", "null:x", "default:hw"] {
            assert!(matches!(
                text.parse::<AudioSettings>(),
                Err(SettingsError::UnexpectedOptions { .. })
            ));
        }
    }

    #[test]
    fn a_start_volume_outside_its_range_is_refused() {
        for volume in [-0.01, 1.01, f32::NAN, f32::INFINITY] {
            assert!(AudioSettings::default().with_volume(volume).is_err());
        }
        assert_eq!(
            AudioSettings::default().with_volume(0.25).unwrap().volume,
            0.25
        );
    }
}
