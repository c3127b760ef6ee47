//! Who this client is, and which numbers it has used: for one run, or in a state file so that the next run goes on.
//! Invariant: a request is in the file before it is sent, and so is a transfer's number, by blocks; an answer is in it before it
//! is confirmed. Not here: the file itself (`state`), when it is written (`session`).
//! Notes gather here and are written together, on a thread for it: many calls share one sync.

use std::collections::BTreeMap;
use std::path::Path;

use pixelboy_protocol::ClientId;

use crate::error::Error;
use crate::state::{self, Batch, KeptCall, Notice, StateFile};

/// Numbers of transfers that are written down as used at a time.
const BLOCK: u64 = 1_024;
/// Above it the file is written anew, without what is over.
const LONG_BYTES: u64 = 1 << 20;

/// Who this client is.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) client: ClientId,
    /// The store of the device that it last talked to.
    pub(crate) store: Option<[u8; 16]>,
    next_number: u64,
    next_transfer: u64,
    book: Option<Book>,
}

/// What is in the file, and what is to be.
#[derive(Debug)]
struct Book {
    path: std::path::PathBuf,
    /// None while it is being written.
    file: Option<StateFile>,
    /// Lines to be added.
    lines: String,
    /// Nothing of what is in the file holds any more.
    is_stale: bool,
    transfers_below: u64,
    /// As far as it is on the disk.
    transfers_written_below: u64,
}

/// Notes on their way to the disk.
#[derive(Debug)]
pub(crate) struct Save {
    file: StateFile,
    batch: Batch,
    transfers_below: u64,
}

impl Save {
    /// Writes. Blocks until it is on the disk.
    pub(crate) fn run(mut self) -> (Self, Result<(), Error>) {
        let written = self.file.write(&self.batch);
        (self, written)
    }
}

impl Identity {
    /// For one run.
    pub(crate) fn fresh() -> Result<Self, Error> {
        Ok(Self {
            client: new_id()?,
            store: None,
            next_number: 1,
            next_transfer: 1,
            book: None,
        })
    }

    /// From a file, which is made if it is not there; with what has no answer from earlier runs. Blocks.
    pub(crate) fn kept(path: &Path) -> Result<(Self, BTreeMap<u64, KeptCall>, Notice), Error> {
        let (file, kept, notice) = StateFile::take(path)?;
        let mut identity = Self::fresh()?;
        let mut unanswered = BTreeMap::new();
        if let Some(kept) = kept {
            identity.client = kept.client;
            identity.store = kept.store;
            identity.next_number = kept.next;
            identity.next_transfer = kept.transfers_below;
            unanswered = kept.unanswered;
        }
        identity.book = Some(Book {
            path: path.to_owned(),
            file: Some(file),
            lines: String::new(),
            is_stale: true,
            transfers_below: identity.next_transfer + BLOCK,
            transfers_written_below: identity.next_transfer,
        });
        // A folder that cannot be written shows now, not at the first call.
        if let Some(save) = identity.begin_save(
            unanswered
                .iter()
                .map(|(number, call)| (*number, call.clone())),
        ) {
            let (save, written) = save.run();
            identity.end_save(save);
            written?;
        }
        Ok((identity, unanswered, notice))
    }

    /// Whether the next run goes on with it.
    pub(crate) fn is_kept(&self) -> bool {
        self.book.is_some()
    }

    /// The number that the next request will have.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// A number for a request, which the next run asks for again where there is a `call`.
    pub(crate) fn number(&mut self, call: Option<&KeptCall>) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        if let Some(book) = &mut self.book {
            book.lines += &match call {
                Some(call) => state::request_line(number, call),
                None => state::line("next", self.next_number),
            };
        }
        number
    }

    /// The answer to a request has come.
    pub(crate) fn answered(&mut self, number: u64) {
        if let Some(book) = &mut self.book {
            book.lines += &state::line("answered", number);
        }
    }

    /// A number for a transfer.
    pub(crate) fn transfer(&mut self) -> Result<u64, Error> {
        let number = self.next_transfer;
        if let Some(book) = &mut self.book {
            if number + BLOCK / 2 >= book.transfers_below {
                book.transfers_below += BLOCK;
                book.lines += &state::line("transfers_below", book.transfers_below);
            }
            if number >= book.transfers_written_below {
                return Err(Error::State {
                    path: book.path.clone(),
                    why: "is not written as fast as transfers begin; begin fewer at once"
                        .to_owned(),
                });
            }
        }
        self.next_transfer += 1;
        Ok(number)
    }

    /// A device with this store has taken the client in.
    pub(crate) fn met(&mut self, store: [u8; 16]) {
        if self.store != Some(store) {
            self.store = Some(store);
            if let Some(book) = &mut self.book {
                book.lines += &state::store_line(store);
            }
        }
    }

    /// Becomes another client. Numbers of transfers go on, so that no old upload is taken for a new one.
    pub(crate) fn renew(&mut self) -> Result<(), Error> {
        self.client = new_id()?;
        self.store = None;
        self.next_number = 1;
        if let Some(book) = &mut self.book {
            book.is_stale = true;
        }
        Ok(())
    }

    /// Whether something is not in the file yet, nor on its way there.
    pub(crate) fn has_notes(&self) -> bool {
        self.book
            .as_ref()
            .is_some_and(|book| book.is_stale || !book.lines.is_empty())
    }

    /// What is to be written now; `unanswered` are all requests that the next run is to ask for.
    pub(crate) fn begin_save(
        &mut self,
        unanswered: impl Iterator<Item = (u64, KeptCall)>,
    ) -> Option<Save> {
        let has_notes = self.has_notes();
        let book = self.book.as_mut()?;
        if !has_notes {
            return None;
        }
        let file = book.file.take()?;
        let is_whole = book.is_stale || file.bytes() > LONG_BYTES;
        let mut text = std::mem::take(&mut book.lines);
        if is_whole {
            text = state::head_line(
                self.client,
                self.store,
                self.next_number,
                book.transfers_below,
            );
            unanswered.for_each(|(number, call)| text += &state::request_line(number, &call));
        }
        book.is_stale = false;
        Some(Save {
            file,
            batch: Batch { text, is_whole },
            transfers_below: book.transfers_below,
        })
    }

    /// It is on the disk.
    pub(crate) fn end_save(&mut self, save: Save) {
        if let Some(book) = &mut self.book {
            book.file = Some(save.file);
            book.transfers_written_below = save.transfers_below;
        }
    }

    /// Lets another program have the file.
    pub(crate) fn release(&mut self) {
        self.book = None;
    }
}

