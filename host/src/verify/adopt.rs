//! Which files are taken in, and as what.
//! Invariant: what is taken in as media was decoded first, as when it is stored; other bytes must be text.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use pixelboy_probe::{Budget, Refusal, is_text};
use pixelboy_store::{Fault, MediaPath, Report};

/// The files of the report that are asked for by path, by folder, or all with `.`.
pub(super) fn wanted(report: &Report, asked: &[String]) -> Result<Vec<MediaPath>, String> {
    let mut wanted = Vec::new();
    for asked in asked {
        // As it is found on the disk, or as clients say it.
        let name = asked.trim_end_matches('/');
        let name = name.strip_prefix("media/").unwrap_or(name);
        let is_asked = |path: &str| {
            name == "." || path == name || {
                let rest = path.strip_prefix(name);
                rest.is_some_and(|rest| rest.starts_with('/'))
            }
        };
        let before = wanted.len();
        for problem in &report.problems {
            let there = matches!(
                problem.fault,
                Fault::Strange | Fault::Bytes | Fault::Length { .. }
            );
            if let Some(path) = problem.path.as_ref().filter(|_| there)
                && is_asked(path.as_str())
                && !wanted.contains(path)
            {
                wanted.push(path.clone());
            }
        }
        if wanted.len() == before && name != "." {
            return Err(format!(
                "--adopt {asked}: no file there that was changed or put there by hand; `pixelboyd verify` lists those that were"
            ));
        }
    }
    Ok(wanted)
}

/// The kind of a file, by what is in it.
pub(super) fn kind(folder: &Path, path: &MediaPath) -> Result<&'static str, String> {
    let at = folder.join("media").join(path.as_str());
    let open = || File::open(&at).map_err(|error| error.to_string());
    let len = at.metadata().map_err(|error| error.to_string())?.len();
    match pixelboy_probe::probe(open()?, len, Budget::default()) {
        Ok(found) => Ok(found.kind.name()),
        Err(Refusal::Empty) => Ok("text"),
        Err(refusal @ Refusal::UnknownFormat { .. }) => {
            let mut file = open()?;
            if is_text(|into| file.read(into)).map_err(|error| error.to_string())? {
                Ok("text")
            } else {
                Err(refusal.to_string())
            }
        }
        Err(refusal) => Err(refusal.to_string()),
    }
}
