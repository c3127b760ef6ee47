//! `help`: of this program's words from its own definition, of opcodes from the device's table.

use clap::{Args, CommandFactory as _};

use super::{opcode, with_client};
use crate::line::{Line, Settings};
use crate::opcode_help;
use crate::output;
use crate::trouble::Trouble;

/// Explain a word of this program or an opcode of the device
#[derive(Args, Debug)]
pub(crate) struct Help {
    /// The word
    word: Option<String>,
}

impl Help {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        let mut program = Line::command();
        program.build();
        let Some(word) = self.word else {
            return Ok(output::line(
                program.render_long_help().to_string().trim_end(),
            )?);
        };
        if let Some(known) = program.find_subcommand_mut(&word) {
            return Ok(output::line(
                known.render_long_help().to_string().trim_end(),
            )?);
        }
        of_opcode(settings, &word).await
    }
}

/// Prints the help of an opcode.
pub(crate) async fn of_opcode(settings: &Settings, word: &str) -> Result<(), Trouble> {
    let table = opcode::told_of(
        word,
        with_client(settings, async |client| Ok(client.table().await?)).await,
    )?;
    match opcode_help::find(&table, word) {
        Some(entry) => Ok(output::line(&opcode_help::of(entry))?),
        None => Err(opcode::unknown(word, &table)),
    }
}
