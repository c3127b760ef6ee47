//! `completions`: for the shell, from the same definition as the parser.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::line::Line;
use crate::output;
use crate::trouble::Trouble;

/// Print completions for a shell
///
/// For bash: pixelboy completions bash > ~/.local/share/bash-completion/completions/pixelboy
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Trouble> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Line::command(), "pixelboy", &mut script);
        Ok(output::line(String::from_utf8_lossy(&script).trim_end())?)
    }
}
