//! Lists: what is committed with what is staged laid over it.
//! Invariant: byte order, each name once, a folder once and only while a file lies in it.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::Staged;
use crate::view::View;
use crate::{KvNamespace, MediaPath, StoreError};

/// Committed names read at a time.
const BATCH: usize = 256;

/// The character after `/`: `folder` + this is after everything in the folder.
const AFTER_SLASH: char = '0';

/// The names in a folder.
pub(super) fn names(
    view: &dyn View,
    staged: Option<&Staged>,
    folder: Option<&MediaPath>,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let prefix = folder
        .map(|folder| format!("{folder}/"))
        .unwrap_or_default();
    let to = folder.map(|folder| format!("{folder}{AFTER_SLASH}"));
    let mut from = match after {
        None => prefix.clone(),
        Some(after) => past(&prefix, after),
    };
    let mut names: Vec<String> = Vec::new();
    while names.len() < limit {
        let (batch, next) = live(view, staged, &from, to.as_deref())?;
        for path in &batch {
            let Some(name) = path
                .strip_prefix(&prefix)
                .filter(|_| path.as_str() >= from.as_str())
            else {
                continue;
            };
            let name = name.split_inclusive('/').next().unwrap_or(name);
            names.push(name.to_owned());
            from = past(&prefix, name);
            if names.len() == limit {
                return Ok(names);
            }
        }
        match next {
            None => break,
            Some(next) => from = from.max(next),
        }
    }
    Ok(names)
}

/// The first path that comes after a name and all that is in it.
fn past(prefix: &str, name: &str) -> String {
    match name.strip_suffix('/') {
        Some(folder) => format!("{prefix}{folder}{AFTER_SLASH}"),
        None => format!("{prefix}{name}\0"),
    }
}

/// Some paths that are live, in order, and where to go on.
fn live(
    view: &dyn View,
    staged: Option<&Staged>,
    from: &str,
    to: Option<&str>,
) -> Result<(Vec<String>, Option<String>), StoreError> {
    let committed = view.paths(from, to, BATCH)?;
    let next = committed
        .last()
        .filter(|_| committed.len() == BATCH)
        .map(|last| format!("{last}\0"));
    let Some(staged) = staged.filter(|staged| !staged.files.is_empty()) else {
        return Ok((committed, next));
    };
    let end = next.as_deref().or(to);
    let mut paths: BTreeSet<String> = committed.into_iter().collect();
    for (path, draft) in &staged.files {
        let path = path.as_str();
        if path < from || end.is_some_and(|end| path >= end) {
            continue;
        }
        if draft.now.is_some() {
            paths.insert(path.to_owned());
        } else {
            paths.remove(path);
        }
    }
    Ok((paths.into_iter().collect(), next))
}

/// Keys that begin with `prefix`.
pub(super) fn keys(
    view: &dyn View,
    staged: Option<&Staged>,
    namespace: &KvNamespace,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let mut from = after
        .map(|after| format!("{after}\0"))
        .unwrap_or_default()
        .max(prefix.to_owned());
    let mut keys: Vec<String> = Vec::new();
    while keys.len() < limit {
        let committed = view.kv_keys(namespace, &from, BATCH)?;
        let next = committed
            .last()
            .filter(|_| committed.len() == BATCH)
            .map(|last| format!("{last}\0"));
        let mut batch: BTreeSet<String> = committed.into_iter().collect();
        if let Some(staged) = staged {
            let range = (
                Bound::Included((namespace.clone(), from.clone())),
                Bound::Unbounded,
            );
            for ((of, key), value) in staged.kv.range(range) {
                if of != namespace || next.as_ref().is_some_and(|next| key >= next) {
                    break;
                }
                if value.is_some() {
                    batch.insert(key.clone());
                } else {
                    batch.remove(key);
                }
            }
        }
        for key in batch {
            if !key.starts_with(prefix) {
                return Ok(keys);
            }
            keys.push(key);
            if keys.len() == limit {
                return Ok(keys);
            }
        }
        match next {
            None => break,
            Some(next) => from = next,
        }
    }
    Ok(keys)
}
