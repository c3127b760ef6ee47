//! What a probe found out about a file.
//! Invariant: a [`Media`] exists only for a file whose container was walked to its end.
//! Not here: the name of the file; [`extension_agrees`] compares one with a format for messages, nothing is decided by it.

use std::fmt;
use std::time::Duration;

/// What can be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One picture.
    Image,
    /// A picture with two frames or more.
    Animation,
    /// A sound.
    Audio,
}

impl Kind {
    /// `image`, `animation` or `audio`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Animation => "animation",
            Self::Audio => "audio",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The container, recognised by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Portable Network Graphics; an animated one counts as its default picture.
    Png,
    /// JPEG, baseline or progressive.
    Jpeg,
    /// GIF 87a or 89a.
    Gif,
    /// Windows bitmap.
    Bmp,
    /// WebP, lossy, lossless or animated.
    Webp,
    /// MPEG audio layer 3.
    Mp3,
    /// RIFF WAVE.
    Wav,
    /// FLAC in its own container.
    Flac,
    /// Vorbis in Ogg.
    Ogg,
}

impl Format {
    /// Every format, pictures first.
    pub const ALL: [Self; 9] = [
        Self::Png,
        Self::Jpeg,
        Self::Gif,
        Self::Bmp,
        Self::Webp,
        Self::Mp3,
        Self::Wav,
        Self::Flac,
        Self::Ogg,
    ];

    /// `png jpeg gif bmp webp mp3 wav flac ogg`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Webp => "webp",
            Self::Mp3 => "mp3",
            Self::Wav => "wav",
            Self::Flac => "flac",
            Self::Ogg => "ogg",
        }
    }

    /// Endings of file names that promise this format, in lower case.
    #[must_use]
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Png => &["png", "apng"],
            Self::Jpeg => &["jpg", "jpeg", "jpe", "jfif"],
            Self::Gif => &["gif"],
            Self::Bmp => &["bmp", "dib"],
            Self::Webp => &["webp"],
            Self::Mp3 => &["mp3"],
            Self::Wav => &["wav", "wave"],
            Self::Flac => &["flac"],
            Self::Ogg => &["ogg", "oga"],
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How far the contents were decoded. The container was walked to its end in both cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checked {
    /// Every pixel or sample.
    Whole,
    /// As far as the budget allowed, or, for MP3 and WAV, the beginning and the end.
    Part,
}

/// A file that can be shown or played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Image, animation or audio.
    pub kind: Kind,
    /// The container.
    pub format: Format,
    /// In pixels; 0 for audio.
    pub width: u32,
    /// In pixels; 0 for audio.
    pub height: u32,
    /// 1 for a still image, 0 for audio.
    pub frames: u32,
    /// Whether pixels can be transparent; false for audio.
    pub has_alpha: bool,
    /// The number that an animation carries for its passes; 0 is for ever, 1 where the file does not tell.
    pub loops: u32,
    /// Of one pass, as the file tells it; none for still images and where the file does not tell (an animation whose
    /// delays are all 0).
    pub duration: Option<Duration>,
    /// In Hz; none for images.
    pub sample_rate: Option<u32>,
    /// None for images.
    pub channels: Option<u16>,
    /// How far the contents were decoded.
    pub checked: Checked,
}

impl Media {
    pub(crate) fn image(
        format: Format,
        (width, height): (u32, u32),
        has_alpha: bool,
        checked: Checked,
    ) -> Self {
        Self {
            kind: Kind::Image,
            format,
            width,
            height,
            frames: 1,
            has_alpha,
            loops: 1,
            duration: None,
            sample_rate: None,
            channels: None,
            checked,
        }
    }

    /// The same picture with `frames` frames; a single frame leaves it a still image.
    pub(crate) fn animated(self, frames: u32, loops: u32, pass: Duration) -> Self {
        if frames < 2 {
            return self;
        }
        let duration = (!pass.is_zero()).then_some(pass);
        Self {
            kind: Kind::Animation,
            frames,
            loops,
            duration,
            ..self
        }
    }

    pub(crate) fn audio(
        format: Format,
        sample_rate: u32,
        channels: u16,
        duration: Option<Duration>,
        checked: Checked,
    ) -> Self {
        Self {
            kind: Kind::Audio,
            format,
            width: 0,
            height: 0,
            frames: 0,
            has_alpha: false,
            loops: 1,
            duration,
            sample_rate: Some(sample_rate),
            channels: Some(channels),
            checked,
        }
    }

    /// For messages: `image/png 64x64`, `image/gif 64x64, 10 frames, 0.8 s`, `audio/mp3 3.0 s, 44100 hz, mono`.
    #[must_use]
    pub fn describe(&self) -> String {
        let seconds = self
            .duration
            .map(|length| format!("{:.1} s", length.as_secs_f64()));
        match self.kind {
            Kind::Image => format!("image/{} {}x{}", self.format, self.width, self.height),
            Kind::Animation => {
                let mut text = format!(
                    "image/{} {}x{}, {} frames",
                    self.format, self.width, self.height, self.frames
                );
                if let Some(seconds) = seconds {
                    text.push_str(", ");
                    text.push_str(&seconds);
                }
                text
            }
            Kind::Audio => {
                let channels = match self.channels.unwrap_or(0) {
                    1 => "mono".to_owned(),
                    2 => "stereo".to_owned(),
                    more => format!("{more} channels"),
                };
                let rate = self.sample_rate.unwrap_or(0);
                let length = seconds.unwrap_or_else(|| "unknown length".to_owned());
                format!("audio/{} {length}, {rate} hz, {channels}", self.format)
            }
        }
    }
}

/// The time that `samples` samples of one channel take; zero for a rate of 0.
pub(crate) fn playing_time(samples: u64, sample_rate: u32) -> Duration {
    let nanoseconds = (u128::from(samples) * 1_000_000_000)
        .checked_div(u128::from(sample_rate))
        .unwrap_or(0);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// Whether the ending of a file name suits a format's name (as [`Format::name`] gives it): `a.png` does not suit `jpeg`.
/// Names without an ending and with an unknown one suit everything.
#[must_use]
pub fn extension_agrees(name: &str, format: &str) -> bool {
    let Some((_, ending)) = name.rsplit('/').next().unwrap_or(name).rsplit_once('.') else {
        return true;
    };
    let ending = ending.to_ascii_lowercase();
    let promised = Format::ALL
        .into_iter()
        .find(|known| known.extensions().contains(&ending.as_str()));
    promised.is_none_or(|promised| promised.name() == format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_is_compared_with_the_content_and_unknown_ones_suit_everything() {
        assert!(extension_agrees("cat.png", "png"));
        assert!(extension_agrees("holidays/CAT.JPG", "jpeg"));
        assert!(extension_agrees("a.oga", "ogg"));
        assert!(extension_agrees("cat", "gif"));
        assert!(extension_agrees("cat.v2", "gif"));
        assert!(extension_agrees("my.png/cat", "gif"));
        assert!(!extension_agrees("cat.png", "jpeg"));
        assert!(!extension_agrees("song.mp3", "wav"));
    }

    #[test]
    fn playing_time_of_the_longest_possible_sound_does_not_overflow() {
        assert_eq!(playing_time(44_100, 44_100), Duration::from_secs(1));
        assert_eq!(playing_time(5, 0), Duration::ZERO);
        assert!(playing_time(u64::MAX, 1) > Duration::from_secs(1));
    }
}
