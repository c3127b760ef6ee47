//! Values as they travel between client and plugin.
//! Invariant: whatever is built here is a tree, so it always has an encoding (`nodes`).
//! Not here: which types an argument can have (`argument`).

use crate::{Data, Digest};

/// One value of an argument or a reply. In native tests it can be compared and cloned; in WASM data stays with the host.
#[derive(Debug, Default)]
#[cfg_attr(not(target_family = "wasm"), derive(Clone, PartialEq))]
pub enum Value {
    /// Nothing; also an optional argument that was not given.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Bytes that stay with the host.
    Data(Data),
    /// Several values.
    List(Vec<Value>),
    /// Values with names.
    Map(Map),
}

impl Value {
    /// The name of its type, as clients see it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Data(_) => "data",
            Self::List(_) => "list",
            Self::Map(_) => "map",
        }
    }
}

/// Values with names, in the order they were put in. The [`map!`](crate::map!) macro writes one.
#[derive(Debug, Default)]
#[cfg_attr(not(target_family = "wasm"), derive(Clone, PartialEq))]
pub struct Map(Vec<(String, Value)>);

impl Map {
    /// An empty one.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Of entries whose names are known to differ.
    pub(crate) const fn of_unique(entries: Vec<(String, Value)>) -> Self {
        Self(entries)
    }

    /// Puts a value in, in place of one with the same name.
    pub fn insert(&mut self, name: impl AsRef<str>, value: impl Into<Value>) {
        self.put(name.as_ref(), value.into());
    }

    /// Apart from `insert`, so that each plugin holds it once.
    #[inline(never)]
    fn put(&mut self, name: &str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// The value with this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// The text with this name; none where there is none, or it is of another type.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(it)) => Some(it),
            _ => None,
        }
    }

    /// The whole number with this name; none where there is none, or it is of another type.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Value::Int(it)) => Some(*it),
            _ => None,
        }
    }

    /// Takes the value with this name out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: AsRef<str>, V: Into<Value>> FromIterator<(N, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<N: AsRef<str>, V: Into<Value>> Extend<(N, V)> for Map {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, entries: I) {
        for (name, value) in entries {
            self.insert(name, value);
        }
    }
}

impl IntoIterator for Map {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Writes a [`Map`] as one writes a struct: `map! { path, size: file.size() }`.
///
/// A name alone stands for the variable of that name.
#[macro_export]
macro_rules! map {
    (@ $map:ident) => {};
    (@ $map:ident $name:ident : $value:expr $(, $($rest:tt)*)?) => {
        $map.insert(stringify!($name), $value);
        $($crate::map!(@ $map $($rest)*);)?
    };
    (@ $map:ident $name:ident $(, $($rest:tt)*)?) => {
        $map.insert(stringify!($name), $name);
        $($crate::map!(@ $map $($rest)*);)?
    };
    () => { $crate::Map::new() };
    ($($entries:tt)+) => {{
        let mut map = $crate::Map::new();
        $crate::map!(@ map $($entries)+);
        map
    }};
}

/// Several values of any types, for [`client::push`](crate::client::push) and tests: `values!["cats", 3]`.
#[macro_export]
macro_rules! values {
    ($($value:expr),* $(,)?) => { ::std::vec![$($crate::Value::from($value)),*] };
}

/// Conversions into [`Value`].
macro_rules! into_value {
    ($($from:ty => |$it:ident| $to:expr;)*) => {
        $(impl From<$from> for Value {
            fn from($it: $from) -> Self {
                $to
            }
        })*
    };
}

into_value! {
    () => |_nothing| Self::Null;
    bool => |it| Self::Bool(it);
    i64 => |it| Self::Int(it);
    i32 => |it| Self::Int(it.into());
    u8 => |it| Self::Int(it.into());
    u16 => |it| Self::Int(it.into());
    u32 => |it| Self::Int(it.into());
    u64 => |it| Self::Int(i64::try_from(it).unwrap_or(i64::MAX));
    usize => |it| Self::Int(i64::try_from(it).unwrap_or(i64::MAX));
    f32 => |it| Self::Float(it.into());
    f64 => |it| Self::Float(it);
    &str => |it| Self::Text(it.to_owned());
    &String => |it| Self::Text(it.clone());
    String => |it| Self::Text(it);
    Digest => |it| Self::Text(it.to_string());
    &[u8] => |it| Self::Bytes(it.to_vec());
    Vec<u8> => |it| Self::Bytes(it);
    Data => |it| Self::Data(it);
    Map => |it| Self::Map(it);
    Vec<Value> => |it| Self::List(it);
    Vec<Map> => |it| it.into_iter().collect();
    Vec<String> => |it| it.into_iter().collect();
    Vec<i64> => |it| it.into_iter().collect();
    Vec<f64> => |it| it.into_iter().collect();
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(it: Option<T>) -> Self {
        it.map_or(Self::Null, Into::into)
    }
}

/// A list.
impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
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
    use crate::{Map, Value};

    #[test]
    fn a_map_keeps_the_order_and_takes_a_name_once() {
        let size = 7_u64;
        let mut map = map! { size, path: "a.png", nothing: None::<bool>, };
        map.insert("size", 8);
        let names: Vec<&str> = map.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["size", "path", "nothing"]);
        assert!(matches!(map.get("size"), Some(Value::Int(8))));
        assert!(matches!(map.remove("nothing"), Some(Value::Null)));
        assert_eq!(map.len(), 2);
        assert!(Map::new().is_empty() && map! {}.is_empty());
    }
}
