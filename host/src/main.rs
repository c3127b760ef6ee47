//! `pixelboyd`: the host of a pixelboy device.
//!
//! The data's way, and the folders' order: `net` reads bytes, the protocol makes a frame, `dispatch` picks a plugin,
//! `plugin` runs the guest, a `capability` stages a write or an effect, the store makes it durable, the effect is
//! released to display or audio, `dispatch` writes the reply.

mod capability;
mod check;
mod config;
mod dispatch;
mod host;
mod net;
mod observe;
mod plugin;
mod verify;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    if let Some(code) = compile_child() {
        return code;
    }
    let args = config::Args::parse();
    if let Some(config::Command::Verify(verify)) = &args.command {
        return verify::run(&args, verify);
    }
    if let Some(config::Command::Check { file }) = &args.command {
        return check::run(file);
    }
    observe::start(args.log);
    match host::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A person started it: one sentence, no debug output.
            eprintln!("pixelboyd: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The host as its own compiler, see `plugin::compile`.
fn compile_child() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != plugin::compile::FLAG {
        return None;
    }
    let (wasm, code) = (args.next()?, args.next()?);
    Some(
        match plugin::compile::run_child(wasm.as_ref(), code.as_ref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(1)
            }
        },
    )
}
