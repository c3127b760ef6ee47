//! The `pixelboy` command: one line, one thing done on the device.
//! Invariant: every end has a documented exit code, and every message says what to do.
//! Deliberately absent: the opcodes of plugins; the device's table brings them with help and checked arguments.
//! A reader of the output that goes away (a broken pipe) ends the command quietly.
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

// The line, and what a word does.
mod command;
mod line;

// From words to values and back.
mod json;
mod media;
mod opcode_help;
mod words;

// What a person sees.
mod output;
mod progress;
mod said;
mod trouble;

use std::process::ExitCode;

use clap::Parser as _;

use line::Line;

fn main() -> ExitCode {
    let line = Line::parse();
    let json = line.settings.json;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(command::run(line));
            // Standard input may still be read on a thread, which must not hold the end up.
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(trouble::Trouble::Usage(format!(
            "the system gives no room for a runtime: {error}"
        ))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => trouble.report(json),
    }
}
