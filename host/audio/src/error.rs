//! Why an audio command was refused; the messages are meant for the person who sent it.

/// Why a command to the audio station had no effect.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// Pause, resume or stop came while nothing was playing, paused or about to play.
    #[error("nothing is playing")]
    NothingPlaying,
    /// There is no output, or it took no sound. Asking again tries the device again.
    #[error("no audio device: {0}")]
    NoDevice(String),
    /// The source cannot be read or decoded, or holds no sound where it was to start.
    #[error("this cannot be played: {0}")]
    Unplayable(String),
    /// A volume outside 0.0 to 1.0, or not a number.
    #[error("the volume must be from 0.0 (silent) to 1.0 (full), not {0}")]
    VolumeOutOfRange(f32),
    /// Another play was asked for before this one began.
    #[error("another piece was asked for before this one began")]
    Superseded,
    /// It was stopped before it began.
    #[error("stopped before it began")]
    Stopped,
    /// The station has been shut down.
    #[error("the audio station has been shut down")]
    Closed,
}
