//! `plugin`: the device's plugins and those that are being written, one file for each thing that can be done.

use clap::{Args, Subcommand};

use crate::line::Settings;
use crate::trouble::Trouble;

// For a device.
mod enable;
mod install;
mod list;
mod outcome;
mod settings_file;

// For an author; no device is needed.
mod build;
mod check;
mod dev;
mod host;
mod new;

/// List the device's plugins, take them in, take them out; write one: new, build, check, dev
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
    New(new::New),
    Build(build::Build),
    Check(check::Check),
    Dev(dev::Dev),
}

impl Plugin {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        match self.task {
            Task::List(task) => task.run(settings).await,
            Task::Install(task) => task.run(settings).await,
            Task::Enable(task) => task.run(settings).await,
            Task::Disable(task) => task.run(settings).await,
            Task::New(task) => task.run(),
            Task::Build(task) => task.run(),
            Task::Check(task) => task.run(),
            Task::Dev(task) => task.run(),
        }
    }
}
