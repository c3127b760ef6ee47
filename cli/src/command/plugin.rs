//! `plugin`: the device's plugins, one file for each thing that can be done.

use clap::{Args, Subcommand};

use crate::line::Settings;
use crate::trouble::Trouble;

mod enable;
mod install;
mod list;
mod outcome;
mod settings_file;

/// List the device's plugins, take them in, take them out
#[derive(Args, Debug)]
pub(crate) struct Plugin {
    #[command(subcommand)]
    task: Task,
}

/// What can be done.
#[derive(Debug, Subcommand)]
enum Task {
    List(list::List),
    Install(install::Install),
    Enable(enable::Enable),
    Disable(enable::Disable),
}

impl Plugin {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        match self.task {
            Task::List(task) => task.run(settings).await,
            Task::Install(task) => task.run(settings).await,
            Task::Enable(task) => task.run(settings).await,
            Task::Disable(task) => task.run(settings).await,
        }
    }
}
