//! The opcode table of one plugin, as its signatures tell it.
//! Written by the [`plugin`](crate::plugin) macro, read by `describe`; a plugin's own tests can look at it too.

use std::marker::PhantomData;

use crate::argument::{Argument, Number};
use crate::bindings::pixelboy::plugin::calls::Manifest;
use crate::{Value, nodes};

/// What a plugin offers.
#[derive(Debug)]
pub struct Table {
    /// Its version.
    pub version: &'static str,
    /// A sentence about it.
    pub about: &'static str,
    /// The kinds of events it handles.
    pub events: &'static [&'static str],
    /// Its opcodes, in the order of the source.
    pub ops: Vec<Op>,
}

/// One opcode.
#[derive(Debug)]
pub struct Op {
    /// Its name.
    pub name: &'static str,
    /// What it does; the first line is the short form.
    pub doc: &'static str,
    /// What the reply holds, in words.
    pub returns: &'static str,
    /// Its arguments, in order.
    pub args: Vec<Row>,
}

/// One argument.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its type: one of `bool int float text bytes data list map any`.
    pub kind: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Whether it can be left out; then it has this default, or is null without one.
    pub optional: Option<Option<Value>>,
    /// The only values it takes; all when empty.
    pub choices: Vec<Value>,
    /// The range of a number, both ends included.
    pub range: Option<(f64, f64)>,
}

/// An argument whose default, choices and range are checked against its type by the compiler.
#[derive(Debug)]
pub struct Arg<T>(Row, PhantomData<T>);

impl Op {
    /// An opcode without arguments.
    pub fn new(name: &'static str, doc: &'static str, returns: &'static str) -> Self {
        Self {
            name,
            doc,
            returns,
            args: Vec::new(),
        }
    }

    /// The same with one more argument.
    #[must_use]
    pub fn arg<T: Argument>(mut self, arg: Arg<T>) -> Self {
        self.args.push(arg.0);
        self
    }
}

impl<T: Argument> Arg<T> {
    /// An argument as its type alone tells it.
    pub fn new(name: &'static str, doc: &'static str) -> Self {
        let optional = T::OPTIONAL.then_some(None);
        Self(
            Row {
                name,
                kind: T::KIND,
                doc,
                optional,
                choices: Vec::new(),
                range: T::RANGE,
            },
            PhantomData,
        )
    }

    /// The same with a default.
    #[must_use]
    pub fn default(mut self, default: T::Literal) -> Self {
        self.0.optional = Some(Some(default.into()));
        self
    }

    /// The same, taking these values only.
    #[must_use]
    pub fn choices(mut self, choices: impl IntoIterator<Item = T::Literal>) -> Self {
        self.0.choices = choices.into_iter().map(Into::into).collect();
        self
    }
}

impl<T: Number> Arg<T> {
    /// The same with a range; an end left open is the end of what the type, or a float, can hold.
    #[must_use]
    pub fn range(mut self, min: Option<T::Literal>, max: Option<T::Literal>) -> Self {
        let (lowest, highest) = T::RANGE.unwrap_or((f64::MIN, f64::MAX));
        self.0.range = Some((min.map_or(lowest, T::bound), max.map_or(highest, T::bound)));
        self
    }
}

impl Table {
    /// Tells the host.
    pub(crate) fn fill(self, manifest: &Manifest) {
        manifest.version(self.version);
        manifest.about(self.about);
        if !self.events.is_empty() {
            let kinds: Vec<String> = self.events.iter().map(|&kind| kind.to_owned()).collect();
            manifest.events(&kinds);
        }
        for op in self.ops {
            let row = manifest.opcode(op.name);
            row.doc(op.doc);
            row.returns(op.returns);
            for arg in op.args {
                match arg.optional {
                    None => row.arg(arg.name, arg.kind, arg.doc),
                    Some(default) => {
                        row.optional(arg.name, arg.kind, arg.doc, nodes::encode(default))
                    }
                }
                if !arg.choices.is_empty() {
                    row.choices(arg.name, nodes::encode(arg.choices));
                }
                if let Some((min, max)) = arg.range {
                    row.range(arg.name, min, max);
                }
            }
        }
    }
}
