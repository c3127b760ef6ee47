//! One place that turns the stations' errors into what a guest and a client see.
//! Invariant: exhaustive, no catch-all: a new error asks for its code here.

use pixelboy_probe::Refusal;
use pixelboy_protocol::{Code, Failure};
use pixelboy_store::{CommitError, MediaPath, NotDurable, PathError, StoreError, UploadError};

use crate::plugin::contract::pixelboy::plugin::types::Failure as GuestFailure;

/// The wire's failure as the contract's.
pub(crate) fn to_guest(failure: Failure) -> GuestFailure {
    GuestFailure {
        code: failure.code.name().to_owned(),
        message: failure.message,
        details: failure.details,
    }
}

/// The contract's failure as the wire's; a name that is no code becomes `failed`.
pub(crate) fn from_guest(failure: GuestFailure) -> Failure {
    let code = Code::from_name(&failure.code);
    Failure {
        code,
        message: failure.message,
        details: failure.details,
    }
}

fn guest(code: Code, message: impl std::fmt::Display) -> GuestFailure {
    to_guest(Failure::new(code, message.to_string()))
}

/// An argument of a host function is wrong.
pub(crate) fn bad_arguments(message: impl std::fmt::Display) -> GuestFailure {
    guest(Code::BadArguments, message)
}

/// Not possible as things are.
pub(crate) fn bad_state(message: &str) -> GuestFailure {
    guest(Code::BadState, message)
}

/// Nobody offers it.
pub(crate) fn unknown_op(message: String) -> GuestFailure {
    guest(Code::UnknownOp, message)
}

/// Over a limit.
pub(crate) fn too_large(message: String) -> GuestFailure {
    guest(Code::TooLarge, message)
}

/// Nothing of that name.
pub(crate) fn not_found(message: String) -> GuestFailure {
    guest(Code::NotFound, message)
}

/// No such file.
pub(crate) fn no_file(path: &MediaPath) -> GuestFailure {
    not_found(format!(
        "there is no file `{path}`; `ls` shows what is stored"
    ))
}

/// A stored file that can't be read, or is not what was stored.
pub(crate) fn unreadable(path: &MediaPath, error: &std::io::Error) -> GuestFailure {
    guest(Code::StorageFailed, format!("`{path}`: {error}"))
}

/// Nothing to pause, resume or stop.
pub(crate) fn nothing_playing() -> GuestFailure {
    guest(Code::NothingPlaying, "nothing is playing")
}

/// A path against the rules.
pub(crate) fn of_path(error: PathError) -> GuestFailure {
    guest(Code::BadPath, error)
}

/// Of reading and staging.
pub(crate) fn of_store(error: StoreError) -> GuestFailure {
    to_guest(store(&error))
}

fn store(error: &StoreError) -> Failure {
    let code = match error {
        StoreError::NotFound { .. } => Code::NotFound,
        StoreError::FileInTheWay { .. } | StoreError::FolderInTheWay { .. } => Code::Exists,
        StoreError::Path(_) => Code::BadPath,
        StoreError::ChangedByHand { .. } | StoreError::Damaged { .. } => Code::StorageFailed,
        StoreError::NoSpace(_) => Code::NoSpace,
        StoreError::KeyLength { .. } => Code::BadArguments,
        StoreError::ValueLength { .. } | StoreError::EntryTooLarge { .. } => Code::TooLarge,
        StoreError::ReadOnly | StoreError::DiskReadOnly => Code::ReadOnly,
        StoreError::Io { .. } | StoreError::Database { .. } | StoreError::Stuck { .. } => {
            Code::StorageFailed
        }
    };
    Failure::new(code, error.to_string())
}

/// Of a commit; a conflict is run anew before it comes to this.
pub(crate) fn of_commit(error: &CommitError) -> Failure {
    let code = match error {
        CommitError::Conflict => Code::Busy,
        CommitError::NoSpace(_) => Code::NoSpace,
        CommitError::ReadOnly => Code::ReadOnly,
        CommitError::UploadConsumed { .. } => Code::UploadConsumed,
        CommitError::UploadMissing { .. } => Code::UploadUnknown,
        CommitError::OutOfOrder { .. } => Code::RanReplyLost,
        CommitError::TooManyClients { .. } => Code::Busy,
        CommitError::Failed(error) => return store(error),
    };
    Failure::new(code, error.to_string())
}

/// Of a commit that did not come on disk.
pub(crate) fn of_wait(error: &NotDurable) -> Failure {
    match error {
        NotDurable::Unknown(_) => crate::dispatch::lane::outcome_unknown(),
        NotDurable::TakenBack(why) => store(&why.clone().into()),
    }
}

/// Of uploads.
pub(crate) fn of_upload(error: &UploadError) -> Failure {
    let code = match error {
        UploadError::NotReady { .. } => Code::UploadNotReady,
        UploadError::Unknown { .. } => Code::UploadUnknown,
        UploadError::Consumed { .. } => Code::UploadConsumed,
        UploadError::NumberReused { .. } => Code::NumberReused,
        UploadError::DigestMismatch | UploadError::LengthMismatch { .. } => Code::DigestMismatch,
        UploadError::NoSpace(_) => Code::NoSpace,
        UploadError::Busy { .. } => Code::Busy,
        UploadError::ReadOnly => Code::ReadOnly,
        UploadError::Failed(error) => return store(error),
    };
    Failure::new(code, error.to_string())
}

/// Of a probe.
pub(crate) fn of_probe(refusal: &Refusal) -> GuestFailure {
    let code = match refusal {
        Refusal::TooLarge { .. } => Code::TooLarge,
        Refusal::Unreadable { .. } => Code::StorageFailed,
        Refusal::Empty
        | Refusal::UnknownFormat { .. }
        | Refusal::Unsupported { .. }
        | Refusal::Truncated { .. }
        | Refusal::Damaged { .. }
        | Refusal::Budget { .. } => Code::UnsupportedMedia,
    };
    guest(code, refusal)
}
