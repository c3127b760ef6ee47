//! The opcode table of one plugin, as its signatures tell it.
//! Written by the [`plugin`](crate::plugin) macro as a constant, read by `describe`; a plugin's own tests can look at it
//! too. Whether a default, choice or range fits its argument's type the compiler has checked.

use crate::Value;
use crate::argument::{Argument, Number};

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
    pub ops: &'static [Op],
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
    pub args: &'static [Arg],
}

/// One argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arg {
    /// Its name.
    pub name: &'static str,
    /// Its type: one of `bool int float text bytes data list map any`.
    pub kind: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Whether it can be left out.
    pub presence: Presence,
    /// The only values it takes; all when empty.
    pub choices: &'static [Literal],
    /// The range of a number, both ends included.
    pub range: Option<(f64, f64)>,
}

/// Whether an argument can be left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Presence {
    /// No.
    Required,
    /// Yes; then it is null.
    Optional,
    /// Yes; then it is this.
    Default(Literal),
}

/// A value that stands in the source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Literal {
    /// `true`
    Bool(bool),
    /// `1`
    Int(i64),
    /// `0.5`
    Float(f64),
    /// `"text"`
    Text(&'static str),
    /// `b"bytes"`
    Bytes(&'static [u8]),
}

impl Arg {
    /// An argument as its type alone tells it.
    pub const fn new<T: Argument>(name: &'static str, doc: &'static str) -> Self {
        let presence = if T::OPTIONAL {
            Presence::Optional
        } else {
            Presence::Required
        };
        Self {
            name,
            kind: T::KIND,
            doc,
            presence,
            choices: &[],
            range: T::RANGE,
        }
    }

    /// The same with a default, which must be in the range.
    #[must_use]
    pub const fn default(mut self, default: Literal) -> Self {
        if let Some((min, max)) = self.range {
            assert!(
                default.is_within(min, max),
                "the default is outside of the range"
            );
        }
        self.presence = Presence::Default(default);
        self
    }

    /// The same, taking these values only.
    #[must_use]
    pub const fn choices(mut self, choices: &'static [Literal]) -> Self {
        self.choices = choices;
        self
    }

    /// The same with a range; an end left open is the end of what the type, or a float, can hold.
    #[must_use]
    pub const fn range(mut self, min: Option<f64>, max: Option<f64>) -> Self {
        let (lowest, highest) = match self.range {
            Some(ends) => ends,
            None => (f64::MIN, f64::MAX),
        };
        let min = if let Some(min) = min { min } else { lowest };
        let max = if let Some(max) = max { max } else { highest };
        assert!(min <= max, "the range is empty");
        self.range = Some((min, max));
        self
    }
}

impl Literal {
    #[expect(clippy::cast_precision_loss, reason = "the ends of ranges are floats")]
    const fn is_within(self, min: f64, max: f64) -> bool {
        match self {
            Self::Int(it) => min <= it as f64 && it as f64 <= max,
            Self::Float(it) => min <= it && it <= max,
            _ => true,
        }
    }
}

/// Compiles for numbers only.
pub const fn has_range<T: Number>() {}

impl From<Literal> for Value {
    fn from(literal: Literal) -> Self {
        match literal {
            Literal::Bool(it) => it.into(),
            Literal::Int(it) => it.into(),
            Literal::Float(it) => it.into(),
            Literal::Text(it) => it.into(),
            Literal::Bytes(it) => it.into(),
        }
    }
}

#[cfg(target_family = "wasm")]
impl Table {
    /// Tells the host.
    pub(crate) fn fill(&self, manifest: &crate::bindings::pixelboy::plugin::calls::Manifest) {
        use crate::nodes;

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
                match arg.presence {
                    Presence::Required => row.arg(arg.name, arg.kind, arg.doc),
                    Presence::Optional => {
                        row.optional(arg.name, arg.kind, arg.doc, nodes::encode([]))
                    }
                    Presence::Default(it) => {
                        row.optional(arg.name, arg.kind, arg.doc, nodes::encode([it.into()]))
                    }
                }
                if !arg.choices.is_empty() {
                    row.choices(
                        arg.name,
                        nodes::encode(arg.choices.iter().map(|&it| it.into())),
                    );
                }
                if let Some((min, max)) = arg.range {
                    row.range(arg.name, min, max);
                }
            }
        }
    }
}
