//! `pixelboyd verify`: compares a data folder with its record, takes files in that were changed by hand, and repairs.
//! Invariant: without `--repair` or `--adopt` nothing is changed; what a repair loses is said before it is done.
//! Not here: what is compared and how it is mended (the store).
//! A folder that a host uses is refused; the exit codes are documented in `--help`.

mod adopt;
mod told;

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use pixelboy_store::{Inspection, MediaPath, Repaired, Settings, SqliteStore, Store};

use crate::config::{Args, Verify};

/// All is as it was stored, or was put right.
const SOUND: u8 = 0;
/// Something is not.
const NOT_SOUND: u8 = 1;
/// It could not be found out, or not be put right: in use, no data folder, no permission, a failing disk.
const FAILED: u8 = 3;

/// Told below `pixelboyd verify --help`.
pub(crate) const EXIT_CODES: &str = "Exit codes: 0 all is as it was stored, or was put right; 1 something is not; 2 wrong usage; \
3 it could not be looked at or put right.";

/// Runs it; everything that is to be said is said.
pub(crate) fn run(args: &Args, verify: &Verify) -> ExitCode {
    let code = match Run::new(args, verify).and_then(Run::go) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pixelboyd: {error}");
            FAILED
        }
    };
    ExitCode::from(code)
}

struct Run<'a> {
    verify: &'a Verify,
    folder: PathBuf,
}

impl<'a> Run<'a> {
    fn new(args: &Args, verify: &'a Verify) -> Result<Self, String> {
        let folder = args.data().map_err(|error| error.to_string())?;
        Ok(Self { verify, folder })
    }

    fn settings(&self) -> Settings {
        // What is there is looked after, however full the disk is.
        Settings {
            reserve_bytes: 0,
            ..Settings::new(&self.folder)
        }
    }

    fn go(self) -> Result<u8, String> {
        let inspection = self.look()?;
        let report = inspection.report().clone();
        let mut outcome = told::Outcome::of(&report);
        let wanted = adopt::wanted(&report, &self.verify.adopt)?;
        let mut refused = false;
        if !self.verify.json {
            told::report(&self.folder, &report);
        }
        if self.verify.repair && !report.is_sound() {
            if self.may_repair(&report, &wanted) {
                let repaired = inspection
                    .repair(&|path| wanted.contains(path))
                    .map_err(|error| error.to_string())?;
                outcome.repaired(&repaired);
                self.tell_repaired(&repaired);
            } else {
                drop(inspection);
                eprintln!("pixelboyd: nothing was changed; `--yes` repairs without asking");
                return Ok(NOT_SOUND);
            }
        } else {
            drop(inspection);
        }
        if !wanted.is_empty() {
            refused = !self.adopt(&wanted, &mut outcome)?;
        }
        if self.verify.json {
            say(&outcome.json(&report));
        } else if !self.verify.repair && self.verify.adopt.is_empty() {
            told::advice(&report);
        }
        let is_sound = outcome.is_sound() && !refused;
        Ok(if is_sound { SOUND } else { NOT_SOUND })
    }

    /// Reads everything, with a bar where a person looks.
    fn look(&self) -> Result<Inspection, String> {
        let bar = (!self.verify.json && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(0);
            let template = "{bar:30} {bytes} of {total_bytes}, {eta} left  {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        let looked = Inspection::of(self.settings(), &mut |progress| {
            if let Some(bar) = &bar {
                bar.set_length(progress.total);
                bar.set_position(progress.done);
                if bar.message() != progress.place {
                    bar.set_message(progress.place.to_owned());
                }
            }
        });
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        looked.map_err(|error| error.to_string())
    }

    /// Says what a repair does, and asks.
    fn may_repair(&self, report: &pixelboy_store::Report, wanted: &[MediaPath]) -> bool {
        told::losses(&self.folder, report, wanted);
        if self.verify.yes {
            return true;
        }
        if !std::io::stdin().is_terminal() {
            return false;
        }
        eprint!("Repair? [y/N] ");
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }

    fn tell_repaired(&self, repaired: &Repaired) {
        if self.verify.json {
            return;
        }
        match &repaired.aside {
            Some(aside) => say(&format!(
                "repaired; what was moved aside lies in {}",
                self.folder.join(aside).display()
            )),
            None => say("repaired"),
        }
    }

    /// Takes files in as they are. Whether all could be.
    fn adopt(&self, wanted: &[MediaPath], outcome: &mut told::Outcome) -> Result<bool, String> {
        let mut all = true;
        let store = SqliteStore::open(self.settings()).map_err(|error| error.to_string())?;
        for path in wanted {
            let taken = adopt::kind(&self.folder, path).and_then(|kind| {
                store
                    .adopt(path, kind, Vec::new())
                    .map(|bytes| (kind, bytes))
                    .map_err(|error| error.to_string())
            });
            match taken {
                Ok((kind, bytes)) => {
                    outcome.adopted(path);
                    if !self.verify.json {
                        say(&format!("adopted    media/{path}: {kind}, {bytes} bytes"));
                    }
                }
                Err(why) => {
                    all = false;
                    eprintln!("pixelboyd: media/{path} is not adopted: {why}");
                }
            }
        }
        store.close().map_err(|error| error.to_string())?;
        Ok(all)
    }
}

/// A line on standard output; whoever started it may have closed that.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
