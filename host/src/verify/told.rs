//! What is said of a data folder, to people and to programs.

use std::path::Path;

use pixelboy_store::{Fault, MediaPath, Problem, Repaired, Report};
use serde_json::json;

use super::say;

/// What was done, and what is still not as it should be.
pub(super) struct Outcome {
    record_is_sound: bool,
    problems: Vec<Problem>,
    adopted: Vec<MediaPath>,
    repaired: Option<Repaired>,
}

impl Outcome {
    pub(super) fn of(report: &Report) -> Self {
        let harm = |problem: &&Problem| problem.fault != Fault::Strange;
        Self {
            record_is_sound: report.record.is_empty(),
            problems: report.problems.iter().filter(harm).cloned().collect(),
            adopted: Vec::new(),
            repaired: None,
        }
    }

    /// A file was taken in as it is.
    pub(super) fn adopted(&mut self, path: &MediaPath) {
        self.problems
            .retain(|problem| problem.path.as_ref() != Some(path));
        self.adopted.push(path.clone());
    }

    pub(super) fn repaired(&mut self, repaired: &Repaired) {
        self.record_is_sound = true;
        // Of media the record forgot what it had; what is to be adopted is still there.
        self.problems.retain(|problem| {
            problem
                .path
                .as_ref()
                .is_some_and(|path| !repaired.removed.contains(path))
        });
        self.repaired = Some(repaired.clone());
    }

    pub(super) fn is_sound(&self) -> bool {
        self.record_is_sound && self.problems.is_empty()
    }

    /// All of it as one object.
    pub(super) fn json(&self, report: &Report) -> String {
        let problems: Vec<_> = report
            .problems
            .iter()
            .map(|problem| {
                json!({
                    "place": problem.place,
                    "path": problem.path.as_ref().map(MediaPath::as_str),
                    "fault": name(&problem.fault),
                    "message": problem.fault.to_string(),
                })
            })
            .collect();
        let paths = |paths: &[MediaPath]| -> Vec<String> {
            paths.iter().map(ToString::to_string).collect()
        };
        let repaired = self.repaired.as_ref();
        json!({
            "sound": self.is_sound(),
            "record": report.record,
            "commits": report.commits,
            "files": report.files,
            "bytes": report.bytes,
            "uploads": report.uploads,
            "problems": problems,
            "repaired": repaired.is_some(),
            "removed": repaired.map(|repaired| paths(&repaired.removed)).unwrap_or_default(),
            "aside": repaired.and_then(|repaired| repaired.aside.as_deref()).map(|at| at.display().to_string()),
            "adopted": paths(&self.adopted),
        })
        .to_string()
    }
}

/// One word for a fault.
fn name(fault: &Fault) -> &'static str {
    match fault {
        Fault::Gone => "gone",
        Fault::Length { .. } | Fault::Bytes => "changed",
        Fault::Unreadable { .. } => "unreadable",
        Fault::Strange => "strange",
        Fault::Part { .. } => "damaged",
    }
}

/// Everything that was found, a line each.
pub(super) fn report(folder: &Path, report: &Report) {
    for damage in &report.record {
        say(&format!("damaged    record.sqlite: {damage}"));
    }
    for problem in &report.problems {
        let word = name(&problem.fault);
        say(&format!("{word:<10} {}: {}", problem.place, problem.fault));
    }
    let compared = format!(
        "{} of {} in {}, {} of clients, {}",
        count(report.files, "file"),
        count(report.bytes, "byte"),
        folder.display(),
        count(report.uploads, "upload"),
        count(report.commits, "commit"),
    );
    if report.is_sound() {
        say(&format!("{compared}: all is as it was stored"));
    } else {
        say(&format!("{compared}: not all is as it was stored"));
    }
}

/// What can be done about it.
pub(super) fn advice(report: &Report) {
    let to_adopt = report
        .problems
        .iter()
        .filter(|problem| matches!(name(&problem.fault), "changed" | "strange"))
        .find_map(|problem| problem.path.as_ref());
    if let Some(path) = to_adopt {
        say(&format!(
            "`pixelboyd verify --adopt {path}` takes the file in as it is now"
        ));
    }
    if !report.is_sound() {
        say(
            "`pixelboyd verify --repair` moves what is not intact aside, and goes on with the rest",
        );
    }
}

/// What a repair loses.
pub(super) fn losses(folder: &Path, report: &Report, adopted: &[MediaPath]) {
    eprintln!(
        "A repair moves what is not intact to {}, where nothing is deleted.",
        folder.join("aside").display()
    );
    for problem in &report.problems {
        let is_adopted = problem
            .path
            .as_ref()
            .is_some_and(|path| adopted.contains(path));
        match problem.fault {
            Fault::Strange => {}
            _ if is_adopted => {}
            Fault::Part { sound } if sound > 0 => {
                eprintln!(
                    "  {} is kept up to byte {sound}; its client sends the rest again",
                    problem.place
                );
            }
            Fault::Gone => eprintln!("  {} is forgotten: it is gone already", problem.place),
            _ => eprintln!("  {} is moved there and forgotten", problem.place),
        }
    }
    if !report.record.is_empty() {
        eprintln!(
            "  record.sqlite is moved there, and one of what could be read takes its place. Lost: {}.",
            report.record.join("; ")
        );
        eprintln!(
            "  Clients start anew: what they had pending they report as \"outcome unknown\", and they send unfinished uploads again."
        );
    }
}

/// `1 file`, `2 files`.
fn count(number: u64, what: &str) -> String {
    let more = if number == 1 { "" } else { "s" };
    format!("{number} {what}{more}")
}