fn new_id() -> Result<ClientId, Error> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| Error::File {
        name: "the system's randomness".to_owned(),
        why: error.to_string(),
    })?;
    Ok(ClientId(id))
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Identity, KeptCall, LONG_BYTES};

    fn save(identity: &mut Identity, unanswered: &[(u64, KeptCall)]) {
        let save = identity.begin_save(unanswered.iter().cloned()).unwrap();
        let (save, written) = save.run();
        written.unwrap();
        identity.end_save(save);
    }

    fn call(bytes: usize) -> KeptCall {
        KeptCall {
            op: "ss".to_owned(),
            arguments: vec![5; bytes],
            until_ms: None,
        }
    }

    #[test]
    fn the_next_run_goes_on_with_what_has_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (mut first, unanswered, notice) = Identity::kept(&path).unwrap();
        assert!(unanswered.is_empty() && notice.is_none());
        let id = first.client;
        first.met([7; 16]);
        for _ in 0..3 {
            first.number(Some(&call(3)));
        }
        first.number(None);
        first.answered(2);
        let transfer = first.transfer().unwrap();
        save(&mut first, &[]);
        drop(first);
        let (mut second, unanswered, notice) = Identity::kept(&path).unwrap();
        assert!(notice.is_none() && second.client == id && second.store == Some([7; 16]));
        assert_eq!(unanswered.keys().copied().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(unanswered[&3], call(3));
        assert_eq!(second.number(None), 5);
        assert!(second.transfer().unwrap() > transfer);
    }

    #[test]
    fn a_long_run_keeps_the_file_small_and_what_has_no_answer_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (mut identity, _, _) = Identity::kept(&path).unwrap();
        let first = (identity.number(Some(&call(9))), call(9));
        for _ in 0..40 {
            let number = identity.number(Some(&call(50_000)));
            identity.answered(number);
            save(&mut identity, std::slice::from_ref(&first));
            let bytes = std::fs::metadata(&path).unwrap().len();
            assert!(bytes <= LONG_BYTES + 101_000, "{bytes}");
        }
        drop(identity);
        let (mut next, unanswered, _) = Identity::kept(&path).unwrap();
        assert_eq!(unanswered.into_iter().collect::<Vec<_>>(), [first]);
        assert_eq!(next.number(None), 42);
    }

    #[test]
    fn two_programs_cannot_use_one_state_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let first = Identity::kept(&path).unwrap();
        let error = Identity::kept(&path).unwrap_err().to_string();
        assert!(error.contains("another program uses it now"), "{error}");
        drop(first);
        Identity::kept(&path).unwrap();
    }

    #[test]
    fn a_torn_file_is_set_aside_with_a_sentence_and_a_new_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (identity, _, _) = Identity::kept(&path).unwrap();
        let old = identity.client;
        drop(identity);
        let whole = std::fs::read(&path).unwrap();
        let mut torn: Vec<Vec<u8>> = (1..whole.len())
            .map(|length| whole[..length].to_vec())
            .collect();
        torn.push(vec![0; 300]);
        torn.push([whole.as_slice(), b"{\"request\": 7, \"op\"\n"].concat());
        for torn in torn {
            std::fs::write(&path, &torn).unwrap();
            let (identity, unanswered, notice) = Identity::kept(&path).unwrap();
            let notice = notice.unwrap();
            assert!(
                notice.contains("is damaged") && notice.contains("may or may not"),
                "{notice}"
            );
            assert!(identity.client != old && unanswered.is_empty());
            assert_eq!(
                std::fs::read(folder.path().join("state.damaged")).unwrap(),
                torn
            );
        }
    }

    #[test]
    fn an_empty_file_is_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        std::fs::write(&path, "").unwrap();
        let (_, unanswered, notice) = Identity::kept(&path).unwrap();
        assert!(unanswered.is_empty() && notice.is_none());
    }

    #[test]
    fn a_file_of_something_else_or_of_a_later_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        for (text, said) in [
            ("my diary\n", "is no state file"),
            ("{\"pixelboy_state\":2}\n", "later pixelboy"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Identity::kept(&path).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn numbers_of_transfers_are_on_the_disk_before_they_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (mut identity, _, _) = Identity::kept(&path).unwrap();
        let used = (0..3 * BLOCK)
            .map_while(|_| identity.transfer().ok())
            .count() as u64;
        assert_eq!(used, BLOCK, "nothing was written meanwhile");
        save(&mut identity, &[]);
        identity.transfer().unwrap();
        drop(identity);
        let (mut next, _, _) = Identity::kept(&path).unwrap();
        assert!(next.transfer().unwrap() > BLOCK);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_the_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let _identity = Identity::kept(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
