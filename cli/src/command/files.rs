//! `del` and `stat`.

use clap::Args;

use super::call_and_say;
use crate::line::Settings;
use crate::trouble::Trouble;

/// Remove a stored file (rm is the opcode that plays music)
#[derive(Args, Debug)]
pub(crate) struct Del {
    /// The file's path on the device
    name: String,
}

impl Del {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        call_and_say(settings, "del", vec![self.name.into()]).await
    }
}

/// Tell what is known about a stored file
#[derive(Args, Debug)]
pub(crate) struct Stat {
    /// The file's path on the device
    name: String,
}

impl Stat {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        call_and_say(settings, "stat", vec![self.name.into()]).await
    }
}
