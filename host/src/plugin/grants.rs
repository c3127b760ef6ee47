//! What a plugin may import: nothing by default.
//! Invariant: an interface that is not granted is not linked, so its guest does not load.

use std::collections::BTreeSet;

/// The interfaces that are granted by name in `allow = […]`.
pub(crate) const NAMES: &[&str] = &[
    "store", "kv", "probe", "display", "audio", "client", "timer", "settings",
];

/// Interfaces that every guest may use: they only reach the guest's own call.
const ALWAYS: &[&str] = &["blob", "types", "calls", "log"];

/// The prefix of the contract's interfaces in a component's imports.
const PACKAGE: &str = "pixelboy:plugin/";

/// A plugin's granted interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grants(BTreeSet<String>);

/// A name in `allow` that is no interface.
#[derive(Debug, thiserror::Error)]
#[error("allow has \"{0}\", which is no grant; the grants are: {names}", names = NAMES.join(", "))]
pub(crate) struct UnknownGrant(String);

impl Grants {
    /// From `allow = […]`.
    pub(crate) fn new(names: &[String]) -> Result<Self, UnknownGrant> {
        match names.iter().find(|name| !NAMES.contains(&name.as_str())) {
            Some(unknown) => Err(UnknownGrant(unknown.clone())),
            None => Ok(Self(names.iter().cloned().collect())),
        }
    }

    /// Whether the interface `name` may be linked.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// What `import` (such as `pixelboy:plugin/store@0.1.0`) lacks.
    pub(crate) fn check(&self, import: &str) -> Import {
        let Some(rest) = import.strip_prefix(PACKAGE) else {
            return if import.starts_with("wasi:") {
                Import::Wasi
            } else {
                Import::Unknown
            };
        };
        let interface = rest.split('@').next().unwrap_or(rest);
        if ALWAYS.contains(&interface) || self.has(interface) {
            Import::Granted
        } else if NAMES.contains(&interface) {
            Import::NotGranted(interface.to_owned())
        } else {
            Import::Unknown
        }
    }
}

/// What is to be said about one import of a component.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Import {
    /// It links.
    Granted,
    /// The interface is in the contract, but not in `allow`.
    NotGranted(String),
    /// From a toolchain that assumes an operating system.
    Wasi,
    /// Not in the contract this host knows.
    Unknown,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn nothing_but_the_call_itself_is_granted_by_default() {
        let none = Grants::default();
        assert_eq!(none.check("pixelboy:plugin/log@0.1.0"), Import::Granted);
        assert_eq!(
            none.check("pixelboy:plugin/store@0.1.0"),
            Import::NotGranted("store".into())
        );
        assert_eq!(none.check("wasi:cli/stdout@0.2.0"), Import::Wasi);
        assert_eq!(none.check("pixelboy:plugin/laser@0.1.0"), Import::Unknown);
    }

    #[test]
    fn a_grant_allows_its_own_interface_only() {
        let grants = Grants::new(&["store".into()]).unwrap();
        assert_eq!(grants.check("pixelboy:plugin/store@0.1.0"), Import::Granted);
        assert_eq!(
            grants.check("pixelboy:plugin/kv@0.1.0"),
            Import::NotGranted("kv".into())
        );
    }

    #[test]
    fn an_unknown_grant_is_named() {
        let error = Grants::new(&["stor".into()]).unwrap_err().to_string();
        assert!(
            error.contains("\"stor\"") && error.contains("display"),
            "{error}"
        );
    }
}
