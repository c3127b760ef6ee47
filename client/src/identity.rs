//! Who this client is, and which numbers it has used: for one run, or in a file so that the next run goes on.
//! Invariant: a number is saved as used before it is given out, in blocks, so that a request does not cost a sync of the file;
//! one program at a time has the file. What a lost block leaves out is skipped, which the protocol allows.
//! Blocks its caller for a sync once in 1,024 numbers. Deliberately absent: what was asked for (a program that ends gets no reply).
//! A damaged file is refused: guessing could pose as somebody else or repeat numbers.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use pixelboy_protocol::ClientId;

use crate::error::{Error, said};

const HEADING: &str = "pixelboy client 1";
/// Numbers that are saved as used at a time.
const BLOCK: u64 = 1_024;

/// Who this client is.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) client: ClientId,
    /// The store of the device that it last talked to.
    pub(crate) store: Option<[u8; 16]>,
    next_number: u64,
    next_transfer: u64,
    file: Option<StateFile>,
}

#[derive(Debug)]
struct StateFile {
    path: PathBuf,
    /// Numbers below these are saved as used.
    numbers_below: u64,
    transfers_below: u64,
    _lock: File,
}

impl Identity {
    /// For one run.
    pub(crate) fn fresh() -> Result<Self, Error> {
        Ok(Self {
            client: new_id()?,
            store: None,
            next_number: 1,
            next_transfer: 1,
            file: None,
        })
    }

    /// From a file, which is made if it is not there.
    pub(crate) fn kept(path: &Path) -> Result<Self, Error> {
        let wrong = |why: String| Error::State {
            path: path.to_owned(),
            why,
        };
        let lock = lock(path).map_err(wrong)?;
        let mut identity = match std::fs::read_to_string(path) {
            Ok(text) => read(&text).ok_or_else(|| {
                wrong("is no state file of this program, or damaged; move it away to begin with a new id".to_owned())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::fresh()?,
            Err(error) => return Err(wrong(format!("failed to read it: {}", said(&error)))),
        };
        identity.file = Some(StateFile {
            path: path.to_owned(),
            numbers_below: identity.next_number,
            transfers_below: identity.next_transfer,
            _lock: lock,
        });
        // A folder that cannot be written shows now, not at the first call.
        identity.save()?;
        Ok(identity)
    }

    /// Whether the next run goes on with it.
    pub(crate) fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// The number that the next request will have, at least.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// A number for a request.
    pub(crate) fn number(&mut self) -> Result<u64, Error> {
        let number = self.next_number;
        if let Some(file) = &mut self.file
            && number >= file.numbers_below
        {
            file.numbers_below = number + BLOCK;
            if let Err(error) = self.save() {
                if let Some(file) = &mut self.file {
                    file.numbers_below = number;
                }
                return Err(error);
            }
        }
        self.next_number += 1;
        Ok(number)
    }

    /// A number for a transfer.
    pub(crate) fn transfer(&mut self) -> Result<u64, Error> {
        let number = self.next_transfer;
        if let Some(file) = &mut self.file
            && number >= file.transfers_below
        {
            file.transfers_below = number + BLOCK;
            if let Err(error) = self.save() {
                if let Some(file) = &mut self.file {
                    file.transfers_below = number;
                }
                return Err(error);
            }
        }
        self.next_transfer += 1;
        Ok(number)
    }

    /// A device with this store has taken the client in.
    pub(crate) fn met(&mut self, store: [u8; 16]) -> Result<(), Error> {
        if self.store == Some(store) {
            return Ok(());
        }
        self.store = Some(store);
        self.save()
    }

    /// Becomes another client. Numbers of transfers go on, so that no old upload is taken for a new one.
    pub(crate) fn renew(&mut self) -> Result<(), Error> {
        self.client = new_id()?;
        self.store = None;
        self.next_number = 1;
        if let Some(file) = &mut self.file {
            file.numbers_below = 1;
        }
        self.save()
    }

    /// Lets another program have the file; no number is given out any more.
    pub(crate) fn release(&mut self) {
        self.file = None;
    }

    fn save(&self) -> Result<(), Error> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let store = self.store.map(|store| format!("store {}\n", hex(&store)));
        let text = format!(
            "{HEADING}\nclient {}\n{}next {}\ntransfer {}\n",
            hex(&self.client.0),
            store.unwrap_or_default(),
            file.numbers_below,
            file.transfers_below,
        );
        replace(&file.path, text.as_bytes()).map_err(|error| Error::State {
            path: file.path.clone(),
            why: format!("failed to write it: {}", said(&error)),
        })
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

fn lock(path: &Path) -> Result<File, String> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&beside)
        .map_err(|error| format!("failed to open its lock beside it: {}", said(&error)))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err("another program uses it now; give each program its own, or none".to_owned())
        }
        Err(TryLockError::Error(error)) => Err(format!("failed to lock it: {}", said(&error))),
    }
}

fn read(text: &str) -> Option<Identity> {
    let mut lines = text.lines();
    if lines.next()? != HEADING || !text.ends_with('\n') {
        return None;
    }
    let (mut client, mut store, mut next, mut transfer) = (None, None, None, None);
    for line in lines {
        let (name, value) = line.split_once(' ')?;
        match name {
            "client" => client = Some(ClientId(unhex(value)?)),
            "store" => store = Some(unhex(value)?),
            "next" => next = Some(value.parse::<u64>().ok().filter(|next| *next > 0)?),
            "transfer" => transfer = Some(value.parse::<u64>().ok().filter(|next| *next > 0)?),
            _ => return None,
        }
    }
    Some(Identity {
        client: client?,
        store,
        next_number: next?,
        next_transfer: transfer?,
        file: None,
    })
}

/// All of it or nothing, and on disk. Only the owner may read it: who knows the id can pose as the client.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&fresh, path)?;
    #[cfg(unix)]
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Identity};

    #[test]
    fn the_next_run_goes_on_above_every_number_that_was_given_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let mut first = Identity::kept(&path).unwrap();
        let id = first.client;
        first.met([7; 16]).unwrap();
        let last = (0..BLOCK + 5)
            .map(|_| first.number().unwrap())
            .last()
            .unwrap();
        let transfer = first.transfer().unwrap();
        drop(first);
        let mut second = Identity::kept(&path).unwrap();
        assert!(second.client == id && second.store == Some([7; 16]));
        assert!(second.number().unwrap() > last);
        assert!(second.transfer().unwrap() > transfer);
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
    fn a_damaged_file_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        drop(Identity::kept(&path).unwrap());
        let whole = std::fs::read_to_string(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(Identity::kept(&path).is_err(), "{length}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), whole[..length]);
        }
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
