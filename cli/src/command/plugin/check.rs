//! `plugin check`: what a host would say to a file, without a device.

use std::path::PathBuf;

use clap::Args;

use super::host;
use crate::output;
use crate::trouble::Trouble;

/// Tell what a device would say to a plugin: its opcodes, what it wants to be granted, or why it is not taken
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// The .wasm file
    file: PathBuf,
}

impl Check {
    pub(crate) fn run(self) -> Result<(), Trouble> {
        Ok(output::line(&output::plain(&host::check(&self.file)?))?)
    }
}
