//! What a guest can ask of the host: one file for each interface of the contract.
//! Invariant: nothing here touches the world; it reads, and it *stages* what the operation's commit will make real.
//! Not here: when (`dispatch`). Each file checks, converts the types, stages, converts the error.

pub(crate) mod audio;
pub(crate) mod blob;
pub(crate) mod call;
pub(crate) mod client;
pub(crate) mod device;
pub(crate) mod display;
pub(crate) mod effect;
pub(crate) mod errand;
pub(crate) mod failure;
pub(crate) mod keeper;
pub(crate) mod kv;
pub(crate) mod log;
pub(crate) mod parcel;
pub(crate) mod probe;
pub(crate) mod settings;
pub(crate) mod store;
mod succession;
pub(crate) mod timer;
pub(crate) mod work;

use std::sync::Arc;

use wasmtime::component::ResourceTable;

use self::device::Device;
use self::log::pace::Pace;
use self::work::Work;
use crate::plugin::room::Room;

/// What all guests share: the stations that reads go to.
pub(crate) struct Services {
    /// Committed data.
    pub(crate) store: Arc<dyn pixelboy_store::Store>,
    /// What is shown and played, as the operations committed so far left it.
    pub(crate) device: Device,
    /// The panel, for its size.
    pub(crate) display: pixelboy_display::Display,
    /// The speaker, for the position in the music.
    pub(crate) audio: pixelboy_audio::Audio,
    /// Clients present.
    pub(crate) audience: client::Audience,
    /// Operations that answer later.
    pub(crate) waits: Arc<dyn call::Waits>,
    /// What plugins want to be told later.
    pub(crate) timers: timer::armed::Timers,
    /// What plugins are told.
    pub(crate) errands: errand::Errands,
}

/// Who a guest is to the host.
pub(crate) struct Identity {
    /// The plugin's name in config.toml.
    pub(crate) name: Arc<str>,
    /// `[plugins.NAME.settings]`.
    pub(crate) settings: toml::Table,
    /// How fast it may write to the log.
    pub(crate) pace: Pace,
}

/// The host's side of one guest instance: what it can reach, and what its running operation has staged.
pub(crate) struct Guest {
    pub(crate) table: ResourceTable,
    pub(crate) room: Room,
    pub(crate) identity: Arc<Identity>,
    pub(crate) services: Arc<Services>,
    pub(crate) work: Work,
    /// Epoch ticks of CPU time that the call may still use.
    pub(crate) ticks_left: u32,
}
