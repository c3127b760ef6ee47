//! The opcode table as a client keeps it: whole, and known by its digest.
//! Invariant: parts of two tables are never mixed. An entry of a later version that this one cannot read is left out.

use pixelboy_protocol::{OpEntry, Table, Value};

/// What the device offers.
#[derive(Clone, Debug, PartialEq)]
pub struct OpTable {
    /// Of the whole table.
    pub digest: [u8; 16],
    /// Sorted by opcode.
    pub ops: Vec<OpEntry>,
}

impl OpTable {
    /// The entry of an opcode.
    #[must_use]
    pub fn find(&self, op: &str) -> Option<&OpEntry> {
        self.ops.iter().find(|entry| entry.op == op)
    }
}

/// A table of which some parts have come.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    digest: [u8; 16],
    ops: Vec<Value>,
}

/// What a further part makes of it.
#[derive(Debug, PartialEq)]
pub(crate) enum Assembled {
    More,
    Whole(OpTable),
    /// The table changed between two parts: ask anew.
    StartOver,
}

impl Assembly {
    pub(crate) fn add(&mut self, part: Table) -> Assembled {
        if part.first == 0 {
            self.ops.clear();
            self.digest = part.digest;
        } else if part.digest != self.digest || part.first as usize != self.ops.len() {
            self.ops.clear();
            return Assembled::StartOver;
        }
        self.ops.extend(part.ops);
        if self.ops.len() < part.total as usize {
            return Assembled::More;
        }
        let ops = std::mem::take(&mut self.ops);
        Assembled::Whole(OpTable {
            digest: self.digest,
            ops: ops
                .iter()
                .filter_map(|op| OpEntry::from_value(op).ok())
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use pixelboy_protocol::{OpEntry, Table, Value};

    use super::{Assembled, Assembly};

    fn entry(op: &str) -> Value {
        OpEntry {
            op: op.to_owned(),
            plugin: "p".to_owned(),
            doc: String::new(),
            args: vec![],
            returns: String::new(),
        }
        .to_value()
    }

    fn part(digest: u8, first: u32, ops: Vec<Value>) -> Table {
        Table {
            digest: [digest; 16],
            total: 2,
            first,
            ops,
        }
    }

    #[test]
    fn a_table_in_two_parts_becomes_whole() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.add(part(1, 0, vec![entry("a")])), Assembled::More);
        let Assembled::Whole(table) = assembly.add(part(1, 1, vec![entry("b")])) else {
            panic!("two of two")
        };
        assert!(table.find("b").is_some() && table.find("c").is_none());
    }

    #[test]
    fn parts_of_two_tables_are_not_mixed() {
        let mut assembly = Assembly::default();
        assembly.add(part(1, 0, vec![entry("a")]));
        assert_eq!(
            assembly.add(part(2, 1, vec![entry("b")])),
            Assembled::StartOver
        );
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_left_out() {
        let whole = part(
            1,
            0,
            vec![
                Value::Map(vec![("op".to_owned(), "new".into())]),
                entry("b"),
            ],
        );
        let Assembled::Whole(table) = Assembly::default().add(whole) else {
            panic!("two of two")
        };
        assert_eq!(table.ops.len(), 1);
    }
}
