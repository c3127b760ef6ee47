//! The table, for people and as JSON.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Fault;
use crate::machine::{self, Machine};
use crate::ratio::Spread;

/// One line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    /// None where nothing bare does the like.
    pub(crate) floor: Option<f64>,
    /// Of ours to floor, round by round.
    pub(crate) ratio: Option<Spread>,
    pub(crate) aim: Option<Aim>,
    pub(crate) met: Option<bool>,
    /// What else is to be said of it.
    pub(crate) note: String,
}

/// What a row should not exceed.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Aim {
    /// The median ratio.
    Ratio(f64),
    /// Ours, in the row's unit.
    Ours(f64),
}

impl Row {
    /// A row without a floor, an aim or a note.
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, ours: f64) -> Self {
        let what = what.into();
        Self {
            what,
            unit,
            ours,
            floor: None,
            ratio: None,
            aim: None,
            met: None,
            note: String::new(),
        }
    }

    /// A row of rounds: the medians, and the spread of the ratios.
    pub(crate) fn of_rounds(
        what: impl Into<String>,
        unit: &'static str,
        ours: &[f64],
        floor: &[f64],
    ) -> Self {
        let median = |values: &[f64]| Spread::of(values.iter().copied()).median;
        Self {
            floor: Some(median(floor)),
            ratio: Some(Spread::of_ratios(ours, floor)),
            ..Self::new(what, unit, median(ours))
        }
    }

    pub(crate) fn floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self
    }

    pub(crate) fn aim(mut self, aim: Aim) -> Self {
        self.met = match aim {
            Aim::Ratio(most) => self.ratio.map(|ratio| ratio.median <= most),
            Aim::Ours(most) => Some(self.ours <= most),
        };
        self.aim = Some(aim);
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn cells(&self) -> [String; 7] {
        let dash = || "-".to_owned();
        let amount = |value: f64| format!("{} {}", plain(value), self.unit);
        [
            self.what.clone(),
            amount(self.ours),
            self.floor.map_or_else(dash, amount),
            self.ratio.map_or_else(dash, |ratio| {
                format!(
                    "{:.2} ({:.2} to {:.2})",
                    ratio.median, ratio.lower, ratio.upper
                )
            }),
            match self.aim {
                None => dash(),
                Some(Aim::Ratio(most)) => format!("ratio up to {most}"),
                Some(Aim::Ours(most)) => format!("up to {}", amount(most)),
            },
            match self.met {
                None => dash(),
                Some(true) => "met".to_owned(),
                Some(false) => "NOT MET".to_owned(),
            },
            self.note.clone(),
        ]
    }
}

/// Three digits say enough.
fn plain(value: f64) -> String {
    match value.abs() {
        value if value == 0.0 || value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// All that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    rows: Vec<Row>,
    /// What was left out, and why.
    remarks: Vec<String>,
    load_at_end: String,
}

impl Report {
    pub(crate) fn new(machine: Machine) -> Self {
        Self {
            machine,
            rows: Vec::new(),
            remarks: Vec::new(),
            load_at_end: String::new(),
        }
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(crate) fn remark(&mut self, sentence: impl Into<String>) {
        self.remarks.push(sentence.into());
    }

    /// The table on standard output.
    pub(crate) fn print(&mut self) {
        self.load_at_end = machine::load();
        let heads =
            ["what", "ours", "beside", "ratio (quarters)", "aim", "", ""].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(heads)
            .chain(self.rows.iter().map(Row::cells))
            .collect();
        let mut widths = [0; 7];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        println!();
        for row in &rows {
            let cells = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:width$}"));
            println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        for remark in &self.remarks {
            println!("\n{remark}");
        }
        println!("\nload at the end {}", self.load_at_end);
    }

    /// The same for programs.
    pub(crate) fn write_json(&self, file: &Path) -> Result<(), Fault> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(file, text + "\n")
            .map_err(|error| format!("failed to write {}: {error}", file.display()).into())
    }
}
