//! Turns values into the contract's flat list of nodes, and back.
//! Invariant: a node is written before the one that names it, so what is encoded here has no cycle.
//! Not here: the limit on nesting, which the host checks both ways.
//! An index the host did not mean becomes null: it never sends one.

use crate::bindings::pixelboy::plugin::types::{Node, Values};
use crate::{Data, Map, Value};

/// Values for the host.
pub(crate) fn encode(values: impl IntoIterator<Item = Value>) -> Values {
    let mut nodes = Vec::new();
    let roots = values
        .into_iter()
        .map(|value| write(&mut nodes, value))
        .collect();
    Values { nodes, roots }
}

/// Values from the host.
pub(crate) fn decode(values: Values) -> Vec<Value> {
    let mut nodes: Vec<Node> = values.nodes;
    values
        .roots
        .into_iter()
        .map(|root| read(&mut nodes, root))
        .collect()
}

fn write(nodes: &mut Vec<Node>, value: Value) -> u32 {
    let node = match value {
        Value::Null => Node::Null,
        Value::Bool(it) => Node::Boolean(it),
        Value::Int(it) => Node::Int(it),
        Value::Float(it) => Node::Float(it),
        Value::Text(it) => Node::Text(it),
        Value::Bytes(it) => Node::Bytes(it),
        Value::Data(it) => Node::Data(it.into_handle()),
        Value::List(items) => {
            Node::List(items.into_iter().map(|item| write(nodes, item)).collect())
        }
        Value::Map(map) => Node::Map(
            map.into_iter()
                .map(|(name, item)| (name, write(nodes, item)))
                .collect(),
        ),
    };
    let index = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    nodes.push(node);
    index
}

fn read(nodes: &mut Vec<Node>, index: u32) -> Value {
    let taken = usize::try_from(index)
        .ok()
        .and_then(|index| nodes.get_mut(index));
    match taken.map(|node| std::mem::replace(node, Node::Null)) {
        None | Some(Node::Null) => Value::Null,
        Some(Node::Boolean(it)) => Value::Bool(it),
        Some(Node::Int(it)) => Value::Int(it),
        Some(Node::Float(it)) => Value::Float(it),
        Some(Node::Text(it)) => Value::Text(it),
        Some(Node::Bytes(it)) => Value::Bytes(it),
        Some(Node::Data(it)) => Value::Data(Data::from_handle(it)),
        Some(Node::List(items)) => items.into_iter().map(|item| read(nodes, item)).collect(),
        Some(Node::Map(entries)) => Value::Map(Map::of_unique(
            entries
                .into_iter()
                .map(|(name, item)| (name, read(nodes, item)))
                .collect(),
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use super::{Value, decode, encode};
    use crate::map;

    #[test]
    fn nested_values_come_back_as_they_went() {
        let inner = map! { a: vec![1_i64, 2], b: map! { c: "x" } };
        let sent = [Value::from(inner), Value::Null, Value::from(vec![7_u8])];
        let shown = format!("{sent:?}");
        let wire = encode(sent);
        assert_eq!(wire.roots.len(), 3);
        assert_eq!(format!("{:?}", decode(wire)), shown);
    }

    #[test]
    fn children_are_written_before_their_parents() {
        let wire = encode([Value::from(vec![1_i64, 2])]);
        assert_eq!(wire.roots, [2]);
        assert_eq!(format!("{:?}", wire.nodes[2]), "List([0, 1])");
    }
}
