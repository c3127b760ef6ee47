//! Help for an opcode, from the device's own table.

use std::fmt::Write as _;

use pixelboy_client::OpTable;
use pixelboy_client::protocol::{ArgEntry, OpEntry};

use crate::output::plain;

/// As `--help` would say it.
pub(crate) fn of(entry: &OpEntry) -> String {
    let mut text = format!(
        "{}\n\nUsage: pixelboy {}",
        plain(entry.doc.trim_end()),
        entry.op
    );
    for arg in &entry.args {
        let name = arg.name.to_uppercase();
        let _ = match arg.is_required() {
            true => write!(text, " {name}"),
            false => write!(text, " [{name}]"),
        };
    }
    if !entry.args.is_empty() {
        text.push_str("\n\nArguments, by position or as NAME=VALUE:\n");
        let widest = entry
            .args
            .iter()
            .map(|arg| arg.name.len())
            .max()
            .unwrap_or(0);
        for arg in &entry.args {
            let _ = writeln!(
                text,
                "  {:widest$}  {:5}  {}",
                arg.name,
                arg.kind.name(),
                about(arg)
            );
        }
    }
    if !entry.returns.is_empty() {
        let _ = write!(text, "\n\nReturns: {}", plain(entry.returns.trim_end()));
    }
    let _ = write!(text, "\n\nOffered by: {}", plain(&entry.plugin));
    if entry.args.iter().any(|arg| arg.kind.name() == "data") {
        text.push_str("\n\nBytes come from a path, @FILE, or - for standard input; behind -- words are sent as they stand.");
    }
    if entry.args.iter().any(|arg| arg.name == "thread") {
        text.push_str("\n\nThis command ends at once, so thread is true here unless given; pixelboy play stays until the music ends.");
    }
    text.replace("\n\n\n", "\n\n")
}

fn about(arg: &ArgEntry) -> String {
    let mut text = plain(arg.doc.trim_end()).replace('\n', " ");
    let mut notes = Vec::new();
    if !arg.choices.is_empty() {
        let choices: Vec<String> = arg.choices.iter().map(ToString::to_string).collect();
        notes.push(format!("one of {}", choices.join(", ")));
    }
    let least = arg.min.filter(|min| *min > f64::MIN);
    let most = arg.max.filter(|max| *max < f64::MAX);
    match (least, most) {
        (Some(least), Some(most)) => notes.push(format!("{least} to {most}")),
        (Some(least), None) => notes.push(format!("at least {least}")),
        (None, Some(most)) => notes.push(format!("at most {most}")),
        (None, None) => {}
    }
    match &arg.default {
        None => {}
        Some(pixelboy_client::Value::Null) => notes.push("optional".to_owned()),
        Some(default) => notes.push(format!("default: {default}")),
    }
    if !notes.is_empty() {
        let _ = write!(
            text,
            "{}[{}]",
            if text.is_empty() { "" } else { " " },
            notes.join("; ")
        );
    }
    text
}

/// The entry of a word; `-` and `_` are one to a person.
pub(crate) fn find<'t>(table: &'t OpTable, word: &str) -> Option<&'t OpEntry> {
    let same = |op: &str| op.replace('_', "-") == word.replace('_', "-").to_lowercase();
    table
        .find(word)
        .or_else(|| table.ops.iter().find(|entry| same(&entry.op)))
}

/// The word that was meant by one that does not exist, if it is plain.
pub(crate) fn close<'w>(word: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let slips = match word.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    };
    words
        .map(|known| match known.starts_with(word) && word.len() > 2 {
            true => (0, known),
            false => (distance(word, known), known),
        })
        .filter(|(distance, _)| *distance <= slips)
        .min()
        .map(|(_, known)| known)
}

/// Letters to change, leave out, add, or swap with the next.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    let at = |rows: &[Vec<usize>], row: usize, column: usize| {
        rows.get(row)
            .and_then(|row| row.get(column))
            .copied()
            .unwrap_or(0)
    };
    for row in 1..=one.len() {
        rows.push(vec![row]);
        for column in 1..=other.len() {
            let letter = |back: usize| one.get(row.wrapping_sub(back));
            let against = |back: usize| other.get(column.wrapping_sub(back));
            let changed = at(&rows, row - 1, column - 1) + usize::from(letter(1) != against(1));
            let added = at(&rows, row, column - 1).min(at(&rows, row - 1, column)) + 1;
            let swapped =
                match row > 1 && column > 1 && letter(1) == against(2) && letter(2) == against(1) {
                    true => at(&rows, row - 2, column - 2) + 1,
                    false => usize::MAX,
                };
            if let Some(last) = rows.last_mut() {
                last.push(changed.min(added).min(swapped));
            }
        }
    }
    at(&rows, one.len(), other.len())
}

#[cfg(test)]
mod tests {
    use pixelboy_client::OpTable;
    use pixelboy_client::protocol::{ArgEntry, ArgKind, OpEntry};

    use super::{close, distance, find, of};

    fn scroll() -> OpEntry {
        let mut speed = ArgEntry::new("speed", ArgKind::Float, "Pixels a second.").or(10.0);
        speed.min = Some(0.5);
        OpEntry {
            op: "scroll_text".to_owned(),
            plugin: "ticker".to_owned(),
            doc: "Scrolls text.\n\nFrom the right.".to_owned(),
            args: vec![
                ArgEntry::new("text", ArgKind::Text, "What is scrolled."),
                speed,
            ],
            returns: "nothing".to_owned(),
        }
    }

    #[test]
    fn help_is_made_from_the_table() {
        let help = of(&scroll());
        let expected = "\
Scrolls text.

From the right.

Usage: pixelboy scroll_text TEXT [SPEED]

Arguments, by position or as NAME=VALUE:
  text   text   What is scrolled.
  speed  float  Pixels a second. [at least 0.5; default: 10.0]

Returns: nothing

Offered by: ticker";
        assert_eq!(help, expected);
    }

    #[test]
    fn a_word_finds_its_opcode_with_either_dash() {
        let table = OpTable {
            digest: [0; 16],
            ops: vec![scroll()],
        };
        assert!(find(&table, "scroll-text").is_some() && find(&table, "scroll_text").is_some());
        assert!(find(&table, "scroll").is_none());
    }

    #[test]
    fn a_slip_of_the_finger_finds_what_was_meant() {
        assert_eq!(
            close("stor", ["show", "store", "stop"].into_iter()),
            Some("store")
        );
        assert_eq!(
            close("stroe", ["show", "store", "stop"].into_iter()),
            Some("store")
        );
        assert_eq!(close("nope", ["ops"].into_iter()), None);
        assert_eq!(close("fly", ["show", "store"].into_iter()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
