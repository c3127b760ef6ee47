//! The audio station: one piece of music at a time, from stored bytes to a speaker.
//! Invariant: commands act on shared state and never wait for a disk, a decoder or a device.
//! Not here: what is stored, who may play, what survives a restart; no store, no protocol, no WASM.
//! On failure: no speaker, a bad file or a lost device end one play with a reason, never the process.
//!
//! The sound's way, and the files' order: *a play names a source → `front` recognizes it and `tape` reads it → `decoder`
//! makes samples of it, driven by a `track` on a thread of its own → `convert` brings them to the output's rate and
//! channels → a `ring` inside a `reel` holds two seconds of them → `line` takes frames, applies pause and volume → a
//! `backend` makes them heard.*
//!
//! | file | its one job |
//! |---|---|
//! | `settings` | `NAME[:OPTIONS]` and the start volume |
//! | `station` | [`Audio`], the handle the host holds |
//! | `desk` | what is pending and playing; every change of it |
//! | `output_thread` | the one thread that owns the output |
//! | `backend` | the trait, the table, one file per backend |
//! | `clock` | what the WAV capture and `null` are paced by |
//! | `alsa_complaints` | keeps ALSA's own messages off standard error |

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )
)]

#[cfg(target_os = "linux")]
mod alsa_complaints;
mod backend;
pub mod clock;
mod convert;
mod decoder;
mod desk;
mod error;
mod front;
mod line;
mod output_thread;
mod reel;
mod ring;
mod settings;
mod station;
mod tape;
mod track;

pub use backend::{BackendInfo, backends};
pub use error::AudioError;
pub use settings::{AudioSettings, SettingsError};
pub use station::{Audio, AudioEvent, AudioEvents, EndReason, MusicSource, Play, Playing, Started};
