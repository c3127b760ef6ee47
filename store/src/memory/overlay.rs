//! What was committed and is not in the tables yet: readers look here first.
//! Invariant: the newest version of a name comes first; the newest durable one is kept beside it until it is folded, so
//! that a failed sync can take back what never became durable.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::blob::Bytes;
use crate::view::FileState;
use crate::{KvNamespace, MediaPath, OperationId, Position};

/// The versions of one name, oldest first; none in a version: removed.
pub(crate) struct Versions<T>(Vec<(Position, Option<T>)>);

impl<T> Versions<T> {
    pub(crate) fn newest(&self) -> Option<(Position, Option<&T>)> {
        self.0
            .last()
            .map(|(position, value)| (*position, value.as_ref()))
    }

    fn push(&mut self, position: Position, value: Option<T>, durable: Position) {
        // Of the durable ones only the newest can still be asked for.
        let keep = self
            .0
            .iter()
            .rposition(|(at, _)| *at <= durable)
            .unwrap_or(0);
        self.0.drain(..keep);
        self.0.push((position, value));
    }

    /// Forgets what the tables have. Whether something is left.
    fn drop_through(&mut self, folded: Position) -> bool {
        self.0.retain(|(at, _)| *at > folded);
        !self.0.is_empty()
    }

    /// Forgets what never became durable. Whether something is left.
    fn drop_after(&mut self, durable: Position) -> bool {
        self.0.retain(|(at, _)| *at <= durable);
        !self.0.is_empty()
    }
}

/// A kept reply and the commit of its operation.
#[derive(Clone)]
pub(crate) struct RecentReply {
    pub(crate) changed_at: Position,
    pub(crate) reply: Bytes,
}

/// All names that changed since the last fold.
#[derive(Default)]
pub(crate) struct Overlay {
    files: BTreeMap<MediaPath, Versions<Arc<FileState>>>,
    kv: BTreeMap<KvNamespace, BTreeMap<String, Versions<Bytes>>>,
    replies: HashMap<OperationId, RecentReply>,
}

impl Overlay {
    pub(crate) fn file(&self, path: &MediaPath) -> Option<(Position, Option<&Arc<FileState>>)> {
        self.files.get(path)?.newest()
    }

    /// The files that changed, newest versions, in order.
    pub(crate) fn files(
        &self,
    ) -> impl Iterator<Item = (&MediaPath, Position, Option<&Arc<FileState>>)> {
        self.files.iter().filter_map(|(path, versions)| {
            let (position, state) = versions.newest()?;
            Some((path, position, state))
        })
    }

    /// The paths from `from` to before `to` that changed, and whether they are live.
    pub(crate) fn paths<'a>(
        &'a self,
        from: &str,
        to: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a MediaPath, bool)> + use<'a> {
        self.files
            .range::<str, _>((Bound::Included(from), Bound::Unbounded))
            .take_while(move |(path, _)| to.is_none_or(|to| path.as_str() < to))
            .filter_map(|(path, versions)| Some((path, versions.newest()?.1.is_some())))
    }

    pub(crate) fn set_file(
        &mut self,
        path: MediaPath,
        position: Position,
        state: Option<Arc<FileState>>,
        durable: Position,
    ) {
        self.files
            .entry(path)
            .or_insert_with(|| Versions(Vec::new()))
            .push(position, state, durable);
    }

    pub(crate) fn kv(
        &self,
        namespace: &KvNamespace,
        key: &str,
    ) -> Option<(Position, Option<&Bytes>)> {
        self.kv.get(namespace)?.get(key)?.newest()
    }

    /// The keys from `from` on that changed, and whether they have a value.
    pub(crate) fn keys(
        &self,
        namespace: &KvNamespace,
        from: &str,
    ) -> impl Iterator<Item = (&String, bool)> {
        self.kv
            .get(namespace)
            .into_iter()
            .flat_map(move |keys| keys.range::<str, _>((Bound::Included(from), Bound::Unbounded)))
            .filter_map(|(key, versions)| Some((key, versions.newest()?.1.is_some())))
    }

    pub(crate) fn set_kv(
        &mut self,
        namespace: KvNamespace,
        key: String,
        position: Position,
        value: Option<Bytes>,
        durable: Position,
    ) {
        let versions = self
            .kv
            .entry(namespace)
            .or_default()
            .entry(key)
            .or_insert_with(|| Versions(Vec::new()));
        versions.push(position, value, durable);
    }

    pub(crate) fn reply(&self, operation: &OperationId) -> Option<&RecentReply> {
        self.replies.get(operation)
    }

    pub(crate) fn set_reply(&mut self, operation: OperationId, reply: RecentReply) {
        self.replies.insert(operation, reply);
    }

    pub(crate) fn drop_reply(&mut self, operation: &OperationId) {
        self.replies.remove(operation);
    }

    /// Everything up to here is in the tables.
    pub(crate) fn drop_through(&mut self, folded: Position) {
        self.files
            .retain(|_, versions| versions.drop_through(folded));
        self.kv.retain(|_, keys| {
            keys.retain(|_, versions| versions.drop_through(folded));
            !keys.is_empty()
        });
        self.replies.retain(|_, reply| reply.changed_at > folded);
    }

    /// Replies after this are of operations that never were.
    pub(crate) fn drop_replies_after(&mut self, durable: Position) {
        self.replies.retain(|_, reply| reply.changed_at <= durable);
    }

    /// Everything after this never became durable. Replies stay: whoever asks for one waits, and learns that.
    pub(crate) fn drop_after(&mut self, durable: Position) {
        self.files
            .retain(|_, versions| versions.drop_after(durable));
        self.kv.retain(|_, keys| {
            keys.retain(|_, versions| versions.drop_after(durable));
            !keys.is_empty()
        });
    }
}
