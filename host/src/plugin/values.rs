//! Values between the wire's tree and the contract's flat `{nodes, roots}`.
//! Invariant: what a guest hands over is a forest: every index fits, no node has two parents, nesting and count are limited.
//! Not here: what a handle to bytes becomes; the caller says.

use pixelboy_protocol::{Value, limits};
use wasmtime::component::Resource;

use super::contract::pixelboy::plugin::types::{Node, Values};
use crate::capability::blob::Data;

/// Values that a guest may answer with; more than a frame's travel as a blob.
const MAX_NODES: usize = 1 << 18;

/// What is wrong with a guest's values.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BadValues {
    /// An index beyond `nodes`.
    #[error("values refer to node {index}, there are {count}")]
    OutOfRange {
        /// What was asked for.
        index: u32,
        /// How many there are.
        count: usize,
    },
    /// A cycle, or a node with two parents.
    #[error("node {0} is used twice")]
    UsedTwice(u32),
    /// Lists in lists.
    #[error("values are nested deeper than {}", limits::NESTING)]
    TooDeep,
    /// Too many.
    #[error("{0} values, at most {MAX_NODES} are allowed")]
    TooMany(usize),
}

/// Flattens values for a guest. `data` turns what the guest gets as a handle: it sees each value with the index
/// of its root, and gives `Some` for those.
pub(crate) fn to_guest<E>(
    values: Vec<Value>,
    mut data: impl FnMut(usize, &Value, bool) -> Result<Option<Resource<Data>>, E>,
) -> Result<Values, E> {
    let mut nodes = Vec::with_capacity(values.len());
    let mut roots = Vec::with_capacity(values.len());
    for (root, value) in values.into_iter().enumerate() {
        roots.push(flatten(&mut nodes, root, true, value, &mut data)?);
    }
    Ok(Values { nodes, roots })
}

fn flatten<E>(
    nodes: &mut Vec<Node>,
    root: usize,
    top: bool,
    value: Value,
    data: &mut impl FnMut(usize, &Value, bool) -> Result<Option<Resource<Data>>, E>,
) -> Result<u32, E> {
    let node = match value {
        Value::Null => Node::Null,
        Value::Bool(value) => Node::Boolean(value),
        Value::Int(value) => Node::Int(value),
        Value::Float(value) => Node::Float(value),
        value @ (Value::Text(_) | Value::Bytes(_) | Value::Upload(_) | Value::Blob(_)) => {
            match data(root, &value, top)? {
                Some(handle) => Node::Data(handle),
                None => match value {
                    Value::Text(text) => Node::Text(text),
                    Value::Bytes(bytes) => Node::Bytes(bytes),
                    _ => Node::Null,
                },
            }
        }
        Value::List(items) => {
            let items: Result<_, E> = items
                .into_iter()
                .map(|item| flatten(nodes, root, false, item, data))
                .collect();
            Node::List(items?)
        }
        Value::Map(items) => {
            let items: Result<_, E> = items
                .into_iter()
                .map(|(key, item)| Ok((key, flatten(nodes, root, false, item, data)?)))
                .collect();
            Node::Map(items?)
        }
    };
    nodes.push(node);
    Ok(nodes.len().saturating_sub(1) as u32)
}

/// Builds the tree from what a guest handed over. `data` says what a handle becomes; it sees each handle once.
pub(crate) fn from_guest(
    values: Values,
    mut data: impl FnMut(Resource<Data>) -> Value,
) -> Result<Vec<Value>, BadValues> {
    let count = values.nodes.len();
    if count > MAX_NODES {
        return Err(BadValues::TooMany(count));
    }
    let mut nodes: Vec<Option<Node>> = values.nodes.into_iter().map(Some).collect();
    values
        .roots
        .into_iter()
        .map(|root| grow(&mut nodes, root, 0, &mut data))
        .collect()
}

fn grow(
    nodes: &mut [Option<Node>],
    index: u32,
    depth: usize,
    data: &mut impl FnMut(Resource<Data>) -> Value,
) -> Result<Value, BadValues> {
    let count = nodes.len();
    let node = nodes
        .get_mut(index as usize)
        .ok_or(BadValues::OutOfRange { index, count })?
        .take()
        .ok_or(BadValues::UsedTwice(index))?;
    if depth >= limits::NESTING && matches!(node, Node::List(_) | Node::Map(_)) {
        return Err(BadValues::TooDeep);
    }
    Ok(match node {
        Node::Null => Value::Null,
        Node::Boolean(value) => Value::Bool(value),
        Node::Int(value) => Value::Int(value),
        Node::Float(value) => Value::Float(value),
        Node::Text(value) => Value::Text(value),
        Node::Bytes(value) => Value::Bytes(value),
        Node::Data(handle) => data(handle),
        Node::List(items) => Value::List(
            items
                .into_iter()
                .map(|item| grow(nodes, item, depth + 1, data))
                .collect::<Result<_, _>>()?,
        ),
        Node::Map(items) => Value::Map(
            items
                .into_iter()
                .map(|(key, item)| Ok((key, grow(nodes, item, depth + 1, data)?)))
                .collect::<Result<_, BadValues>>()?,
        ),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    fn no_data(_: Resource<Data>) -> Value {
        panic!("no handle was sent")
    }

    fn flat(values: Vec<Value>) -> Values {
        to_guest(values, |_, _, _| Ok::<_, ()>(None)).unwrap()
    }

    #[test]
    fn a_tree_comes_back_as_it_went() {
        let tree = vec![
            Value::Text("a".into()),
            Value::Map(vec![
                ("k".into(), Value::List(vec![Value::Int(-1), Value::Null])),
                ("f".into(), Value::Float(0.5)),
            ]),
            Value::Bytes(vec![1, 2]),
            Value::Bool(true),
        ];
        assert_eq!(from_guest(flat(tree.clone()), no_data).unwrap(), tree);
    }

    #[test]
    fn a_cycle_is_refused() {
        let values = Values {
            nodes: vec![Node::List(vec![0])],
            roots: vec![0],
        };
        assert_eq!(from_guest(values, no_data), Err(BadValues::UsedTwice(0)));
    }

    #[test]
    fn a_node_with_two_parents_is_refused() {
        let values = Values {
            nodes: vec![Node::Null, Node::List(vec![0, 0])],
            roots: vec![1],
        };
        assert_eq!(from_guest(values, no_data), Err(BadValues::UsedTwice(0)));
    }

    #[test]
    fn an_index_beyond_the_nodes_is_refused() {
        let values = Values {
            nodes: vec![],
            roots: vec![7],
        };
        assert_eq!(
            from_guest(values, no_data),
            Err(BadValues::OutOfRange { index: 7, count: 0 })
        );
    }

    #[test]
    fn nesting_is_limited() {
        let mut nodes = vec![Node::Null];
        for index in 0..=limits::NESTING as u32 {
            nodes.push(Node::List(vec![index]));
        }
        let roots = vec![nodes.len() as u32 - 1];
        assert_eq!(
            from_guest(Values { nodes, roots }, no_data),
            Err(BadValues::TooDeep)
        );
    }
}
